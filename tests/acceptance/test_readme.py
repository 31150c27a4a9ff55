"""The README's session with curl, typed into a shell against a running deployment."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment import Deployment

ROOT = Path(__file__).parents[2]
SESSIONS = {"README.md": "A session with curl", "README.ko.md": "curl로 따라 하기"}
"""Each README and the heading of its session."""


def session_blocks(name: str) -> list[str]:
    """Collect the `sh` blocks of a README's session, in order."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.search(
        rf"^## {re.escape(SESSIONS[name])}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE
    )
    assert found is not None, f"{name} has no section {SESSIONS[name]!r}"
    return re.findall(r"^```sh\n(.*?)^```$", found[1], re.DOTALL | re.MULTILINE)


def session_script(name: str) -> str:
    """Join a session's commands; the block that names the server is the test's to replace."""
    blocks = [block for block in session_blocks(name) if "export PERCEPTRON=" not in block]
    return "\n".join(blocks)


def only_curl_and_python(directory: Path) -> str:
    """Make a directory of the two programs that the session may use, to be its whole PATH."""
    for name, program in {"curl": shutil.which("curl"), "python3": sys.executable}.items():
        assert program is not None, f"{name} is not installed"
        (directory / name).symlink_to(Path(program).resolve())
    return str(directory)


@pytest.fixture(scope="module")
def session_output(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the session prints, with `curl` and `python3` alone in its PATH."""
    bash = shutil.which("bash")
    assert bash is not None, "bash is not installed"
    environment = {
        **os.environ,
        "PATH": only_curl_and_python(tmp_path_factory.mktemp("bin")),
        "PERCEPTRON": deployment.url,
        "NO_PROXY": "*",
        "PYTHONUTF8": "1",
    }
    finished = subprocess.run(
        [bash, "-euo", "pipefail", "-c", session_script("README.md")],
        check=False,
        cwd=tmp_path_factory.mktemp("session"),
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=180,
    )
    assert finished.returncode == 0, finished.stderr + finished.stdout
    return finished.stdout


def test_languages_share_the_commands() -> None:
    """README.md and README.ko.md hold the same session, which names the server first."""
    english, korean = (session_blocks(name) for name in SESSIONS)
    assert english == korean
    assert english[0] == "export PERCEPTRON=http://127.0.0.1:8000\n"
    assert len(english) > 5, "the session got lost"


def test_training_succeeds(session_output: str) -> None:
    """The job ends `succeeded` with an accuracy of 1, and its stream ends with `done`."""
    assert "succeeded {'epoch': 10001, 'epochs': 10001}" in session_output
    assert "'accuracy': 1.0" in session_output
    assert "event: succeeded" in session_output
    assert "event: done" in session_output


def test_predictions(session_output: str) -> None:
    """The trained model and the built-in one both answer XOR's truth table."""
    answers = [json.loads(line) for line in session_output.splitlines() if '"predictions"' in line]
    assert [answer["model"] for answer in answers] == ["my-xor", "xor"]
    for answer in answers:
        assert answer["predictions"] == [0, 1, 1, 0]


def test_single_layer_fails(session_output: str) -> None:
    """The single layer stays at an accuracy of one half, and the diagnosis says why."""
    assert "single layer: accuracy 0.5, not_linearly_separable" in session_output


def test_gates(session_output: str) -> None:
    """AND has the slides' line, XOR has none."""
    assert "and: 0.5·x1 + 0.5·x2 − 0.7 = 0" in session_output
    assert "xor: no line" in session_output


def test_backprop(session_output: str) -> None:
    """The slides' step takes the loss from 0.02397190 to 0.02323634, and W5 to 0.43703857."""
    assert "E before 0.02397190, after 0.02323634" in session_output
    assert "W5 0.45 -> 0.43703857" in session_output
