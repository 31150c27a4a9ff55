"""
Time how long `perceptron up` and `perceptron serve` take until `/readyz` answers 200.

    python benchmarks/startup.py [--starts N] [--beside DIRECTORY] [--json FILE]

`up` on an empty data directory and on one that exists, `serve` on a database and a Valkey that are
there. The marks on the way are from the log and from the system's table of processes. CPU time is
that of all processes of the start until then: it tells more than the clock on a busy machine.
`--beside` names another checkout, which is started in turn with this one.
"""

import argparse
import http.client
import json
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import product
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import psutil
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cli.demo import start_perceptron
from schemas.settings import Settings
from storage.embedded_valkey import EmbeddedValkey

WORKS = ("up, empty directory", "up", "serve")
EVENTS = {"Starting gunicorn": "API loaded", "Booting worker": "API forked"}
"""Beginnings of lines of the log, and what has happened by then."""
MARKS = ("API process", "API loaded", "Valkey process", "API forked", "ready")
LONGEST_SECONDS = 120
PAUSE_SECONDS = 0.002

Found = dict[str, float]


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until_ready(port: int, process: Popen[str]) -> None:
    """Ask until the answer is 200; a connection waits from the moment that the port is open."""
    give_up_at = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < give_up_at and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_SECONDS)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/readyz")
            if connection.getresponse().status == http.client.OK:
                return
        connection.close()
        time.sleep(PAUSE_SECONDS)
    raise SystemExit("the service did not start")


def start(command: str, directory: Path, settings: Mapping[str, str]) -> Found:
    """Start once, and say after how many seconds each mark was reached."""
    port = free_port()
    log = directory.parent / "log"
    where = ("--port", str(port), "--data-dir", str(directory))
    began = time.time()
    with log.open("w") as errors:
        process = start_perceptron(
            command, *where, settings=settings, stdout=DEVNULL, stderr=errors
        )
    try:
        wait_until_ready(port, process)
        found = {"ready": time.time() - began}
        return found | seen(process.pid) | logged(log, began)
    finally:
        process.terminate()
        process.wait(LONGEST_SECONDS)


def seen(pid: int) -> Found:
    """Look at the processes: when they began, their CPU time and their memory."""
    parent = psutil.Process(pid)
    tree = [parent, *parent.children(recursive=True)]
    found: Found = {"CPU": 0.0, "MB": 0.0}
    for one in tree:
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            found["CPU"] += times.user + times.system
            words = one.cmdline()
            after = one.create_time() - parent.create_time()
            if words[-1] == "service":
                found.setdefault("API process", after)
                found["MB"] = max(found["MB"], one.memory_info().rss / 1e6)
            elif "valkey-server" in words[0]:
                found["Valkey process"] = after
    return found


def logged(log: Path, began: float) -> Found:
    """Read from the log when the API had come how far."""
    found: Found = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):
            told = json.loads(line)
            for event, mark in EVENTS.items():
                if str(told["event"]).startswith(event):
                    at = datetime.fromisoformat(told["timestamp"]).timestamp()
                    found.setdefault(mark, at - began)
    return found


@contextmanager
def prepared(directory: Path) -> Iterator[None]:
    """Keep a database with its tables and a Valkey in a directory, as `serve` needs them."""
    migration = start_perceptron("migrate", "--data-dir", str(directory), stderr=DEVNULL)
    if migration.wait(LONGEST_SECONDS):
        raise SystemExit("the database was not prepared")
    valkey = EmbeddedValkey(Settings(data_dir=directory))
    valkey.start()
    try:
        yield
    finally:
        valkey.stop()


def measure(work: str, settings: Mapping[str, str]) -> Found:
    """Do one start in a directory of its own."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name) / "data"
        if work == "serve":
            with prepared(directory):
                return start("serve", directory, settings)
        if work == "up":
            start("up", directory, settings)
        return start("up", directory, settings)


def main() -> None:
    """Print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    trees: dict[str, dict[str, str]] = {"this": {}}
    if arguments.beside:
        trees = {"beside": {"PYTHONPATH": str(arguments.beside.resolve())}} | trees
    starts: dict[tuple[str, str], list[Found]] = {pair: [] for pair in product(WORKS, trees)}
    for _ in track(range(arguments.starts), "Starting…"):
        for (work, tree), rows in starts.items():
            rows.append(measure(work, trees[tree]))
    times = (*MARKS, "best", "CPU")
    report = Table(
        "p50 of", "checkout", *times, "MB", title="Seconds; MB of the largest API process"
    )
    result: list[dict[str, Any]] = []
    for (work, tree), rows in starts.items():
        medians = {mark: statistics.median(row[mark] for row in rows) for mark in rows[0]}
        medians["best"] = min(row["ready"] for row in rows)
        cells = [f"{medians[mark]:.2f}" if mark in medians else "" for mark in times]
        report.add_row(work, tree, *cells, f"{medians['MB']:.0f}")
        result.append({"work": work, "checkout": tree, "p50": medians, "starts": rows})
    Console().print(report)
    if arguments.json:
        about = {"cores": os.cpu_count(), "load": os.getloadavg(), "measured": result}
        arguments.json.write_text(json.dumps(about, indent=2))


if __name__ == "__main__":
    main()
