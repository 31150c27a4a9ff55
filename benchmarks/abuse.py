"""
Time healthy predictions alone, while a storm of abuse opens, within it, and after it.

    python -m benchmarks.abuse [--rounds N] [--predictions N] [--json FILE]

Starts a service of its own with two API processes and no queue worker: what is watched waits, and
no training takes the processors. The storm comes from another process: 500
sockets that send a head slowly, 500 that send a body slowly, 2,000 event streams that nobody reads,
and clients that send bodies over the limit, JSON 100,000 deep, and NaN, each as fast as it is
answered. Every prediction has a connection of its own, so that it has to be accepted, too. The
storm comes again: memory that is kept of one but not of the next is no leak.
"""

import argparse
import json
import multiprocessing
import os
import re
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from tests.acceptance.storm import PREDICT, HostileClients, Storm, allowed_share
from tests.acceptance.wire import Address, address_of, exchange
from tests.deployment import Deployment, eventually

AIM_MILLISECONDS = 100
API_PROCESSES = 2
SETTLE_SECONDS = 10
"""From the storm's end until memory is looked at."""
FAULTS = re.compile(
    r'^perceptron_http_requests_total\{.*status="5\d\d".*\} ([\d.e+]+)$', re.MULTILINE
)

Found = dict[str, Any]


def storm(address: Address, job_id: str, pipe: Connection) -> None:
    """Rage in a process of its own until told to end; tells what came of it."""
    with allowed_share() as share:
        sockets = Storm(address, job_id, share)
        sockets.await_streams(b"event: ")
        hostile = HostileClients(address)
        pipe.send(share)
        pipe.recv()
        hostile.close()
        sockets.close()
    pipe.send(dict(hostile.statuses))


class Measured:
    """The service, and predictions of it."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._address = address_of(deployment)
        self._processes = eventually(self._workers)
        self.phases: list[Found] = []

    def _workers(self) -> list[psutil.Process] | None:
        """Find the processes below gunicorn's master once all are there."""
        found = [psutil.Process(pid) for pid in self._deployment.pids("service")[1:]]
        return found if len(found) == API_PROCESSES else None

    def predict(self, phase: str, count: int, opening: Connection | None = None) -> None:
        """Predict so often, or until the storm is there; keep what was found."""
        seconds, failed = [], 0
        while len(seconds) < count if opening is None else not opening.poll():
            began = time.perf_counter()
            answers = exchange(self._address, PREDICT)
            seconds.append(time.perf_counter() - began)
            failed += [answer.status for answer in answers] != [200]
        self.phases.append(
            {
                "phase": phase,
                "predictions": len(seconds),
                "failed": failed,
                "p50_ms": 1000 * percentile(seconds, 0.5),
                "p99_ms": 1000 * percentile(seconds, 0.99),
                "longest_ms": 1000 * max(seconds),
                "rss_mb": [p.memory_info().rss / 2**20 for p in self._processes],
                "faults": self._faults(),
            }
        )

    def _faults(self) -> int:
        """Count the answers with 5xx since the start."""
        metrics = self._deployment.get("/metrics").raise_for_status().text
        return int(sum(float(value) for value in FAULTS.findall(metrics)))

    def ride_out(self, number: int, predictions: int) -> Found:
        """Measure while a storm opens, within it and after it; what it was answered."""
        job_id = self._deployment.submit(dataset="xor")
        context = multiprocessing.get_context("spawn")
        ours, its = context.Pipe()
        process = context.Process(target=storm, args=(self._address, job_id, its), daemon=True)
        process.start()
        self.predict(f"storm {number} opens", predictions, ours)
        share = ours.recv()
        self.predict(f"storm {number}", predictions)
        ours.send(None)
        statuses = ours.recv()
        process.join()
        self._deployment.post(f"/jobs/{job_id}/cancel")
        self._deployment.finished(job_id)
        time.sleep(SETTLE_SECONDS)
        self.predict(f"after storm {number}", predictions)
        return {"share": share, "answers": statuses}


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value that this share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def measure(rounds: int, predictions: int) -> Found:
    """Run everything on a service of its own."""
    with tempfile.TemporaryDirectory() as directory:
        deployment = Deployment(
            Path(directory) / "data", "--api-workers", str(API_PROCESSES), "--workers", "0"
        )
        deployment.start()
        try:
            measured = Measured(deployment)
            measured.predict("warm-up", predictions)
            measured.predict("alone", predictions)
            storms = [measured.ride_out(1 + number, predictions) for number in range(rounds)]
        finally:
            deployment.stop()
    return {"phases": measured.phases[1:], "storms": storms}


def show(found: Found, console: Console) -> None:
    """Print what was measured, and what was aimed at."""
    heads = ("predictions", "failed", "p50, ms", "p99, ms", "longest, ms", "RSS, MB", "5xx")
    report = Table("phase", *heads)
    for one in found["phases"]:
        report.add_row(
            one["phase"],
            str(one["predictions"]),
            str(one["failed"]),
            *(f"{one[name]:.1f}" for name in ("p50_ms", "p99_ms", "longest_ms")),
            " + ".join(f"{rss:.0f}" for rss in one["rss_mb"]),
            str(one["faults"]),
        )
    console.print(report)
    for number, one in enumerate(found["storms"], 1):
        told = ", ".join(f"{count} × {status}" for status, count in sorted(one["answers"].items()))
        console.print(f"storm {number}: {one['share']:.0%} of it; hostile requests: {told}")
    worst = max(one["p99_ms"] for one in found["phases"] if one["phase"].startswith("storm"))
    console.print(f"p99 in a storm, aimed at ≤ {AIM_MILLISECONDS} ms: {worst:.1f} ms at worst")


def main() -> None:
    """Print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--rounds", type=int, default=2, help="storms, one after the other")
    parser.add_argument("--predictions", type=int, default=2_000, help="of each phase")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = measure(asked.rounds, asked.predictions)
    show(found, Console(width=120))
    if asked.json:
        asked.json.write_text(json.dumps({"cores": os.cpu_count(), **found}, indent=2))


if __name__ == "__main__":
    main()
