"""/jobs/<id>/rows: what a training learns from, row by row, for those who draw it."""

from flask import Response
from flask_openapi3 import Tag

from perceptron import datasets
from perceptron.frames import Frame
from perceptron.job_rows import job_rows
from perceptron.preparation import Source
from schemas.errors import Conflict, InvalidField, NotFound
from schemas.job import JobPath, JobRequest, JobRows, RowQuery
from service.context import storage
from service.openapi import Blueprint
from service.problems import documented
from service.responses import json_response

MOST_BYTES = 16 * 1024 * 1024
"""Largest table, in its stored form, that is told row by row."""

blueprint = Blueprint("rows", __name__, abp_tags=[Tag(name="jobs", description="Trainings")])


@blueprint.get("/jobs/<job_id>/rows", responses={200: JobRows, **documented(404, 409)})
def list_rows(path: JobPath, query: RowQuery) -> Response:
    """Give the first rows of a training, the part that each is in, and the preprocessing."""
    kind, body, sha256 = storage().jobs.request(path.job_id)
    if kind != "train":
        raise NotFound("training", path.job_id)
    request = JobRequest.model_validate_json(body)
    source = datasets.in_request(request.dataset) or _stored(str(request.dataset), sha256)
    try:
        return json_response(job_rows(request, source, query.limit))
    except InvalidField as error:
        raise Conflict(error.detail) from error


def _stored(name: str, sha256: str | None) -> Source:
    """Read the job's dataset. Raises: Conflict where it is gone, another, or too large."""
    stored = storage().datasets
    try:
        dataset = stored.get(name)
        if dataset.size_bytes > MOST_BYTES:
            raise Conflict(f"the dataset {name!r} is too large to be told row by row")
        data, found = stored.data(name)
    except NotFound as error:
        raise Conflict(f"{error.detail} any more") from error
    if found != sha256:
        raise Conflict(f"the dataset {name!r} is another one by now")
    return Source(Frame.from_bytes(data), name, dataset.target, is_standardised=True)
