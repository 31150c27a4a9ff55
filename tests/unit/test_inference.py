"""Inference requests, from bytes to bytes, without a server."""

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptron.inference import forward
from perceptron.layers import Layer
from perceptron.preprocessing import answers, encode_rows
from perceptron.tensors import to_bytes
from schemas.preprocessing import (
    BooleanFeature,
    CategoricalFeature,
    NumericFeature,
    Preprocessing,
    Target,
)
from service.inference import Answer, Asked, answer
from service.model_cache import ReadyModel
from service.statistics import Statistics

LIMIT = 10_000_000
RANDOM = np.random.default_rng(7)
CLASSES = ("no", "perhaps", "yes")
NUMBERS = tuple(
    NumericFeature(name=name, mean=mean, scale=scale, fill=fill)
    for name, mean, scale, fill in (("a", 0.5, 2.0, None), ("b", -3.0, 0.25, 1.5), ("c", 0, 1, 0))
)
MIXED = (
    NumericFeature(name="age", mean=40, scale=10, fill=38.5),
    BooleanFeature(name="smokes", fill=0.5),
    CategoricalFeature(
        name="town", categories=("Bonn", "Ulm", "부산"), missing="place", unknown="ignore"
    ),
    CategoricalFeature(name="floor", categories=("1", "2"), missing="error", unknown="error"),
)
DATATYPES = {"age": "FP64", "smokes": "BOOL", "town": "BYTES", "floor": "INT32"}
DTYPES = {"FP32": "<f4", "FP64": "<f8", "INT32": "<i4", "BOOL": "?"}


def _model(features: Any, classes: Any = CLASSES) -> ReadyModel:
    """Make a model of random weights: of several classes, of two, or of a number."""
    kinds = {0: "regression", 2: "binary", 3: "multiclass"}
    task: Any = kinds[len(classes or ())]
    target = Target(name="y", task=task, classes=classes)
    preprocessing = Preprocessing(features=features, target=target)
    activations: Mapping[str, Any] = {"binary": "sigmoid", "multiclass": "softmax"}
    layers = (
        _layer(preprocessing.width, 5, "tanh"),
        _layer(5, target.outputs, activations.get(task, "identity")),
    )
    return ReadyModel("m", 3, preprocessing, layers, 0, 1_000_000)


def _layer(inputs: int, outputs: int, activation: Any) -> Layer:
    weight = RANDOM.normal(size=(outputs, inputs)).astype(np.float32)
    return Layer(weight, RANDOM.normal(size=outputs).astype(np.float32), activation)


NUMERIC_MODEL = _model(NUMBERS)
MIXED_MODEL = _model(MIXED)


def _tensor(name: str, datatype: str, values: Any, shape: Any = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(values)], "data": values}


def _columns(rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """Make a tensor of each column of the mixed model's rows."""
    columns = zip(*rows, strict=True)
    return [
        _tensor(name, datatype, list(column))
        for (name, datatype), column in zip(DATATYPES.items(), columns, strict=True)
    ]


def _ask(model: ReadyModel, inputs: Any, **others: Any) -> Answer:
    body = json.dumps({"inputs": inputs, **others}).encode()
    return answer(model, Asked(), body, LIMIT, Statistics())


def _ask_binary(model: ReadyModel, inputs: Sequence[dict[str, Any]], **others: Any) -> Answer:
    """Send the same tensors as bytes, as far as their types have no need of null."""
    told, behind = [], b""
    for tensor in inputs:
        values = tensor["data"]
        if tensor["datatype"] == "BYTES":
            data = to_bytes([value or "" for value in values])
        else:
            data = np.array(values, DTYPES[tensor["datatype"]]).tobytes()
        sizes = {"binary_data_size": len(data)}
        told.append({**tensor, "data": None, "parameters": sizes})
        behind += data
    head = json.dumps({"inputs": told, **others}).encode()
    return answer(model, Asked(str(len(head))), head + behind, LIMIT, Statistics())


def _outputs(found: Answer) -> dict[str, list[Any]]:
    assert found.status == 200, found.body
    assert found.headers == {"Content-Type": "application/json"}
    return {tensor["name"]: tensor["data"] for tensor in json.loads(found.body)["outputs"]}


def _error(found: Answer, status: int = 400) -> str:
    assert found.status == status
    assert found.headers == {"Content-Type": "application/json"}
    told = json.loads(found.body)
    assert list(told) == ["error"]
    return str(told["error"])


MIXED_ROWS = st.tuples(
    st.floats(-1e6, 1e6) | st.none(),
    st.booleans(),
    st.sampled_from(["Bonn", "Ulm", "부산", "Rom", None]),
    st.sampled_from([1, 2]),
)


@given(rows=st.lists(MIXED_ROWS, min_size=1, max_size=9), order=st.permutations(range(4)))
@settings(deadline=None)
def test_columns_are_the_rows_of_predict(rows: list[Any], order: list[int]) -> None:
    """Tensors of any order, in JSON or bytes, are answered as the same rows of `/predict` are."""
    inputs = [_columns(rows)[index] for index in order]
    preprocessing = MIXED_MODEL.preprocessing
    outputs = forward(MIXED_MODEL.layers, encode_rows(preprocessing, rows))
    expected = answers(preprocessing.target, outputs)
    found = _outputs(_ask(MIXED_MODEL, inputs))
    assert found["predictions"] == list(expected.predictions)
    np.testing.assert_array_equal(
        np.array(found["probabilities"], np.float32),
        np.ravel(expected.probabilities),  # type: ignore[arg-type]
    )
    assert _outputs(_ask_binary(MIXED_MODEL, inputs)) == found


FLOATS = st.floats(width=32, allow_infinity=False)


@given(rows=st.lists(st.lists(FLOATS, min_size=3, max_size=3), min_size=1, max_size=9))
@settings(deadline=None)
def test_a_matrix_is_its_rows_and_its_columns(rows: list[list[float]]) -> None:
    """A matrix, nested or flat or in bytes, and its columns are answered alike; or all refused."""
    shape = [len(rows), 3]
    matrix = _tensor("anything", "FP32", rows, shape)
    flat = _tensor("input", "FP32", [value for row in rows for value in row], shape)
    columns = [
        _tensor(name, "FP32", list(column), [len(rows), 1])
        for name, column in zip("abc", zip(*rows, strict=True), strict=True)
    ]
    found = [
        _ask(NUMERIC_MODEL, [matrix]),
        _ask(NUMERIC_MODEL, [flat]),
        _ask(NUMERIC_MODEL, columns),
        _ask_binary(NUMERIC_MODEL, [matrix]),
        _ask_binary(NUMERIC_MODEL, columns),
    ]
    if np.isnan([row[0] for row in rows]).any():
        assert len({_error(each) for each in found}) == 1
    else:
        assert len({each.body for each in found}) == 1
        assert found[0].status == 200


@given(rows=st.lists(MIXED_ROWS, min_size=2, max_size=9))
@settings(deadline=None)
def test_batches_are_their_rows(rows: list[Any]) -> None:
    """A batch is answered as its rows are one by one, but for the rounding of float32."""
    together = _outputs(_ask(MIXED_MODEL, _columns(rows)))
    alone = [_outputs(_ask(MIXED_MODEL, _columns([row]))) for row in rows]
    assert together["predictions"] == [each["predictions"][0] for each in alone]
    probabilities = [number for each in alone for number in each["probabilities"]]
    np.testing.assert_allclose(together["probabilities"], probabilities, rtol=1e-5, atol=1e-7)


def test_many_rows() -> None:
    """Rows that are computed in several blocks are answered in order, each as it is alone."""
    rows = RANDOM.normal(size=(100_003, 3)).astype(np.float32)
    asked = {"parameters": {"binary_data_output": True}}
    inputs = [{**_tensor("x", "FP32", [], list(rows.shape)), "data": rows}]
    found = _ask_binary(NUMERIC_MODEL, inputs, **asked)
    size = int(found.headers["Inference-Header-Content-Length"])
    predictions = json.loads(found.body[:size])["outputs"][0]["parameters"]["binary_data_size"]
    probabilities = np.frombuffer(found.body[size + predictions :], np.float32).reshape(-1, 3)
    scaled = [(rows[:, i] - f.mean) / f.scale for i, f in enumerate(NUMBERS)]
    values = np.stack(scaled, 1)
    (first, bias, _), (second, last, _) = NUMERIC_MODEL.layers
    z = np.tanh(values @ first.T + bias) @ second.T + last
    powers = np.exp(z - z.max(1, keepdims=True))
    np.testing.assert_allclose(probabilities, powers / powers.sum(1, keepdims=True), atol=1e-5)


def test_rows_are_named_in_any_block() -> None:
    """What is missing is named by its row, counted from the first of the request."""
    column = np.zeros(100_000)
    column[99_998] = np.nan
    columns = [_tensor(name, "FP64", column) for name in "abc"]
    assert _error(_ask_binary(NUMERIC_MODEL, columns)) == "row 99999: 'a' is missing"
    matrix = {**_tensor("x", "FP64", [], [100_000, 3]), "data": np.repeat(column, 3)}
    assert _error(_ask_binary(NUMERIC_MODEL, [matrix])) == "row 99999: 'a' is missing"


@pytest.mark.parametrize("classes", [(False, True), (4, 7), (0.5, 2.5), ("n", "y"), CLASSES, None])
def test_outputs_in_bytes(classes: Any) -> None:
    """Outputs as bytes say what they say in JSON, in the order in which they are asked for."""
    model = _model(NUMBERS, classes)
    inputs = [_tensor("x", "FP32", [[0, 1, 2], [3, 4, 5]], [2, 3])]
    names = ["predictions"] if classes is None else ["probabilities", "predictions"]
    asked = [{"name": name, "parameters": {"binary_data": True}} for name in names]
    plain = _ask(model, inputs)
    found = _ask(model, inputs, outputs=asked, id="7")
    assert found.headers["Content-Type"] == "application/octet-stream"
    size = int(found.headers["Inference-Header-Content-Length"])
    told, behind = json.loads(found.body[:size]), found.body[size:]
    assert (told["id"], told["model_name"], told["model_version"]) == ("7", "m", "3")
    assert [tensor["name"] for tensor in told["outputs"]] == names
    for tensor in told["outputs"]:
        data = behind[: tensor["parameters"]["binary_data_size"]]
        behind = behind[len(data) :]
        values = _outputs(plain)[tensor["name"]]
        if tensor["datatype"] == "BYTES":
            assert data == to_bytes(values)
        else:
            dtype = {"BOOL": "?", "INT64": "<i8", "FP64": "<f8", "FP32": "<f4"}[tensor["datatype"]]
            np.testing.assert_array_equal(
                np.frombuffer(data, dtype), np.array(values).astype(dtype)
            )
    assert behind == b""


def test_which_outputs_are_bytes() -> None:
    """What an output asks for goes before what the request asks for; null asks for nothing."""
    inputs = [_tensor("x", "FP32", [0, 1, 2], [1, 3])]
    everything = {"parameters": {"binary_data_output": True}}
    asked: list[Any] = [{"name": "predictions", "parameters": {"binary_data": False}}]
    assert list(_outputs(_ask(NUMERIC_MODEL, inputs, outputs=asked, **everything))) == [
        "predictions"
    ]
    asked = [{"name": "predictions", "parameters": None}]
    for outputs in (asked, [], None):
        found = _ask(NUMERIC_MODEL, inputs, outputs=outputs, **everything)
        assert found.headers["Content-Type"] == "application/octet-stream"
        assert "predictions" in _outputs(_ask(NUMERIC_MODEL, inputs, outputs=outputs))


def test_a_body_of_nothing_but_bytes() -> None:
    """With a JSON object of 0 bytes, the body is the one input, and all outputs are bytes."""
    rows = np.array([[0, 1, 2], [3, 4, 5]], np.float32)
    raw = answer(NUMERIC_MODEL, Asked("0"), rows.tobytes(), LIMIT, Statistics())
    asked = {"parameters": {"binary_data_output": True}}
    assert raw == _ask(NUMERIC_MODEL, [_tensor("input", "FP32", rows.tolist(), [2, 3])], **asked)
    short = answer(NUMERIC_MODEL, Asked("0"), rows.tobytes()[:-1], LIMIT, Statistics())
    assert "is 12 bytes, not 23" in _error(short)
    mixed = answer(MIXED_MODEL, Asked("0"), rows.tobytes(), LIMIT, Statistics())
    assert "one input of rows" in _error(mixed)


def test_encoded_bodies() -> None:
    """A body may come encoded; an answer is, where it is large and the client asks for it."""
    inputs = [_tensor("x", "FP32", [0.5] * 3_000, [1_000, 3])]
    body = json.dumps({"inputs": inputs}).encode()
    plain = answer(NUMERIC_MODEL, Asked(), body, LIMIT, Statistics())
    asked = Asked(None, "gzip", "gzip")
    found = answer(NUMERIC_MODEL, asked, gzip.compress(body), LIMIT, Statistics())
    assert found.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(found.body) == plain.body
    assert "Content-Encoding" not in plain.headers
    _error(answer(NUMERIC_MODEL, asked, gzip.compress(body), len(body) - 1, Statistics()), 413)
    _error(answer(NUMERIC_MODEL, Asked(None, "br"), body, LIMIT, Statistics()), 415)
    _error(answer(NUMERIC_MODEL, Asked(None, "gzip"), body, LIMIT, Statistics()), 400)


def test_values_of_other_types() -> None:
    """A feature's values may come in any type that holds them; empty BYTES are missing."""
    rows = [(30, True, "Ulm", 1), (None, None, None, 2)]
    expected = _outputs(_ask(MIXED_MODEL, _columns(rows)))
    inputs = [
        _tensor("age", "FP16", [30, None]),
        _tensor("smokes", "BYTES", ["True", ""]),
        _tensor("town", "BYTES", ["Ulm", ""], [2, 1]),
        _tensor("floor", "BYTES", ["1", "2"]),
    ]
    assert _outputs(_ask(MIXED_MODEL, inputs)) == expected
    inputs[1] = _tensor("smokes", "FP32", [1, float("nan")])
    inputs[3] = _tensor("floor", "FP64", [1.0, 2.0])
    assert _outputs(_ask(MIXED_MODEL, inputs)) == expected
    inputs[1] = _tensor("smokes", "UINT8", [1, None])
    assert _outputs(_ask(MIXED_MODEL, inputs)) == expected


X = _tensor("x", "FP32", [0, 1, 2], [1, 3])
A, B, C = (_tensor(name, "FP32", [0]) for name in "abc")
ROW = _columns([(30, True, "Ulm", 1)])


@pytest.mark.parametrize(
    ("model", "inputs", "others", "message"),
    [
        (NUMERIC_MODEL, [], {}, "inputs: Tuple should have at least 1 item"),
        (NUMERIC_MODEL, [A, B], {}, "the input 'c' is missing"),
        (NUMERIC_MODEL, [A, B, B], {}, "the input 'b' comes twice"),
        (NUMERIC_MODEL, [A, B, C, X], {}, "the model has no input 'x'"),
        (NUMERIC_MODEL, [A], {}, "the input 'b' is missing"),
        (NUMERIC_MODEL, [{**X, "shape": [3]}], {}, "the shape [rows, 3] is needed"),
        (NUMERIC_MODEL, [{**X, "shape": [3, 1]}], {}, "the shape [rows, 3] is needed"),
        (NUMERIC_MODEL, [{**X, "shape": [1, 1, 3]}], {}, "the shape [rows, 3] is needed"),
        (NUMERIC_MODEL, [{**X, "shape": []}], {}, "the shape [rows, 3] is needed"),
        (NUMERIC_MODEL, [{**X, "shape": [0, 3], "data": []}], {}, "a row is needed"),
        (NUMERIC_MODEL, [{**X, "shape": [-1, 3]}], {}, "inputs.0.shape.0: Input should be"),
        (NUMERIC_MODEL, [{**X, "shape": [10**9, 3]}], {}, "send at most"),
        (NUMERIC_MODEL, [{**X, "data": [1, 2]}], {}, "the input 'x': 2 values for the shape"),
        (NUMERIC_MODEL, [{**X, "datatype": "BF16"}], {}, "inputs.0.datatype: Input should be"),
        (NUMERIC_MODEL, [{**X, "datatype": "BOOL", "data": [True] * 3}], {}, "numbers are needed"),
        (NUMERIC_MODEL, [{**X, "datatype": "BYTES", "data": ["1"] * 3}], {}, "numbers are needed"),
        (NUMERIC_MODEL, [A, B, {**C, "shape": [1, 2]}], {}, "[rows] or [rows, 1] is needed"),
        (NUMERIC_MODEL, [A, B, _tensor("c", "FP32", [0, 0])], {}, "'a' has 1 rows"),
        (NUMERIC_MODEL, [A, B, _tensor("c", "BYTES", ["0"])], {}, "'c' is the text '0'"),
        (NUMERIC_MODEL, [A, B, _tensor("c", "BOOL", [True])], {}, "'c' is true: a number"),
        (NUMERIC_MODEL, [A, B, _tensor("c", "BOOL", [None])], {"outputs": [{"name": "x"}]}, "'x'"),
        (NUMERIC_MODEL, [{**X, "parameters": {"shared_memory_region": "r"}}], {}, "shared memory"),
        (NUMERIC_MODEL, [{**X, "parameters": {"binary_data_size": 0}}], {}, "both `data` and"),
        (
            NUMERIC_MODEL,
            [{**X, "data": None, "parameters": {"binary_data_size": 12}}],
            {},
            "`binary_data_size` is 12: 0 bytes are left (Inference-Header-Content-Length)",
        ),
        (NUMERIC_MODEL, [X], {"outputs": [{"name": "y"}]}, "the model has no output 'y'"),
        (NUMERIC_MODEL, [X], {"outputs": [{"name": "predictions"}] * 2}, "asked for twice"),
        (
            NUMERIC_MODEL,
            [X],
            {"outputs": [{"name": "predictions", "parameters": {"classification": 1}}]},
            "no `classification`",
        ),
        (
            NUMERIC_MODEL,
            [X],
            {"outputs": [{"name": "predictions", "parameters": {"shared_memory_region": ""}}]},
            "no shared memory",
        ),
        (NUMERIC_MODEL, [X], {"id": 7}, "id: Input should be a valid string"),
        (MIXED_MODEL, [X], {}, "the model has no input 'x'"),
        (MIXED_MODEL, [*ROW[:3], _tensor("floor", "INT8", [3])], {}, "'floor' is '3', which"),
        (MIXED_MODEL, [*ROW[:3], _tensor("floor", "INT8", [None])], {}, "'floor' is missing"),
        (
            MIXED_MODEL,
            [ROW[0], _tensor("smokes", "INT8", [2]), *ROW[2:]],
            {},
            "'smokes' is 2: true",
        ),
        (MIXED_MODEL, [*ROW[:2], _tensor("town", "INT8", [2]), ROW[3]], {}, "a category is needed"),
    ],
)
def test_what_is_refused(model: ReadyModel, inputs: Any, others: Any, message: str) -> None:
    """What a model cannot answer is refused in a sentence that names the tensor."""
    assert message in _error(_ask(model, inputs, **others))


@pytest.mark.parametrize(
    ("length", "body", "message"),
    [
        (None, b"", "Invalid JSON"),
        (None, b"[]", "Input should be an object"),
        (None, b'{"inputs": "\xff"}', "Invalid JSON"),
        (None, b'{"inputs": ' + b"[" * 10_000, "Invalid JSON"),
        ("1e1", b"{}", "a number of bytes is needed"),
        ("-1", b"{}", "a number of bytes is needed"),
        ("9" * 5_000, b"{}", "a number of bytes is needed"),
        ("3", b"{}", "is 3, and the body has 2 bytes"),
        ("0", b"", "a row is needed"),
    ],
)
def test_bodies_that_are_no_requests(length: str | None, body: bytes, message: str) -> None:
    """A body that is none, or not as long as its header says, is refused."""
    assert message in _error(answer(NUMERIC_MODEL, Asked(length), body, LIMIT, Statistics()))


def test_bytes_of_no_input() -> None:
    """Bytes that belong to no input are refused, not ignored."""
    head = json.dumps({"inputs": [X]}).encode()
    found = answer(NUMERIC_MODEL, Asked(str(len(head))), head + b"12", LIMIT, Statistics())
    assert _error(found) == "2 bytes behind the JSON object belong to no input"


def test_a_fault_is_counted_and_shown() -> None:
    """What we fail counts as failed, and is not mistaken for the client's fault."""
    statistics = Statistics()
    broken = NUMERIC_MODEL._replace(layers=NUMERIC_MODEL.layers[1:])
    with pytest.raises(ValueError, match="not aligned"):
        answer(broken, Asked(), json.dumps({"inputs": [X]}).encode(), LIMIT, statistics)
    assert statistics.read()["m", "3"]["fail"][0] == 1
