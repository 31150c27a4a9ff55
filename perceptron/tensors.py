"""Tensors of the Open Inference Protocol: arrays of numbers or lists of text, as bytes or JSON."""

import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from schemas.dataset import ToldCell
from schemas.open_inference import Datatype

Values: TypeAlias = npt.NDArray[Any] | Sequence[ToldCell]
"""
A tensor's values, flat, last dimension fastest: an array, in which NaN is missing; or cells, of
which None is missing.
"""

DTYPES: Mapping[Datatype, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""Every data type but BYTES, as it lies in memory."""

JSON_TYPES: Mapping[str, frozenset[type]] = {
    "b": frozenset((bool,)),
    "u": frozenset((int,)),
    "i": frozenset((int,)),
    "f": frozenset((int, float)),
}
"""What a value is in JSON, by the kind of its NumPy type."""
MISSING = type(None)

_LENGTH = struct.Struct("<I")


def from_bytes(datatype: Datatype, shape: Sequence[int], data: memoryview) -> Values:
    """
    Read a tensor from its little-endian bytes; a BYTES element of no length is missing.

    Raises: ValueError where the bytes are not such a tensor.
    """
    count = prod(shape)
    if datatype == "BYTES":
        return _texts(data, count)
    dtype = DTYPES[datatype]
    if count * dtype.itemsize != len(data):
        raise ValueError(
            f"{datatype} of shape {list(shape)} is {count * dtype.itemsize} bytes, not {len(data)}"
        )
    if datatype != "BOOL":
        return _finite(np.frombuffer(data, dtype))
    truths = np.frombuffer(data, np.uint8)
    if (truths > 1).any():
        raise ValueError("a BOOL is the byte 0 or 1")
    return truths.view(np.bool_)


def _finite(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """See that no number is infinite: no form of a request has such numbers."""
    if values.dtype.kind == "f" and np.isinf(values).any():
        raise ValueError("a value is infinite")
    return values


def _texts(data: memoryview, count: int) -> list[str | None]:
    texts: list[str | None] = []
    end = 0
    try:
        for _ in range(count):
            start = end + _LENGTH.size
            end = start + _LENGTH.unpack_from(data, end)[0]
            if end > len(data):
                break
            texts.append(str(data[start:end], "utf-8") or None)
    except UnicodeDecodeError as error:
        raise ValueError(f"element {len(texts) + 1} is not UTF-8: {error.reason}") from None
    except struct.error:
        end = len(data) + 1
    if end != len(data):
        raise ValueError(f"{len(data)} bytes are not {count} lengths, each with as many bytes")
    return texts


def from_json(datatype: Datatype, shape: Sequence[int], data: Any) -> Values:
    """
    Read a tensor from its values in JSON, nested by the shape or flat; null and "" are missing.

    Raises: ValueError where they are not such a tensor.
    """
    flat = _flat(data, shape)
    kinds = set(map(type, flat))
    if datatype == "BYTES":
        if not kinds <= {str, MISSING}:
            raise ValueError("BYTES are texts in JSON")
        return [text or None for text in flat]
    dtype = DTYPES[datatype]
    if not kinds - {MISSING} <= JSON_TYPES[dtype.kind]:
        raise ValueError(f"a value is no {datatype}")
    try:
        if dtype.kind == "f":  # NumPy takes None for NaN
            with np.errstate(over="ignore"):
                return _finite(np.array(flat, np.float64)).astype(dtype, copy=False)
        if MISSING not in kinds:
            return np.array(flat, dtype)
        np.array([value for value in flat if value is not None], dtype)
    except OverflowError:
        raise ValueError(f"a value is beyond what {datatype} holds") from None
    return flat


def _flat(data: Any, shape: Sequence[int]) -> list[Any]:
    """Unnest lists that are nested by the shape, or to some depth of it."""
    if not isinstance(data, list):
        raise ValueError("`data` is no array, and `binary_data_size` is not given either")  # noqa: TRY004
    flat, depth = data, 1
    while flat and isinstance(flat[0], list):
        size = shape[depth] if depth < len(shape) else None
        if not all(isinstance(part, list) and len(part) == size for part in flat):
            raise ValueError(f"`data` is not nested as the shape {list(shape)}")
        flat = list(chain.from_iterable(flat))
        depth += 1
    if len(flat) != prod(shape):
        raise ValueError(f"{len(flat)} values for the shape {list(shape)}")
    return flat


def to_bytes(values: Values) -> bytes:
    """Write an array, or a list of texts, as little-endian bytes."""
    if isinstance(values, np.ndarray):
        return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    elements = {text: _element(str(text)) for text in set(values)}
    return b"".join([elements[text] for text in values])


def _element(text: str) -> bytes:
    encoded = text.encode()
    return _LENGTH.pack(len(encoded)) + encoded
