"""A job's events as server-sent events, which a client can resume where it left off."""

import time
from collections.abc import Iterator

from flask import Response, stream_with_context

from schemas.errors import NotFound, Unavailable
from schemas.job import JobEvent, JobStatus
from storage import Storage

RECONNECT_MILLISECONDS = 2_000
KEEPALIVE_SECONDS = 15.0
BATCH = 500
"""Events read at a time."""


def event_stream(stored: Storage, job_id: str, after: int) -> Response:
    """Stream the events after the id `after` until the job has ended. Raises: NotFound."""
    stored.jobs.get(job_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    lines = stream_with_context(_lines(stored, job_id, after))
    return Response(lines, headers=headers, content_type="text/event-stream")


def _lines(stored: Storage, job_id: str, after: int) -> Iterator[str]:
    yield f"retry: {RECONNECT_MILLISECONDS}\n\n"
    spoken_at = time.monotonic()
    with stored.notices.watch(job_id) as moved:
        while True:
            moved.clear()
            try:
                found, more = stored.jobs.events(job_id, after, BATCH)
                ended = not more and _has_ended(stored, job_id, after, found)
            except NotFound:
                yield _message("deleted", "{}")
                return
            except Unavailable:
                return  # the client comes back with the last id it saw
            for event in found:
                after, spoken_at = event.id, time.monotonic()
                yield _message(event.type, event.model_dump_json(), event.id)
            if ended:
                yield _message("done", "{}")
                return
            if time.monotonic() - spoken_at > KEEPALIVE_SECONDS:
                spoken_at = time.monotonic()
                yield ": still here\n\n"
            if not more:
                moved.wait(stored.notices.patience)


def _has_ended(stored: Storage, job_id: str, after: int, found: list[JobEvent]) -> bool:
    """Whether the events that were found are the last: none comes after a job's end."""
    if found:
        return found[-1].type in {status.value for status in JobStatus if status.is_final}
    if not stored.jobs.get(job_id).status.is_final:
        return False
    late, _ = stored.jobs.events(job_id, after, 1)  # it may have ended since nothing was found
    return not late


def _message(event: str, data: str, id_: int | None = None) -> str:
    head = "" if id_ is None else f"id: {id_}\n"
    return f"{head}event: {event}\ndata: {data}\n\n"
