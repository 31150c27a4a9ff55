"""Whole tables: the numbers of single requests to the last bit, and errors that name the cell."""

import json
import math
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn import metrics

from perceptron import batches, inference
from perceptron.frames import Column, Frame, booleans, categories, numbers
from perceptron.judging import judge
from perceptron.layers import FloatArray, Layer, Layers
from perceptron.parsing import Limits, parse
from perceptron.preprocessing import encode_rows
from schemas.dataset import DatasetOptions
from schemas.errors import InvalidField
from schemas.media_types import PARQUET
from schemas.network import Task
from schemas.preprocessing import (
    BooleanFeature,
    CategoricalFeature,
    DerivedInput,
    NumericFeature,
    Preprocessing,
    Target,
    numbers_as_they_are,
)

TARGETS: dict[Task, Target] = {
    "binary": Target(name="y", task="binary", classes=("no", "yes")),
    "multiclass": Target(name="y", task="multiclass", classes=("a", "b", "c")),
    "regression": Target(name="y", task="regression", classes=None),
}
FEATURES = (
    NumericFeature(name="age", mean=40.3, scale=11.7, fill=33.1),
    CategoricalFeature(name="town", categories=("Bonn", "Ulm"), missing="place", unknown="ignore"),
    BooleanFeature(name="smokes", fill=0.5),
)
LIMITS = Limits(1_000, 100, 2**20)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take 14 rows at a time through a layer of 9 units, and encode 28 at a time."""
    monkeypatch.setattr(inference, "BLOCK_VALUES", 9 * 14)
    monkeypatch.setattr(batches, "ENCODED_VALUES", 5 * 28)


def network(task: Task, dtype: Any = np.float32, inputs: int = 5) -> Layers:
    """Draw a network of one hidden layer."""
    random = np.random.default_rng(5)
    outputs = TARGETS[task].outputs
    last: Any = {"binary": "sigmoid", "multiclass": "softmax", "regression": "identity"}[task]
    shapes: Any = ((9, inputs, "tanh"), (outputs, 9, last))
    return tuple(
        Layer(random.normal(size=(units, width)).astype(dtype), np.ones(units, dtype), activation)
        for units, width, activation in shapes
    )


def rows(count: int) -> list[dict[str, Any]]:
    """Draw records, some values missing, some categories unknown, some numbers huge."""
    random = Random(count)  # noqa: S311  # no secrets
    return [
        {
            "smokes": random.choice([True, False, None]),
            "age": random.choice([None, random.gauss(40, 10), 1e39, -1e300]),
            "town": random.choice(["Bonn", "Ulm", "Rom", None]),
        }
        for _ in range(count)
    ]


def frame_of(records: list[dict[str, Any]]) -> Frame:
    """Lay records out as columns, another one among them."""
    ages = [math.nan if row["age"] is None else row["age"] for row in records]
    return Frame(
        (
            categories("note", [str(number) for number in range(len(records))], "text"),
            categories("town", [row["town"] for row in records]),
            booleans("smokes", [row["smokes"] for row in records]),
            numbers("age", ages),
        )
    )


def found(preprocessing: Preprocessing, layers: Layers, frame: Frame) -> FloatArray:
    """Put all blocks together."""
    return np.concatenate(list(batches.outputs(preprocessing, layers, frame)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("task", TARGETS)
def test_the_same_numbers_as_a_request(task: Task, dtype: Any) -> None:
    """A table's outputs are those of the same rows in one request, to the last bit."""
    plain = Preprocessing(features=FEATURES, target=TARGETS[task])
    squared = plain.model_copy(update={"derived": (DerivedInput(function="square", of=("age",)),)})
    for count, preprocessing in product((1, 13, 14, 15, 28, 29, 100), (plain, squared)):
        records, layers = rows(count), network(task, dtype, preprocessing.width)
        expected = inference.forward(layers, encode_rows(preprocessing, records))
        usable = batches.usable(preprocessing, frame_of(records), are_numbers_texts=False)
        ours = found(preprocessing, layers, usable)
        assert (ours.dtype, ours.shape) == (expected.dtype, expected.shape)
        assert ours.tobytes() == expected.tobytes()


def test_going_on_from_a_block() -> None:
    """From the first row of a block on, the rest is what it was."""
    preprocessing = Preprocessing(features=FEATURES, target=TARGETS["multiclass"])
    layers, frame = network("multiclass"), frame_of(rows(100))
    whole = found(preprocessing, layers, frame)
    for first in (0, 14, 42, 98):
        rest = list(batches.outputs(preprocessing, layers, frame, first))
        assert np.concatenate(rest).tobytes() == whole[first:].tobytes()
    assert list(batches.outputs(preprocessing, layers, frame, 100)) == []


def test_texts_that_are_numbers() -> None:
    """Only where numbers may have been read as texts are texts numbers; blanks are missing."""
    preprocessing = numbers_as_they_are(("x",))
    frame = Frame((categories("x", ["007", None, "-2.5e1"], "text"),))
    taken = batches.usable(preprocessing, frame, are_numbers_texts=True)
    np.testing.assert_array_equal(taken.columns[0].values, [7, np.nan, -25])
    with pytest.raises(InvalidField, match=r"^row 1: 'x' is the text '007': a number is needed$"):
        batches.usable(preprocessing, frame, are_numbers_texts=False)
    empty = Frame((categories("x", [None, None], "text"),))
    taken = batches.usable(preprocessing, empty, are_numbers_texts=False)
    assert taken.columns[0].kind == "numeric"
    assert taken.columns[0].missing.all()


def test_a_text_among_numbers() -> None:
    """Numbers of JSON that became texts beside one do not take its blame."""
    frame = Frame((categories("x", ["1", None, "two", "3"]),))
    with pytest.raises(InvalidField, match=r"^row 3: 'x' is the text 'two': a number is needed$"):
        batches.usable(numbers_as_they_are(("x",)), frame, are_numbers_texts=False)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (categories("x", ["1", None, "two", "3"]), "row 3: 'x' is the text 'two': a number"),
        (categories("x", ["1", "inf"]), "row 2: 'x' is the text 'inf': a number"),
        (categories("x", ["1", "1_000"]), "row 2: 'x' is the text '1_000': a number"),
        (booleans("x", [None, True]), "row 2: 'x' is true: a number"),
    ],
)
def test_what_is_no_number(column: Column, message: str) -> None:
    """The first cell of a numeric feature that is no number is named, and its column pointed at."""
    with pytest.raises(InvalidField, match=message) as refused:
        batches.usable(numbers_as_they_are(("x",)), Frame((column,)), are_numbers_texts=True)
    assert refused.value.at == ("x",)


def test_rows_count_through_all_blocks() -> None:
    """A value that is refused in a later block is told by its row in the whole table, from 1."""
    strict = CategoricalFeature(name="c", categories=("a",), missing="error", unknown="error")
    preprocessing = Preprocessing(
        features=(NumericFeature(name="n"), strict), target=TARGETS["binary"]
    )
    layers = (Layer(np.ones((9, 2), np.float32), np.ones(9, np.float32), "tanh"),)
    values = np.ones(100)
    values[70] = np.nan
    texts: list[str | None] = ["a"] * 100
    texts[-1] = "b"
    good = numbers("n", np.ones(100)), categories("c", ["a"] * 100)
    for name, columns, message in (
        ("n", (numbers("n", values), good[1]), "^row 71: 'n' is missing$"),
        ("c", (good[0], categories("c", texts)), "^row 100: 'c' is 'b', which"),
    ):
        frame = Frame(columns)
        with pytest.raises(InvalidField, match=message) as refused:
            list(batches.outputs(preprocessing, layers, frame))
        assert refused.value.at == (name,)


def test_answers_are_bounded() -> None:
    """A table whose predictions and probabilities would be too many is refused."""
    batches.check_size(TARGETS["multiclass"], 5_000_000)
    with pytest.raises(InvalidField, match="5000001 rows: at most 5000000") as refused:
        batches.check_size(TARGETS["multiclass"], 5_000_001, "dataset")
    assert refused.value.at == ("dataset",)


def test_kinds_that_suit() -> None:
    """What a feature cannot take is refused by the column's kind; what it may hold is not."""
    preprocessing = Preprocessing(features=FEATURES, target=TARGETS["binary"])
    good: Any = {"age": "numeric", "town": "text", "smokes": "categorical", "other": "text"}
    batches.check_kinds(preprocessing, good)
    batches.check_kinds(preprocessing, good | {"town": "numeric", "smokes": "numeric"})
    bad: list[tuple[Any, str]] = [
        ({"age": "boolean"}, "its column 'age' is boolean: numbers are needed"),
        ({"age": "categorical"}, "its column 'age' is categorical: numbers are needed"),
        ({"smokes": "text"}, "its column 'smokes' is text: true or false is needed"),
    ]
    for change, message in bad:
        with pytest.raises(InvalidField, match=message):
            batches.check_kinds(preprocessing, good | change, "dataset")
    del good["town"]
    with pytest.raises(InvalidField, match="it has no column 'town', a feature of the model"):
        batches.check_kinds(preprocessing, good, "dataset")


def judged(task: Task, column: Column, outputs: FloatArray) -> Any:
    """Judge, and give what is found as plain values."""
    evaluation = judge(TARGETS[task], column, outputs)
    return None if evaluation is None else evaluation.model_dump()


def test_judging_as_scikit_learn_does() -> None:
    """Rows whose class is known are judged; those without one, or of another, are left out."""
    random = np.random.default_rng(1)
    truth = random.choice(["no", "yes"], 200)
    told: list[str | None] = [str(label) for label in truth]
    told[3], told[5] = None, "perhaps"
    kept = [row for row in range(200) if row not in (3, 5)]
    scores = random.uniform(size=200).astype(np.float32)
    ours = judged("binary", categories("y", told), scores)
    actual = truth[kept] == "yes"
    assert math.isclose(ours["loss"], metrics.log_loss(actual, scores[kept].astype(float)))
    assert math.isclose(ours["roc_auc"], metrics.roc_auc_score(actual, scores[kept]))
    assert ours["accuracy"] == metrics.accuracy_score(actual, scores[kept] > 0.5)
    assert math.isclose(ours["baseline"]["accuracy"], max(actual.mean(), 1 - actual.mean()))
    table = random.dirichlet(np.ones(3), 200)
    classes = random.choice(["a", "b", "c"], 200)
    ours = judged("multiclass", categories("y", list(map(str, classes))), table)
    matrix = metrics.confusion_matrix(classes, np.array(["a", "b", "c"])[table.argmax(1)])
    assert ours["confusion_matrix"] == tuple(map(tuple, matrix.tolist()))
    assert math.isclose(ours["loss"], metrics.log_loss(classes, table))
    actual = random.normal(5, 2, 200)
    actual[7] = np.nan
    outputs = random.normal(5, 2, 200)
    ours = judged("regression", numbers("y", actual), outputs)
    known = ~np.isnan(actual)
    assert math.isclose(ours["r2"], metrics.r2_score(actual[known], outputs[known]))
    assert math.isclose(ours["baseline"]["rmse"], actual[known].std())


def test_nothing_to_judge() -> None:
    """Without a row whose target is known there is no evaluation."""
    scores = np.ones(2, np.float32)
    assert judged("binary", categories("y", ["x", None]), scores) is None
    assert judged("regression", categories("y", ["x", "z"]), scores) is None
    assert judged("regression", numbers("y", [np.nan, np.nan]), scores) is None


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """Write a table of which one column cannot be read as values."""
    path = tmp_path / "table"
    pl.DataFrame({"b": [1, 2], "lists": [[1], [2, 3]], "a": ["x", "y"]}).write_parquet(path)
    return path


def test_only_what_is_needed_is_read(parquet: Path) -> None:
    """Of a table, the needed columns are taken, in the order that is asked for."""
    options = DatasetOptions(name="t")
    frame = parse(parquet, PARQUET, options, LIMITS._replace(needed=("a", "b")))
    assert frame.names == ("a", "b")
    with pytest.raises(InvalidField, match="'lists' holds lists"):
        parse(parquet, PARQUET, options, LIMITS)
    with pytest.raises(InvalidField, match="there is no column 'c'") as refused:
        parse(parquet, PARQUET, options, LIMITS._replace(needed=("a", "c")))
    assert refused.value.at == ("columns", "c")


@pytest.mark.parametrize("media_type", ["text/csv", "application/x-ndjson", "application/json"])
def test_needed_columns_of_texts(media_type: str, tmp_path: Path) -> None:
    """The other formats are read like that too."""
    path = tmp_path / "table"
    records = [{"b": 1, "a": "x", "z": 0.5}, {"b": 2, "a": "y", "z": 1.5}]
    lines = "\n".join(map(json.dumps, records))
    texts = {"text/csv": "b,a,z\n1,x,0.5\n2,y,1.5\n", "application/x-ndjson": lines}
    path.write_text(texts.get(media_type, json.dumps(records)))
    frame = parse(path, media_type, DatasetOptions(name="t"), LIMITS._replace(needed=("z", "b")))
    assert frame.names == ("z", "b")
    assert frame.records(0, 2) == ({"z": 0.5, "b": 1}, {"z": 1.5, "b": 2})
    with pytest.raises(InvalidField, match="there is no column 'c'"):
        parse(path, media_type, DatasetOptions(name="t"), LIMITS._replace(needed=("c",)))
