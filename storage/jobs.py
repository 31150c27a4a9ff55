"""
The job store: every transition of a job is one conditional UPDATE, fenced by its lease.

queued → running → succeeded | failed | cancelled, and running → queued when a worker is lost.
An UPDATE that changes no row means that the job belongs to somebody else by now.
"""

import hashlib
import secrets
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Select, Update, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement

from schemas.errors import AlreadyFinal, IdempotencyMismatch, LeaseLost, NotFound
from schemas.job import EventType, JobError, JobEvent, JobRequest, JobStatus
from schemas.network import NetworkConfig
from schemas.settings import Settings
from schemas.training import DiagnosisCode, EpochRecord, Metrics, TrainingConfig
from storage import models as model_registry
from storage.database import Database, clock
from storage.models import Publication
from storage.tables import AnyRow, events, jobs

FREE_RETRIES = 2
"""Lost attempts that are repeated at once; later ones wait, each twice as long as the last."""
LONGEST_BACKOFF_SECONDS = 30


class JobRecord(NamedTuple):
    """A job as stored, without its events."""

    id: str
    kind: str
    status: JobStatus
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int
    epoch: int
    epochs: int
    engine: str | None
    device: str | None
    dataset: str
    network: NetworkConfig
    training: TrainingConfig
    metrics: Metrics | None
    diagnosis: DiagnosisCode | None
    model: str
    model_version: int | None
    error: JobError | None


class Claim(NamedTuple):
    """The right of one attempt to write to its job."""

    job_id: str
    attempt: int
    token: str
    request: JobRequest
    model: str


class Outcome(NamedTuple):
    """What a training that came to its end leaves behind."""

    metrics: Metrics
    diagnosis: DiagnosisCode
    publication: Publication


_RECORD_COLUMNS = tuple(jobs.c[name] for name in JobRecord._fields)


class JobStore:
    """Jobs and their events in the database."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._lease_seconds = settings.lease_seconds
        self._max_attempts = settings.max_attempts

    # What clients do

    def submit(self, request: JobRequest, idempotency_key: str | None = None) -> JobRecord:
        """
        Accept a job; the same key with the same request answers with the job accepted first.

        Raises: IdempotencyMismatch when the key was used with another request.
        """
        body = request.model_dump_json()
        digest = hashlib.sha256(body.encode()).hexdigest()
        try:
            with self._database.write() as connection:
                return _record(self._insert(connection, request, body, digest, idempotency_key))
        except IntegrityError:
            return self._accepted_before(idempotency_key, digest)

    def _insert(
        self, connection: Connection, request: JobRequest, body: str, digest: str, key: str | None
    ) -> AnyRow:
        job_id = f"job_{uuid.uuid4().hex}"
        statement = insert(jobs).values(
            id=job_id,
            idempotency_key=key,
            request=body,
            request_sha256=digest,
            kind=request.kind,
            queue=queue_of(request),
            dataset=request.dataset if isinstance(request.dataset, str) else "inline",
            network=request.network.model_dump_json(),
            training=request.training.model_dump_json(),
            model=request.model or job_id,
            status=JobStatus.QUEUED,
            epochs=request.training.epochs,
            event_count=1,
            created_at=clock(),
        )
        row = connection.execute(statement.returning(*_RECORD_COLUMNS)).one()
        _log(connection, job_id, 1, "queued", {})
        return row

    def _accepted_before(self, key: str | None, digest: str) -> JobRecord:
        where = jobs.c.idempotency_key == key
        with self._database.read() as connection:
            row = connection.execute(
                select(*_RECORD_COLUMNS, jobs.c.request_sha256).where(where)
            ).one()
        if row.request_sha256 != digest:
            raise IdempotencyMismatch
        return _record(row)

    def get(self, job_id: str) -> JobRecord:
        """Read one job. Raises: NotFound."""
        with self._database.read() as connection:
            return _record(_found(connection, select(*_RECORD_COLUMNS), job_id))

    def page(self, after: str | None, limit: int) -> tuple[list[JobRecord], bool]:
        """Read up to `limit` jobs, newest first, and whether more follow. Raises: NotFound."""
        query = select(*_RECORD_COLUMNS).order_by(jobs.c.seq.desc()).limit(limit + 1)
        with self._database.read() as connection:
            if after is not None:
                last = _found(connection, select(jobs.c.seq), after)
                query = query.where(jobs.c.seq < last.seq)
            rows = connection.execute(query).all()
        return [_record(row) for row in rows[:limit]], len(rows) > limit

    def history(self, job_id: str, attempt: int) -> list[EpochRecord]:
        """Read the curves of one attempt."""
        query = (
            select(events.c.data)
            .where(events.c.job_id == job_id, events.c.type == "epochs")
            .order_by(events.c.id)
        )
        with self._database.read() as connection:
            batches = [orjson.loads(data) for data in connection.execute(query).scalars()]
        return [
            EpochRecord(**record)
            for batch in batches
            if batch["attempt"] == attempt
            for record in batch["records"]
        ]

    def events(self, job_id: str, after: int, limit: int) -> tuple[list[JobEvent], bool]:
        """Read up to `limit` events after an id, and whether more follow. Raises: NotFound."""
        query = (
            select(events.c.id, events.c.type, events.c.created_at, events.c.data)
            .where(events.c.job_id == job_id, events.c.id > after)
            .order_by(events.c.id)
            .limit(limit + 1)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            if not rows:
                _found(connection, select(jobs.c.id), job_id)
        found = [
            JobEvent(id=id_, type=type_, created_at=_time(at), data=orjson.loads(data))
            for id_, type_, at, data in rows[:limit]
        ]
        return found, len(rows) > limit

    def cancel(self, job_id: str) -> JobRecord:
        """
        End a queued job at once, and ask the worker of a running one to stop.

        Raises: NotFound; AlreadyFinal when the job succeeded or failed before.
        """
        with self._database.write() as connection:
            at = jobs.c.id == job_id
            if not self._end(connection, at & (jobs.c.status == "queued"), "cancelled"):
                running = at & (jobs.c.status == "running") & ~jobs.c.cancel_requested
                change = update(jobs).where(running).values(cancel_requested=True)
                _apply(connection, change, "cancelling", {})
            record = _record(_found(connection, select(*_RECORD_COLUMNS), job_id))
        if record.status in (JobStatus.SUCCEEDED, JobStatus.FAILED):
            raise AlreadyFinal(f"the job has {record.status.value} already")
        return record

    def delete(self, job_id: str) -> None:
        """Forget a job in any state; its worker stops, its model stays. Raises: NotFound."""
        with self._database.write() as connection:
            connection.execute(delete(events).where(events.c.job_id == job_id))
            if connection.execute(delete(jobs).where(jobs.c.id == job_id)).rowcount == 0:
                raise NotFound("job", job_id)

    # What workers do

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
                epoch=0,
            )
        )
        columns = (jobs.c.attempt, jobs.c.request, jobs.c.model)
        with self._database.write() as connection:
            row = _apply(connection, change, "started", {"worker": worker}, *columns)
        if row is None:
            return None
        request = JobRequest.model_validate_json(row.request)
        return Claim(row.id, row.attempt, token, request, row.model)

    def renew(self, claim: Claim) -> bool:
        """Extend the lease; True when the client wants the job to stop. Raises: LeaseLost."""
        change = _held(claim).values(lease_until=clock() + self._lease_seconds)
        with self._database.write() as connection:
            row = connection.execute(change.returning(jobs.c.cancel_requested)).one_or_none()
        if row is None:
            raise LeaseLost
        return bool(row.cancel_requested)

    def record(
        self, claim: Claim, records: Sequence[EpochRecord], engine: str, device: str
    ) -> bool:
        """Store points of the curves; True when the job should stop. Raises: LeaseLost."""
        with self._database.write() as connection:
            row = self._record(connection, claim, records, engine, device)
        return bool(row.cancel_requested)

    def _record(
        self,
        connection: Connection,
        claim: Claim,
        records: Sequence[EpochRecord],
        engine: str,
        device: str,
    ) -> AnyRow:
        change = _held(claim).values(
            epoch=records[-1].epoch + 1,
            engine=engine,
            device=device,
            lease_until=clock() + self._lease_seconds,
        )
        data = {
            "attempt": claim.attempt,
            "records": [record.model_dump(exclude_none=True) for record in records],
        }
        row = _apply(connection, change, "epochs", data, jobs.c.cancel_requested)
        if row is None:
            raise LeaseLost
        return row

    def succeed(
        self,
        claim: Claim,
        records: Sequence[EpochRecord],
        engine: str,
        device: str,
        outcome: Outcome,
    ) -> None:
        """Store the last points, publish the model, end the job: all at once. Raises: LeaseLost."""
        with self._database.write() as connection:
            if records:
                self._record(connection, claim, records, engine, device)
            _require_lease(connection, claim)
            version = model_registry.publish(connection, outcome.publication)
            values = {
                "metrics": outcome.metrics.model_dump_json(),
                "diagnosis": outcome.diagnosis,
                "model_version": version,
            }
            data = {"model": {"name": claim.model, "version": version}}
            self._end_held(connection, claim, "succeeded", data, values)

    def fail(self, claim: Claim, error: JobError) -> None:
        """End the job with the reason of its failure; its curves stay. Raises: LeaseLost."""
        with self._database.write() as connection:
            values = {"error": error.model_dump_json()}
            self._end_held(connection, claim, "failed", error.model_dump(), values)

    def cancelled(self, claim: Claim) -> None:
        """End the job as the client asked. Raises: LeaseLost."""
        with self._database.write() as connection:
            self._end_held(connection, claim, "cancelled", {}, {})

    def release(self, claim: Claim) -> None:
        """Put the job back, the attempt not counted as lost. Raises: LeaseLost."""
        with self._database.write() as connection:
            change = _held(claim).values(**_BACK_IN_QUEUE)
            data = {"attempt": claim.attempt, "reason": "worker shut down"}
            if _apply(connection, change, "requeued", data) is None:
                raise LeaseLost

    # What the reconciler does

    def release_lost(self, worker: str) -> list[str]:
        """Take back the job of a worker that is known to be dead. Returns the jobs' ids."""
        return self._take_back(jobs.c.worker == worker, "worker lost")

    def expire_leases(self) -> list[str]:
        """Take back every job whose worker was not heard of for too long. Returns the jobs' ids."""
        return self._take_back(jobs.c.lease_until < clock(), "lease expired")

    def waiting(self, queue: str) -> int:
        """Count the jobs that a worker of the queue could start now."""
        where = (jobs.c.status == "queued", jobs.c.queue == queue, jobs.c.not_before <= clock())
        with self._database.read() as connection:
            return connection.execute(
                select(func.count()).select_from(jobs).where(*where)
            ).scalar_one()

    def _take_back(self, condition: ColumnElement[bool], reason: str) -> list[str]:
        where = condition & (jobs.c.status == "running")
        query = select(jobs.c.id).where(where)
        with self._database.read() as connection:
            lost = list(connection.execute(query).scalars())
        for job_id in lost:
            with self._database.write() as connection:
                self._take_back_one(connection, where & (jobs.c.id == job_id), reason)
        return lost

    def _take_back_one(
        self, connection: Connection, where: ColumnElement[bool], reason: str
    ) -> None:
        lost = jobs.c.lost_attempts + 1
        if self._end(connection, where & jobs.c.cancel_requested, "cancelled"):
            return
        error = JobError(
            code="worker_lost", message=f"its worker was lost {self._max_attempts} times"
        )
        if self._end(
            connection,
            where & (lost >= self._max_attempts),
            "failed",
            error.model_dump(),
            {"error": error.model_dump_json()},
        ):
            return
        row = connection.execute(
            select(jobs.c.attempt, jobs.c.lost_attempts).where(where)
        ).one_or_none()
        if row is None:
            return
        back = {
            **_BACK_IN_QUEUE,
            "lost_attempts": row.lost_attempts + 1,
            "not_before": clock() + _backoff_seconds(row.lost_attempts),
        }
        data = {"attempt": row.attempt, "reason": reason}
        _apply(connection, update(jobs).where(where).values(**back), "requeued", data)

    def _end(
        self,
        connection: Connection,
        where: ColumnElement[bool],
        status: EventType,
        data: Mapping[str, Any] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> bool:
        change = update(jobs).where(where).values(status=status, **_ENDED, **(values or {}))
        return _apply(connection, change, status, data or {}) is not None

    def _end_held(
        self,
        connection: Connection,
        claim: Claim,
        status: EventType,
        data: Mapping[str, Any],
        values: Mapping[str, Any],
    ) -> None:
        if not self._end(connection, _holds(claim), status, data, values):
            raise LeaseLost


_ENDED: dict[str, Any] = {"finished_at": clock(), "lease_token": None, "lease_until": None}
_BACK_IN_QUEUE: dict[str, Any] = {
    "status": JobStatus.QUEUED,
    "worker": None,
    "lease_token": None,
    "lease_until": None,
    "epoch": 0,
}


def queue_of(request: JobRequest) -> str:
    """Name the queue whose workers can run the request."""
    return "gpu" if request.training.device == "cuda" else "train"


def _backoff_seconds(lost_before: int) -> float:
    if lost_before < FREE_RETRIES:
        return 0
    return min(LONGEST_BACKOFF_SECONDS, 2.0 ** (lost_before - FREE_RETRIES))


def _holds(claim: Claim) -> ColumnElement[bool]:
    return (
        (jobs.c.id == claim.job_id)
        & (jobs.c.status == "running")
        & (jobs.c.lease_token == claim.token)
    )


def _held(claim: Claim) -> Update:
    return update(jobs).where(_holds(claim))


def _require_lease(connection: Connection, claim: Claim) -> None:
    # Lock the row (PostgreSQL) so that nobody takes the lease before this transaction ends.
    if (
        connection.execute(select(jobs.c.id).where(_holds(claim)).with_for_update()).one_or_none()
        is None
    ):
        raise LeaseLost


def _apply(
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
        _log(connection, row.id, row.event_count, event, data)
    return row


def _log(
    connection: Connection, job_id: str, id_: int, event: EventType, data: Mapping[str, Any]
) -> None:
    values = {"job_id": job_id, "id": id_, "type": event, "data": orjson.dumps(data).decode()}
    connection.execute(insert(events).values(created_at=clock(), **values))


def _found(connection: Connection, query: Select[Any], job_id: str) -> AnyRow:
    row = connection.execute(query.where(jobs.c.id == job_id)).one_or_none()
    if row is None:
        raise NotFound("job", job_id)
    return row


def _time(seconds: float | None) -> Any:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _record(row: AnyRow) -> JobRecord:
    values = {name: getattr(row, name) for name in JobRecord._fields}
    for name in ("created_at", "started_at", "finished_at"):
        values[name] = _time(values[name])
    return JobRecord(
        **values
        | {
            "status": JobStatus(row.status),
            "cancel_requested": bool(row.cancel_requested),
            "network": NetworkConfig.model_validate_json(row.network),
            "training": TrainingConfig.model_validate_json(row.training),
            "metrics": Metrics.model_validate_json(row.metrics) if row.metrics else None,
            "error": JobError.model_validate_json(row.error) if row.error else None,
        }
    )
