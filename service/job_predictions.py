"""/jobs/<id>/predictions: what a job of the kind `predict` predicted."""

from pathlib import Path

import numpy as np
from flask import Response
from flask_openapi3 import Tag

from schemas.batch import PredictionReport
from schemas.errors import Conflict, NotFound
from schemas.job import JobPath
from schemas.media_types import CSV, JSON, NDJSON, PARQUET
from schemas.prediction import PredictResponse
from service import batches, scratch
from service.context import settings, storage
from service.openapi import Blueprint, answers, headers
from service.predictions import TABLES
from service.problems import documented
from service.responses import file_response
from service.writing import WritingRequest
from storage.jobs import JobRecord

SUFFIXES = {CSV: "csv", NDJSON: "ndjson", JSON: "json", PARQUET: "parquet"}
"""What a file is called by its media type; CSV where the client does not say."""

blueprint = Blueprint(
    "job_predictions", __name__, abp_tags=[Tag(name="predict", description="Predictions")]
)


@blueprint.get(
    "/jobs/<job_id>/predictions",
    responses={200: PredictResponse, **documented(404, 409, 507)},
    openapi_extensions=answers(
        {
            200: {
                **headers("Content-Disposition"),
                "content": {name: {"schema": schema} for name, schema in TABLES.items()},
            }
        }
    ),
)
def list_predictions(path: JobPath) -> Response:
    """
    Give the predictions of a dataset, a row for each of its rows, in order.

    As CSV, or as NDJSON, Parquet or JSON, as `Accept` asks for.
    """
    record = storage().jobs.get(path.job_id)
    if record.kind != "predict":
        raise NotFound("prediction", path.job_id)
    if record.report is None:
        raise Conflict(f"the job is {record.status.value}: it has predictions when it succeeded")
    return _file(record, record.report)


def _file(record: JobRecord, report: PredictionReport) -> Response:
    media_type = batches.answer_type(tuple(SUFFIXES))
    name = f"{record.id}.{SUFFIXES[media_type]}"
    with scratch.directory() as directory:
        source = directory / "outputs"
        size = _receive(record.id, source)
        if size != record.epochs * report.target.outputs * np.dtype(report.dtype).itemsize:
            raise NotFound("job", record.id)  # it was deleted meanwhile
        asked = WritingRequest(
            model=record.model,
            version=record.model_version or 0,
            target=report.target,
            source=source,
            dtype=report.dtype,
            destination=source.with_name("answers"),
            media_type=media_type,
        )
        batches.run_apart("service.writing", asked.model_dump_json().encode(), settings())
        told = {"Content-Disposition": f'attachment; filename="{name}"'}
        return file_response(asked.destination, media_type, told)


def _receive(job_id: str, path: Path) -> int:
    """Bring the outputs into a file; returns their bytes."""
    with path.open("wb") as file:
        for piece in storage().predictions.pieces(job_id):
            file.write(piece)
        return file.tell()
