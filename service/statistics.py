"""
Statistics of inference: exact over all processes of the API, at every moment.

Each process writes a file of its own, mapped into memory, in the directory that Prometheus' client
is told for the same purpose; whoever is asked adds up all files. Those of processes that have ended
count on. Without that directory, a process counts for itself.
"""

import os
import secrets
import shutil
import tempfile
import time
import weakref
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from prometheus_client.mmap_dict import MmapedDict

from schemas.model import ShadowComparison
from schemas.open_inference import DurationStatistics, InferenceStatistics, VersionStatistics
from service.counting import DIRECTORY, PREFIX

SUFFIX = ".statistics"
"""Not `.db`: Prometheus' own collector leaves such files alone."""

SUCCESS, FAIL, LAST = "success", "fail", "last"
SHADOW = "shadow-"
INPUT, INFER, OUTPUT = "compute_input", "compute_infer", "compute_output"


class Spent(NamedTuple):
    """What one request took, in nanoseconds."""

    compute_input: int
    compute_infer: int
    compute_output: int


Sums = Mapping[str, tuple[int, int]]
"""(count, nanoseconds) by what they count; of LAST, (rows, milliseconds since 1970)."""


class Statistics:
    """Counts of one process, and their sums over all."""

    def __init__(self) -> None:
        self._file: MmapedDict | None = None
        self._process = 0

    def succeeded(self, name: str, version: int, rows: int, total_ns: int, spent: Spent) -> None:
        """Count a request that was answered."""
        at = f"{name}/{version}/"
        file = self._mine()
        _add(file, at + SUCCESS, 1, total_ns)
        _add(file, at + INPUT, 1, spent.compute_input)
        _add(file, at + INFER, 1, spent.compute_infer)
        _add(file, at + OUTPUT, 1, spent.compute_output)
        _, counted = file.read_value(at + LAST)
        file.write_value(at + LAST, time.time_ns() // 1_000_000, counted + rows)

    def failed(self, name: str, version: int, total_ns: int) -> None:
        """Count a request that was refused, or that we failed."""
        _add(self._mine(), f"{name}/{version}/{FAIL}", 1, total_ns)

    def shadowed(self, name: str, version: int, shadow: int, rows: int, agreed: int | None) -> None:
        """Count a request that a shadow was asked, too; it agreed on no row: None, it failed."""
        file, at = self._mine(), f"{name}/{version}/{SHADOW}{shadow}-"
        _add(file, at + ("asked" if agreed is not None else "failed"), 1, rows)
        _add(file, at + "agreed", 1, agreed or 0)

    def shadows(self, name: str, version: int) -> tuple[ShadowComparison, ...]:
        """Add up what came of asking shadows beside a version."""
        sums = self.read().get((name, str(version)), {})
        names = {key.split("-")[1] for key in sums if key.startswith(SHADOW)}
        return tuple(_comparison(int(shadow), sums) for shadow in sorted(names, key=int))

    def read(self) -> Mapping[tuple[str, str], Sums]:
        """Add up what all processes have counted, by model and version."""
        self._mine()  # knows the directory
        found: dict[tuple[str, str], dict[str, tuple[int, int]]] = defaultdict(dict)
        for path in self._directory.glob(f"*{SUFFIX}"):
            for key, value, count, _ in MmapedDict.read_all_values_from_file(path):
                name, version, what = key.split("/")
                sums = found[name, version]
                counted, amount = sums.get(what, (0, 0))
                amount = max(amount, int(value)) if what == LAST else amount + int(value)
                sums[what] = (counted + int(count), amount)
        return found

    def _mine(self) -> MmapedDict:
        """Give the process's own file; one that is inherited by a fork is its parent's."""
        if self._file is None or self._process != os.getpid():
            self._process = os.getpid()
            self._directory = self._shared_directory() or self._own_directory()
            name = f"{self._process}-{secrets.token_hex(4)}{SUFFIX}"
            self._file = MmapedDict(str(self._directory / name))
            weakref.finalize(self, self._file.close)
        return self._file

    def _shared_directory(self) -> Path | None:
        named = os.environ.get(DIRECTORY)
        if not named:
            return None
        Path(named).mkdir(parents=True, exist_ok=True)
        return Path(named)

    def _own_directory(self) -> Path:
        own = tempfile.mkdtemp(prefix=PREFIX)
        weakref.finalize(self, _remove, own, os.getpid())
        return Path(own)


def _comparison(shadow: int, sums: Sums) -> ShadowComparison:
    requests, rows = sums.get(f"{SHADOW}{shadow}-asked", (0, 0))
    return ShadowComparison(
        shadow=shadow,
        requests=requests,
        rows=rows,
        agreed_rows=sums[f"{SHADOW}{shadow}-agreed"][1],
        failed_requests=sums.get(f"{SHADOW}{shadow}-failed", (0, 0))[0],
    )


def told(name: str, version: str, sums: Sums) -> VersionStatistics:
    """Say a version's statistics as the protocol does."""
    durations = {
        what: DurationStatistics(count=count, ns=ns)
        for what, (count, ns) in sums.items()
        if what != LAST and not what.startswith(SHADOW)
    }
    none = DurationStatistics()
    success = durations.get(SUCCESS, none)
    rows, last = sums.get(LAST, (0, 0))
    return VersionStatistics(
        name=name,
        version=version,
        last_inference=last,
        inference_count=rows,
        execution_count=success.count,
        inference_stats=InferenceStatistics(
            success=success,
            fail=durations.get(FAIL, none),
            queue=DurationStatistics(count=success.count),
            compute_input=durations.get(INPUT, none),
            compute_infer=durations.get(INFER, none),
            compute_output=durations.get(OUTPUT, none),
        ),
    )


def _add(file: MmapedDict, key: str, count: int, amount: int) -> None:
    # No lock: a file has one writer, and greenlets change only where they wait.
    stored, counted = file.read_value(key)
    file.write_value(key, stored + amount, counted + count)


def _remove(directory: str, process: int) -> None:
    if os.getpid() == process:  # not where a fork ends
        shutil.rmtree(directory, ignore_errors=True)
