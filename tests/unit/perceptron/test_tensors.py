"""Tensors as bytes and as JSON."""

import json
import struct
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic_core import from_json as parsed
from tritonclient.utils import (
    deserialize_bytes_tensor,
    np_to_triton_dtype,
    serialize_byte_tensor,
    triton_to_np_dtype,
)

from perceptron.tensors import DTYPES, from_bytes, from_json, to_bytes
from schemas.open_inference import Datatype

NUMBERS = [datatype for datatype in get_args(Datatype) if datatype != "BYTES"]
SHAPES = arrays.array_shapes(max_dims=3, max_side=4)
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1)


def test_data_types_are_triton_s() -> None:
    """Each data type has the NumPy type that Triton's client has for it."""
    for datatype, dtype in DTYPES.items():
        assert dtype == np.dtype(triton_to_np_dtype(datatype))
        assert np_to_triton_dtype(dtype) == datatype


def finite(datatype: Datatype) -> st.SearchStrategy[np.ndarray[Any, Any]]:
    """Draw an array without ∞; with NaN."""
    elements = arrays.from_dtype(DTYPES[datatype], allow_infinity=False)
    return arrays.arrays(DTYPES[datatype], SHAPES, elements=elements)


@pytest.mark.parametrize("datatype", NUMBERS)
@given(data=st.data())
@settings(deadline=None, max_examples=20)
def test_numbers_are_numpy_s_bytes(datatype: Datatype, data: st.DataObject) -> None:
    """Any array comes back from its bytes, wherever in a body they lie, and goes out as them."""
    tensor = data.draw(finite(datatype))
    body = b"{}." + tensor.tobytes()
    found = from_bytes(datatype, tensor.shape, memoryview(body)[3:])
    np.testing.assert_array_equal(found, tensor.reshape(-1))
    assert to_bytes(found) == tensor.tobytes()


@pytest.mark.parametrize("datatype", NUMBERS)
@given(data=st.data())
@settings(deadline=None, max_examples=20)
def test_numbers_in_json(datatype: Datatype, data: st.DataObject) -> None:
    """Any array comes back from its JSON, nested or flat; NaN too, as Python writes it."""
    tensor = data.draw(finite(datatype))
    for values in (tensor.tolist(), tensor.reshape(-1).tolist()):
        found = from_json(datatype, tensor.shape, parsed(json.dumps(values)))
        assert isinstance(found, np.ndarray)
        assert found.dtype == tensor.dtype
        np.testing.assert_array_equal(found, tensor.reshape(-1))


@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
@settings(deadline=None)
def test_texts_are_triton_s_bytes(texts: list[str]) -> None:
    """BYTES are what Triton's client writes, and it reads what is written here."""
    theirs = serialize_byte_tensor(np.array(texts, object)).item()
    assert from_bytes("BYTES", (len(texts), 1), memoryview(theirs)) == texts
    assert to_bytes(texts) == theirs
    assert [found.decode() for found in deserialize_bytes_tensor(to_bytes(texts))] == texts
    assert from_json("BYTES", (len(texts),), texts) == texts


def test_missing_values() -> None:
    """No bytes, "" and null are missing; so is NaN, which null becomes among numbers."""
    data = struct.pack("<I1sI", 1, b"a", 0)
    assert from_bytes("BYTES", (2,), memoryview(data)) == ["a", None]
    assert from_json("BYTES", (3,), ["a", "", None]) == ["a", None, None]
    assert from_json("INT8", (2,), [3, None]) == [3, None]
    assert from_json("BOOL", (2,), [None, True]) == [None, True]
    np.testing.assert_array_equal(from_json("FP32", (3,), [1, None, 2.5]), [1, np.nan, 2.5])


def test_beyond_the_range_of_fp32() -> None:
    """A number that FP32 does not hold is ∞ in it, as NumPy rounds it."""
    np.testing.assert_array_equal(from_json("FP32", (2,), [1e300, -1e300]), [np.inf, -np.inf])


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "message"),
    [
        ("FP32", (2, 2), bytes(15), r"FP32 of shape \[2, 2\] is 16 bytes, not 15"),
        ("FP32", (2**40, 2**40), bytes(8), "not 8"),
        ("BOOL", (1,), b"\x02", "byte 0 or 1"),
        ("FP16", (1,), struct.pack("<e", -np.inf), "a value is infinite"),
        ("FP32", (2,), struct.pack("<2f", 1, np.inf), "a value is infinite"),
        ("FP64", (1,), [-np.inf], "a value is infinite"),
        ("BYTES", (1,), struct.pack("<I1s", 2, b"a"), "5 bytes are not 1 lengths"),
        ("BYTES", (2,), struct.pack("<I1s", 1, b"a"), "5 bytes are not 2 lengths"),
        ("BYTES", (2**60,), struct.pack("<I1s", 1, b"a"), "5 bytes are not"),
        ("BYTES", (0,), struct.pack("<I1s", 1, b"a"), "5 bytes are not 0 lengths"),
        ("BYTES", (1,), struct.pack("<I", 2**32 - 1), "4 bytes are not 1 lengths"),
        ("BYTES", (1,), struct.pack("<I1s", 1, b"\xff"), "element 1 is not UTF-8"),
        ("FP32", (3,), [1, 2], r"2 values for the shape \[3\]"),
        ("FP32", (2, 2), [[1, 2], [3]], r"not nested as the shape \[2, 2\]"),
        ("FP32", (2, 3), [[1, 2], [3, 4], [5, 6]], "not nested"),
        ("FP32", (2,), [[1], [2]], "not nested"),
        ("FP32", (2, 1), [[1], 2], "not nested"),
        ("FP32", (1,), 1, "`data` is no array"),
        ("FP32", (1,), None, "`data` is no array"),
        ("FP32", (1,), ["1"], "a value is no FP32"),
        ("FP64", (1,), [True], "a value is no FP64"),
        ("FP64", (1,), [10**400], "beyond what FP64 holds"),
        ("INT8", (1,), [1.0], "a value is no INT8"),
        ("INT8", (1,), [128], "beyond what INT8 holds"),
        ("UINT8", (2,), [None, -1], "beyond what UINT8 holds"),
        ("BOOL", (1,), [1], "a value is no BOOL"),
        ("BYTES", (1,), [1], "BYTES are texts"),
        ("FP32", (1,), [{}], "a value is no FP32"),
    ],
)
def test_what_is_no_tensor(
    datatype: Datatype, shape: tuple[int, ...], data: Any, message: str
) -> None:
    """What does not fit the shape or the type is refused with words, before memory is taken."""
    is_binary = isinstance(data, bytes)
    read: Callable[..., Any] = from_bytes if is_binary else from_json
    with pytest.raises(ValueError, match=message):
        read(datatype, shape, memoryview(data) if is_binary else data)
