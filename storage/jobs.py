"""The job store: what clients do to jobs, and read of them."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import orjson
from pydantic import BaseModel
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    delete,
    insert,
    null,
    select,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError

from schemas.batch import PredictionReport, PredictionRequest
from schemas.errors import AlreadyFinal, CannotPause, IdempotencyMismatch, NotFound
from schemas.job import JobColumns, JobError, JobEvent, JobRequest, JobStatus, SweepRequest
from schemas.network import NetworkConfig
from schemas.sweep import Search
from schemas.training import DiagnosisCode, EpochRecord, Metrics, TrainingConfig
from storage.database import Database, clock
from storage.queue import QUEUES
from storage.tables import AnyRow, events, jobs
from storage.transitions import apply, end, log_event, pause

Stored = TypeVar("Stored", bound=BaseModel)


class JobRecord(NamedTuple):
    """A job as stored, without its events."""

    id: str
    kind: str
    status: JobStatus
    cancel_requested: bool
    pause_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int
    epoch: int
    epochs: int
    engine: str | None
    device: str | None
    dataset: str
    network: NetworkConfig | None
    """Null for a prediction, as is the next."""
    training: TrainingConfig | None
    metrics: Metrics | None
    diagnosis: DiagnosisCode | None
    model: str
    model_version: int | None
    error: JobError | None
    search: Search | None
    """Of a sweep."""
    columns: JobColumns | None
    """Null in a page of jobs, for a prediction, and for jobs from before they were kept."""
    report: PredictionReport | None
    """Of a prediction that succeeded."""
    request_id: str | None
    """Of the request that made it."""


class Subject(NamedTuple):
    """What a job is about, as it was when it was accepted."""

    dataset_sha256: str | None = None
    """Of the dataset, where it is a stored one."""
    columns: JobColumns | None = None
    """Those that a training takes."""
    version: int | None = None
    """Of the model that predicts."""
    rows: int = 0
    """To predict."""


NOTHING_STORED = Subject()


class Origin(NamedTuple):
    """The request that makes a job."""

    traceparent: str | None = None
    """Its span."""
    request_id: str | None = None
    """Its `X-Request-Id`."""


UNKNOWN = Origin()
"""That of a job that no request makes."""

_RECORD_COLUMNS = tuple(jobs.c[name] for name in JobRecord._fields)
_PAGE_COLUMNS = tuple(
    null().label("columns") if column is jobs.c.columns else column for column in _RECORD_COLUMNS
)
"""Thousands of names in each job of a page would be read for nothing."""


class JobStore:
    """Jobs and their events in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(
        self,
        request: JobRequest | SweepRequest | PredictionRequest,
        idempotency_key: str | None = None,
        subject: Subject = NOTHING_STORED,
        origin: Origin = UNKNOWN,
    ) -> JobRecord:
        """
        Accept a job; the same key with the same request answers with the job accepted first.

        What it is about is that of the first; the origin is told in logs and traces, and makes no
        other request of it.

        Raises: IdempotencyMismatch when the key was used with another request.
        """
        body = request.model_dump_json()
        told = request.model_dump_json(exclude_defaults=True)  # later fields change no digest
        digest = hashlib.sha256(told.encode()).hexdigest()
        try:
            with self._database.write() as connection:
                values = _own_values(request, subject) | {
                    "idempotency_key": idempotency_key,
                    "dataset_sha256": subject.dataset_sha256,
                    **origin._asdict(),
                }
                return _record(self._insert(connection, request, body, digest, values))
        except IntegrityError:
            accepted = self._accepted_before(idempotency_key, digest)
        # A job that was deleted in between has given its key back.
        return accepted or self.submit(request, idempotency_key, subject, origin)

    def _insert(
        self,
        connection: Connection,
        request: JobRequest | SweepRequest | PredictionRequest,
        body: str,
        digest: str,
        values: Mapping[str, str | int | None],
    ) -> AnyRow:
        job_id = f"job_{uuid.uuid4().hex}"
        statement = insert(jobs).values(
            id=job_id,
            **values,
            request=body,
            request_sha256=digest,
            kind=request.kind,
            dataset=request.dataset if isinstance(request.dataset, str) else "inline",
            model=request.model or job_id,
            status=JobStatus.QUEUED,
            event_count=1,
            created_at=clock(),
        )
        row = connection.execute(statement.returning(*_RECORD_COLUMNS)).one()
        log_event(connection, job_id, 1, "queued", {})
        return row

    def _accepted_before(self, key: str | None, digest: str) -> JobRecord | None:
        where = jobs.c.idempotency_key == key
        with self._database.read() as connection:
            row = connection.execute(
                select(*_RECORD_COLUMNS, jobs.c.request_sha256).where(where)
            ).one_or_none()
        if row is not None and row.request_sha256 != digest:
            raise IdempotencyMismatch
        return None if row is None else _record(row)

    def get(self, job_id: str) -> JobRecord:
        """Read one job. Raises: NotFound."""
        with self._database.read() as connection:
            return _record(_found(connection, select(*_RECORD_COLUMNS), job_id))

    def standing(self, job_id: str) -> tuple[int, bool]:
        """Say how many events a job has, and whether these are all. Raises: NotFound."""
        query = select(jobs.c.event_count, jobs.c.status)
        with self._database.read() as connection:
            row = _found(connection, query, job_id)
        return row.event_count, JobStatus(row.status).is_final

    def request(self, job_id: str) -> tuple[str, str, str | None]:
        """Read a job's kind, what it was asked with, and its dataset's digest. Raises: NotFound."""
        query = select(jobs.c.kind, jobs.c.request, jobs.c.dataset_sha256)
        with self._database.read() as connection:
            found = _found(connection, query, job_id)
        return found.kind, found.request, found.dataset_sha256

    def page(
        self, after: str | None, limit: int, status: JobStatus | None = None
    ) -> tuple[list[JobRecord], bool]:
        """
        Read up to `limit` jobs, newest first, and whether more follow; those of one status, or all.

        Raises: NotFound.
        """
        where = [_IS_OWN]
        with self._database.read() as connection:
            if after is not None:
                where.append(jobs.c.seq < _found(connection, select(jobs.c.seq), after).seq)
            if status is not None:
                where.append(jobs.c.seq.in_(_newest(status, where, limit + 1)))
            query = select(*_PAGE_COLUMNS).where(*where).order_by(jobs.c.seq.desc())
            rows = connection.execute(query.limit(limit + 1)).all()
        return [_record(row) for row in rows[:limit]], len(rows) > limit

    def history(self, job_id: str) -> list[EpochRecord]:
        """Read the curves: what a later attempt recorded stands for what a lost one did."""
        query = (
            select(events.c.data)
            .where(events.c.job_id == job_id, events.c.type == "epochs")
            .order_by(events.c.id)
        )
        with self._database.read() as connection:
            batches = [orjson.loads(data) for data in connection.execute(query).scalars()]
        curves: list[EpochRecord] = []
        for batch in batches:
            records = [EpochRecord(**record) for record in batch["records"]]
            while curves and curves[-1].epoch >= records[0].epoch:
                curves.pop()
            curves += records
        return curves

    def events(self, job_id: str, after: int, limit: int) -> tuple[list[JobEvent], bool]:
        """Read up to `limit` events after an id, and whether more follow. Raises: NotFound."""
        query = (
            select(events.c.id, events.c.type, events.c.created_at, events.c.data)
            .where(events.c.job_id == job_id, events.c.id > after)
            .order_by(events.c.id)
            .limit(limit + 1)
        )
        with self._database.read() as connection:
            _found(connection, select(jobs.c.id), job_id)
            rows = connection.execute(query).all()
        found = [
            JobEvent(id=id_, type=type_, created_at=_time(at), data=orjson.loads(data))
            for id_, type_, at, data in rows[:limit]
        ]
        return found, len(rows) > limit

    def cancel(self, job_id: str) -> JobRecord:
        """
        End a job that waits or is paused at once, and ask the worker of a running one to stop.

        A sweep that waits for its shards ends at once, and they with it: their workers find them
        gone.

        Raises: NotFound; AlreadyFinal when the job succeeded or failed before.
        """
        with self._database.write() as connection:
            at = _locked(connection, job_id)
            has_shards = (jobs.c.status == "running") & (jobs.c.pending_shards > 0)
            is_held_by_nobody = jobs.c.status.in_(("queued", "paused")) | has_shards
            if not end(connection, at & is_held_by_nobody, "cancelled"):
                running = at & (jobs.c.status == "running") & ~jobs.c.cancel_requested
                values = {"cancel_requested": True, "pause_requested": False}
                apply(connection, update(jobs).where(running).values(**values), "cancelling", {})
            record = _record(_found(connection, select(*_RECORD_COLUMNS), job_id))
        if record.status in (JobStatus.SUCCEEDED, JobStatus.FAILED):
            raise AlreadyFinal(f"the job has {record.status.value} already")
        return record

    def pause(self, job_id: str) -> JobRecord:
        """
        Pause a training that waits at once, and ask the worker of a running one to leave it.

        Raises: NotFound; AlreadyFinal; CannotPause.
        """
        with self._database.write() as connection:
            at = _locked(connection, job_id) & _CAN_PAUSE
            if not pause(connection, at & (jobs.c.status == "queued")):
                running = at & (jobs.c.status == "running") & ~jobs.c.pause_requested
                change = update(jobs).where(running).values(pause_requested=True)
                apply(connection, change, "pausing", {})
            record = _record(_found(connection, select(*_RECORD_COLUMNS), job_id))
        return _pausable(record)

    def resume(self, job_id: str) -> JobRecord:
        """
        Put a paused training back in the queue, or take back the request to pause it.

        One that goes on anyway is left as it is. Raises: NotFound; AlreadyFinal; CannotPause.
        """
        with self._database.write() as connection:
            at = _locked(connection, job_id) & _CAN_PAUSE
            paused = update(jobs).where(at & (jobs.c.status == "paused"))
            if apply(connection, paused.values(status=JobStatus.QUEUED), "resumed", {}) is None:
                change = update(jobs).where(at & jobs.c.pause_requested)
                apply(connection, change.values(pause_requested=False), "resumed", {})
            record = _record(_found(connection, select(*_RECORD_COLUMNS), job_id))
        return _pausable(record)

    def delete(self, job_id: str) -> None:
        """Forget a job in any state; its worker stops, its model stays. Raises: NotFound."""
        with self._database.write() as connection:
            if connection.execute(delete(jobs).where(jobs.c.id == job_id, _IS_OWN)).rowcount == 0:
                raise NotFound("job", job_id)


def queue_of(training: TrainingConfig | None) -> str:
    """Name the queue whose workers can run the training, or a prediction."""
    return "gpu" if training is not None and training.device.startswith("cuda") else "train"


def _own_values(
    request: JobRequest | SweepRequest | PredictionRequest, subject: Subject
) -> dict[str, str | int | None]:
    """Give the values of the columns that only one kind of job has, or that differ by kind."""
    if isinstance(request, PredictionRequest):
        return {
            "queue": queue_of(None),
            "network": "null",
            "training": "null",
            "epochs": subject.rows,
            "model_version": subject.version,
        }
    search = request.search if isinstance(request, SweepRequest) else None
    return {
        "columns": None if subject.columns is None else subject.columns.model_dump_json(),
        "queue": queue_of(request.training),
        "network": request.network.model_dump_json(),
        "training": request.training.model_dump_json(),
        "epochs": max((search and search.space.epochs) or (request.training.epochs,)),
        "search": None if search is None else search.model_dump_json(),
    }


def _newest(
    status: JobStatus, where: Sequence[ColumnElement[bool]], count: int
) -> CompoundSelect[Any]:
    """Select the newest jobs of a status in each queue, as the index has them in order."""
    parts = []
    for queue in QUEUES:
        at = (jobs.c.status == status, jobs.c.queue == queue, *where)
        found = select(jobs.c.seq).where(*at).order_by(jobs.c.seq.desc()).limit(count)
        parts.append(select(found.subquery().c.seq))
    return union_all(*parts)


_IS_OWN = jobs.c.parent.is_(None)
"""Whether a client made the job: shards are no client's."""


_CAN_PAUSE = (jobs.c.kind == "train") & ~jobs.c.cancel_requested


def _pausable(record: JobRecord) -> JobRecord:
    """Let pass a job that can be paused and resumed. Raises: AlreadyFinal, CannotPause."""
    if record.status.is_final:
        is_cancelled = record.status is JobStatus.CANCELLED
        ended = "been cancelled" if is_cancelled else record.status.value
        raise AlreadyFinal(f"the job has {ended} already")
    if record.kind != "train":
        raise CannotPause(f"only trainings can be paused; this job's kind is {record.kind!r}")
    if record.cancel_requested:
        raise CannotPause("the job is being cancelled")
    return record


def _found(connection: Connection, query: Select[Any], job_id: str) -> AnyRow:
    row = connection.execute(query.where(jobs.c.id == job_id, _IS_OWN)).one_or_none()
    if row is None:
        raise NotFound("job", job_id)
    return row


def _locked(connection: Connection, job_id: str) -> ColumnElement[bool]:
    """Let nobody else change a job in this transaction; returns which it is. Raises: NotFound."""
    _found(connection, select(jobs.c.seq).with_for_update(), job_id)
    return jobs.c.id == job_id


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
            "pause_requested": bool(row.pause_requested),
            "network": _read(NetworkConfig, row.network),
            "training": _read(TrainingConfig, row.training),
            "metrics": _read(Metrics, row.metrics),
            "error": _read(JobError, row.error),
            "search": _read(Search, row.search),
            "columns": _read(JobColumns, row.columns),
            "report": _read(PredictionReport, row.report),
        }
    )


def _read(kind: type[Stored], text: str | None) -> Stored | None:
    return None if text in (None, "null") else kind.model_validate_json(text)
