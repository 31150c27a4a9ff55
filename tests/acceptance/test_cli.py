"""The commands as processes: what they print, what they refuse, and what they leave behind."""

import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.demo import start_perceptron
from tests.deployment import Deployment, eventually, is_alive, process_tree


@pytest.fixture
def directory() -> Iterator[Path]:
    """An empty directory, its path short enough for a socket far below it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name).resolve()


def run(*arguments: str, **settings: str) -> tuple[int, str, str]:
    """Run a command to its end; returns the exit status, the output and the messages."""
    process = start_perceptron(
        *arguments, settings=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, messages = process.communicate(timeout=120)
    return process.returncode, output, messages


def refusal(*arguments: str, **settings: str) -> str:
    """Run a command that must fail with one line, and give the line."""
    status, output, messages = run(*arguments, **settings)
    assert (status, output) == (1, "")
    (line,) = messages.splitlines()
    return line


def test_demo(directory: Path) -> None:
    """It trains XOR with hidden layers and without, beside every setting, and cleans up."""
    other = f"sqlite:///{directory}/perceptron.db"
    settings = {"PERCEPTRON_DATABASE_URL": other, "TMPDIR": str(directory)}
    pids: set[int] = set()
    with tempfile.TemporaryFile("w+") as file:
        process = start_perceptron("demo", settings=settings, stdout=file, stderr=file)

        def has_ended() -> bool:
            pids.update(process_tree(process.pid))
            return process.poll() is not None

        eventually(has_ended)
        file.seek(0)
        output = file.read()
    assert process.returncode == 0, output
    _assert_slides_numbers(output)
    assert len(pids) >= 6  # demo, up, Valkey, API, its workers, queue worker
    assert not any(is_alive(pid) for pid in pids)
    assert list(directory.glob("perceptron*")) == []  # PyTorch leaves a directory of its own


def _assert_slides_numbers(output: str) -> None:
    deep, _, single = output.partition("The same training")
    assert _measure(deep, "loss") == pytest.approx(0.0001566, abs=3e-6)
    assert _measure(deep, "accuracy") == 1
    assert re.search(r"│ 0 +│ 2 │ 0 │.*\n.*│ 1 +│ 0 │ 2 │", deep)  # a row per actual class
    answers = re.findall(r"│ +(\d) │ +(\d) │ +(\d) │ +(\d) │ .*P\(1\) = (\S+) │", deep)
    assert [row[:4] for row in answers] == [tuple(row) for row in ("0000", "0111", "1011", "1100")]
    for *_, predicted, probability in answers:
        assert float(probability) == pytest.approx(float(predicted), abs=0.001)
    assert _measure(single, "loss") == pytest.approx(0.6931, abs=0.0001)
    assert _measure(single, "accuracy") == 0.5
    assert "Not linearly separable: " in single


def _measure(text: str, name: str) -> float:
    found = re.search(rf"│ {name} +│ +(\S+) │", text)
    assert found is not None, text
    return float(found[1])


def test_second_up_on_a_directory_is_refused(deployment: Deployment) -> None:
    """One `up` per data directory; the message names it."""
    line = refusal("up", "--port", "0", "--data-dir", str(deployment.data_dir))
    assert f"{deployment.data_dir} is in use" in line


@pytest.mark.parametrize("command", ["up", "serve"])
def test_taken_port_is_refused(deployment: Deployment, tmp_path: Path, command: str) -> None:
    """The message names the port."""
    port = deployment.url.rpartition(":")[2]
    line = refusal(command, "--port", port, "--data-dir", str(tmp_path))
    assert f"127.0.0.1:{port}: Address already in use" in line


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://user@host:x/db", "PERCEPTRON_DATABASE_URL: not an SQLAlchemy URL"),
        ("postgresql+psycopg://127.0.0.1:1/none", "the database does not answer"),
    ],
)
def test_database_that_cannot_be_prepared(tmp_path: Path, url: str, said: str) -> None:
    """`up` says so in one line; the API that was loading meanwhile has said nothing."""
    where = ("--port", "0", "--data-dir", str(tmp_path))
    assert said in refusal("up", *where, PERCEPTRON_DATABASE_URL=url)


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("PORT", "x", ""),
        ("DATABASE_URL", "secret", "not an SQLAlchemy URL"),
        ("DATABASE_URL", "mysql://user:secret@host/db", "mysql:// is none of sqlite:///FILE and"),
        ("DATABASE_URL", "postgresql+asyncpg://u:secret@host/db", "postgresql+asyncpg:// is none"),
    ],
)
@pytest.mark.parametrize("command", ["up", "serve", "worker", "migrate"])
def test_bad_setting_is_refused(
    tmp_path: Path, command: str, setting: str, value: str, said: str
) -> None:
    """The message names the setting, and tells no password; there is no traceback."""
    where = ("--data-dir", str(tmp_path))
    line = refusal(command, *where, **{f"PERCEPTRON_{setting}": value})
    assert f"PERCEPTRON_{setting}: {said}" in line
    assert "secret" not in line
    assert list(tmp_path.iterdir()) == []


def test_help_lists_the_commands() -> None:
    """Each command has its line, those that ask a server first."""
    status, output, _ = run("--help")
    listed = re.findall(r"^  (\w+)  ", output.partition("Commands")[2], re.MULTILINE)
    asking = ["train", "sweep", "predict", "jobs", "models", "datasets", "gates", "backprop"]
    running = ["up", "serve", "worker", "migrate", "demo", "completion"]
    assert (status, listed) == (0, [*asking, *running])


@pytest.mark.parametrize("children", [1, 2, 3])
def test_terminated_while_it_starts(tmp_path: Path, children: int) -> None:
    """SIGTERM in the middle of `up`'s start ends whatever it has started by then."""
    process = start_perceptron("up", "--port", "0", "--data-dir", str(tmp_path / "data"))
    eventually(lambda: len(process_tree(process.pid)) > children)
    pids = process_tree(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0
    assert not any(is_alive(pid) for pid in pids)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells what a process waits for")
def test_who_comes_early_waits(tmp_path: Path) -> None:
    """A client that comes while the database is prepared is answered when it is, and rightly."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    writer = sqlite3.connect(data_dir / "perceptron.db", isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("BEGIN IMMEDIATE")  # and nothing can be prepared
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    where = ("--port", str(port), "--data-dir", str(data_dir))
    process = start_perceptron("up", *where, stdout=subprocess.DEVNULL)
    with ThreadPoolExecutor(1) as clients:
        try:
            body = {"model": "xor", "inputs": [[0, 1]]}
            early = clients.submit(_post_when_open, f"http://127.0.0.1:{port}/predict", body)
            eventually(lambda: any(map(_waits_at_a_pipe, process_tree(process.pid))))
            writer.execute("ROLLBACK")
            answer = early.result(60)
        finally:
            process.terminate()
            process.wait(40)
            writer.close()
    assert (answer.status_code, answer.json()["predictions"]) == (200, [1])


def _waits_at_a_pipe(pid: int) -> bool:
    return "pipe_read" in Path(f"/proc/{pid}/wchan").read_text()


def _post_when_open(url: str, body: dict[str, Any]) -> httpx.Response:
    """Post as soon as somebody listens."""

    def post() -> httpx.Response | None:
        with suppress(httpx.ConnectError):
            return httpx.post(url, json=body, timeout=60, trust_env=False)
        return None

    return eventually(post)


def test_a_directory_with_a_space(tmp_path: Path) -> None:
    """A data directory may have any name."""
    started = Deployment(tmp_path / "my data").start()
    try:
        job = started.finished(started.submit(dataset="and", training={"epochs": 5}))
        assert job["status"] == "succeeded"
    finally:
        assert started.stop() == 0
