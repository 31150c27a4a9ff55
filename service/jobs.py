"""/jobs: train a network, watch it, stop it."""

import threading
import time

import structlog
from flask import Response
from flask_openapi3 import APIBlueprint, Tag

from perceptron import datasets, diagnosis
from schemas.base import Record
from schemas.errors import InvalidField, NotFound, Unavailable
from schemas.job import (
    EventPage,
    EventQuery,
    Job,
    JobLinks,
    JobPage,
    JobRequest,
    JobStatus,
    JobSummary,
    Progress,
)
from schemas.model import ModelReference
from schemas.page import PageQuery
from schemas.settings import Settings
from service import requests
from service.context import settings, storage
from service.event_stream import event_stream
from service.problems import documented
from service.responses import json_response, no_content
from storage import Storage
from storage.jobs import JobRecord, queue_of

blueprint = APIBlueprint("jobs", __name__, abp_tags=[Tag(name="jobs", description="Trainings")])

log = structlog.get_logger(__name__)


class JobPath(Record):
    """Which job."""

    job_id: str


@blueprint.post("/jobs", responses={200: Job, 202: Job, **documented(400, 413, 415)})
def create_job(body: JobRequest) -> Response:
    """
    Accept a training.

    `Idempotency-Key` makes it safe to repeat; `Prefer: wait=N` waits up to N seconds for the end.
    """
    key = requests.idempotency_key()
    check_request(body, settings(), storage())
    record = storage().jobs.submit(body, key)
    _ring(storage(), body)
    return _accepted(record)


@blueprint.get("/jobs", responses={200: JobPage, **documented(404)})
def list_jobs(query: PageQuery) -> Response:
    """List jobs, newest first."""
    records, has_more = storage().jobs.page(query.after, query.limit)
    data = tuple(_summary(record) for record in records)
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return json_response(JobPage(data=data, first_id=first, last_id=last, has_more=has_more))


@blueprint.get("/jobs/<job_id>", responses={200: Job, **documented(404)})
def get_job(path: JobPath) -> Response:
    """Report a job's status, progress, metrics, curves, model and error."""
    record = storage().jobs.get(path.job_id)
    headers = {} if record.status.is_final else {"Retry-After": "1"}
    return json_response(_job(record), headers=headers)


@blueprint.post("/jobs/<job_id>/cancel", responses={200: Job, 202: Job, **documented(404, 409)})
def cancel_job(path: JobPath) -> Response:
    """Stop a job: at once while it waits (200), within seconds while it runs (202)."""
    record = storage().jobs.cancel(path.job_id)
    storage().notices.tell(path.job_id)
    return json_response(_job(record), 200 if record.status.is_final else 202)


@blueprint.delete("/jobs/<job_id>", responses={204: None, **documented(404)})
def delete_job(path: JobPath) -> Response:
    """Forget a job in any state, stopping it where it runs; the model that it published stays."""
    storage().jobs.delete(path.job_id)
    storage().notices.tell(path.job_id)
    return no_content()


@blueprint.get("/jobs/<job_id>/events", responses={200: EventPage, **documented(404)})
def list_events(path: JobPath, query: EventQuery) -> Response:
    """
    List what happened to a job, or stream it with `Accept: text/event-stream`.

    A stream resumes after `Last-Event-ID` (or `?after=`) and ends with the event `done`.
    """
    if requests.wants_event_stream():
        after = requests.last_event_id(query.after)
        return event_stream(storage(), path.job_id, after)
    found, has_more = storage().jobs.events(path.job_id, query.after, query.limit)
    first, last = (found[0].id, found[-1].id) if found else (None, None)
    page = EventPage(data=tuple(found), first_id=first, last_id=last, has_more=has_more)
    return json_response(page)


def check_request(body: JobRequest, limits: Settings, stored: Storage) -> None:
    """Refuse what the vocabulary allows and this deployment cannot run. Raises: InvalidField."""
    try:
        table = datasets.table(body.dataset)
    except NotFound as error:
        raise InvalidField(f"{error.detail}: see GET /datasets", "dataset") from None
    training = body.training
    datasets.split(table, training.validation_fraction, training.seed)
    count = body.network.parameter_count(table.features.shape[1])
    if count > limits.max_parameters:
        detail = f"{count} weights and biases; at most {limits.max_parameters} are allowed"
        raise InvalidField(detail, "network", "hidden_layers")
    if body.model is not None and stored.models.is_built_in(body.model):
        raise InvalidField(f"{body.model!r} is a built-in model: choose another name", "model")


def _ring(stored: Storage, body: JobRequest) -> None:
    """Ring without keeping the client waiting; a lost bell is rung again by the reconciler."""

    def ring() -> None:
        try:
            stored.doorbell.ring(queue_of(body))
        except Unavailable as error:
            log.warning("bell not rung", error=error.detail)

    threading.Thread(target=ring, daemon=True).start()


def _accepted(record: JobRecord) -> Response:
    """Answer 202 at once, or 200 with the ended job where the client prefers to wait for it."""
    headers = {"Location": f"/jobs/{record.id}"}
    seconds = requests.wait_preference(settings().max_wait_seconds)
    if seconds is not None:
        headers["Preference-Applied"] = f"wait={seconds:.0f}"
        record = _wait_for_end(storage(), record, seconds)
    if not record.status.is_final:
        return json_response(_job(record), 202, {**headers, "Retry-After": "1"})
    return json_response(_job(record), 200 if seconds is not None else 202, headers)


def _wait_for_end(stored: Storage, record: JobRecord, seconds: float) -> JobRecord:
    deadline = time.monotonic() + seconds
    with stored.notices.watch(record.id) as moved:
        while True:
            moved.clear()
            record = stored.jobs.get(record.id)
            left = deadline - time.monotonic()
            if record.status.is_final or left <= 0:
                return record
            moved.wait(min(left, stored.notices.patience))


def _job(record: JobRecord) -> Job:
    history = tuple(storage().jobs.history(record.id, record.attempt))
    return Job(**_fields(record), history=history)


def _summary(record: JobRecord) -> JobSummary:
    return JobSummary(**_fields(record))


def _fields(record: JobRecord) -> dict[str, object]:
    """Turn a stored job into what clients see, with sentences in their language."""
    fields = record._asdict()
    epoch, epochs, version = (fields.pop(name) for name in ("epoch", "epochs", "model_version"))
    done = record.status is JobStatus.SUCCEEDED
    published = ModelReference(name=record.model, version=version) if version else None
    found = record.diagnosis and diagnosis.explain(record.diagnosis, requests.language())
    at = f"/jobs/{record.id}"
    links = JobLinks(
        self=at,
        events=f"{at}/events",
        cancel=f"{at}/cancel",
        model=f"/models/{record.model}/versions/{version}" if version else None,
    )
    return fields | {
        "progress": Progress(epoch=epochs if done else epoch, epochs=epochs),
        "model": published,
        "diagnosis": found,
        "links": links,
    }
