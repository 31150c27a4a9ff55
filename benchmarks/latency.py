"""
Time small jobs through everything: HTTP, database, queue, worker, training, publication, answer.

    python benchmarks/latency.py [--jobs N] [--json FILE]

Starts a service of its own with one queue worker and posts one job after the other, each with
`Prefer: wait`. The stages are those that the job's own times tell, by the database's clock.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from subprocess import PIPE
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from cli.demo import start_perceptron

WARM_UP_JOBS = 10
JOB = {"dataset": "xor", "training": {"epochs": 10_001, "record_every": 100, "seed": 777}}


def run_one(client: httpx.Client) -> dict[str, float]:
    """Train XOR on 2-1 and say how many milliseconds each stage took."""
    began = time.perf_counter()
    job = client.post("/jobs", json=JOB, headers={"Prefer": "wait=30"}).json()
    total = time.perf_counter() - began
    if job["status"] != "succeeded":
        raise SystemExit(f"the job {job['status']}: {job['error']}")
    created, started, finished = (
        datetime.fromisoformat(job[name]).timestamp()
        for name in ("created_at", "started_at", "finished_at")
    )
    seconds = {
        "accepted → claimed": started - created,
        "claimed → succeeded": finished - started,
        "request and answer": total - (finished - created),
        "POST → succeeded": total,
    }
    return {stage: 1000 * value for stage, value in seconds.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value that this share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def measure(jobs: int) -> dict[str, dict[str, float]]:
    """Run the jobs on a service of its own; milliseconds by stage and percentile."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        with log.open("w") as errors:
            process = start_perceptron(
                "up", "--port", "0", "--data-dir", f"{directory}/data", stdout=PIPE, stderr=errors
            )
        try:
            url = process.stdout.readline().split()[-1] if process.stdout else ""
            with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
                found = [run_one(client) for _ in range(WARM_UP_JOBS + jobs)][WARM_UP_JOBS:]
        finally:
            process.terminate()
            process.wait(30)
    return {
        stage: {
            "p50": statistics.median(row[stage] for row in found),
            "p95": percentile([row[stage] for row in found], 0.95),
        }
        for stage in found[0]
    }


def main() -> None:
    """Print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = measure(arguments.jobs)
    report = Table("XOR 2-1, 10,001 epochs, 101 records", "p50, ms", "p95, ms")
    for stage, times in found.items():
        report.add_row(stage, f"{times['p50']:.1f}", f"{times['p95']:.1f}")
    Console().print(report)
    result: dict[str, Any] = {
        "jobs": arguments.jobs,
        "cores": os.cpu_count(),
        "milliseconds": found,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
