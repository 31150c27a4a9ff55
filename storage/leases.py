"""What workers and the reconciler do to jobs: every write is fenced by the attempt's lease."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Update, func, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from schemas.batch import PredictionReport
from schemas.errors import LeaseLost
from schemas.job import EventType, JobError, JobStatus
from schemas.settings import Settings
from schemas.training import DiagnosisCode, EpochRecord, Metrics, Snapshot
from storage import models as model_registry
from storage import predictions
from storage.database import Database, clock
from storage.models import Publication
from storage.notices import Notices
from storage.predictions import Outputs
from storage.tables import AnyRow, checkpoints, events, jobs
from storage.transitions import BACK_IN_QUEUE, apply, end, lock_parent, pause

FREE_RETRIES = 2
"""Lost attempts that are repeated at once; later ones wait, each twice as long as the last."""
LONGEST_BACKOFF_SECONDS = 30

Request = Literal["cancel", "pause"]
"""What a client may want of a running job."""


class Claim(NamedTuple):
    """The right of one attempt to write to its job."""

    job_id: str
    attempt: int
    token: str
    request: str
    """JobRequest, SweepRequest, Shard or PredictionRequest, as JSON."""
    model: str
    """Name to publish under, or to predict with."""
    model_version: int | None
    """The version that a prediction was accepted with."""
    dataset_sha256: str | None
    """Digest of the stored dataset that was accepted; None for rows that need no storing."""
    kind: str
    """`train`, `sweep`, `shard` or `predict`."""
    parent: str | None
    """The sweep that a shard is part of."""
    traceparent: str | None
    """The span of the request that made the job."""
    request_id: str | None
    """That request's identifier."""


class Lost(NamedTuple):
    """An attempt that ended without a word, and was taken back its job."""

    job_id: str
    kind: str
    attempt: int
    parent: str | None
    """The sweep that a shard is part of."""
    traceparent: str | None
    request_id: str | None
    started_at: float
    """When the attempt began, by the database's clock in seconds since 1970."""
    found_at: float
    """When its loss was found."""


class Progress(NamedTuple):
    """How far an attempt is, and what of its curves or outputs is not stored yet."""

    epochs: int
    """Epochs, or rows, done."""
    records: Sequence[EpochRecord]
    engine: str
    device: str
    snapshots: Sequence[Snapshot] = ()
    """The weights at those records, where they are recorded."""
    checkpoint: bytes | None = None
    """What another attempt could go on from, after `epochs`."""
    outputs: Outputs | None = None
    """Of a prediction."""


class Outcome(NamedTuple):
    """What a training that came to its end leaves behind."""

    metrics: Metrics
    diagnosis: DiagnosisCode
    publication: Publication


class LeaseStore:
    """The jobs that attempts hold, in the database."""

    def __init__(self, database: Database, settings: Settings, notices: Notices) -> None:
        self._database = database
        self._notices = notices
        self._lease_seconds = settings.lease_seconds
        self._max_attempts = settings.max_attempts

    def claim(self, queue: str, worker: str) -> Claim | None:
        """Take the lease of the job that has waited longest; None when nothing is due."""
        due = (
            select(jobs.c.seq)
            .where(jobs.c.status == "queued", jobs.c.queue == queue, jobs.c.not_before <= clock())
            .order_by(jobs.c.seq)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        token = secrets.token_hex(16)
        change = (
            update(jobs)
            .where(jobs.c.seq == due.scalar_subquery(), jobs.c.status == "queued")
            .values(
                status=JobStatus.RUNNING,
                attempt=jobs.c.attempt + 1,
                worker=worker,
                lease_token=token,
                lease_until=clock() + self._lease_seconds,
                started_at=func.coalesce(jobs.c.started_at, clock()),
            )
        )
        names = [name for name in Claim._fields if name not in ("job_id", "token")]
        with self._database.note() as connection:
            data = {"worker": worker}
            row = apply(connection, change, "started", data, *(jobs.c[name] for name in names))
        if row is None:
            return None
        return Claim(row.id, token=token, **{name: getattr(row, name) for name in names})

    def checkpoint(self, claim: Claim) -> bytes | None:
        """Read what the newest checkpoint of the job's lost attempts holds."""
        query = select(checkpoints.c.data).where(checkpoints.c.job_id == claim.job_id)
        with self._database.read() as connection:
            data = connection.execute(query).scalar()
        return None if data is None else bytes(data)

    def renew(self, claim: Claim) -> Request | None:
        """Extend the lease; returns what the client wants of the job. Raises: LeaseLost."""
        change = _held(claim).values(lease_until=clock() + self._lease_seconds)
        with self._database.note() as connection:
            return _request(connection.execute(change.returning(*_REQUESTED)).one_or_none())

    def record(self, claim: Claim, progress: Progress) -> Request | None:
        """Store how far the attempt is; returns what the client wants. Raises: LeaseLost."""
        with self._database.note() as connection:
            return self._record(connection, claim, progress)

    def _record(self, connection: Connection, claim: Claim, progress: Progress) -> Request | None:
        change = _held(claim).values(
            epoch=progress.epochs,
            engine=progress.engine,
            device=progress.device,
            lease_until=clock() + self._lease_seconds,
        )
        if progress.records:
            records = [record.model_dump(exclude_none=True) for record in progress.records]
            data: dict[str, Any] = {"attempt": claim.attempt, "records": records}
            if progress.snapshots:
                data["snapshots"] = [snapshot.model_dump() for snapshot in progress.snapshots]
            row = apply(connection, change, "epochs", data, *_REQUESTED)
        elif progress.outputs is not None:
            data = {"rows": progress.epochs}
            row = apply(connection, change, "progress", data, *_REQUESTED)
        else:
            row = connection.execute(change.returning(*_REQUESTED)).one_or_none()
        wanted = _request(row)
        if progress.checkpoint is not None:
            _keep_checkpoint(connection, claim, progress.epochs, progress.checkpoint)
        if progress.outputs is not None:
            predictions.keep(connection, claim.job_id, progress.outputs)
        return wanted

    def succeed(self, claim: Claim, progress: Progress, outcome: Outcome) -> None:
        """Store the last points, publish the model, end the job: all at once. Raises: LeaseLost."""
        self._notices.announce(outcome.publication.name)
        with self._database.write() as connection:
            self._record(connection, claim, progress)
            version = model_registry.publish(connection, outcome.publication)
            values = {
                "metrics": outcome.metrics.model_dump_json(),
                "diagnosis": outcome.diagnosis,
                "model_version": version,
            }
            data = {"model": {"name": claim.model, "version": version}}
            self._end_held(connection, claim, "succeeded", data, values)

    def succeed_prediction(
        self, claim: Claim, progress: Progress, report: PredictionReport
    ) -> None:
        """Store the last outputs and end the job, which shows them all. Raises: LeaseLost."""
        with self._database.write() as connection:
            self._record(connection, claim, progress)
            values = {"report": report.model_dump_json()}
            self._end_held(connection, claim, "succeeded", {"rows": progress.epochs}, values)

    def fail(self, claim: Claim, error: JobError) -> None:
        """End the job with the reason of its failure; its curves stay. Raises: LeaseLost."""
        with self._database.write() as connection:
            values = {"error": error.model_dump_json()}
            self._end_held(connection, claim, "failed", error.model_dump(), values)

    def cancelled(self, claim: Claim) -> None:
        """End the job as the client asked. Raises: LeaseLost."""
        with self._database.write() as connection:
            self._end_held(connection, claim, "cancelled", {}, {})

    def release(self, claim: Claim, reason: str) -> None:
        """
        Leave the job, the attempt not counted as lost: cancelled or paused where that is wanted.

        Else it is back in the queue, for this reason. Raises: LeaseLost.
        """
        with self._database.write() as connection:
            held = select(*_REQUESTED).where(holds(claim)).with_for_update()
            wanted = _request(connection.execute(held).one_or_none())
            if wanted == "cancel":
                end(connection, holds(claim), "cancelled")
            elif wanted == "pause":
                pause(connection, holds(claim))
            else:
                data = {"attempt": claim.attempt, "reason": reason}
                apply(connection, _held(claim).values(**BACK_IN_QUEUE), "requeued", data)

    def release_lost(self, worker: str) -> list[Lost]:
        """Take back the job of a worker that is known to be dead."""
        return self._take_back(jobs.c.worker == worker, "worker lost")

    def expire_leases(self) -> list[Lost]:
        """Take back every job whose worker was not heard of for too long."""
        return self._take_back(jobs.c.lease_until < clock(), "lease expired")

    def waiting(self, queue: str) -> int:
        """Count the jobs that a worker of the queue could start now."""
        where = (jobs.c.status == "queued", jobs.c.queue == queue, jobs.c.not_before <= clock())
        with self._database.read() as connection:
            return connection.execute(
                select(func.count()).select_from(jobs).where(*where)
            ).scalar_one()

    def _take_back(self, condition: ColumnElement[bool], reason: str) -> list[Lost]:
        """Take back jobs one by one; returns those that nobody else had taken back meanwhile."""
        where = condition & (jobs.c.status == "running")
        with self._database.read() as connection:
            found = [Lost(*row) for row in connection.execute(select(*_LOST).where(where))]
        taken = []
        for lost in found:
            at = where & (jobs.c.id == lost.job_id) & (jobs.c.attempt == lost.attempt)
            with self._database.write() as connection:
                if self._take_back_one(connection, at, reason):
                    taken.append(lost)
        return taken

    def _take_back_one(
        self, connection: Connection, where: ColumnElement[bool], reason: str
    ) -> bool:
        lock_parent(connection, where)
        columns = (jobs.c.attempt, jobs.c.lost_attempts, *_REQUESTED)
        row = connection.execute(select(*columns).where(where).with_for_update()).one_or_none()
        if row is None:
            return False
        wanted, lost = _request(row), row.lost_attempts + 1
        if wanted == "cancel":
            end(connection, where, "cancelled")
        elif lost >= self._max_attempts:
            message = f"its worker was lost {self._max_attempts} times"
            error = JobError(code="worker_lost", message=message)
            values = {"error": error.model_dump_json()}
            end(connection, where, "failed", error.model_dump(), values)
        elif wanted == "pause":
            pause(connection, where, lost_attempts=lost)
        else:
            not_before = clock() + _backoff_seconds(row.lost_attempts)
            back = BACK_IN_QUEUE | {"lost_attempts": lost, "not_before": not_before}
            data = {"attempt": row.attempt, "reason": reason}
            apply(connection, update(jobs).where(where).values(**back), "requeued", data)
        return True

    def _end_held(
        self,
        connection: Connection,
        claim: Claim,
        status: EventType,
        data: Mapping[str, Any],
        values: Mapping[str, Any],
    ) -> None:
        if not end(connection, holds(claim), status, data, values):
            raise LeaseLost


_REQUESTED = (jobs.c.cancel_requested, jobs.c.pause_requested)


def _request(row: AnyRow | None) -> Request | None:
    """Say what the client wants of the job. Raises: LeaseLost where there is no row of it."""
    if row is None:
        raise LeaseLost
    if row.cancel_requested:
        return "cancel"
    return "pause" if row.pause_requested else None


_LOST = (
    *(jobs.c[name] for name in ("id", "kind", "attempt", "parent", "traceparent", "request_id")),
    select(func.max(events.c.created_at))
    .where(events.c.job_id == jobs.c.id, events.c.type == "started")
    .scalar_subquery(),
    clock(),
)
"""What `Lost` tells."""


def _keep_checkpoint(connection: Connection, claim: Claim, epochs: int, data: bytes) -> None:
    """Put the checkpoint in the place of the last one, in the transaction of its progress."""
    values = {"attempt": claim.attempt, "epoch": epochs, "data": data, "created_at": clock()}
    at = checkpoints.c.job_id == claim.job_id
    if connection.execute(update(checkpoints).where(at).values(**values)).rowcount == 0:
        connection.execute(insert(checkpoints).values(job_id=claim.job_id, **values))


def _backoff_seconds(lost_before: int) -> float:
    if lost_before < FREE_RETRIES:
        return 0
    return min(LONGEST_BACKOFF_SECONDS, 2.0 ** (lost_before - FREE_RETRIES))


def holds(claim: Claim) -> ColumnElement[bool]:
    """Say that the job belongs to this attempt still."""
    return (
        (jobs.c.id == claim.job_id)
        & (jobs.c.status == "running")
        & (jobs.c.lease_token == claim.token)
    )


def _held(claim: Claim) -> Update:
    return update(jobs).where(holds(claim))
