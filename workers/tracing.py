"""What tells of an attempt at a job: its log lines, which name its trace, and its span."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from storage.leases import Claim, Lost
from storage.spans import Past, open_telemetry
from storage.trace_context import parent_of, said

if TYPE_CHECKING:
    from storage.telemetry import Telemetry
    from workers.attempt import Attempt

SERVICE = "perceptron-worker"
"""Whose spans they are."""

FLUSH_SECONDS = 2.0
"""How long is waited until spans are sent: by a work-horse that has ended, and of lost ones."""

SUCCESSFUL = ("done", "cancel", "pause", "shutdown")
"""Outcomes of which nobody is to blame."""

log = structlog.get_logger(__name__)


def name_job(claim: Claim) -> None:
    """Let every log line from here on name the job, its trace, and the request that made it."""
    said.set(_identifiers(claim))


def _identifiers(job: Claim | Lost) -> Mapping[str, str]:
    parent = parent_of(job.traceparent)
    trace_id = None if parent is None else parent.trace_id
    told = {"job_id": job.job_id, "request_id": job.request_id, "trace_id": trace_id}
    return {name: value for name, value in told.items() if value is not None}


def _attributes(job: Claim | Lost) -> dict[str, str | int]:
    return {"job.kind": job.kind, "job.id": job.job_id, "job.attempt": job.attempt}


def tell_lost(attempts: Sequence[Lost], event: str, **words: str) -> None:
    """Tell of attempts that could not do so themselves: in log lines, and in spans."""
    for lost in attempts:
        told = {"kind": lost.kind, "attempt": lost.attempt, **words}
        log.warning(event, **_identifiers(lost), **told)
    telemetry = open_telemetry(SERVICE) if attempts else None
    if telemetry is not None:
        telemetry.tell_failed([_past(lost) for lost in attempts], FLUSH_SECONDS)


def _past(lost: Lost) -> Past:
    attributes = {**_attributes(lost), "job.outcome": "lost"}
    parent = parent_of(lost.traceparent)
    return Past(f"job {lost.kind}", parent, attributes, lost.started_at, lost.found_at)


@contextmanager
def traced(claim: Claim, attempt: "Attempt", telemetry: "Telemetry | None") -> Iterator[None]:
    """Tell of the attempt at its end: in a log line and, where they are exported, in a span."""
    began = time.monotonic()
    parent = parent_of(claim.traceparent)
    name = f"job {claim.kind}"
    span = telemetry.start(name, "consumer", parent, _attributes(claim)) if telemetry else None

    def tell_end() -> None:
        seconds = round(time.monotonic() - began, 6)
        words = {"kind": claim.kind, "attempt": claim.attempt, "outcome": attempt.outcome}
        log.info("attempt ended", **words, duration_seconds=seconds)
        if span is not None and telemetry is not None:
            is_to_blame = attempt.outcome not in SUCCESSFUL
            span.end(name, {"job.outcome": attempt.outcome}, has_failed=is_to_blame)
            telemetry.flush(FLUSH_SECONDS)

    attempt.tell_end = tell_end
    try:
        yield
    finally:
        tell_end()
