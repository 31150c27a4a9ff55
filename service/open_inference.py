"""/v2: the Open Inference Protocol, for clients of Triton, KServe and MLServer."""

from functools import partial
from importlib.metadata import version
from typing import Any, TypeVar, cast

from flask import Response, request
from flask_openapi3 import Tag
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import BadRequest

from perceptron.signature import inputs_of, outputs_of
from schemas.errors import InvalidField
from schemas.media_types import BYTES
from schemas.open_inference import (
    Acknowledgement,
    IndexRequest,
    InferenceRequest,
    InferenceResponse,
    ModelConfiguration,
    ModelMetadata,
    ModelReady,
    ModelStatistics,
    ProtocolError,
    RepositoryIndex,
    RepositoryModel,
    RepositoryRequest,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorConfiguration,
    TensorMetadata,
)
from service.context import counts, metrics, model_cache, settings, statistics, storage
from service.encodings import decoded
from service.inference import Asked, answer, computed, described
from service.model_cache import ReadyModel
from service.models import ModelPath, VersionPath
from service.openapi import Blueprint, answers, bodies, headers
from service.requests import Headers, JsonRequest
from service.responses import json_response
from service.shadowing import ask_shadows
from service.statistics import told

blueprint = Blueprint(
    "open_inference",
    __name__,
    url_prefix="/v2",
    abp_tags=[Tag(name="open inference", description="Open Inference Protocol v2")],
)

Body = TypeVar("Body", bound=BaseModel)

EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "statistics")
PLATFORM = "perceptron_safetensors"
BACKEND = "perceptron"
BINARY = {"schema": {"type": "string", "format": "binary"}}


class InferenceHeaders(Headers):
    """How a request comes, and how it may be answered."""

    inference_header_content_length: str | None = None
    """Bytes of the JSON object, where those of tensors follow it; 0: all are of the one input."""
    content_encoding: str | None = None
    """`gzip` or `deflate`, where the body is."""
    accept_encoding: str | None = None
    """`gzip` or `deflate`, where the answer may be."""


def _errors(*statuses: int) -> dict[str | int, Any]:
    """Declare errors of the protocol with these statuses, for an operation's `responses`."""
    return dict.fromkeys((400, *statuses), ProtocolError)


_ALWAYS: dict[int, Any] = {422: None}
_STORED: dict[int, Any] = {**_ALWAYS, 503: headers("Retry-After")}
_INFER: dict[str, Any] = {
    "responses": {200: InferenceResponse, **_errors(404, 413, 415, 503)},
    "openapi_extensions": answers(
        {
            200: {
                "content": {BYTES: BINARY},
                **headers("Inference-Header-Content-Length", "Content-Encoding"),
            },
            **_STORED,
        }
    )
    | bodies(InferenceRequest, {BYTES: BINARY["schema"]}),
}


def _of_model(record: type[BaseModel]) -> dict[str, Any]:
    """Describe an operation on a model."""
    return {
        "responses": {200: record, **_errors(404, 503)},
        "openapi_extensions": answers(_STORED),
    }


# The server


@blueprint.get(
    "", responses={200: ServerMetadata, **_errors()}, openapi_extensions=answers(_ALWAYS)
)
def get_server_metadata() -> Response:
    """Say which server this is, and which extensions of the protocol it has."""
    return json_response(
        ServerMetadata(
            name="perceptron", version=version("perceptron-service"), extensions=EXTENSIONS
        )
    )


@blueprint.get(
    "/health/live",
    responses={200: ServerLive, **_errors()},
    openapi_extensions=answers(_ALWAYS),
)
def get_server_live() -> Response:
    """Say that the process answers."""
    return json_response(ServerLive())


@blueprint.get(
    "/health/ready",
    responses={200: ServerReady, **_errors(503)},
    openapi_extensions=answers(_STORED),
)
def get_server_ready() -> Response:
    """Say whether the database, where the models are, answers."""
    storage().database.ping()
    return json_response(ServerReady())


# Models


@blueprint.get("/models/<name>", **_of_model(ModelMetadata))
def get_model_metadata(path: ModelPath) -> Response:
    """Report the tensors that the latest version takes and gives."""
    return _metadata(_ready(path.name))


@blueprint.get("/models/<name>/versions/<version>", **_of_model(ModelMetadata))
def get_version_metadata(path: VersionPath) -> Response:
    """Report the tensors that a version takes and gives."""
    return _metadata(_ready(path.name, path.version))


@blueprint.get("/models/<name>/ready", **_of_model(ModelReady))
def get_model_ready(path: ModelPath) -> Response:
    """Load the latest version, and say that it answers."""
    return json_response(ModelReady(name=_ready(path.name).name))


@blueprint.get("/models/<name>/versions/<version>/ready", **_of_model(ModelReady))
def get_version_ready(path: VersionPath) -> Response:
    """Load a version, and say that it answers."""
    return json_response(ModelReady(name=_ready(path.name, path.version).name))


@blueprint.get("/models/<name>/config", **_of_model(ModelConfiguration))
def get_model_configuration(path: ModelPath) -> Response:
    """Report the latest version's tensors in the words of Triton's model configuration."""
    return _configuration(_ready(path.name))


@blueprint.get("/models/<name>/versions/<version>/config", **_of_model(ModelConfiguration))
def get_version_configuration(path: VersionPath) -> Response:
    """Report a version's tensors in the words of Triton's model configuration."""
    return _configuration(_ready(path.name, path.version))


@blueprint.post("/models/<name>/infer", **_INFER)
def infer_with_model(path: ModelPath, header: InferenceHeaders) -> Response:
    """Predict with the latest version, from tensors in JSON or in bytes."""
    return _infer(path.name, None, header)


@blueprint.post("/models/<name>/versions/<version>/infer", **_INFER)
def infer_with_version(path: VersionPath, header: InferenceHeaders) -> Response:
    """Predict with a version, from tensors in JSON or in bytes."""
    return _infer(path.name, path.version, header)


# Statistics


@blueprint.get(
    "/models/stats",
    responses={200: ModelStatistics, **_errors(503)},
    openapi_extensions=answers(_STORED),
)
def get_statistics() -> Response:
    """Report the statistics of every version of every model, since the API was started."""
    return _statistics(storage().models.numbers())


@blueprint.get("/models/<name>/stats", **_of_model(ModelStatistics))
def get_model_statistics(path: ModelPath) -> Response:
    """Report the statistics of every version of a model."""
    model = storage().models.get(path.name)
    return _statistics([(model.name, number) for number in model.versions])


@blueprint.get("/models/<name>/versions/<version>/stats", **_of_model(ModelStatistics))
def get_version_statistics(path: VersionPath) -> Response:
    """Report the statistics of a version."""
    number, _ = storage().models.resolve(path.name, path.version)
    return _statistics([(path.name, number)])


# The repository


@blueprint.post(
    "/repository/index",
    responses={200: RepositoryIndex, **_errors(413, 415, 503)},
    openapi_extensions=answers(_STORED) | bodies(IndexRequest, {}, required=False),
)
def get_repository_index() -> Response:
    """List every version of every model."""
    _parsed(IndexRequest)
    found = storage().models.numbers()
    return json_response(
        RepositoryIndex(
            tuple(RepositoryModel(name=name, version=str(number)) for name, number in found)
        )
    )


_REPOSITORY: dict[str, Any] = {
    "responses": {200: Acknowledgement, **_errors(404, 413, 415, 503)},
    "openapi_extensions": answers(_STORED) | bodies(RepositoryRequest, {}, required=False),
}


@blueprint.post("/repository/models/<name>/load", **_REPOSITORY)
def load_model(path: ModelPath) -> Response:
    """Read the latest version into the memory of the process that answers; others do at need."""
    _refuse_parameters()
    _ready(path.name)
    return json_response(Acknowledgement())


@blueprint.post("/repository/models/<name>/unload", **_REPOSITORY)
def unload_model(path: ModelPath) -> Response:
    """Drop a model from the memory of the process that answers; it is read again at need."""
    _refuse_parameters("unload_dependents")
    storage().models.resolve(path.name, None)
    model_cache().drop(path.name)
    return json_response(Acknowledgement())


def _ready(name: str, reference: int | str | None = None) -> ReadyModel:
    return model_cache().get(name, reference)


def _infer(name: str, reference: int | str | None, header: InferenceHeaders) -> Response:
    choice = model_cache().choice(name, reference)
    model = choice.of(request.environ)
    asked = Asked(
        header.inference_header_content_length,
        header.content_encoding or "",
        header.accept_encoding,
    )
    body, limit = _sent(), settings().max_body_bytes
    done = answer(model, asked, body, limit, statistics())
    if done.rows:
        metrics().predicted(done.rows)
        compute = partial(computed, asked=asked, body=body, limit=limit)
        ask_shadows(model, choice.shadows, compute, counts())
    return Response(done.body, done.status, done.headers)


def _metadata(model: ReadyModel) -> Response:
    numbers = storage().models.get(model.name).versions
    return json_response(
        ModelMetadata(
            name=model.name,
            versions=tuple(map(str, numbers)),
            platform=PLATFORM,
            inputs=inputs_of(model.preprocessing),
            outputs=outputs_of(model.preprocessing.target),
        )
    )


def _configuration(model: ReadyModel) -> Response:
    return json_response(
        ModelConfiguration(
            name=model.name,
            platform=PLATFORM,
            backend=BACKEND,
            input=tuple(map(_configured, inputs_of(model.preprocessing))),
            output=tuple(map(_configured, outputs_of(model.preprocessing.target))),
        )
    )


def _configured(tensor: TensorMetadata) -> TensorConfiguration:
    datatype = "STRING" if tensor.datatype == "BYTES" else tensor.datatype
    return TensorConfiguration(name=tensor.name, data_type=f"TYPE_{datatype}", dims=tensor.shape)


def _statistics(numbers: list[tuple[str, int]]) -> Response:
    counted = statistics().read()
    versions = [(name, str(number)) for name, number in numbers]
    return json_response(
        ModelStatistics(model_stats=tuple(told(*at, counted.get(at, {})) for at in versions))
    )


def _refuse_parameters(*but: str) -> None:
    """Refuse what Triton would load a model with: versions here never change."""
    for name in _parsed(RepositoryRequest).parameters or {}:
        if name not in but:
            raise InvalidField(f"there is no parameter {name!r}", "parameters", name)


def _parsed(model: type[Body]) -> Body:
    """Read the body, whatever its media type: Triton's client names none. None at all is `{}`."""
    encoding = request.headers.get("Content-Encoding", "")
    body = decoded(_sent(), encoding, settings().max_body_bytes)
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise BadRequest(described(error)) from None


def _sent() -> bytes:
    return cast(JsonRequest, request).read_body()
