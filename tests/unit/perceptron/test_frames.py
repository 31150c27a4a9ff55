"""Raw tables: their bytes, their summaries and their records."""

import hashlib
import json
import statistics
from collections import Counter
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perceptron.frames import (
    Column,
    Frame,
    as_number,
    booleans,
    categories,
    moments,
    numbers,
    spelled,
)
from schemas.errors import CorruptModel, InvalidField

FLOATS = st.floats(allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)

FRAME = Frame(
    (
        numbers("age", [1, np.nan, 2.5, 1]),
        booleans("smokes", [True, None, False, True]),
        categories("town", ["서울", "Bonn", None, "서울"]),
        categories("note", ["a", "b", "", None], "text"),
    )
)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """Draw tables of every kind of column."""
    rows = draw(st.integers(1, 6))
    kinds = draw(st.lists(st.sampled_from("nbct"), min_size=1, max_size=5))
    columns: list[Column] = []
    for index, kind in enumerate(kinds):
        name = f"{index} {draw(TEXTS)}"
        if kind == "n":
            columns.append(numbers(name, draw(arrays(np.float64, rows, elements=FLOATS))))
        elif kind == "b":
            values = draw(
                st.lists(st.sampled_from([True, False, None]), min_size=rows, max_size=rows)
            )
            columns.append(booleans(name, values))
        else:
            texts = draw(st.lists(st.none() | TEXTS, min_size=rows, max_size=rows))
            columns.append(categories(name, texts, "categorical" if kind == "c" else "text"))
    return Frame(tuple(columns))


def _same(one: Frame, other: Frame) -> None:
    assert one.names == other.names
    for ours, theirs in zip(one.columns, other.columns, strict=True):
        assert (ours.kind, ours.categories) == (theirs.kind, theirs.categories)
        assert ours.values.dtype == theirs.values.dtype
        np.testing.assert_array_equal(ours.values, theirs.values)


@given(frame=frames())
@settings(deadline=None, max_examples=100)
def test_bytes_give_back_the_same_table(frame: Frame) -> None:
    """Reading what was written gives equal columns, and writing that gives equal bytes."""
    data = frame.to_bytes()
    read = Frame.from_bytes(data)
    _same(read, frame)
    assert read.to_bytes() == data
    assert read.sha256 == frame.sha256 == hashlib.sha256(data).hexdigest()


def test_bytes_are_those_of_the_content() -> None:
    """The layout in memory, the sign of a zero and the bits of a NaN change no byte."""
    other_nan = np.array([0x7FF8000000000001], np.uint64).view(np.float64)
    values = np.array([[0.0, 9], [np.nan, 9], [2, 9]])
    plain = Frame((numbers("x", values[:, 0].copy()),))
    odd = Frame((numbers("x", np.concatenate([[-0.0], other_nan, [2]])),))
    assert {Frame((numbers("x", values[:, 0]),)).to_bytes() for _ in range(20)} == {
        plain.to_bytes()
    }
    assert odd.to_bytes() == plain.to_bytes()
    assert Frame((numbers("y", values[:, 0]),)).to_bytes() != plain.to_bytes()


def test_other_readers_of_safetensors_read_the_bytes() -> None:
    """The library finds the numbers, and the texts of the categories, under documented names."""
    tensors = safetensors.numpy.load(FRAME.to_bytes())
    np.testing.assert_array_equal(tensors["0.values"], [1, np.nan, 2.5, 1])
    assert tensors["2.values"].tolist() == [1, 0, -1, 1]
    assert tensors["2.text"].tobytes().decode() == "Bonn서울"
    assert tensors["2.lengths"].tolist() == [4, 6]
    assert len(tensors) == 8


@given(cut=st.integers(0, len(FRAME.to_bytes()) - 1))
@settings(deadline=None)
def test_cut_bytes_are_corrupt(cut: int) -> None:
    """No proper prefix of the bytes is taken for a table."""
    with pytest.raises(CorruptModel):
        Frame.from_bytes(FRAME.to_bytes()[:cut])


@given(data=st.data())
@settings(deadline=None, max_examples=300)
def test_changed_bytes_are_corrupt_or_a_table(data: st.DataObject) -> None:
    """Changing any byte gives a table with a meaning or CorruptModel, nothing else."""
    blob = bytearray(FRAME.to_bytes())
    blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = Frame.from_bytes(bytes(blob))
    except CorruptModel:
        return
    assert read.rows == 4
    assert len(read.records(0, 4)) == len(FRAME.records(0, 4))
    assert len(read.summaries()) == 4


def _written(change: dict[str, Any], described: Any) -> bytes:
    tensors = dict(safetensors.numpy.load(FRAME.to_bytes())) | change
    known = {name: values for name, values in tensors.items() if values is not None}
    return safetensors.numpy.save(known, metadata={"columns": json.dumps(described)})


COLUMNS = [["age", "numeric"], ["smokes", "boolean"], ["town", "categorical"], ["note", "text"]]


@pytest.mark.parametrize(
    "change",
    [
        {"0.values": np.zeros(3)},
        {"0.values": np.zeros((4, 1))},
        {"0.values": np.zeros(4, np.float32)},
        {"0.values": np.array([1, 2, 3, np.inf])},
        {"0.values": None},
        {"1.values": np.array([0, 1, 0.5, 0])},
        {"2.values": np.array([0, 1, 2, 0], np.int32)},
        {"2.values": np.array([0, 1, -2, 0], np.int32)},
        {"2.lengths": np.array([6, 4], np.int64)},
        {"2.lengths": np.array([4, 5], np.int64)},
        {"2.lengths": np.array([-1, 11], np.int64)},
        {"2.lengths": np.array([4, 6], np.int32)},
        {"2.text": np.frombuffer(b"\xff" * 10, np.uint8)},
        {"2.text": np.frombuffer("서".encode() + b"cbbbbbb", np.uint8)},
        {"3.text": np.frombuffer(b"aa", np.uint8)},
        {"4.values": np.zeros(4)},
    ],
)
def test_tensors_that_make_no_table_are_corrupt(change: dict[str, Any]) -> None:
    """Other shapes, dtypes, values out of range, and texts that are none are refused."""
    assert Frame.from_bytes(_written({}, COLUMNS)).rows == 4
    with pytest.raises(CorruptModel):
        Frame.from_bytes(_written(change, COLUMNS))


@pytest.mark.parametrize(
    "described",
    [
        None,
        [],
        7,
        COLUMNS[:3],
        [["age"]],
        [["town", "numeric"], *COLUMNS[1:]],
        [["age", "number"], *COLUMNS[1:]],
        [["age", ["numeric"]], *COLUMNS[1:]],
        [["", "numeric"], *COLUMNS[1:]],
    ],
)
def test_metadata_without_the_columns_is_corrupt(described: Any) -> None:
    """Each column needs a name of its own and a known kind in the metadata."""
    with pytest.raises(CorruptModel):
        Frame.from_bytes(_written({}, described))


@given(data=st.binary(max_size=200))
@settings(deadline=None)
def test_other_bytes_are_corrupt(data: bytes) -> None:
    """Arbitrary bytes are refused."""
    with pytest.raises(CorruptModel):
        Frame.from_bytes(data)


def test_records_keep_types() -> None:
    """Whole numbers are integers, truths are truths, what is missing is None."""
    first, second, third, fourth = FRAME.records(0, 100)
    assert first == {"age": 1, "smokes": True, "town": "서울", "note": "a"}
    assert type(first["age"]) is int
    assert second == {"age": None, "smokes": None, "town": "Bonn", "note": "b"}
    assert third == {"age": 2.5, "smokes": False, "town": None, "note": ""}
    assert fourth["note"] is None
    assert FRAME.records(1, 3) == (second, third)
    assert FRAME.records(4, 9) == ()


def test_rows_are_chosen_by_mask_and_by_number() -> None:
    """Chosen rows come in the order asked for; the categories stay known."""
    mask = np.array([True, False, False, True])
    assert FRAME.take(mask).records(0, 9) == FRAME.take(np.array([0, 3])).records(0, 9)
    assert FRAME.take(np.array([3, 0])).records(0, 1) == FRAME.records(3, 4)
    assert FRAME.take(mask).column("town").categories == ("Bonn", "서울")
    assert FRAME.take(mask).column("town").labels() == ("서울",)


def test_a_column_that_is_not_there_is_refused() -> None:
    """Columns are found by name."""
    assert FRAME.column("town") is FRAME.columns[2]
    with pytest.raises(InvalidField, match="there is no column 'city'"):
        FRAME.column("city")


@given(values=arrays(np.float64, st.integers(1, 30), elements=FLOATS))
@settings(deadline=None, max_examples=200)
def test_numeric_summaries(values: Any) -> None:
    """Counts are those of Python's sets and counters; of few numbers each is listed."""
    summary = numbers("x", values).summary()
    known = [value for value in values.tolist() if value == value]  # noqa: PLR0124
    counts = Counter(spelled(value + 0.0) for value in known)
    assert summary.missing == len(values) - len(known)
    assert summary.distinct == len(set(known))
    assert summary.minimum == (min(known) if known else None)
    assert summary.maximum == (max(known) if known else None)
    if len(set(known)) > 20:
        assert summary.categories is None
    else:
        listed = summary.categories or ()
        assert {item.value: item.rows for item in listed} == counts
        assert [item.rows for item in listed] == sorted(counts.values(), reverse=True)


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30),
    scale=st.sampled_from([1.0, 2.0**-900, 2.0**1000]),
)
@settings(deadline=None, max_examples=200)
def test_moments_are_those_of_exact_arithmetic(values: list[float], scale: float) -> None:
    """Mean and deviation are those of Python's fractions, near both ends of the range too."""
    scaled = [value * scale for value in values]
    mean, deviation = moments(np.array(scaled))
    largest = max(map(abs, scaled))
    assert mean == pytest.approx(statistics.mean(scaled), rel=1e-12, abs=1e-14 * largest)
    assert deviation == pytest.approx(statistics.pstdev(scaled), rel=1e-6, abs=1e-13 * largest)


def test_equal_values_have_no_deviation() -> None:
    """A tenth ten times over has the mean 0.1 and deviation 0, not a rounding error."""
    assert moments(np.full(10, 0.1)) == (0.1, 0.0)
    top = np.finfo(np.float64).max
    assert moments(np.array([top] * 1001 + [np.nextafter(top, 0)]))[0] <= top


def test_summaries_of_categories() -> None:
    """Categories are listed most frequent first; texts are only counted."""
    age, smokes, town, note = FRAME.summaries()
    assert (age.missing, age.distinct, age.mean) == (1, 2, 1.5)
    assert [(item.value, item.rows) for item in smokes.categories or ()] == [
        ("true", 2),
        ("false", 1),
    ]
    assert (smokes.mean, smokes.minimum) == (None, None)
    assert [(item.value, item.rows) for item in town.categories or ()] == [("서울", 2), ("Bonn", 1)]
    assert (note.distinct, note.missing, note.categories) == (3, 1, None)


def test_summaries_list_a_hundred_categories() -> None:
    """Of more than a hundred categories the hundred most frequent are listed."""
    texts = [f"{number:03}" for number in range(150) for _ in range(1 + (number == 77))]
    summary = categories("c", texts).summary()
    assert summary.distinct == 150
    assert summary.categories is not None
    assert [item.value for item in summary.categories[:2]] == ["077", "000"]
    assert len(summary.categories) == 100


def test_summaries_of_columns_without_a_value() -> None:
    """Where every value is missing, nothing is said but that."""
    empty = [numbers("n", [np.nan, np.nan]), booleans("b", [None]), categories("c", [None])]
    for column in empty:
        summary = column.summary()
        assert (summary.missing, summary.distinct) == (len(column.values), 0)
        assert (summary.minimum, summary.mean, summary.categories) == (None, None, ())


@pytest.mark.parametrize(
    ("column", "labels", "numbered"),
    [
        (numbers("n", [2, 0.5, np.nan, 2]), (0.5, 2), [1, 0, -1, 1]),
        (booleans("b", [True, None, True]), (True,), [0, -1, 0]),
        (
            Column("c", "categorical", np.array([2, 0, -1, 2], np.int32), ("a", "b", "c")),
            ("a", "c"),
            [1, 0, -1, 1],
        ),
    ],
)
def test_labels_are_numbered(column: Column, labels: Any, numbered: list[int]) -> None:
    """Different values are told apart, ascending, without those that no row has."""
    assert column.labels() == labels
    assert list(map(type, column.labels())) == list(map(type, labels))
    assert column.numbered().tolist() == numbered


def test_labels_as_text() -> None:
    """Whole numbers are written without a point, up to where floats hold them all."""
    assert [spelled(label) for label in (True, False, 3, 3.0, -0.0, 0.5, "x")] == [
        "true",
        "false",
        "3",
        "3",
        "0",
        "0.5",
        "x",
    ]
    assert as_number(1e300) == 1e300
    assert type(as_number(1e300)) is float
