"""/jobs: train a network, or many in a sweep, or predict a dataset; watch it, stop it."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import cache
from typing import Any

import structlog
from flask import Response
from flask_openapi3 import Tag

from perceptron import datasets, diagnosis
from perceptron.preparation import Outline, outline, outline_of, prepare_outlined
from schemas.batch import PredictionRequest, RowProgress
from schemas.errors import InvalidField, Unavailable
from schemas.job import (
    EventPage,
    EventQuery,
    Job,
    JobColumns,
    JobLinks,
    JobPage,
    JobPath,
    JobQuery,
    JobRequest,
    JobStatus,
    JobSubmission,
    JobSummary,
    Progress,
    SweepRequest,
    Waiting,
)
from schemas.model import ModelReference
from schemas.settings import Settings
from schemas.sweep import SweepReport
from schemas.training import EpochRecord, Language
from service import batches, sweeps
from service.context import event_streams, origin, settings, storage
from service.intake import dataset_in_body
from service.openapi import EVENT_STREAM, Blueprint, answers, headers
from service.problems import documented
from service.requests import EventHeaders, LanguageHeaders, SubmitHeaders, wants_event_stream
from service.responses import json_response, no_content, page_response
from storage import Storage
from storage.jobs import JobRecord, Subject, queue_of

blueprint = Blueprint("jobs", __name__, abp_tags=[Tag(name="jobs", description="Trainings")])

MAX_SNAPSHOT_NUMBERS = 2_000_000
"""Most weights and biases that the records of one job may come with: 11 MB of events."""

log = structlog.get_logger(__name__)


@blueprint.post(
    "/jobs",
    responses={200: Job, 202: Job, **documented(413, 415)},
    openapi_extensions=answers(
        {
            200: headers("Location", "Preference-Applied"),
            202: headers("Location", "Preference-Applied", "Retry-After"),
        }
    ),
)
def create_job(header: SubmitHeaders, body: JobSubmission) -> Response:
    """
    Accept a training, a sweep of many, or a dataset to predict.

    `Idempotency-Key` makes it safe to repeat; `Prefer: wait=N` waits up to N seconds for the end.
    """
    request, subject = check_request(body.root, settings(), storage())
    record = storage().jobs.submit(request, header.idempotency_key, subject, origin())
    _ring(storage(), queue_of(record.training))
    return _accepted(record, header)


@blueprint.get(
    "/jobs",
    responses={200: JobPage, **documented(404)},
    openapi_extensions=answers({200: headers("Link")}),
)
def list_jobs(query: JobQuery, header: LanguageHeaders) -> Response:
    """List jobs, newest first; all of them, or those of one status."""
    records, has_more = storage().jobs.page(query.after, query.limit, query.status)
    lack = cache(_lack)
    found = [
        JobSummary(**_fields(record, header.language), waiting_for=_lacking(record, lack))
        for record in records
    ]
    return page_response(JobPage.of(found, lambda job: job.id, has_more=has_more))


@blueprint.get(
    "/jobs/<job_id>",
    responses={200: Job, **documented(404)},
    openapi_extensions=answers({200: headers("Retry-After")}),
)
def get_job(path: JobPath, header: LanguageHeaders) -> Response:
    """Report a job's status, progress, metrics, curves, model and error."""
    record = storage().jobs.get(path.job_id)
    again = {} if record.status.is_final else {"Retry-After": "1"}
    return json_response(_reported(record, header.language), headers=again)


@blueprint.post("/jobs/<job_id>/cancel", responses={200: Job, 202: Job, **documented(404, 409)})
def cancel_job(path: JobPath, header: LanguageHeaders) -> Response:
    """
    Stop a job: at once while it waits (200), within seconds while it runs (202).

    `history` is left empty where the database fails just after it has stored the request.
    """
    record = storage().jobs.cancel(path.job_id)
    storage().notices.tell(path.job_id)
    job = _changed_job(record, header.language)
    return json_response(job, 200 if record.status.is_final else 202)


@blueprint.post("/jobs/<job_id>/pause", responses={200: Job, 202: Job, **documented(404, 409)})
def pause_job(path: JobPath, header: LanguageHeaders) -> Response:
    """
    Pause a training: at once while it waits (200), at its next report while it runs (202).

    It stores a checkpoint, holds no worker, and goes on when it is resumed. `history` is left empty
    as in `cancel`.
    """
    record = storage().jobs.pause(path.job_id)
    storage().notices.tell(path.job_id)
    is_paused = record.status is JobStatus.PAUSED
    return json_response(_changed_job(record, header.language), 200 if is_paused else 202)


@blueprint.post("/jobs/<job_id>/resume", responses={200: Job, 202: Job, **documented(404, 409)})
def resume_job(path: JobPath, header: LanguageHeaders) -> Response:
    """
    Let a paused training go on: it waits for a worker again (202).

    One that runs goes on running (200), also where it was being paused. `history` is left empty as
    in `cancel`.
    """
    record = storage().jobs.resume(path.job_id)
    storage().notices.tell(path.job_id)
    is_queued = record.status is JobStatus.QUEUED
    if is_queued:
        _ring(storage(), queue_of(record.training))
    return json_response(_changed_job(record, header.language), 202 if is_queued else 200)


@blueprint.delete("/jobs/<job_id>", responses={204: None, **documented(404)})
def delete_job(path: JobPath) -> Response:
    """
    Forget a job in any state, stopping it where it runs, and with it what it predicted.

    The model that it published stays.
    """
    storage().jobs.delete(path.job_id)
    storage().notices.tell(path.job_id)
    return no_content()


@blueprint.get(
    "/jobs/<job_id>/events",
    responses={200: EventPage, **documented(404)},
    openapi_extensions=answers({200: {**headers("Link"), **EVENT_STREAM}}),
)
def list_events(path: JobPath, query: EventQuery, header: EventHeaders) -> Response:
    """
    List what happened to a job, or stream it with `Accept: text/event-stream`.

    A stream resumes after `Last-Event-ID` (or `?after=`) and ends with the event `done`.
    """
    if wants_event_stream():
        after = query.after if header.last_event_id is None else header.last_event_id
        return event_streams().response(path.job_id, after)
    found, has_more = storage().jobs.events(path.job_id, query.after, query.limit)
    return page_response(EventPage.of(found, lambda event: event.id, has_more=has_more))


def check_request(
    body: JobRequest | SweepRequest | PredictionRequest, limits: Settings, stored: Storage
) -> tuple[JobRequest | SweepRequest | PredictionRequest, Subject]:
    """
    Refuse what the vocabulary allows and this deployment or the data cannot do.

    Returns the request, with what follows from the data filled in, and what it is about.
    Raises: InvalidField.
    """
    if isinstance(body, PredictionRequest):
        return body, batches.check_job(body, stored)
    training = body.training_request if isinstance(body, SweepRequest) else body
    outline, sha256 = _outline(training, stored)
    count = body.network.parameter_count(outline.inputs, outline.outputs)
    if count > limits.max_parameters:
        detail = f"{count} weights and biases; at most {limits.max_parameters} are allowed"
        raise InvalidField(detail, "network", "hidden_layers")
    _check_step(training, outline, limits.max_activations)
    _check_snapshots(training, count)
    if body.model is not None and stored.models.is_built_in(body.model):
        raise InvalidField(f"{body.model!r} is a built-in model: choose another name", "model")
    if isinstance(body, SweepRequest):
        body = sweeps.checked(body, outline, limits)
    derived = body.preprocessing.derived
    columns = JobColumns(
        target=outline.target, task=outline.task, features=outline.features, derived=derived
    )
    return body, Subject(sha256, columns)


def _outline(body: JobRequest, stored: Storage) -> tuple[Outline, str | None]:
    """Say what the job comes to: from the rows that it brings, or from what is known of others."""
    source = datasets.in_request(body.dataset)
    if source is not None:
        found = outline_of(body, source)
        prepare_outlined(body, source, found)  # its rows are here to be checked, every one
        return found, None
    dataset = dataset_in_body(str(body.dataset), stored)
    return outline(body, dataset.columns, dataset.rows, dataset.target), dataset.sha256


def _check_step(body: JobRequest, outline: Outline, most: int) -> None:
    rows = min(body.training.batch_size or outline.rows, outline.rows)
    units = sum(body.network.hidden_layers) + outline.outputs
    if rows * units > most:
        detail = f"a step of {rows} rows through {units} units is too large: at most {most} outputs"
        raise InvalidField(f"{detail}; set a smaller batch size", "training", "batch_size")


def _check_snapshots(body: JobRequest, parameters: int) -> None:
    numbers = body.training.records * parameters
    if body.training.record_weights and numbers > MAX_SNAPSHOT_NUMBERS:
        detail = f"{numbers} weights and biases in all records; at most {MAX_SNAPSHOT_NUMBERS}"
        raise InvalidField(detail, "training", "record_weights")


def _ring(stored: Storage, queue: str) -> None:
    """Ring without keeping the client waiting; a lost bell is rung again by the reconciler."""

    def ring() -> None:
        try:
            stored.doorbell.ring(queue)
        except Unavailable as error:
            log.warning("bell not rung", error=error.detail)

    threading.Thread(target=copy_context().run, args=(ring,), daemon=True).start()


def _accepted(record: JobRecord, header: SubmitHeaders) -> Response:
    """Answer 202 at once, or 200 with the ended job where the client prefers to wait for it."""
    job = _job(record, header.language)
    told = {"Location": f"/jobs/{record.id}"}
    seconds = header.wait_seconds(settings().max_wait_seconds)
    if seconds is not None:
        told["Preference-Applied"] = f"wait={seconds:.0f}"
        with suppress(Unavailable):  # the job is accepted all the same
            record = _wait_for_end(storage(), record, seconds)
            job = _reported(record, header.language)
    if not job.status.is_final:
        return json_response(job, 202, {**told, "Retry-After": "1"})
    return json_response(job, 200 if seconds is not None else 202, told)


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


def _job(record: JobRecord, language: Language) -> Job:
    """Describe a job with its curves; one that no worker has started has none."""
    curves = storage().jobs.history(record.id) if record.attempt else []
    report = sweeps.report(storage(), record)
    return _with_curves(record, language, tuple(curves), report)


def _reported(record: JobRecord, language: Language) -> Job:
    """Describe a job with its curves and what it waits for."""
    return _job(record, language).model_copy(update={"waiting_for": _lacking(record, _lack)})


def _lacking(record: JobRecord, lack: Callable[[str], Waiting | None]) -> Waiting | None:
    """Say what a queued job lacks; `lack` says it of its queue."""
    return lack(queue_of(record.training)) if record.status is JobStatus.QUEUED else None


def _lack(queue: str) -> Waiting | None:
    """Say what a queue lacks; nothing where a worker will come, or nobody knows."""
    try:
        is_served = storage().doorbell.is_heard(queue)
    except Unavailable:
        return None
    if is_served:
        return None
    message = f"a worker of the queue `{queue}`: none is running"
    return Waiting(code="no_worker", queue=queue, message=message)


def _changed_job(record: JobRecord, language: Language) -> Job:
    """Describe a job whose change is stored: without its curves where the database fails now."""
    try:
        return _job(record, language)
    except Unavailable:
        return _with_curves(record, language)


def _with_curves(
    record: JobRecord,
    language: Language,
    history: tuple[EpochRecord, ...] = (),
    report: SweepReport | None = None,
) -> Job:
    fields = _fields(record, language)
    return Job(**fields, columns=record.columns, history=history, sweep=report)


def _fields(record: JobRecord, language: Language) -> dict[str, Any]:
    """Turn a stored job into what clients see, with sentences in their language."""
    fields = record._asdict()
    search, report, _ = (fields.pop(name) for name in ("search", "report", "columns"))
    epoch, epochs, version = (fields.pop(name) for name in ("epoch", "epochs", "model_version"))
    predicts = record.kind == "predict"
    is_there = predicts and record.status is JobStatus.SUCCEEDED
    published = ModelReference(name=record.model, version=version) if version else None
    found = record.diagnosis and diagnosis.explain(record.diagnosis, language)
    at = f"/jobs/{record.id}"
    links = JobLinks(
        self=at,
        events=f"{at}/events",
        cancel=f"{at}/cancel",
        pause=f"{at}/pause" if record.kind == "train" else None,
        resume=f"{at}/resume" if record.kind == "train" else None,
        model=f"/models/{record.model}/versions/{version}" if version else None,
        results=f"{at}/results" if search else None,
        predictions=f"{at}/predictions" if is_there else None,
    )
    rows_or_epochs = (
        RowProgress(rows_done=epoch, rows=epochs)
        if predicts
        else Progress(epoch=epoch, epochs=epochs)
    )
    return fields | {
        "progress": rows_or_epochs,
        "evaluation": report and report.evaluation,
        "model": published,
        "diagnosis": found,
        "links": links,
    }
