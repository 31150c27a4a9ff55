"""Predicting whole tables: the rows go into a file, a process of its own answers with another."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import orjson
from flask import Response, request
from werkzeug.exceptions import UnsupportedMediaType

from perceptron.batches import answer_names, check_kinds, check_size
from schemas.batch import PredictionRequest
from schemas.dataset import ColumnKind
from schemas.errors import InvalidField, NotFound
from schemas.media_types import CSV, JSON, NDJSON, PARQUET
from schemas.prediction import PredictQuery, PredictRequest
from schemas.preprocessing import Preprocessing
from schemas.settings import Settings
from service import apart, requests, scratch, uploads
from service.charsets import UTF_8, charset_of
from service.context import counts, metrics, model_cache, settings, storage
from service.intake import dataset_in_body
from service.predicting import INPUTS, PredictingRequest
from service.responses import file_response
from service.shadowing import TableComparison
from service.uploads import MEDIA_TYPES
from storage import Storage
from storage.jobs import Subject

ANSWER_TYPES = (JSON, CSV, NDJSON, PARQUET)
"""What predictions are told as; JSON where the client does not say."""
ANYTHING = "*/*"
MODEL_VERSION = "Model-Version"
"""Header of an answer: the version that gave it, which a table has no place for."""


def is_table() -> bool:
    """Whether the current request's body is a table by its media type."""
    return request.mimetype in MEDIA_TYPES


def answer_type(preferred: Sequence[str] = ANSWER_TYPES) -> str:
    """Say which media type the client asks for; the first of these where all will do."""
    if request.headers.get("Accept", ANYTHING) in (ANYTHING, preferred[0]):
        return preferred[0]
    known = dict.fromkeys((*preferred, *MEDIA_TYPES))
    best = requests.preferred(list(known)) or preferred[0]
    return MEDIA_TYPES.get(best, best)


def predict_table(query: PredictQuery) -> Response:
    """
    Predict the rows of the table that is the current request's body.

    Raises: InvalidField; NotFound; CorruptModel; Unavailable; what `uploads.Body` raises.
    """
    media_type = _media_type()
    if query.model is None:
        raise InvalidField("is required: ?model=…", parameter="model")
    with scratch.directory() as directory:
        charset = charset_of(request.content_type or "", media_type)
        source = directory / "rows"
        _receive(source, media_type)
        try:
            choice = model_cache().choice(query.model, query.version)
            model = choice.of(request.environ)
            answer, asked = _predict(
                query.model, model.version, source, media_type, query.keep, charset=charset
            )
        except NotFound as error:
            error.parameter = "model" if error.kind == "model" else "version"
            raise
        shadows = [shadow.version for shadow in choice.shadows]
        TableComparison(asked, shadows, storage().models, _limits(settings()), counts()).begin()
        return answer


def predict_inputs(body: PredictRequest, version: int) -> Response:
    """Answer a request's rows in what the client accepts. Raises: as `predict_table`."""
    with scratch.directory() as directory:
        source = directory / "inputs"
        source.write_bytes(orjson.dumps(body.inputs))
        return _predict(body.model, version, source, INPUTS)[0]


def _media_type() -> str:
    if request.is_json:
        return JSON
    found = MEDIA_TYPES.get(request.mimetype)
    if found is None:
        told = request.mimetype or "no media type"
        raise UnsupportedMediaType(f"{told}: send rows as {CSV}, {PARQUET}, {NDJSON} or {JSON}")
    return found


def _receive(path: Path, media_type: str) -> None:
    """Receive the body into a file. Raises: InvalidField for JSON that is no list."""
    limits = settings()
    most = limits.max_body_bytes if media_type == JSON else limits.max_upload_bytes
    body = uploads.Body(request, most)
    with path.open("wb") as file:
        shutil.copyfileobj(body, file, uploads.PIECE_BYTES)
    if media_type == JSON and _first_character(path) != b"[":
        raise InvalidField(
            "stands beside a list of records: name it in the body", parameter="model"
        )


def _first_character(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(uploads.PIECE_BYTES).lstrip()[:1]


def _predict(
    name: str,
    version: int,
    source: Path,
    media_type: str,
    keep: Sequence[str] = (),
    *,
    charset: str = UTF_8,
) -> tuple[Response, PredictingRequest]:
    """Have the rows predicted; returns the answer, and what was asked."""
    weights, card = storage().models.weights(name, version)
    preprocessing = card.row_preprocessing
    wanted = answer_type()
    _check_kept(keep, answer_names(preprocessing.target), wanted)
    limits = settings()
    asked = PredictingRequest(
        name=name,
        version=version,
        preprocessing=preprocessing,
        source=source,
        media_type=media_type,
        charset=charset,
        destination=source.with_name("answers"),
        answer_type=wanted,
        keep=tuple(keep),
        most_rows=limits.max_dataset_rows,
        most_columns=limits.max_dataset_columns,
        most_bytes=limits.max_dataset_bytes,
    )
    rows = run_apart("service.predicting", asked.with_weights(weights), limits)
    metrics().predicted(int(rows))
    return file_response(asked.destination, wanted, {MODEL_VERSION: str(version)}), asked


def _check_kept(keep: Sequence[str], answers: Sequence[str], wanted: str) -> None:
    """See that the columns to repeat have a place in the answer. Raises: InvalidField."""
    if keep and wanted == JSON:
        detail = f"JSON has no place for it: send Accept: {CSV}, {NDJSON} or {PARQUET}"
        raise InvalidField(detail, parameter="keep")
    names = [*answers, *keep]
    for name in keep:
        if names.count(name) > 1:
            detail = f"two columns of the answer would be called {name!r}"
            raise InvalidField(detail, parameter="keep")


def check_job(asked: PredictionRequest, stored: Storage) -> Subject:
    """
    See that a job can predict its dataset with its model, as far as columns tell.

    Raises: InvalidField.
    """
    version, preprocessing = _found(asked, stored)
    dataset = dataset_in_body(asked.dataset, stored)
    kinds: dict[str, ColumnKind] = {  # a column without a value suits every feature
        column.name: column.kind if column.distinct else "numeric" for column in dataset.columns
    }
    check_kinds(preprocessing, kinds, "dataset")
    check_size(preprocessing.target, dataset.rows, "dataset")
    sha256 = None if dataset.created_at is None else dataset.sha256
    return Subject(sha256, version=version, rows=dataset.rows)


def _found(asked: PredictionRequest, stored: Storage) -> tuple[int, Preprocessing]:
    try:
        version = stored.models.version(asked.model, asked.version)
    except NotFound as error:
        place = "model" if error.kind == "model" else "version"
        raise InvalidField(f"{error.detail}: see GET /models", place) from None
    return version.version, version.card.row_preprocessing


def run_apart(module: str, asked: bytes, limits: Settings) -> bytes:
    """Have a module's work done that writes into a file. Raises: InvalidField; as `apart.run`."""
    try:
        return apart.run(module, asked, _limits(limits))
    except apart.Overrun as error:
        detail = f"predicting the rows takes {error}: send fewer, or as a job of the kind `predict`"
        raise InvalidField(detail) from None


def _limits(limits: Settings) -> apart.Limits:
    return apart.Limits(limits.upload_seconds, limits.upload_memory_bytes)
