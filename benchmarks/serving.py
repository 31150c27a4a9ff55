"""
Time predictions beside FastAPI, LitServe, BentoML and MLServer: one network, in turn, in one run.

    python benchmarks/serving.py [--seconds N] [--only ours,fastapi] [--venvs DIR] [--json FILE]

Each server has two workers and the same 2-10-10-10-1 network, trained here on XOR; its first answer
to every load is checked. `wrk` asks over 16 connections; for half load over 64 with random pauses
that give half the requests per second, so that requests come nearly at random. Of three runs the
median counts: connections are new in each, and at times one worker gets most of them. The peers
live in virtual environments that the first run makes. `wrk` is a Debian package.

A server is started twice, and the second start is timed, its files then compiled and in memory:
until the first right answer. Memory is that of the processes that took CPU time under the first
load.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import httpx
from loads import FEATURES, HALF_LOAD_CONNECTIONS, Load, half_load_pause, is_right, run_wrk
from rich.console import Console
from rich.table import Table
from servers import MODEL, SERVERS, NotAvailable, Server, Watch, Work, running, stop

from cli.demo import start_perceptron

ROUNDS = 3
WARM_UP_SECONDS = 1
SETTLE_SECONDS = 2
"""From the first right answer to the first load: by then every worker is up, not only one."""
JOB = {
    "dataset": "xor",
    "network": {"hidden_layers": [10, 10, 10]},
    "training": {"epochs": 10_001, "seed": 777},
    "model": MODEL,
}

Found = dict[str, Any]


def prepare(directory: Path, venvs: Path) -> tuple[Work, float]:
    """Train and publish the network, and export it; also the seconds to a new service's start."""
    began = time.perf_counter()
    where = ("--port", "0", "--data-dir", str(directory / "data"))
    service = start_perceptron("up", *where, stdout=PIPE, stderr=DEVNULL)
    try:
        line = service.stdout.readline() if service.stdout else ""
        seconds = time.perf_counter() - began
        if not line:
            raise SystemExit("our own service does not start: try `perceptron up`")
        with closing(
            httpx.Client(base_url=line.split()[-1], trust_env=False, timeout=90)
        ) as client:
            job = client.post("/jobs", json=JOB, headers={"Prefer": "wait=60"}).json()
            if job.get("status") != "succeeded":
                raise SystemExit(json.dumps(job, indent=2))
            work = Work(directory, venvs, _layers(client), _tensor(client))
            weights = client.get(f"/models/{MODEL}/safetensors").raise_for_status()
            work.weights.write_bytes(weights.content)
    finally:
        stop(service)
    return work, seconds


def _layers(client: httpx.Client) -> list[Found]:
    found = client.get(f"/models/{MODEL}/parameters").raise_for_status().json()
    return list(found["layers"])


def _tensor(client: httpx.Client) -> str:
    """Learn what the model calls its input in the Open Inference Protocol."""
    answer = client.get(f"/v2/models/{MODEL}")
    return str(answer.json()["inputs"][0]["name"]) if answer.is_success else "input"


def measure(server: Server, work: Work, seconds: int) -> Found:
    """Start a server twice and load it. Raises: NotAvailable."""
    with running(server, work):
        pass
    with running(server, work) as (url, ready_seconds, process):
        found: Found = {"ready_seconds": ready_seconds, "loads": {}}
        time.sleep(SETTLE_SECONDS)
        for load in server.loads:
            watch = Watch(process)
            found["loads"][load.name] = measure_load(url, load, work, seconds)
            if load is server.loads[0]:
                found["memory_mb"] = [
                    {"rss": one.rss, "private": one.private, "shared": one.shared}
                    for one in watch.serving()
                ]
    return found


def measure_load(url: str, load: Load, work: Work, seconds: int) -> Found:
    """Check an answer and load the server; where it makes sense, once more at half of that."""
    answer = httpx.post(
        url + load.path, content=load.body, headers=load.headers, trust_env=False, timeout=30
    )
    if not answer.is_success:
        return {"not_available": f"{answer.status_code}: {answer.text[:200]}"}
    if not is_right(load, answer, work.layers):
        raise SystemExit(f"{url}{load.path} answers wrongly: {answer.content[:500]!r}")
    run_wrk(url, load, WARM_UP_SECONDS)
    found: Found = {"full": median_run(url, load, seconds)}
    found["rows_per_second"] = found["full"]["rate"] * len(load.rows)
    if load.has_half_load:
        pause = half_load_pause(found["full"]["rate"])
        half = median_run(url, load, seconds, pause=pause, connections=HALF_LOAD_CONNECTIONS)
        found["half"] = {**half, "share": half["rate"] / found["full"]["rate"]}
    return found


def median_run(url: str, load: Load, seconds: int, **how: Any) -> Found:
    """Load a server thrice; each figure's median, the failures of all, and all rates."""
    runs = [run_wrk(url, load, seconds, **how) for _ in range(ROUNDS)]
    found: Found = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return {
        **found,
        "failed": sum(run["failed"] for run in runs),
        "rates": [r["rate"] for r in runs],
    }


def ratios(found: Mapping[str, Found]) -> dict[str, float]:
    """Divide our requests per second by each peer's, load by load."""
    rates = {name: _rates(one) for name, one in found.items()}
    return {
        f"{load}: ours / {name}": rates["ours"][load] / rate
        for name in rates
        if name != "ours"
        for load, rate in rates[name].items()
        if load in rates.get("ours", {})
    }


def _rates(one: Found) -> dict[str, float]:
    loads = one.get("loads", {})
    return {name: load["full"]["rate"] for name, load in loads.items() if "full" in load}


def aims(found: Mapping[str, Found]) -> list[tuple[str, float, float]]:
    """List what is aimed at: what it is, the aim (negative: at most), and what was found."""
    ours = found.get("ours", {})
    by = ratios(found)
    peers = {"fastapi": 1.3, "litserve": 4, "bentoml": 4}
    rows = [(f"1 row: ours / {peer}", aim) for peer, aim in peers.items()]
    rows.append(("1 row, v2: ours / mlserver", 4))
    told = [(name, aim, by[name]) for name, aim in rows if name in by]
    peers_rows = [
        load["rows_per_second"]
        for name, one in found.items()
        if name not in ("ours", "bare")
        for label, load in one.get("loads", {}).items()
        if label.startswith("1,000 rows") and "full" in load
    ]
    loads = ours.get("loads", {})
    many = loads.get("1,000 rows", {}).get("rows_per_second")
    if many and peers_rows:
        told.append(("1,000 rows of JSON: ours / the best peer", 2, many / max(peers_rows)))
    binary = [_values(load) for name, load in loads.items() if "binary" in name and "full" in load]
    if binary:
        told.append(("binary tensors, million values/s", 20, max(binary) / 1e6))
    told += [
        (f"{name}: p99 at half load, ms", -5, loads[name]["half"]["p99_ms"])
        for name in ("1 row", "1 row, v2")
        if "half" in loads.get(name, {})
    ]
    if ours.get("memory_mb"):
        told.append(("RSS of an API process, MB", -90, max(m["rss"] for m in ours["memory_mb"])))
    if "ready_seconds" in ours:
        told.append(("ready, s", -1.5, ours["ready_seconds"]))
    return told


def _values(load: Found) -> float:
    return float(load["rows_per_second"] * FEATURES)


def show(found: Mapping[str, Found], console: Console) -> None:
    """Print what was measured, and how it compares."""
    by = ratios(found)
    heads = ("req/s", "thousand rows/s", "p50, ms", "p99, ms", "p99 at half, ms", "half is")
    report = Table("load", "server", *heads, "failed", "ours is ×")
    names = {load: None for one in found.values() for load in one.get("loads", {})}
    for name in names:
        for server, one in found.items():
            if name in one.get("loads", {}):
                ratio = by.get(f"{name}: ours / {server}")
                report.add_row(name, server, *_cells(one["loads"][name]), _text(ratio, ".2f"))
    console.print(report)
    processes = Table("server", "ready, s", "RSS of what serves, MB (private + shared)")
    for server, one in found.items():
        if "not_available" in one:
            processes.add_row(server, "not available", one["not_available"])
            continue
        memory = "; ".join(
            f"{m['rss']:.0f} ({m['private']:.0f} + {m['shared']:.0f})" for m in one["memory_mb"]
        )
        processes.add_row(server, f"{one['ready_seconds']:.2f}", memory)
    console.print(processes)
    reached = Table("aim", "aimed at", "found", "reached")
    for name, aim, value in aims(found):
        is_reached = value >= aim if aim > 0 else value <= -aim
        sign = "≥" if aim > 0 else "≤"
        reached.add_row(name, f"{sign} {abs(aim):g}", f"{value:.2f}", "yes" if is_reached else "no")
    console.print(reached)


def _cells(load: Found) -> Sequence[str]:
    if "full" not in load:
        is_missing = load["not_available"].startswith("404")
        return ("not available" if is_missing else load["not_available"], *[""] * 6)
    full, half = load["full"], load.get("half", {})
    return (
        f"{full['rate']:,.0f}",
        f"{load['rows_per_second'] / 1000:,.1f}",
        f"{full['p50_ms']:.2f}",
        f"{full['p99_ms']:.2f}",
        _text(half.get("p99_ms"), ".2f"),
        _text(half.get("share"), ".0%"),
        f"{full['failed'] + half.get('failed', 0):.0f}",
    )


def _text(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def main() -> None:
    """Measure, print the tables, and write them as JSON where asked."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--seconds", type=int, default=5, help="of each load")
    parser.add_argument("--only", default=",".join(SERVERS), help="servers, by comma")
    parser.add_argument("--venvs", type=Path, default=cache / "perceptron-benchmarks")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing: `apt-get install wrk`")
    chosen = asked.only.split(",")
    if unknown := set(chosen) - set(SERVERS):
        raise SystemExit(f"{', '.join(sorted(unknown))}: choose among {', '.join(SERVERS)}")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or only our code would be compiled each time
    console, found = Console(width=150), {}
    with tempfile.TemporaryDirectory() as directory:
        work, first_ready_seconds = prepare(Path(directory), asked.venvs.resolve())
        for name in chosen:
            console.print(f"{name} …")
            try:
                found[name] = measure(SERVERS[name](work), work, asked.seconds)
            except NotAvailable as error:
                found[name] = {"not_available": str(error)}
    show(found, console)
    console.print(f"ours, ready on an empty data directory: {first_ready_seconds:.2f} s")
    if asked.json:
        run = {"cores": os.cpu_count(), "seconds": asked.seconds, "servers": found}
        told = {"ratios": ratios(found), "first_ready_seconds": first_ready_seconds}
        asked.json.write_text(json.dumps({**run, **told}, indent=2))


if __name__ == "__main__":
    main()
