"""
Work that is done apart: in a process of its own, whose libraries and memory go when it ends.

`run("service.parsing", request, limits)` starts `python -m service.apart service.parsing …`, which
calls `service.parsing.work(request)`: a function from bytes to bytes, in a process without gevent.
"""

import importlib
import json
import math
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from schemas.errors import (
    CorruptModel,
    DiskFull,
    InvalidData,
    InvalidField,
    PerceptronError,
    Unavailable,
)
from service import counting, scratch

AT_ONCE = 2
"""Most works that one API process has under way; more wait for their turn."""

ERRORS: Mapping[str, type[PerceptronError]] = {
    kind.__name__: kind for kind in (InvalidField, InvalidData, CorruptModel, DiskFull)
}
"""What work may raise for the caller to see, place and all."""

TOLD = 3
"""Exit status of work that ended with one of the errors; its answer is the error as JSON."""
OUT_OF_MEMORY = 4
"""Exit status of work that may not take as much memory as it needs."""

OVERRUN = (OUT_OF_MEMORY, -signal.SIGABRT, -signal.SIGKILL, -signal.SIGXCPU)
"""The ends of such work; some libraries abort, and some systems kill."""

_places = threading.BoundedSemaphore(AT_ONCE)


class Limits(NamedTuple):
    """What the work may take."""

    seconds: float
    """By the clock; then it is killed."""
    memory_bytes: int | None = None
    """Of address space; None: no limit."""


class Overrun(Exception):
    """The work took more time or memory than it may."""


def run(module: str, request: bytes, limits: Limits) -> bytes:
    """
    Have `module.work(request)` done in a process of its own, and give its answer.

    Other requests of a gevent process go on meanwhile.

    Raises: one of ERRORS where the work does; Overrun; Unavailable where too much is under way;
    RuntimeError with the work's traceback where it fails in any other way.
    """
    if not _places.acquire(timeout=limits.seconds):
        raise Unavailable("too much is under way at the same time: try again")
    try:
        return run_beside(module, request, limits)
    finally:
        _places.release()


def run_beside(module: str, request: bytes, limits: Limits) -> bytes:
    """Do as `run`, but wait for no place, nor take one: the caller sees that few are under way."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "service.apart", module, json.dumps(limits)],
            input=request,
            capture_output=True,
            check=False,
            env=_environment(),
            timeout=limits.seconds,
        )
    except subprocess.TimeoutExpired:
        raise Overrun(f"more than {limits.seconds:g} seconds") from None
    return _answer(module, done)


def _environment() -> dict[str, str]:
    """Leave out our own settings: the work needs no database, no passwords, and counts nothing."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PERCEPTRON_") and name != counting.DIRECTORY
    }


def _answer(module: str, done: "subprocess.CompletedProcess[bytes]") -> bytes:
    if done.returncode == 0:
        return done.stdout
    if done.returncode == TOLD:
        raise _error(done.stdout)
    if done.returncode in OVERRUN:
        raise Overrun("more memory or computing than it may take")
    raise RuntimeError(f"{module} failed: {done.stderr.decode(errors='replace')}")


def _error(told: bytes) -> PerceptronError:
    fields = json.loads(told)
    error = ERRORS[fields["kind"]](fields["detail"])
    error.at = None if fields["at"] is None else tuple(fields["at"])
    error.parameter = fields["parameter"]
    return error


def main(module: str, limits: str) -> int:
    """Do the work of a request on standard input; returns the exit status."""
    _limit(Limits(*json.loads(limits)))
    _yield_to_the_api()
    request = sys.stdin.buffer.read()
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answer:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
        try:
            with scratch.full_disk_told():
                told = importlib.import_module(module).work(request)
            answer.write(told)
        except tuple(ERRORS.values()) as error:
            answer.write(_told(error))
            return TOLD
        except MemoryError:
            return OUT_OF_MEMORY
    return 0


def _limit(limits: Limits) -> None:
    """Limit this process, before it loads anything large."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The caller looks at the clock. This ends work whose caller was killed, on however many cores.
    seconds = math.ceil(limits.seconds) * (os.cpu_count() or 1)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if limits.memory_bytes is not None and sys.platform == "linux":  # macOS does not keep to it
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))


def _yield_to_the_api() -> None:
    """Take one core, and where memory runs out be what ends, not the API."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    os.environ["POLARS_MAX_THREADS"] = "1"  # read when Polars is imported


def _told(error: PerceptronError) -> bytes:
    fields = {
        "kind": type(error).__name__,
        "detail": error.detail,
        "at": error.at,
        "parameter": error.parameter,
    }
    return json.dumps(fields).encode()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
