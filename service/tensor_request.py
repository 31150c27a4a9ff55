"""Reading an inference request of the Open Inference Protocol: JSON, and maybe bytes behind it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perceptron.signature import MATRIX, output_names, takes_matrix
from perceptron.tensors import Values, from_bytes, from_json
from schemas.errors import InvalidField
from schemas.open_inference import InferenceRequest, OutputParameters, RequestInput
from schemas.preprocessing import Preprocessing
from service.model_cache import ReadyModel
from service.predictions import check_work

JSON_LENGTH = "Inference-Header-Content-Length"
MOST_DIGITS = 18
"""Of a length; no body has as many bytes."""


class Table(NamedTuple):
    """The values of a request: rows of numbers at once, or columns by the features' names."""

    rows: int
    matrix: npt.NDArray[Any] | None
    """Shape (rows, features)."""
    columns: dict[str, Values]


class TensorRequest(NamedTuple):
    """What a client asks."""

    id: str | None
    table: Table
    outputs: Sequence[tuple[str, bool]]
    """Names of the outputs to answer with, and whether as bytes."""


def read(model: ReadyModel, json_length: str | None, body: bytes) -> TensorRequest:
    """
    Read a body of which `json_length` bytes are a JSON object; None: all.

    Raises: InvalidField, or ValidationError for what is wrong with the JSON object.
    """
    size = len(body) if json_length is None else _length(json_length, len(body))
    if size == 0 and json_length is not None:
        return _raw(model, body)
    request = InferenceRequest.model_validate_json(body if size == len(body) else body[:size])
    table = _table(model, request.inputs, memoryview(body)[size:])
    return TensorRequest(request.id, table, _outputs(model.preprocessing, request))


def _length(header: str, size: int) -> int:
    digits = header.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= MOST_DIGITS):
        raise InvalidField(f"{JSON_LENGTH} is {header!r}: a number of bytes is needed")
    if int(digits) > size:
        raise InvalidField(f"{JSON_LENGTH} is {digits}, and the body has {size} bytes")
    return int(digits)


def _raw(model: ReadyModel, body: bytes) -> TensorRequest:
    """Take a body that is nothing but the bytes of the one input."""
    features = len(model.preprocessing.features)
    if not takes_matrix(model.preprocessing):
        raise InvalidField(f"{JSON_LENGTH} is 0: that needs a model with one input of rows")
    rows = len(body) // (4 * features)
    tensor = RequestInput(name=MATRIX, datatype="FP32", shape=(rows, features))
    _check_rows(model, tensor, rows)
    matrix = _values(tensor, memoryview(body), has_bytes=True)
    names = output_names(model.preprocessing.target)
    return TensorRequest(
        None, Table(rows, _numbers(tensor, matrix), {}), [(name, True) for name in names]
    )


# Inputs


def _table(model: ReadyModel, inputs: Sequence[RequestInput], behind: memoryview) -> Table:
    preprocessing = model.preprocessing
    is_matrix = takes_matrix(preprocessing) and _is_matrix(inputs, preprocessing)
    if not is_matrix:
        _check_names(preprocessing, [tensor.name for tensor in inputs])
    columns: dict[str, Values] = {}
    first = inputs[0]
    rows = first.shape[0] if first.shape else 0
    _check_rows(model, first, rows)
    for tensor in inputs:
        if not is_matrix:
            _check_column(tensor, first, rows)
        size = tensor.parameters.binary_data_size if tensor.parameters else None
        if size is not None and size > len(behind):
            raise _refuse(
                tensor,
                f"`binary_data_size` is {size}: {len(behind)} bytes are left ({JSON_LENGTH})",
            )
        data = behind[: size or 0]
        behind = behind[size or 0 :]
        columns[tensor.name] = _values(tensor, data, has_bytes=size is not None)
    if behind:
        raise InvalidField(f"{len(behind)} bytes behind the JSON object belong to no input")
    if is_matrix:
        return Table(rows, _numbers(first, columns[first.name]), {})
    return Table(rows, None, columns)


def _is_matrix(inputs: Sequence[RequestInput], preprocessing: Preprocessing) -> bool:
    """Whether the rows come as one tensor, whatever its name."""
    if len(inputs) != 1:
        return False
    features = len(preprocessing.features)
    if len(inputs[0].shape) == 2 and inputs[0].shape[1] == features:
        return True
    if inputs[0].name in preprocessing.feature_names:
        return False
    raise _refuse(inputs[0], f"the shape [rows, {features}] is needed")


def _check_names(preprocessing: Preprocessing, names: Sequence[str]) -> None:
    known = preprocessing.feature_names
    if len(names) == len(known) and set(names) == set(known):
        return
    seen: set[str] = set()
    for name in names:
        if name not in known:
            raise InvalidField(f"the model has no input {name!r}", "inputs")
        if name in seen:
            raise InvalidField(f"the input {name!r} comes twice", "inputs")
        seen.add(name)
    missing = next(name for name in known if name not in seen)
    raise InvalidField(f"the input {missing!r} is missing", "inputs")


def _check_column(tensor: RequestInput, first: RequestInput, rows: int) -> None:
    if len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ((), (1,)):
        raise _refuse(tensor, "the shape [rows] or [rows, 1] is needed")
    if tensor.shape[0] != rows:
        raise _refuse(tensor, f"{first.name!r} has {rows} rows")


def _check_rows(model: ReadyModel, tensor: RequestInput, rows: int) -> None:
    if rows == 0:
        raise _refuse(tensor, "a row is needed")
    check_work(model, rows)


def _values(tensor: RequestInput, data: memoryview, *, has_bytes: bool) -> Values:
    parameters = tensor.parameters
    if parameters and parameters.shared_memory_region is not None:
        raise _refuse(tensor, "there is no shared memory")
    if has_bytes and tensor.data is not None:
        raise _refuse(tensor, "there are both `data` and `binary_data_size`")
    try:
        if has_bytes:
            return from_bytes(tensor.datatype, tensor.shape, data)
        return from_json(tensor.datatype, tensor.shape, tensor.data)
    except ValueError as error:
        raise InvalidField(f"the input {tensor.name!r}: {error}", "inputs") from None


def _numbers(tensor: RequestInput, values: Values) -> npt.NDArray[Any]:
    """Arrange rows of numbers. Shape (rows, features)."""
    if tensor.datatype in ("BOOL", "BYTES"):
        raise _refuse(tensor, "numbers are needed")
    if not isinstance(values, np.ndarray):  # whole numbers, some of them missing
        values = np.array(values, np.float64)
    return values.reshape(tensor.shape)


def _refuse(tensor: RequestInput, why: str) -> InvalidField:
    told = f"the input {tensor.name!r} has the shape {list(tensor.shape)}: {why}"
    return InvalidField(told, "inputs")


# Outputs


def _outputs(preprocessing: Preprocessing, request: InferenceRequest) -> list[tuple[str, bool]]:
    binary = request.parameters is not None and request.parameters.binary_data_output
    names = output_names(preprocessing.target)
    if not request.outputs:
        return [(name, binary) for name in names]
    chosen: dict[str, bool] = {}
    for output in request.outputs:
        if output.name not in names:
            raise InvalidField(f"the model has no output {output.name!r}", "outputs")
        if output.name in chosen:
            raise InvalidField(f"the output {output.name!r} is asked for twice", "outputs")
        chosen[output.name] = _is_binary(output.parameters, by_default=binary)
    return list(chosen.items())


def _is_binary(parameters: OutputParameters | None, *, by_default: bool) -> bool:
    if parameters is None:
        return by_default
    if parameters.classification:
        raise InvalidField("there is no `classification`: ask for `probabilities`", "outputs")
    if parameters.shared_memory_region is not None:
        raise InvalidField("there is no shared memory", "outputs")
    return by_default if parameters.binary_data is None else parameters.binary_data
