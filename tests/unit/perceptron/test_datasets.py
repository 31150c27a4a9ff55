"""The tables that are always there, and the rows that come in a request."""

from typing import Any

import numpy as np
import pytest

from perceptron.datasets import (
    dataset,
    dataset_names,
    describe,
    in_request,
    summary,
)
from perceptron.frames import Frame, booleans, categories, numbers
from perceptron.gates import gate
from schemas.dataset import DatasetOptions, InlineDataset
from schemas.errors import InvalidField, NotFound

BODY = {"features": ((1.0, 2.5), (3.0, 4.0)), "targets": (0.0, 7.5)}


def _inline(**fields: Any) -> InlineDataset:
    return InlineDataset.model_validate(BODY | fields)


def test_every_truth_table_is_its_gate() -> None:
    """Each table's rows are the truth table of the gate of that name."""
    assert len(dataset_names()) == 8
    for name in dataset_names():
        rows = dataset(name)
        truth = gate(name).truth_table
        names = [f"x{number}" for number in range(1, len(truth[0].inputs) + 1)]
        assert rows.feature_names == tuple(names)
        assert [list(record.values()) for record in rows.records] == [
            [*row.inputs, row.output] for row in truth
        ]
        assert (rows.name, rows.rows, rows.target, rows.task) == (name, len(truth), "y", "binary")
        assert rows.built_in
        assert rows.created_at is None
        assert summary(name).model_dump().items() <= rows.model_dump().items()
        brought = in_request(name)
        assert brought is not None
        assert (brought.frame.sha256, brought.name, brought.target) == (rows.sha256, name, "y")
        assert len(brought.frame.to_bytes()) == rows.size_bytes


def test_xor_is_in_the_slides_order() -> None:
    """Rows count in binary."""
    assert [list(record.values()) for record in dataset("xor").records] == [
        [0, 0, 0],
        [0, 1, 1],
        [1, 0, 1],
        [1, 1, 0],
    ]


def test_truth_tables_differ() -> None:
    """Each table has a digest of its own."""
    assert len({summary(name).sha256 for name in dataset_names()}) == len(dataset_names())


@pytest.mark.parametrize("find", [dataset, summary])
def test_unknown_names_are_not_found(find: Any) -> None:
    """A name that is no truth table raises NotFound; in a request it is left to the storage."""
    with pytest.raises(NotFound, match="iris"):
        find("iris")
    assert in_request("iris") is None


def test_inline_rows_become_a_table() -> None:
    """Rows in a request keep their names; without names they get x1 and x2; the target is y."""
    unnamed = in_request(_inline())
    assert unnamed is not None
    assert (unnamed.name, unnamed.target, unnamed.is_standardised) == ("inline", "y", False)
    assert unnamed.frame.records(0, 2) == (
        {"x1": 1, "x2": 2.5, "y": 0},
        {"x1": 3, "x2": 4, "y": 7.5},
    )
    named = in_request(_inline(feature_names=("a", "b")))
    assert named is not None
    assert named.frame.names == ("a", "b", "y")


@pytest.mark.parametrize("names", [("y", "b"), ("y", "target"), ("target", "b")])
def test_the_target_of_inline_rows_has_a_name_of_its_own(names: tuple[str, str]) -> None:
    """A feature may be called y: the target is then called otherwise."""
    found = in_request(_inline(feature_names=names))
    assert found is not None
    assert found.frame.names == (*names, found.target)
    assert found.target not in names


@pytest.mark.parametrize("value", [3.5e38, -1e300])
def test_values_beyond_float32_are_pointed_at(value: float) -> None:
    """A number that 32-bit floats cannot hold is refused with its place, also as a target."""
    with pytest.raises(InvalidField, match="beyond the range") as caught:
        in_request(_inline(features=((0.0, 1.0), (2.0, value))))
    assert caught.value.at == ("dataset", "features", 1, 1)
    with pytest.raises(InvalidField, match="beyond the range") as caught:
        in_request(_inline(targets=(value, 1.0)))
    assert caught.value.at == ("dataset", "targets", 0)


def test_a_table_is_described() -> None:
    """What is known of a table comes from its columns; the last one is the target."""
    frame = Frame(
        (
            numbers("age", [20, np.nan, 40]),
            categories("note", ["a", "b", "c"], "text"),
            booleans("ill", [True, False, None]),
        )
    )
    data = frame.to_bytes()
    found = describe(frame, DatasetOptions(name="mine", description="people"), data)
    assert (found.name, found.description, found.built_in) == ("mine", "people", False)
    assert (found.target, found.task, found.rows) == ("ill", "binary", 3)
    assert found.feature_names == ("age",)
    assert (found.sha256, found.size_bytes) == (frame.sha256, len(data))
    assert [column.missing for column in found.columns] == [1, 0, 1]
    assert found.records[1] == {"age": None, "note": "b", "ill": False}
    other = describe(frame, DatasetOptions(name="mine", target="note"), data)
    assert (other.task, other.feature_names) == (None, ("age", "ill"))
    with pytest.raises(InvalidField, match="there is no column 'weight'") as caught:
        describe(frame, DatasetOptions(name="mine", target="weight"), data)
    assert caught.value.at == ("target",)


def test_a_hundred_rows_are_shown() -> None:
    """Of a longer table the first hundred rows are told."""
    frame = Frame((numbers("x", np.arange(101)), numbers("y", np.arange(101) / 2)))
    found = describe(frame, DatasetOptions(name="mine"), b"")
    assert [record["x"] for record in found.records] == list(range(100))
    assert found.task == "regression"
