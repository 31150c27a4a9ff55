"""An inference request of the Open Inference Protocol, from its bytes to those of the answer."""

import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from perceptron import signature
from perceptron.inference import forward
from perceptron.layers import FloatArray
from perceptron.preprocessing import encode_columns, encode_matrix
from perceptron.signature import Output
from perceptron.tensors import to_bytes
from schemas.errors import InvalidField
from schemas.media_types import BYTES, JSON
from schemas.preprocessing import Preprocessing
from service.encodings import accepted, decoded, encoded
from service.model_cache import ReadyModel
from service.statistics import Spent, Statistics
from service.tensor_request import JSON_LENGTH, Table, TensorRequest, read

BLOCK_VALUES = 2**16
"""Most inputs of the network at a time: they stay in the processor's cache, and memory bounded."""


class Asked(NamedTuple):
    """The headers of a request that matter."""

    json_length: str | None = None
    """Size of the JSON object in front of the tensors' bytes; None: the body is all JSON."""
    content_encoding: str = ""
    accept_encoding: str | None = None


class Answer(NamedTuple):
    """An answer of HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes
    rows: int = 0
    """Rows that were predicted."""


def answer(
    model: ReadyModel, asked: Asked, body: bytes, limit: int, statistics: Statistics
) -> Answer:
    """
    Answer a request, or refuse it in the protocol's form, and count it.

    A fault of our own is counted, too, and goes on to the caller.
    """
    began = time.perf_counter_ns()
    try:
        return infer(model, asked, body, limit, statistics)
    except Exception as error:
        statistics.failed(model.name, model.version, time.perf_counter_ns() - began)
        refusal = _refusal(error)
        if refusal is None:
            raise
        return refusal


def infer(
    model: ReadyModel, asked: Asked, body: bytes, limit: int, statistics: Statistics
) -> Answer:
    """
    Compute an answer, and count it.

    `limit` is the most bytes of a body, decoded. Raises: InvalidField, ValidationError, or the
    HTTPException of a body that cannot be decoded.
    """
    began = time.perf_counter_ns()
    body = decoded(body, asked.content_encoding, limit)
    request = read(model, asked.json_length, body)
    found, infer_ns = [], 0
    for inputs in _encoded(model.preprocessing, request.table):
        started = time.perf_counter_ns()
        found.append(forward(model.layers, inputs))
        infer_ns += time.perf_counter_ns() - started
    computed = time.perf_counter_ns()
    rows = request.table.rows
    outputs = signature.outputs(
        model.preprocessing.target, found[0] if len(found) == 1 else np.concatenate(found)
    )
    headers, written = _written(model, request, outputs, asked.accept_encoding)
    ended = time.perf_counter_ns()
    spent = Spent(computed - began - infer_ns, infer_ns, ended - computed)
    statistics.succeeded(model.name, model.version, rows, ended - began, spent)
    return Answer(HTTPStatus.OK, headers, written, rows)


def computed(model: ReadyModel, asked: Asked, body: bytes, limit: int) -> FloatArray:
    """
    Compute a network's outputs for what was asked of another. Raises: InvalidField.

    Shapes: → (rows,) for one output unit, (rows, outputs) for several.
    """
    request = read(model, asked.json_length, decoded(body, asked.content_encoding, limit))
    found = [forward(model.layers, i) for i in _encoded(model.preprocessing, request.table)]
    return np.concatenate(found)


def failure(status: int, detail: str) -> Answer:
    """Say what went wrong as the protocol does."""
    return Answer(status, {"Content-Type": JSON}, orjson.dumps({"error": detail}))


def described(error: ValidationError) -> str:
    """Say in one sentence what is wrong with a JSON object."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def _refusal(error: Exception) -> Answer | None:
    if isinstance(error, InvalidField):
        return failure(HTTPStatus.BAD_REQUEST, error.detail)
    if isinstance(error, ValidationError):
        return failure(HTTPStatus.BAD_REQUEST, described(error))
    if isinstance(error, HTTPException):
        return failure(error.code or HTTPStatus.BAD_REQUEST, error.description or error.name)
    return None


def _encoded(preprocessing: Preprocessing, table: Table) -> Iterator[npt.NDArray[np.float32]]:
    """Give the network's input, some rows at a time."""
    step = max(1, BLOCK_VALUES // preprocessing.width)
    for start in range(0, table.rows, step):
        rows = slice(start, min(start + step, table.rows))
        if table.matrix is not None:
            yield encode_matrix(preprocessing, table.matrix, rows)
        else:
            yield encode_columns(preprocessing, table.columns, rows)


def _written(
    model: ReadyModel,
    request: TensorRequest,
    outputs: Mapping[str, Output],
    accept_encoding: str | None,
) -> tuple[dict[str, str], bytes]:
    """Write the answer's headers and its body."""
    told: dict[str, Any] = {"model_name": model.name, "model_version": str(model.version)}
    if request.id is not None:
        told["id"] = request.id
    behind = [
        to_bytes(outputs[name].values) if binary else None for name, binary in request.outputs
    ]
    told["outputs"] = [
        _tensor(outputs[name], data)
        for (name, _), data in zip(request.outputs, behind, strict=True)
    ]
    body = orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY)
    headers = {"Content-Type": JSON}
    parts = [data for data in behind if data is not None]
    if parts:
        headers = {"Content-Type": BYTES, JSON_LENGTH: str(len(body))}
        body = b"".join([body, *parts])
    encoding = accepted(accept_encoding, body)
    if encoding is not None:
        headers |= {"Content-Encoding": encoding, "Vary": "Accept-Encoding"}
        body = encoded(body, encoding)
    return headers, body


def _tensor(output: Output, data: bytes | None) -> dict[str, Any]:
    told = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
    if data is not None:
        return told | {"parameters": {"binary_data_size": len(data)}}
    return told | {"data": output.values}
