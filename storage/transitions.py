"""
How a job changes: one conditional UPDATE that logs its event in the same transaction.

queued → running → succeeded | failed | cancelled, and running → queued when a worker is lost, or
when the shards that a sweep waits for are done. A training may be paused, and then waits in the
queue again when it is resumed.
An UPDATE that changes no row means that the job belongs to somebody else by now.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, Update, delete, func, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from schemas.job import EventType, JobStatus
from storage.database import clock
from storage.tables import AnyRow, checkpoints, ended_jobs, events, jobs, predictions

ENDED: dict[str, Any] = {
    "finished_at": clock(),
    "lease_token": None,
    "lease_until": None,
    "pause_requested": False,
}
_HELD_BY_NOBODY: dict[str, Any] = {"worker": None, "lease_token": None, "lease_until": None}
BACK_IN_QUEUE: dict[str, Any] = {"status": JobStatus.QUEUED, "epoch": 0, **_HELD_BY_NOBODY}
_PAUSED: dict[str, Any] = {
    "status": JobStatus.PAUSED,
    "pause_requested": False,
    "epoch": func.coalesce(  # what it goes on from
        select(checkpoints.c.epoch).where(checkpoints.c.job_id == jobs.c.id).scalar_subquery(), 0
    ),
    **_HELD_BY_NOBODY,
}


def apply(
    connection: Connection,
    change: Update,
    event: EventType,
    data: Mapping[str, Any],
    *columns: ColumnElement[Any],
) -> AnyRow | None:
    """Change one job and log the event; None, and nothing logged, when no row met the condition."""
    counted = change.values(event_count=jobs.c.event_count + 1)
    row = connection.execute(
        counted.returning(jobs.c.id, jobs.c.event_count, *columns)
    ).one_or_none()
    if row is not None:
        log_event(connection, row.id, row.event_count, event, data)
    return row


def pause(connection: Connection, where: ColumnElement[bool], **values: Any) -> bool:
    """Pause one job; False when no row met the condition."""
    change = update(jobs).where(where).values(**_PAUSED, **values)
    return apply(connection, change, "paused", {}) is not None


def end(
    connection: Connection,
    where: ColumnElement[bool],
    status: EventType,
    data: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
) -> bool:
    """
    End one job; False when no row met the condition.

    It needs no checkpoint and no shards any more, and no outputs unless it succeeded. A shard that
    fails takes its sweep along, and so all the others.
    """
    parent = lock_parent(connection, where) if status == "failed" else None
    change = update(jobs).where(where).values(status=status, **ENDED, **(values or {}))
    seconds = (jobs.c.finished_at - jobs.c.started_at).label("seconds")
    row = apply(connection, change, status, data or {}, jobs.c.kind, seconds)
    if row is None:
        return False
    connection.execute(delete(checkpoints).where(checkpoints.c.job_id == row.id))
    connection.execute(delete(jobs).where(jobs.c.parent == row.id))
    if status != "succeeded":
        connection.execute(delete(predictions).where(predictions.c.job_id == row.id))
    if parent is not None:
        end(connection, (jobs.c.id == parent) & (jobs.c.status == "running"), status, data, values)
    _count(connection, row.kind, status, row.seconds)
    return True


def _count(connection: Connection, kind: str, status: EventType, seconds: float | None) -> None:
    """
    Count an ended job, and how long it took from its first start on, if there was one.

    The last statement of its transaction: all that end alike wait here for each other.
    """
    values: dict[str, Any] = {"jobs": ended_jobs.c.jobs + 1}
    if seconds is not None:
        values["started_jobs"] = ended_jobs.c.started_jobs + 1
        values["seconds"] = ended_jobs.c.seconds + max(0.0, seconds)
    at = (ended_jobs.c.kind == kind) & (ended_jobs.c.status == status)
    connection.execute(update(ended_jobs).where(at).values(**values))


def lock_parent(connection: Connection, where: ColumnElement[bool]) -> str | None:
    """Lock the sweep of a shard: whoever changes both locks the sweep first, so nobody waits."""
    parent = connection.execute(select(jobs.c.parent).where(where)).scalar()
    if parent is not None:
        connection.execute(select(jobs.c.seq).where(jobs.c.id == parent).with_for_update())
    return parent


def log_event(
    connection: Connection, job_id: str, id_: int, event: EventType, data: Mapping[str, Any]
) -> None:
    """Store an event under the number that the job counted for it."""
    values = {"job_id": job_id, "id": id_, "type": event, "data": orjson.dumps(data).decode()}
    connection.execute(insert(events).values(created_at=clock(), **values))
