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

from cli.reports import show_learned
from cli.server import Server
from cli.watching import watch

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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # unwinds, too
    with _deployment() as url, Server(url) as server:
        server.console.print(f"Everything runs at {url}: API, Valkey, worker, database.\n")
        _train(server, [10, 10, 10], "demo-xor")
        server.console.print("\nThe same training without a hidden layer:")
        _train(server, [], "demo-single-layer")


def _train(server: Server, hidden_layers: list[int], model: str) -> None:
    """Train XOR over HTTP, following the job's events, and show what came of it."""
    body = {
        "dataset": "xor",
        "network": {"hidden_layers": hidden_layers, "activation": "sigmoid"},
        "training": TRAINING,
        "model": model,
    }
    show_learned(server, watch(server, server.post("/jobs", body)))


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
