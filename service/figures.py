"""/jobs/<id>/figures and /models/<name>/figures: pictures of trainings and models, SVG or PNG."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from flask import Response, request
from flask_openapi3 import Tag
from werkzeug.http import parse_etags

import perceptron
from perceptron import datasets
from perceptron.regions import chosen_axes
from schemas.errors import Conflict, InvalidField, NotFound, Unavailable
from schemas.figure import SUITED, FigureFormat, FigureQuery, JobFigurePath, ModelFigure
from schemas.model import ModelVersion
from schemas.preprocessing import Label
from schemas.training import Evaluation, Metrics, RegressionEvaluation
from service import apart
from service.context import storage
from service.drawing import (
    BoundaryDrawing,
    ConfusionDrawing,
    CurvesDrawing,
    Drawing,
    DrawingRequest,
    JudgedPart,
    NetworkDrawing,
)
from service.models import ModelPath, VersionPath
from service.openapi import Blueprint, headers
from service.problems import documented
from service.requests import FigureHeaders, JsonRequest
from storage.jobs import JobRecord

blueprint = Blueprint(
    "figures", __name__, abp_tags=[Tag(name="figures", description="Figures as SVG and PNG")]
)

MEDIA_TYPES: Mapping[FigureFormat, str] = {"svg": "image/svg+xml", "png": "image/png"}
LIMITS = apart.Limits(seconds=30)
"""A figure takes one or two."""
MOST_TABLE_BYTES = 16 * 2**20
"""Largest table whose rows are drawn: it passes through the API's memory."""
MOST_KEPT_BYTES = 2 * 2**20
"""Of figures that one API process keeps."""
PART_NAMES = {"train": "training", "validation": "validation", "test": "test"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What an SVG that is opened by itself may do: look like what it is."""


class ModelFigurePath(ModelPath):
    """Which figure of a model."""

    figure: ModelFigure


class VersionFigurePath(VersionPath):
    """Which figure of a version."""

    figure: ModelFigure


_FIGURE: dict[str, Any] = {
    "responses": {
        200: {
            "description": "The figure",
            "content": {
                MEDIA_TYPES["svg"]: {"schema": {"type": "string"}},
                MEDIA_TYPES["png"]: {"schema": {"type": "string", "format": "binary"}},
            },
            **headers("Content-Disposition", "ETag"),
        },
        304: {"description": "The figure is the one that the client has", **headers("ETag")},
        **documented(404, 409),
    }
}


@blueprint.get("/jobs/<job_id>/figures/<figure>", **_FIGURE)
def get_job_figure(path: JobFigurePath, query: FigureQuery, header: FigureHeaders) -> Response:
    """Draw a job's learning curves (`loss`), or its confusion matrices (`confusion`)."""
    _refuse_unsuited(path.figure, query)
    record = storage().jobs.get(path.job_id)
    drawing = _job_curves(record, query) if path.figure == "loss" else _job_matrices(record, query)
    version = record.model_version
    status = record.status.value if version is None else None
    asked = _asked(drawing, (record.model, version, status), query, header)
    return _answer(asked, path.figure, header, _NOTHING)


@blueprint.get("/models/<name>/figures/<figure>", **_FIGURE)
def get_figure(path: ModelFigurePath, query: FigureQuery, header: FigureHeaders) -> Response:
    """Draw the latest version: its curves, matrices, network, or what it answers on a plane."""
    return _of_model(path.name, None, path.figure, query, header)


@blueprint.get("/models/<name>/versions/<version>/figures/<figure>", **_FIGURE)
def get_version_figure(
    path: VersionFigurePath, query: FigureQuery, header: FigureHeaders
) -> Response:
    """Draw a version: its curves, matrices, network, or what it answers on a plane."""
    return _of_model(path.name, path.version, path.figure, query, header)


def _refuse_unsuited(figure: ModelFigure, query: FigureQuery) -> None:
    """See that each parameter is one of this figure. Raises: InvalidField."""
    for parameter in query.model_fields_set:
        if SUITED.get(parameter, figure) != figure:
            detail = f"belongs to the figure `{SUITED[parameter]}` alone"
            raise InvalidField(detail, parameter=parameter)


# Jobs


def _job_curves(record: JobRecord, query: FigureQuery) -> CurvesDrawing:
    if record.kind == "predict":
        raise NotFound("learning curve", record.id)
    history = storage().jobs.history(record.id) if record.attempt else []
    if not history:
        raise Conflict(f"the job is {record.status.value}: it has curves from its first epochs on")
    version = _published(record)
    kept = version.card.best_epoch if version else None
    return CurvesDrawing(history=tuple(history), kept=kept, scale=query.scale)


def _job_matrices(record: JobRecord, query: FigureQuery) -> ConfusionDrawing:
    if record.report is not None and record.report.evaluation is not None:
        parts = {"predicted": record.report.evaluation}
        return _matrices(record.id, parts, record.report.target.classes, query)
    if record.metrics is None and not record.status.is_final:
        raise Conflict(f"the job is {record.status.value}: it is judged when it has succeeded")
    version = _published(record)
    classes = version.card.row_preprocessing.target.classes if version else None
    return _matrices(record.id, _parts(record.metrics), classes, query)


def _published(record: JobRecord) -> ModelVersion | None:
    """Give the version that a job published, where it is still there."""
    if record.model_version is None:
        return None
    try:
        return storage().models.version(record.model, record.model_version)
    except NotFound:
        return None


# Models


def _of_model(
    name: str,
    reference: int | str | None,
    figure: ModelFigure,
    query: FigureQuery,
    header: FigureHeaders,
) -> Response:
    _refuse_unsuited(figure, query)
    version = storage().models.version(name, reference)
    drawing, data = _DRAWN[figure](version, query)
    asked = _asked(drawing, (version.name, version.version, None), query, header)
    return _answer(asked, figure, header, data)


def _model_curves(version: ModelVersion, query: FigureQuery) -> tuple[CurvesDrawing, "_Data"]:
    card = version.card
    if not card.history:
        raise NotFound("learning curve", f"{version.name}/{version.version}")
    drawing = CurvesDrawing(history=card.history, kept=card.best_epoch, scale=query.scale)
    return drawing, _NOTHING


def _model_matrices(version: ModelVersion, query: FigureQuery) -> tuple[ConfusionDrawing, "_Data"]:
    name = f"{version.name}/{version.version}"
    classes = version.card.row_preprocessing.target.classes
    return _matrices(name, _parts(version.card.metrics), classes, query), _NOTHING


def _network(version: ModelVersion, _: FigureQuery) -> tuple[NetworkDrawing, "_Data"]:
    drawing = NetworkDrawing(preprocessing=version.card.row_preprocessing)
    return drawing, _Data(version.sha256, lambda: (_weights(version), b""))


def _boundary(version: ModelVersion, query: FigureQuery) -> tuple[BoundaryDrawing, "_Data"]:
    card = version.card
    x, y = chosen_axes(card.row_preprocessing, card.importance, query.x, query.y)
    chosen = card.hyperparameters
    drawing = BoundaryDrawing(
        preprocessing=card.row_preprocessing,
        x=x,
        y=y,
        training=chosen.training if chosen else None,
    )
    rows = _rows(version)
    digests = version.sha256 + rows.digest
    return drawing, _Data(digests, lambda: (_weights(version), rows.read()[1]))


_DRAWN: Mapping[ModelFigure, Callable[[ModelVersion, FigureQuery], tuple[Drawing, "_Data"]]] = {
    "loss": _model_curves,
    "confusion": _model_matrices,
    "network": _network,
    "boundary": _boundary,
}


def _weights(version: ModelVersion) -> bytes:
    weights, _ = storage().models.weights(version.name, version.version)
    return weights


def _rows(version: ModelVersion) -> "_Data":
    """Give the table that a version was made from; nothing where it is gone, or is large."""
    name, sha256 = version.card.dataset, version.card.dataset_sha256
    source = datasets.in_request(name) if name in datasets.dataset_names() else None
    if source is not None:
        frame = source.frame
        is_it = sha256 in (None, frame.sha256)
        return _Data(frame.sha256, lambda: (b"", frame.to_bytes())) if is_it else _NOTHING
    try:
        stored = storage().datasets.get(name)
    except NotFound:
        return _NOTHING
    if stored.sha256 != sha256 or stored.size_bytes > MOST_TABLE_BYTES:
        return _NOTHING
    return _Data(stored.sha256, lambda: (b"", _stored_rows(name, stored.sha256)))


def _stored_rows(name: str, sha256: str) -> bytes:
    """Read the rows of a dataset; none where it was deleted, or made anew, just now."""
    try:
        data, found = storage().datasets.data(name)
    except NotFound:
        return b""
    if isinstance(request, JsonRequest):
        request.body_bytes = len(data)  # memory worth giving back
    return data if found == sha256 else b""


# Both


def _parts(metrics: Metrics | None) -> dict[str, Evaluation]:
    told = {part: getattr(metrics, part, None) for part in PART_NAMES}
    return {part: found for part, found in told.items() if found is not None}


def _matrices(
    name: str,
    parts: Mapping[str, Evaluation],
    classes: tuple[Label, ...] | None,
    query: FigureQuery,
) -> ConfusionDrawing:
    if not parts or any(isinstance(part, RegressionEvaluation) for part in parts.values()):
        raise NotFound("confusion matrix", name)
    if query.part is not None:
        if query.part not in parts:
            raise InvalidField(f"there are no {PART_NAMES[query.part]} rows", parameter="part")
        parts = {query.part: parts[query.part]}
    judged = tuple(JudgedPart(name=part, evaluation=found) for part, found in parts.items())
    return ConfusionDrawing(parts=judged, classes=classes or (0, 1))


class _Data(NamedTuple):
    """What a figure is made from beside its request."""

    digest: str
    read: Callable[[], tuple[bytes, bytes]]
    """Give the weights and the rows."""


_NOTHING = _Data("", lambda: (b"", b""))


def _asked(
    drawing: Drawing,
    title: tuple[str, int | None, str | None],
    query: FigureQuery,
    header: FigureHeaders,
) -> DrawingRequest:
    """Ask for a figure; its title is made of a name and a version or a status."""
    name, version, status = title
    wanted = request.accept_mimetypes.best_match(list(MEDIA_TYPES.values()))
    form: FigureFormat = query.format or ("png" if wanted == MEDIA_TYPES["png"] else "svg")
    return DrawingRequest(
        drawing=drawing,
        name=name,
        version=version,
        status=status,
        format=form,
        theme=query.theme,
        language=query.language or header.language,
    )


def _answer(asked: DrawingRequest, name: str, header: FigureHeaders, data: _Data) -> Response:
    """Answer with a figure, drawn where it is not kept; its ETag is the digest of what makes it."""
    parts = (asked.model_dump_json(), data.digest, _drawer())
    etag = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    told = {"ETag": f'"{etag}"', "Cache-Control": "no-cache"}  # kept, and asked for each time
    if parse_etags(header.if_none_match).contains_weak(etag):
        response = Response(status=304, headers=told)
        del response.headers["Content-Type"]
        return response
    drawn = _kept.get(etag)
    if drawn is None:
        drawn = _draw(asked, data)
        _kept.put(etag, drawn)
    told["Content-Disposition"] = f'inline; filename="{name}.{asked.format}"'
    told["Content-Security-Policy"] = POLICY
    return Response(drawn, headers=told, content_type=MEDIA_TYPES[asked.format])


def _draw(asked: DrawingRequest, data: _Data) -> bytes:
    try:
        return apart.run("service.drawing", asked.with_data(*data.read()), LIMITS)
    except apart.Overrun as error:
        raise Unavailable(f"drawing the figure takes {error}: try again") from None


@cache
def _drawer() -> str:
    """Say what draws: the same data make another figure when it changes."""
    room = Path(str(perceptron.__file__)).parent
    code = (path.read_bytes() for path in sorted((room / "figures").glob("*.py")))
    digest = hashlib.sha256(b"".join([*code, (room / "regions.py").read_bytes()]))
    return f"{version('matplotlib')} {digest.hexdigest()}"


class _Kept:
    """Figures by their ETags: the least recently used go first."""

    def __init__(self) -> None:
        self._figures: OrderedDict[str, bytes] = OrderedDict()
        self._size_bytes = 0

    def get(self, etag: str) -> bytes | None:
        """Give a figure."""
        found = self._figures.get(etag)
        if found is not None:
            self._figures.move_to_end(etag)
        return found

    def put(self, etag: str, figure: bytes) -> None:
        """Keep a figure, unless it is large."""
        if etag in self._figures or len(figure) > MOST_KEPT_BYTES // 2:
            return
        self._figures[etag] = figure
        self._size_bytes += len(figure)
        while self._size_bytes > MOST_KEPT_BYTES:
            _, dropped = self._figures.popitem(last=False)
            self._size_bytes -= len(dropped)


_kept = _Kept()
