"""The commands that ask a server, as processes: what they print, their statuses, their refusals."""

import csv
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import polars as pl
import pytest

from cli.demo import start_perceptron
from tests.deployment import Deployment, eventually

Run = Callable[..., "Done"]

LONG = ("--epochs", "1000000", "--engine", "torch", "--record-every", "200")
"""A training that takes longer than a test."""
BRAILLE = re.compile("[\u2801-\u28ff]")


class Done(NamedTuple):
    """A command that has ended."""

    status: int
    output: str
    messages: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON; it must have succeeded."""
        assert self.status == 0, self.messages
        return json.loads(self.output)


def _done(process: subprocess.Popen[str], given: str | None = None) -> Done:
    output, messages = process.communicate(given, timeout=120)
    return Done(process.returncode, output, messages)


@pytest.fixture
def perceptron(deployment: Deployment) -> Run:
    """Run a command against the deployment to its end."""

    def run(*arguments: object, given: str | None = None, **environment: str) -> Done:
        streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        settings = {"PERCEPTRON_SERVER": deployment.url, **environment}
        process = start_perceptron(*map(str, arguments), settings=settings, **streams)
        return _done(process, given)

    return run


def _rows(text: str) -> list[list[str]]:
    """Give the cells of the tables in a text."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines()]


# Training


def test_train_xor(perceptron: Run, deployment: Deployment) -> None:
    """The curve, the metrics, the matrix, every row's prediction and the diagnosis are shown."""
    layers = ("--hidden", 10, "--hidden", 10, "--hidden", 10)
    done = perceptron("train", "xor", *layers, "--epochs", 10_001, "--model", "terminal-xor")
    assert done.status == 0, done.messages
    assert "100%" in done.messages
    assert len(BRAILLE.findall(done.messages)) > 40
    job = deployment.get("/jobs?limit=1").json()["data"][0]
    assert job["network"]["hidden_layers"] == [10, 10, 10]
    assert f"{job['metrics']['train']['loss']:.4g}" in done.output
    rows = [row for row in _rows(done.output) if row]
    assert ["0", "2", "0"] in [row[-3:] for row in rows]
    answered = [row[:4] for row in rows if len(row) == 5 and row[0] in ("0", "1")]
    assert answered == [list(row) for row in ("0000", "0111", "1011", "1100")]
    assert job["diagnosis"]["message"].partition(":")[0] in done.output
    assert "perceptron predict terminal-xor 1,1" in done.output
    predicted = perceptron("predict", "terminal-xor", "1,1", "x1=0,x2=1")
    assert predicted.status == 1  # rows, or records: not both
    assert predicted.messages.startswith("Error: ")
    assert predicted.messages.endswith("\n  at #/inputs/1\n")


def test_a_single_layer_is_told_why(perceptron: Run) -> None:
    """The diagnosis is in the language of the environment."""
    english = perceptron("train", "xor", "--epochs", 100)
    assert "Not linearly separable" in english.output
    korean = perceptron("train", "xor", "--epochs", 100, LC_ALL="ko_KR.UTF-8", PYTHONUTF8="1")
    assert "선형 분리가 불가능합니다" in korean.output


def test_options_are_fields_of_the_job(perceptron: Run) -> None:
    """Each option arrives where it belongs; `--json` prints the ended job and nothing else."""
    done = perceptron(
        "train", "iris", "--json", "--hidden", 5, "--activation", "tanh", "--optimizer", "adam",
        "--learning-rate", 0.02, "--epochs", 60, "--batch-size", 30, "--seed", 0,
        "--weight-decay", 0.001, "--schedule", "cosine", "--validation", 0.2, "--test", 0.1,
        "--patience", 50, "--balanced", "--record-every", 10, "--engine", "fused",
        "--feature", "petal width (cm)", "--feature", "petal length (cm)", "--no-standardise",
        "--model", "petals",
    )  # fmt: skip
    job = done.json
    assert done.messages == ""
    assert job["network"] == {"hidden_layers": [5], "activation": "tanh"}
    training = job["training"]
    expected = {
        "optimizer": "adam", "learning_rate": 0.02, "epochs": 60, "batch_size": 30, "seed": 0,
        "weight_decay": 0.001, "validation_fraction": 0.2, "test_fraction": 0.1,
        "class_weights": "balanced", "record_every": 10, "engine": "fused",
    }  # fmt: skip
    assert {name: training[name] for name in expected} == expected
    assert training["schedule"]["kind"] == "cosine"
    assert training["early_stopping"]["patience"] == 50
    card = perceptron("models", "show", "petals", "--json").json["card"]
    assert card["feature_names"] == ["petal width (cm)", "petal length (cm)"]
    assert {feature["scale"] for feature in card["preprocessing"]["features"]} == {1.0}


def test_derived_inputs(perceptron: Run, deployment: Deployment) -> None:
    """With the product of its inputs a single layer learns XOR; names may hold any character."""
    told = perceptron("train", "xor", "--derive", "product:x1,x2", "--epochs", 2000, "--json").json
    assert told["metrics"]["train"]["accuracy"] == 1
    (derived,) = deployment.get(f"/models/{told['id']}/versions/1").json()["card"]["preprocessing"][
        "derived"
    ]
    assert derived == {"function": "product", "of": ["x1", "x2"]}
    table = '"a, b",t:0,"say ""hi""",y\n1,0,2,0\n2,1,0,1\n3,0,1,0\n'
    assert perceptron("datasets", "add", "-", "--name", "odd", given=table).status == 0
    odd = ("--derive", 'square:"a, b"', "--derive", 'product:"a, b", t:0',
           "--derive", 'sine:"say ""hi"""')  # fmt: skip
    swept = perceptron("sweep", "odd", *odd, "--seeds", 2, "--epochs", 5, "--json").json
    card = perceptron("models", "show", swept["id"], "--json").json["card"]
    assert card["preprocessing"]["derived"] == [
        {"function": "square", "of": ["a, b"]},
        {"function": "product", "of": ["a, b", "t:0"]},
        {"function": "sine", "of": ['say "hi"']},
    ]


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_refused_derived_inputs(perceptron: Run, command: str) -> None:
    """What the server refuses of one names the option; a function that there is none of, too."""
    asked = (command, "xor", "--derive", "square:x1", "--derive")
    for text, said, where in (
        ("product:x1,x9", "'x9' is no feature", "/of/1"),
        ("square:x1", "x1² repeats", ""),
        ("sine:x1,x2", "a sine is of 1, not 2", "/of"),
        ("product:x1,x1", "a product is of two different features: of one it is a square", "/of"),
    ):
        refused = perceptron(*asked, text)
        assert (refused.status, refused.output) == (1, "")
        assert refused.messages.splitlines() == [
            f"Error: {said}",
            f"  at #/preprocessing/derived/1{where} (--derive)",
        ]
    for text in ("cube:x1", "square", "square:", "x1"):
        refused = perceptron(*asked, text)
        assert (refused.status, refused.output) == (2, "")
        assert f"'--derive': {text!r} is no FUNCTION:COLUMNS" in refused.messages


def test_refusals_name_place_and_option(perceptron: Run) -> None:
    """A refusal says what is wrong, where, and which option it is; status 1."""
    one = perceptron("train", "xor", "--learning-rate", 5000)
    assert (one.status, one.output) == (1, "")
    assert one.messages.splitlines() == [
        "Error: Input should be less than or equal to 1000",
        "  at #/training/learning_rate (--learning-rate)",
    ]
    two = perceptron("train", "xor", "--learning-rate", 5000, "--epochs", 0)
    assert "  at #/training/epochs (--epochs): Input should be greater" in two.messages
    assert two.messages.count("#/training/learning_rate") == 1
    deep = perceptron("train", "xor", "--hidden", 4, "--hidden", 0)
    assert "  at #/network/hidden_layers/1 (--hidden)\n" in deep.messages
    searched = perceptron("sweep", "xor", "--seeds", 20_000)
    assert "  at #/search/space/seed/count (--seeds)\n" in searched.messages
    weights = perceptron("train", "diabetes", "--balanced")
    assert "  at #/training/class_weights (--balanced)\n" in weights.messages
    problem = perceptron("train", "nothing", "--json")
    assert (problem.status, problem.output) == (1, "")
    assert json.loads(problem.messages)["errors"][0]["pointer"] == "#/dataset"
    unknown = perceptron("jobs", "show", "nothing")
    assert (unknown.status, unknown.messages) == (1, "Error: there is no job 'nothing'\n")


def test_wrong_options(perceptron: Run, tmp_path: Path) -> None:
    """Options that make no sense are refused before anything is sent; status 2."""
    table = tmp_path / "rows.csv"
    table.write_text("a,y\n1,0\n")
    hint = perceptron("train", table)
    assert hint.status == 2
    assert f"perceptron datasets add {table}" in hint.messages
    for arguments in (
        ("train", "xor", "--epochs", "many"),
        ("sweep", "xor", "--hidden", "10-x"),
        ("predict", "xor", "0,1", "-o", "out.csv"),
        ("predict", "xor", "none.csv"),
        ("models", "alias", "xor", "a", "1", "--delete"),
        ("models", "figure", "xor", "-o", "figure.gif"),
        ("datasets", "add", str(table), "--column", "a=number"),
        ("backprop", "--inputs", "1,x"),
        ("jobs", "--server", "ftp://127.0.0.1"),
    ):
        done = perceptron(*arguments)
        assert (done.status, done.output) == (2, ""), arguments
        assert "Traceback" not in done.messages
    assert "Did you mean 'train'?" in perceptron("trian", "xor").messages
    assert "is no single line of CSV" in perceptron("predict", "xor", "0\n1").messages


def test_a_job_that_fails(perceptron: Run) -> None:
    """Status 4, with the reason."""
    wild = ("--learning-rate", 1000, "--optimizer", "momentum", "--no-standardise")
    done = perceptron("train", "diabetes", "--target", "progression", "--hidden", 5, *wild)
    assert done.status == 4
    assert re.search(r"the job job_\w+ has failed: .*\(diverged\)", done.messages)


# A terminal, Ctrl-C, streams that break


def test_a_live_terminal(deployment: Deployment) -> None:
    """In a terminal the bar and the curve are drawn again and again while it trains."""
    training = ("--epochs", 6000, "--engine", "torch", "--record-every", 20)
    status, shown = _in_terminal(deployment, 90, "train", "xor", "--hidden", 4, *training)
    assert status == 0, shown
    shares = {int(share) for share in re.findall(r"(\d+)%", shown)}
    assert len(shares) >= 3, shares
    assert {0, 100} <= shares
    assert len(BRAILLE.findall(shown)) > 100
    assert "\x1b[" in shown


@pytest.mark.parametrize(
    ("columns", "layers", "drawn"),
    [
        (80, 3, "TITLE BAR SHARE TOLD TIMES"),
        (80, 6, "TITLE SHARE TOLD TIMES"),
        (80, 9, "BAR SHARE TOLD TIMES"),
        (60, 3, "SHARE TOLD TIMES"),
        (40, 3, "SHARE TOLD"),
    ],
)
def test_a_narrow_progress_line(
    deployment: Deployment, columns: int, layers: int, drawn: str
) -> None:
    """The bar gives way to the numbers, and the title to a line of its own: nothing is cut."""
    hidden = [part for _ in range(layers) for part in ("--hidden", 10)]
    status, shown = _in_terminal(deployment, columns, "train", "xor", *hidden, "--epochs", 300)
    assert status == 0, shown
    lines = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown).splitlines()
    title = f"xor: {'-'.join(['10'] * layers)}"
    parts = {
        "TITLE": title,
        "BAR": "━{8,28}",
        "SHARE": "100%",
        "TOLD": r"loss [\de.-]+, accuracy [\d.]+",
        "TIMES": r"\d:\d\d:\d\d \d:\d\d:\d\d",
    }
    line = re.compile(" +".join(["✓", *(parts[name] for name in drawn.split())]) + " *")
    places = [place for place, shown in enumerate(lines) if line.fullmatch(shown)]
    assert places, shown
    assert len(lines[places[-1]].rstrip()) <= columns
    assert "TITLE" in drawn or lines[places[-1] - 1].strip() == title


def _in_terminal(
    deployment: Deployment, columns: int, *arguments: object, **environment: str
) -> tuple[int, str]:
    """Run a command in a terminal of so many letters to its end; returns its status and letters."""
    master, terminal = pty.openpty()
    about = {"PERCEPTRON_SERVER": deployment.url, "TERM": "xterm-256color"}
    process = start_perceptron(
        *map(str, arguments), settings={**about, "COLUMNS": str(columns), **environment},
        stdin=terminal, stdout=terminal, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    shown = _read_all(master)
    return process.wait(60), shown


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_narrow_terminal(deployment: Deployment, columns: int) -> None:
    """No line of a training's end is longer than the terminal, and no cell is broken in pieces."""
    training = ("iris", "--hidden", 4, "--epochs", 20, "--model", "narrow")
    status, shown = _in_terminal(deployment, columns, "train", *training, TERM="dumb")
    assert status == 0, shown
    tables = [line for line in shown.splitlines() if "│" in line]
    assert max(map(len, tables)) <= columns
    card = deployment.get("/models/narrow").json()
    answered = shown.partition(f"narrow, version {card['latest_version']} ")[2]
    rows = [row for row in _rows(answered) if len(row) > 3]
    judged = [row for row in rows if row[-3] in ("setosa", "versicolor", "virginica")]
    assert len(judged) == 6
    assert all(re.fullmatch(r"[\d.]+", row[0]) for row in judged), rows
    features = [cell for cell in judged[0][:-3] if cell != "…"]
    assert len(features) == {40: 1, 60: 1, 80: 4}[columns]


def test_an_old_encoding(perceptron: Run) -> None:
    """What an encoding has no letter for is replaced, in JSON by its escape."""
    old = {"PYTHONIOENCODING": "ascii"}
    done = perceptron("train", "xor", "--epochs", 20, **old)
    assert done.status == 0, done.messages
    assert "| prediction |" in done.output
    shown = perceptron("datasets", "show", "digits", "--json", **old)
    assert shown.output.isascii()
    assert "8 × 8" in shown.json["description"]


def _read_all(descriptor: int) -> str:
    """Read a terminal until the other side closes it."""
    read = b""
    try:
        while piece := os.read(descriptor, 65_536):
            read += piece
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(descriptor)
    return read.decode()


def test_interrupted(perceptron: Run, deployment: Deployment) -> None:
    """Ctrl-C leaves the job running, says how to go on, and ends with 130; cancelling ends it."""
    process = start_perceptron(
        "train", "xor", "--hidden", "4", *LONG, settings={"PERCEPTRON_SERVER": deployment.url},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    before = {job["id"] for job in deployment.get("/jobs?limit=100").json()["data"]}

    def started() -> str | None:
        jobs = deployment.get("/jobs?limit=5").json()["data"]
        running = [job["id"] for job in jobs if job["status"] == "running"]
        return next((one for one in running if one not in before or len(running) == 1), None)

    job_id = eventually(started)
    deployment.running(job_id, after_epoch=200)
    process.send_signal(signal.SIGINT)
    done = _done(process)
    assert done.status == 130
    assert f"perceptron jobs watch {job_id}" in done.messages
    assert f"perceptron jobs cancel {job_id}" in done.messages
    assert deployment.job(job_id)["status"] == "running"
    assert perceptron("jobs", "cancel", job_id).status == 0
    watched = perceptron("jobs", "watch", job_id)
    assert watched.status == 4
    assert f"the job {job_id} was cancelled" in watched.messages


def test_paused(perceptron: Run, deployment: Deployment) -> None:
    """Who watches a training sees that it is paused, and goes on watching to its end."""
    training = {"epochs": 1_000_000, "engine": "torch", "record_every": 100}
    job_id = deployment.submit(dataset="xor", training=training)
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(_in_terminal, deployment, 90, "jobs", "watch", job_id)
        deployment.running(job_id, after_epoch=100)
        asked = perceptron("jobs", "pause", job_id)
        assert (asked.status, asked.messages) == (0, f"{job_id} is being paused\n")
        eventually(lambda: deployment.job(job_id)["status"] == "paused")
        assert perceptron("jobs", "pause", job_id).messages == f"{job_id} is paused\n"
        listed = perceptron("jobs", "--status", "paused", "--json").json
        assert [job["id"] for job in listed["data"]] == [job_id]
        assert not watching.done()
        assert perceptron("jobs", "resume", job_id).messages == f"{job_id} goes on\n"
        perceptron("jobs", "cancel", job_id)
        status, shown = watching.result()
    assert status == 4
    assert "is paused" in shown
    assert f"the job {job_id} was cancelled" in shown
    refused = perceptron("jobs", "pause", job_id)
    assert (refused.status, refused.messages) == (1, "Error: the job has been cancelled already\n")


def test_a_stream_that_breaks(new_deployment: Callable[..., Deployment]) -> None:
    """When the API process dies under it, a watch goes on with the next one."""
    deployment = new_deployment("--api-workers", "1")
    training = {"epochs": 15_000, "engine": "torch", "record_every": 100}
    job_id = deployment.submit(dataset="xor", training=training)
    settings = {"PERCEPTRON_SERVER": deployment.url}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start_perceptron("jobs", "events", job_id, "--follow", settings=settings, **streams)
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    deployment.running(job_id, after_epoch=500)
    (worker,) = (pid for pid in deployment.pids("service") if pid != deployment.api_master)
    os.kill(worker, signal.SIGKILL)
    lines += process.stdout.readlines()
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 0, messages
    events = [json.loads(line) for line in lines]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "succeeded"


# Jobs


def test_jobs(perceptron: Run, deployment: Deployment) -> None:
    """They are listed, shown, watched and forgotten; `last` is the newest."""
    job_id = perceptron("train", "and", "--epochs", 50, "--detach").output.strip()
    watched = perceptron("jobs", "watch")
    assert watched.status == 0
    assert f"Published as {job_id}, version 1" in watched.output
    shown = perceptron("jobs", "show", "last")
    assert job_id in shown.output
    assert BRAILLE.search(shown.output)
    assert perceptron("jobs", "show", job_id, "--json").json == deployment.job(job_id)
    listed = perceptron("jobs", "--limit", 1)
    assert job_id in listed.output
    assert "succeeded" in listed.output
    pages = perceptron("jobs", "--json", "--limit", 3).json
    assert pages["data"][0]["id"] == job_id
    assert (len(pages["data"]), pages["has_more"]) == (3, True)
    events = perceptron("jobs", "events", job_id).output.splitlines()
    assert [json.loads(line) for line in events] == deployment.events(job_id)
    asked = perceptron("jobs", "rm", job_id, given="n\n")
    assert asked.status == 1
    assert perceptron("jobs", "rm", job_id, "--yes", "--json").json == {"deleted": job_id}
    assert deployment.get(f"/jobs/{job_id}").status_code == 404


def test_a_line_for_each_job(
    perceptron: Run, new_deployment: Callable[..., Deployment], tmp_path: Path
) -> None:
    """An item of a list is a line, with its whole name, and a pipe has everything whole."""
    alone = new_deployment("--workers", "0")
    away = {"PERCEPTRON_SERVER": alone.url}
    table = tmp_path / ("a-long-name-" * 4 + ".csv")
    table.write_text("a,y\n1,0\n2,1\n")
    assert perceptron("datasets", "add", table, **away).status == 0
    layers = [part for units in range(10, 20) for part in ("--hidden", units)]
    train = ("train", table.stem.strip("-"), *layers, "--device", "cuda", "--detach")
    ids = [perceptron(*train, **away).output.strip() for _ in range(2)]
    long = table.stem.strip("-")
    for columns in (40, 60, 80, 120):
        for names, command in ((ids, "jobs"), ((long, "breast_cancer"), "datasets"),
                               (("xor", "nand"), "models"), (("parity-4",), "gates")):  # fmt: skip
            status, shown = _in_terminal(alone, columns, command, TERM="dumb")
            assert status == 0, shown
            lines = [line for line in shown.splitlines() if "│" in line]
            assert max(map(len, lines)) <= columns
            named = [row[0] for row in _rows(shown) if row]
            assert all(named), shown
            for name in names:
                assert name in named or (len(name) > columns - 4 and name in "".join(named)), shown
    told = perceptron("jobs", **away).output
    network = "-".join(map(str, range(10, 20)))
    assert [ids[1], "queued", f"{long}: {network}"] in [row[:3] for row in _rows(told)]
    assert "Queued jobs wait for a worker of the queue `gpu`: none is running." in told
    described = alone.get("/datasets/breast_cancer").json()["description"]
    assert described in [row[-1] for row in _rows(perceptron("datasets", **away).output) if row]
    status, shown = _in_terminal(alone, 80, "jobs", TERM="dumb")
    assert [ids[1], "queued"] in [row[:2] for row in _rows(shown)]
    assert "…" in shown
    short = ids[0][:12]
    assert perceptron("jobs", "show", short, "--json", **away).json["id"] == ids[0]
    while len({one[:5] for one in ids}) == len(ids):  # after 17 jobs at most
        ids.append(alone.submit(dataset="xor", training={"device": "cuda"}))
    shared = ids[-1][:5]
    several = perceptron("jobs", "show", shared, **away)
    assert several.status == 1
    assert f"the ids of several jobs begin with {shared}" in several.messages
    one = perceptron("jobs", "cancel", short, **away)
    assert (one.status, one.messages) == (0, f"{ids[0]} is cancelled\n")
    watched = perceptron("jobs", "watch", short, **away)
    assert watched.status == 4
    assert f"the job {ids[0]} was cancelled" in watched.messages


# Models


@pytest.fixture(scope="module")
def two_versions(deployment: Deployment) -> str:
    """A model with two versions."""
    for seed in (1, 2):
        asked = {"dataset": "or", "model": "two", "training": {"epochs": 200, "seed": seed}}
        assert deployment.finished(deployment.submit(**asked))["status"] == "succeeded"
    return "two"


def test_aliases(perceptron: Run, deployment: Deployment, two_versions: str) -> None:
    """An alias is made, moved, split, rolled back and deleted."""
    alias = ("models", "alias", two_versions, "champion")
    assert perceptron(*alias, 1).output == "two champion → version 1\n"
    assert perceptron(*alias, 2).output == "two champion → version 2\n"
    split = perceptron(*alias, "--split", "1=3", "--split", "2=1")
    assert split.output == "two champion → version 1 (75%), version 2 (25%)\n"
    assert perceptron(*alias).output == split.output
    assert perceptron(*alias, "--rollback").output == "two champion → version 2\n"
    told = perceptron(*alias, "--json").json
    assert told == deployment.get("/models/two/aliases/champion").json()
    listed = perceptron("models", "--limit", 1_000).output
    assert "champion → 2" in listed
    (line,) = [line for line in listed.splitlines() if " two " in line]
    current = deployment.get("/models/two").json()["current"]
    assert current["version"] == 2
    assert f"│ {current['dataset']} " in line
    assert f"acc. {current['score']['value']:.4g}" in line
    assert perceptron(*alias, "--delete").status == 0
    assert perceptron(*alias).status == 1
    built_in = perceptron("models", "alias", "xor", "champion", 1)
    assert "built-in model" in built_in.messages


def test_cards_and_files(
    perceptron: Run, deployment: Deployment, two_versions: str, tmp_path: Path
) -> None:
    """The card is shown; files are those that the API gives."""
    card = perceptron("models", "show", two_versions, "--version", 1)
    assert "two, version 1" in card.output
    assert "Evaluation" in card.output
    for form, name in (("onnx", "a.onnx"), ("safetensors", "b.safetensors")):
        done = perceptron("models", "export", two_versions, "-o", tmp_path / name)
        assert done.status == 0, done.messages
        served = deployment.get(f"/models/two/{form}").content
        assert (tmp_path / name).read_bytes() == served
    done = perceptron("models", "export", two_versions, "--format", "card", "-o", tmp_path / "c")
    assert (tmp_path / "c").read_text().startswith("# two, version 2")
    told = perceptron("models", "export", two_versions, "-o", tmp_path / "d.onnx", "--json").json
    assert (told["version"], told["size_bytes"]) == (2, (tmp_path / "d.onnx").stat().st_size)


def test_figures(perceptron: Run, two_versions: str, tmp_path: Path) -> None:
    """Figures are written in the form that the file's name says."""
    picture, drawing = tmp_path / "loss.png", tmp_path / "boundary.svg"
    assert perceptron("models", "figure", two_versions, "-o", drawing, "--x", "x2").status == 0
    assert b"<svg" in drawing.read_bytes()
    figure = ("models", "figure", two_versions, "loss", "--dark", "-o", picture)
    told = perceptron(*figure, "--json").json
    assert told == {"file": str(picture), "size_bytes": picture.stat().st_size}
    assert picture.read_bytes().startswith(b"\x89PNG")
    refused = perceptron("models", "figure", two_versions, "-o", drawing, "--y", "x9")
    assert refused.messages.splitlines() == [
        "Error: the model has no feature 'x9'",
        "  at y (--y)",
    ]


CENTRES = [1.24 * (place + 0.5) / 40 - 0.12 for place in range(40)]
"""Middles of the letters across, from 0.12 below the lowest input to 0.12 above the highest."""


def _heights(count: int) -> list[float]:
    return [1.12 - 1.24 * (place + 0.5) / count for place in range(count)]


def _probabilities(deployment: Deployment, model: str, rows: int) -> list[list[float]]:
    """Ask for the probability at each place of a drawing, the topmost row first."""
    places = [[x, y] for y in _heights(rows) for x in CENTRES]
    found = deployment.post("/predict", {"model": model, "inputs": places}).json()["probabilities"]
    return [found[start : start + 40] for start in range(0, len(found), 40)]


@pytest.fixture(scope="module")
def curved(deployment: Deployment) -> str:
    """A model of XOR that is not sure everywhere."""
    network = {"hidden_layers": [4]}
    asked = {"dataset": "xor", "network": network, "training": {"epochs": 2_000}}
    job_id = deployment.submit(model="curved", **asked)
    assert deployment.finished(job_id)["status"] == "succeeded"
    return "curved"


def test_region_without_colours(perceptron: Run, deployment: Deployment, curved: str) -> None:
    """The letter of each place says what the model answers there; a training ends with it."""
    shown = perceptron("models", "figure", curved).output
    lines = [line[10:] for line in shown.splitlines()[1:15]]
    expected = [
        "".join(" ░▒▓█"[round(4 * share)] for share in row)
        for row in _probabilities(deployment, curved, 14)
    ]
    assert [line.ljust(40) for line in lines] == expected
    assert len({letter for line in expected for letter in line}) == 5
    trained = perceptron("train", "xor", "--hidden", 4, "--epochs", 2_000).output
    assert "\n".join(shown.splitlines()[1:15]) in trained
    old = perceptron("models", "figure", curved, PYTHONIOENCODING="ascii").output
    assert old.isascii()


def test_region_in_colours(deployment: Deployment, curved: str) -> None:
    """Each letter has two places in the colours of their classes, and the rows lie on it."""
    figure = ("models", "figure", curved)
    status, shown = _in_terminal(deployment, 80, *figure, COLORTERM="truecolor", NO_COLOR="")
    assert status == 0, shown
    letter = re.compile(r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m([▀●])")
    drawn = [letter.findall(line) for line in shown.splitlines()]
    rows = [line for line in drawn if line]
    assert [len(line) for line in rows] == [40] * 14
    expected = _probabilities(deployment, curved, 28)
    points = set()
    for row, line in enumerate(rows):
        for column, (*colours, kind) in enumerate(line):
            red, _, blue, ground_red, _, ground_blue = map(int, colours)
            if kind == "●":
                points.add((CENTRES[column], _heights(14)[row], blue > red))
                continue
            upper, lower = (expected[2 * row + part][column] for part in (0, 1))
            for is_blue, share in ((blue > red, upper), (ground_blue > ground_red, lower)):
                assert is_blue == (share > 0.5) or abs(share - 0.5) < 0.02  # as good as white
    nearest = {(round(x), round(y), is_blue) for x, y, is_blue in points}
    assert nearest == {(0, 0, False), (0, 1, True), (1, 0, True), (1, 1, False)}


def test_what_a_region_shows_of_its_axes(perceptron: Run, deployment: Deployment) -> None:
    """They reach beyond the rows, of a job that brought them, too; after a while without them."""
    inline = {"features": [[0, 10], [4, 30], [2, 10]], "targets": [0, 1, 0]}
    job_id = deployment.submit(dataset=inline, model="brought", training={"epochs": 5})
    assert deployment.finished(job_id)["status"] == "succeeded"

    def ends() -> list[float]:
        lines = perceptron("models", "figure", "brought").output.splitlines()
        told = lines[1].split()[0], lines[14].split()[0], *lines[15].split()[::2]
        return [float(end) for end in told]

    assert ends() == pytest.approx([32.4, 7.6, -0.48, 4.48])
    assert perceptron("jobs", "rm", job_id, "--yes").status == 0
    (feature, other) = perceptron("models", "show", "brought", "--json").json["card"][
        "preprocessing"
    ]["features"]
    assert ends() == pytest.approx(
        [
            other["mean"] + 2.5 * other["scale"], other["mean"] - 2.5 * other["scale"],
            feature["mean"] - 2.5 * feature["scale"], feature["mean"] + 2.5 * feature["scale"],
        ]
    )  # fmt: skip
    swept = perceptron("sweep", "or", "--seeds", 2, "--epochs", 5, "--json").json["model"]["name"]
    assert "\n     1.12 " in perceptron("models", "figure", swept).output


def test_regions_that_the_terminal_cannot_draw(perceptron: Run) -> None:
    """Other models, and other figures, need a file."""
    parity = ("train", "parity-3", "--epochs", 5, "--model", "parity", "--json")
    assert perceptron(*parity).status == 0
    done = perceptron("models", "figure", "parity")
    assert (done.status, done.output) == (1, "")
    assert "two features that are numbers" in done.messages
    for more in (("network",), ("--dark",), ("--x", "x1"), ("--json",)):
        done = perceptron("models", "figure", "xor", *more)
        assert (done.status, done.output) == (2, "")
        assert "-o is needed" in done.messages


def test_regions_of_other_tasks(perceptron: Run, deployment: Deployment) -> None:
    """Several classes are letters, numbers are shades from the lowest to the highest."""
    features = ("--feature", "petal length (cm)", "--feature", "petal width (cm)")
    iris = ("train", "iris", *features, "--hidden", 5, "--epochs", 500, "--model", "petals-2")
    shown = perceptron(*iris).output
    assert "species: 'a' setosa 'b' versicolor 'c' virginica" in shown
    two = perceptron("train", "xor", "--task", "multiclass", "--hidden", 4, "--epochs", 5).output
    assert "y: 'a' 0 'b' 1" in two
    figure = perceptron("models", "figure", "petals-2").output.splitlines()[1:15]
    spans = [(1.0, 6.9), (0.1, 2.5)]
    x, y = ((low - 0.12 * (high - low), 1.24 * (high - low)) for low, high in spans)
    places = [
        [x[0] + x[1] * (column + 0.5) / 40, y[0] + y[1] * (row + 0.5) / 14]
        for row in reversed(range(14))
        for column in range(40)
    ]
    answer = deployment.post("/predict", {"model": "petals-2", "inputs": places}).json()
    names = {"setosa": "a", "versicolor": "b", "virginica": "c"}
    expected = "".join(names[name] for name in answer["predictions"])
    assert "".join(line[10:] for line in figure) == expected
    body = ("--feature", "bmi", "--feature", "bp", "--learning-rate", 0.01, "--epochs", 200)
    shown = perceptron("train", "diabetes", *body).output
    ends = re.search(r"progression: ' ' ([\d.]+) '█' ([\d.]+)", shown)
    assert ends is not None, shown
    corners = [[-0.120, -0.140], [0.200, 0.159]]
    (name,) = re.findall(r"Published as (job_\w+)", shown)
    answer = deployment.post("/predict", {"model": name, "inputs": corners}).json()
    assert [float(end) for end in ends.groups()] == pytest.approx(answer["predictions"], abs=10)


def test_deleting_models(perceptron: Run, deployment: Deployment) -> None:
    """One version, or all of them, after a question or `--yes`."""
    for seed in (1, 2):
        asked = {"dataset": "or", "model": "gone", "training": {"epochs": 5, "seed": seed}}
        assert deployment.finished(deployment.submit(**asked))["status"] == "succeeded"
    assert perceptron("models", "rm", "gone", "--version", 1, given="y\n").status == 0
    assert deployment.get("/models/gone").json()["versions"] == [2]
    assert perceptron("models", "rm", "gone", given="n\n").status == 1
    assert perceptron("models", "rm", "gone", "--yes").status == 0
    assert deployment.get("/models/gone").status_code == 404


# Datasets and predictions

PEOPLE = """id,age,city,member,buys
007,31,Seoul,true,often
008,55,"Busan, South",false,never
009,,Seoul,true,often
010,40,Daegu,,never
"""


@pytest.fixture(scope="module")
def people(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of people, its dataset and a model of it."""
    path = tmp_path_factory.mktemp("people") / "People 1.csv"
    path.write_text(PEOPLE)
    settings = {"PERCEPTRON_SERVER": deployment.url}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    add = ("datasets", "add", str(path), "--target", "buys", "--column", "id=text")
    added = _done(start_perceptron(*add, settings=settings, **streams))
    assert added.status == 0, added.messages
    assert "perceptron train people-1 --hidden 8" in added.messages
    asked = {"dataset": "people-1", "model": "people", "training": {"epochs": 300}}
    assert deployment.finished(deployment.submit(**asked))["status"] == "succeeded"
    return path


def test_datasets(perceptron: Run, deployment: Deployment, people: Path) -> None:
    """A table is added by its file's name, listed, shown and deleted."""
    shown = perceptron("datasets", "show", "people-1").output
    assert "buys (binary)" in shown
    assert "Seoul (2)" in shown
    assert "people-1" in perceptron("datasets").output
    told = perceptron("datasets", "show", "people-1", "--json").json
    assert told == deployment.get("/datasets/people-1").json()
    again = perceptron("datasets", "add", people, "--name", "people-1")
    assert (again.status, "there is a dataset" in again.messages) == (1, True)
    given = perceptron("datasets", "add", "-", "--name", "typed", "--json", given="a,y\n1,2\n")
    assert given.json["rows"] == 1
    ragged = perceptron("datasets", "add", "-", "--name", "ragged", given="a,y\n1,2,3,4\n5\n")
    assert ragged.status == 1
    assert ragged.messages == "Error: line 2 has 4 values, the first line 2\n"
    korean = people.with_name("도시.csv")
    korean.write_bytes("도시,답\n서울,1\n부산,0\n".encode("cp949"))
    add = ("datasets", "add", korean, "--name", "korean")
    assert "is not UTF-8" in perceptron(*add).messages
    assert "서울" in perceptron(*add, "--encoding", "cp949").output
    assert "klingon" in perceptron(*add, "--encoding", "klingon").messages
    unknown = perceptron("datasets", "add", people, "--name", "other", "--target", "none")
    assert "  at target (--target)" in unknown.messages
    assert perceptron("datasets", "rm", "typed", "--yes").status == 0
    assert deployment.get("/datasets/typed").status_code == 404


def test_rows_of_every_kind(perceptron: Run, deployment: Deployment, people: Path) -> None:
    """Numbers, texts with commas, truths and missing values, by order and by name."""
    assert people.exists()
    done = perceptron("predict", "people", "31,Seoul,true", ',"Busan, South",', "--json")
    inputs = [[31, "Seoul", True], [None, "Busan, South", None]]
    expected = deployment.post("/predict", {"model": "people", "inputs": inputs}).json()
    assert done.json == expected
    named = perceptron("predict", "people", "city=Seoul,member=true,age=31", "--json").json
    assert named["probabilities"] == expected["probabilities"][:1]
    table = perceptron("predict", "people", "31,Seoul,true", "--version", 1).output
    (row,) = (row for row in _rows(table) if row and row[0] == "31")
    assert row[:4] == ["31", "Seoul", "true", expected["predictions"][0]]
    assert f"P(often) = {expected['probabilities'][0]:.4f}" in row[4]


def test_tables(perceptron: Run, deployment: Deployment, people: Path, tmp_path: Path) -> None:
    """A file is answered with a file of the form that its name says, or on standard output."""
    kept = ("--keep", "id")
    printed = perceptron("predict", "people", people, *kept)
    rows = list(csv.DictReader(printed.output.splitlines()))
    assert [row["id"] for row in rows] == ["007", "008", "009", "010"]
    headers = {"Content_Type": "text/csv", "Accept": "text/csv"}
    served = deployment.client.post(
        "/predict?model=people&keep=id",
        content=PEOPLE,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
    assert printed.output == served.text
    target = tmp_path / "out.parquet"
    done = perceptron("predict", "people", "-", *kept, "-o", target, given=PEOPLE)
    assert done.status == 0, done.messages
    assert pl.read_parquet(target)["prediction"].to_list() == [row["prediction"] for row in rows]
    wrong = PEOPLE.replace("31", "old")
    refused = perceptron("predict", "people", "-", "-o", tmp_path / "no.csv", given=wrong)
    assert refused.status == 1
    assert "  at #/age" in refused.messages
    assert not (tmp_path / "no.csv").exists()


# Sweeps, gates, backpropagation


def test_sweep(perceptron: Run, deployment: Deployment) -> None:
    """The best networks, and the shares that converge, as the results have them."""
    space = ("--hidden", 0, "--hidden", "3-2", "--learning-rate", 0.1, "--learning-rate", 1)
    done = perceptron("sweep", "or", *space, "--seeds", 3, "--epochs", 300, "--model", "best-or")
    assert done.status == 0, done.messages
    job = deployment.get("/jobs?limit=1").json()["data"][0]
    results = deployment.get(f"/jobs/{job['id']}/results").json()["data"]
    assert len(results) == 12
    best = results[0]
    rows = [row for row in _rows(done.output) if row]
    shape = "-".join(map(str, best["hidden_layers"])) or "none"
    assert [shape, f"{best['learning_rate']:g}", str(best["seed"])] == next(
        row[1:4] for row in rows if row[0] == "1"
    )
    for hidden in ([], [3, 2]):
        shares = []
        for rate in (0.1, 1):
            of_cell = [
                row["converged"]
                for row in results
                if (row["hidden_layers"], row["learning_rate"]) == (hidden, rate)
            ]
            shares.append(f"{sum(of_cell) / len(of_cell):.0%}")
        assert ["-".join(map(str, hidden)) or "none", *shares] in rows
    assert "Published as best-or, version 1" in done.output
    told = perceptron("sweep", "or", "--seeds", 2, "--epochs", 50, "--no-refit", "--json").json
    assert (told["sweep"]["members"], told["model"]) == (2, None)


def test_a_sweep_of_much(deployment: Deployment) -> None:
    """The best networks have a line each: what does not vary, or has no room, is left out."""
    space = [
        part
        for option, values in {
            "hidden": (2, "3-2"), "activation": ("tanh", "relu"), "learning-rate": (0.1, 1),
            "optimizer": ("adam",), "batch-size": (2,), "weight-decay": (0.001,),
        }.items()
        for value in values
        for part in (f"--{option}", value)
    ]  # fmt: skip
    more = ("--seeds", 2, "--epochs", 20)
    for columns in (40, 80):
        status, shown = _in_terminal(deployment, columns, "sweep", "or", *space, *more, TERM="dumb")
        assert status == 0, shown
        found = shown.partition("The best of 16")[2].partition("╰")[0]
        lines = [line.strip() for line in found.splitlines() if "│" in line]
        assert max(map(len, lines)) <= columns
        rows = _rows("\n".join(lines))
        assert [row[0] for row in rows if row[0]] == [str(place) for place in range(1, 11)]
        assert all(row[0] for row in rows[-10:])
        assert "adam" not in found


def test_gates(perceptron: Run, deployment: Deployment) -> None:
    """A gate's table and line, or the proof that there is none."""
    assert "0.5·x1 + 0.5·x2 − 0.7 = 0" in perceptron("gates", "and").output
    xor = perceptron("gates", "0110").output
    assert "0.5·(0, 0) + 0.5·(1, 1) = (0.5, 0.5)" in xor
    assert "xnor" in perceptron("gates").output
    assert perceptron("gates", "or", "--json").json == deployment.get("/gates/or").json()
    assert perceptron("gates", "--json").json["has_more"] is False


def test_backprop(perceptron: Run, tmp_path: Path) -> None:
    """The slides' numbers, and the next step from them; other networks from a file."""
    first = perceptron("backprop").output
    for number in ("0.02397190", "0.43703857", "0.29959556", "0.02323634", "0.03240681"):
        assert number in first
    second = perceptron("backprop", "--steps", 2)
    assert "0.02397190 → " in second.output
    one, two = perceptron("backprop", "--json").json, perceptron("backprop", "--steps", 2, "--json")
    assert two.json["loss"]["total"] == pytest.approx(one["after"]["total"], rel=1e-12)
    layers = tmp_path / "layers.json"
    layers.write_text('[{"weights": [[1, 2]], "activation": "identity"}]')
    asked = ("--inputs", "3,4", "--targets", "10", "--learning-rate", 0.1, "--layers", layers)
    line = perceptron("backprop", *asked, "--json").json
    assert line["loss"]["total"] == pytest.approx(0.5)
    assert [one["updated"] for one in line["parameters"]][:2] == pytest.approx([0.7, 1.6])
    refused = perceptron("backprop", "--inputs", "1,2,3")
    assert refused.status == 1
    assert refused.messages.splitlines() == [
        "Error: 2 weights for 3 inputs",
        "  at #/layers/0/weights/0 (--layers)",
    ]


# Servers


def test_no_server(perceptron: Run) -> None:
    """One line says what to do; status 3."""
    for arguments in (("jobs",), ("train", "xor"), ("predict", "xor", "0,1"), ("backprop",)):
        done = perceptron(*arguments, PERCEPTRON_SERVER="http://127.0.0.1:9")
        assert (done.status, done.output) == (3, "")
        (line,) = done.messages.splitlines()
        assert line == (
            "Error: no server answers at http://127.0.0.1:9: start one with `perceptron up`, or "
            "name another with --server or PERCEPTRON_SERVER"
        )


def test_server_option(perceptron: Run, deployment: Deployment) -> None:
    """`--server` wins over the environment, before the command, between, and behind."""
    away = {"PERCEPTRON_SERVER": "http://127.0.0.1:9"}
    server = ("--server", f"{deployment.url}/")
    for arguments in (
        (*server, "gates", "and"),
        ("gates", *server, "and"),
        ("models", *server, "show", "and"),
        ("models", "show", "and", *server),
        ("--json", "models", "show", "and", *server),
    ):
        assert perceptron(*arguments, **away).status == 0, arguments


class _Other(BaseHTTPRequestHandler):
    """A server that is another program."""

    def do_GET(self) -> None:
        """Answer with a page, or with none."""
        if self.path.startswith("/jobs"):
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>It works!</html>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_another_server(perceptron: Run) -> None:
    """A server that is no perceptron server is told as such."""
    with HTTPServer(("127.0.0.1", 0), _Other) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{other.server_port}"
        found = [perceptron(name, PERCEPTRON_SERVER=url) for name in ("jobs", "models")]
        other.shutdown()
    for done in found:
        assert (done.status, done.output) == (1, "")
        assert re.fullmatch(r"Error: .*: is it a perceptron server\?\n", done.messages)


def test_a_reader_that_has_enough(deployment: Deployment, tmp_path: Path) -> None:
    """Who closes the pipe of a long answer is told nothing more."""
    table = tmp_path / "rows.csv"
    table.write_text("x1,x2\n" + "0,1\n" * 200_000)
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    settings = {"PERCEPTRON_SERVER": deployment.url}
    process = start_perceptron("predict", "xor", str(table), settings=settings, **streams)
    assert process.stdout is not None
    assert process.stdout.readline() == "prediction,probability\n"
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(60) == 1
    process.stderr.close()


def test_files_that_cannot_be_written(perceptron: Run, tmp_path: Path) -> None:
    """The file is named, and why."""
    done = perceptron("models", "export", "xor", "-o", tmp_path / "none" / "xor.onnx")
    assert (done.status, done.output) == (1, "")
    assert "No such file or directory" in done.messages
    assert "Traceback" not in done.messages


def _completed(deployment: Deployment, words: str, server: str | None = None) -> list[str]:
    """Ask the installed command what completes the last of these words, as bash does."""
    environment = {
        **os.environ,
        "_PERCEPTRON_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "PERCEPTRON_SERVER": server or deployment.url,
    }
    command = str(Path(sys.executable).with_name("perceptron"))
    done = subprocess.run([command], env=environment, capture_output=True, text=True, check=True)
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_completion(perceptron: Run, deployment: Deployment, two_versions: str) -> None:
    """Commands, options and the server's names are completed; without a server nothing fails."""
    for shell in ("bash", "zsh", "fish"):
        assert "_PERCEPTRON_COMPLETE" in perceptron("completion", shell).output
    assert _completed(deployment, "perceptron tr") == ["train"]
    assert "--hidden" in _completed(deployment, "perceptron train --h")
    assert _completed(deployment, "perceptron models show tw") == [two_versions]
    assert "xor" in _completed(deployment, "perceptron train x")
    assert _completed(deployment, "perceptron models show tw", "http://127.0.0.1:9") == []


def test_help_of_a_client_loads_no_deployment() -> None:
    """A command that asks a server starts without the database, the queue and the core."""
    program = (
        "import sys; from cli.main import main\n"
        "try: main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"sqlalchemy", "rq", "numpy", "torch", "workers", "storage", "service"}
    assert heavy & set(done.stderr.split()) == set()
