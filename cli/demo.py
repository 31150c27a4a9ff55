"""`perceptron demo`: the slides' two trainings on a deployment of its own, ended afterwards."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx
from httpx_sse import connect_sse
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

INPUTS = [[0, 0], [0, 1], [1, 0], [1, 1]]
TRAINING: dict[str, Any] = {
    "optimizer": "sgd",
    "learning_rate": 1.0,
    "epochs": 10_001,
    "seed": 777,
    "record_every": 100,
}
STOP_SECONDS = 30


def run_demo() -> None:
    """Train XOR with three hidden layers and with none, and show what each has learnt."""
    console = Console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # unwinds, too
    with _deployment() as url, httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        console.print(f"Everything runs at {url}: API, Valkey, worker, database.\n")
        deep = _train(client, console, "2-10-10-10-1", [10, 10, 10], "demo-xor")
        _show_metrics(console, deep)
        _show_predictions(console, client, "demo-xor")
        console.print("\nThe same training without a hidden layer:")
        single = _train(client, console, "2-1", [], "demo-single-layer")
        train = single["metrics"]["train"]
        console.print(f"loss {train['loss']:.4f}, accuracy {train['accuracy']:.1f}")
        console.print(single["diagnosis"]["message"])


def start_perceptron(
    *arguments: str, settings: Mapping[str, str] | None = None, **streams: Any
) -> subprocess.Popen[str]:
    """Start `perceptron` in a process of its own, with these settings and none of the caller's."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("PERCEPTRON_")
    }
    command = (sys.executable, "-P", "-m", "cli", *arguments)  # -P: no other `cli` that lies here
    return subprocess.Popen(command, env={**inherited, **(settings or {})}, text=True, **streams)


@contextmanager
def _deployment() -> Iterator[str]:
    """Start everything on a free port under a temporary directory; yields the URL."""
    with tempfile.TemporaryDirectory(prefix="perceptron-") as directory:
        log = Path(directory) / "log"
        up = ("up", "--port", "0", "--data-dir", directory)
        with log.open("w") as errors:
            process = start_perceptron(*up, stdout=subprocess.PIPE, stderr=errors)
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise click.ClickException(f"the service did not start:\n{log.read_text()}")
            yield line.split()[-1]
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _train(
    client: httpx.Client, console: Console, shape: str, hidden_layers: list[int], model: str
) -> dict[str, Any]:
    """Train XOR over HTTP, following the job's events; returns the ended job."""
    body = {
        "dataset": "xor",
        "network": {"hidden_layers": hidden_layers, "activation": "sigmoid"},
        "training": TRAINING,
        "model": model,
    }
    job = client.post("/jobs", json=body).raise_for_status().json()
    _follow(client, console, f"Training {shape}", job["links"]["events"])
    ended: dict[str, Any] = client.get(job["links"]["self"]).raise_for_status().json()
    if ended["status"] != "succeeded":
        raise click.ClickException(f"the job has {ended['status']}: {ended['error']}")
    return ended


def _follow(client: httpx.Client, console: Console, title: str, events: str) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    more = (TextColumn("loss {task.fields[loss]:.6f}"), TimeElapsedColumn())
    with (
        Progress(*columns, *more, console=console) as progress,
        connect_sse(client, "GET", events) as source,
    ):
        bar = progress.add_task(title, total=TRAINING["epochs"], loss=float("nan"))
        for event in source.iter_sse():
            if event.event == "epochs":
                record = event.json()["data"]["records"][-1]
                progress.update(bar, completed=record["epoch"] + 1, loss=record["train_loss"])


def _show_metrics(console: Console, job: dict[str, Any]) -> None:
    train = job["metrics"]["train"]
    names = ("loss", "accuracy", "precision", "recall", "f1")
    console.print("  ".join(f"{name} {train[name]:.6g}" for name in names))
    counts = train["confusion_matrix"]
    matrix = Table("actual", "predicted 1", "predicted 0", title="Confusion matrix")
    matrix.add_row("1", str(counts["true_positive"]), str(counts["false_negative"]))
    matrix.add_row("0", str(counts["false_positive"]), str(counts["true_negative"]))
    console.print(matrix)


def _show_predictions(console: Console, client: httpx.Client, model: str) -> None:
    answer = (
        client.post("/predict", json={"model": model, "inputs": INPUTS}).raise_for_status().json()
    )
    table = Table("x1", "x2", "prediction", "probability", title="POST /predict")
    for row, prediction, probability in zip(
        INPUTS, answer["predictions"], answer["probabilities"], strict=True
    ):
        table.add_row(*map(str, row), str(prediction), f"{probability:.6f}")
    console.print(table)
