"""What tells of an attempt at a job: its log lines, which name its trace, and its span."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from storage.leases import Claim
from storage.trace_context import parent_of, said
from workers.attempt import Attempt

if TYPE_CHECKING:
    from storage.telemetry import Telemetry

FLUSH_SECONDS = 2.0
"""How long a work-horse that has ended its job waits until its span is sent."""

SUCCESSFUL = ("done", "cancel", "shutdown")
"""Outcomes of which nobody is to blame."""

log = structlog.get_logger(__name__)


def name_job(claim: Claim) -> None:
    """Let every log line from here on name the job and its trace."""
    parent = parent_of(claim.traceparent)
    told = {"job_id": claim.job_id}
    said.set(told if parent is None else told | {"trace_id": parent.trace_id})


@contextmanager
def traced(claim: Claim, attempt: Attempt, telemetry: "Telemetry | None") -> Iterator[None]:
    """Tell of the attempt at its end: in a log line and, where they are exported, in a span."""
    began = time.monotonic()
    told: dict[str, str | int] = {
        "job.kind": claim.kind,
        "job.id": claim.job_id,
        "job.attempt": claim.attempt,
    }
    parent = parent_of(claim.traceparent)
    name = f"job {claim.kind}"
    span = telemetry.start(name, "consumer", parent, told) if telemetry else None
    try:
        yield
    finally:
        seconds = round(time.monotonic() - began, 6)
        words = {"kind": claim.kind, "attempt": claim.attempt, "outcome": attempt.outcome}
        log.info("attempt ended", **words, duration_seconds=seconds)
        if span is not None and telemetry is not None:
            is_to_blame = attempt.outcome not in SUCCESSFUL
            span.end(name, {"job.outcome": attempt.outcome}, has_failed=is_to_blame)
            telemetry.flush(FLUSH_SECONDS)
