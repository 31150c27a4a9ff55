"""Tables to train on, and their split."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptron.datasets import (
    Table,
    dataset,
    dataset_names,
    split,
    summary,
    table,
    table_sha256,
)
from perceptron.gates import gate
from schemas.dataset import InlineDataset
from schemas.errors import InvalidField, NotFound


def _table(ones: int, zeros: int) -> Table:
    rows = ones + zeros
    targets = np.array([1] * ones + [0] * zeros, np.float32)
    return Table("t", ("x1",), np.arange(rows, dtype=np.float32)[:, None], targets)


def test_every_built_in_dataset_is_its_gate() -> None:
    """Each dataset's rows are the truth table of the gate of that name."""
    assert len(dataset_names()) == 8
    for name in dataset_names():
        rows = dataset(name)
        truth = gate(name).truth_table
        assert rows.features == tuple(tuple(map(float, row.inputs)) for row in truth)
        assert rows.targets == tuple(row.output for row in truth)
        assert rows.positives == sum(rows.targets)
        assert rows.rows == len(truth)
        assert rows.feature_names == tuple(f"x{i + 1}" for i in range(len(truth[0].inputs)))
        assert summary(name).model_dump().items() <= rows.model_dump().items()


def test_xor_is_in_the_slides_order() -> None:
    """Rows count in binary, as float32 arrays."""
    xor = table("xor")
    assert xor.features.dtype == xor.targets.dtype == np.float32
    assert xor.features.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert xor.targets.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("find", [table, dataset, summary])
def test_unknown_names_are_not_found(find: Any) -> None:
    """A name that is no built-in dataset raises NotFound."""
    with pytest.raises(NotFound, match="iris"):
        find("iris")


def test_inline_rows_become_a_table() -> None:
    """Rows in a request keep their names; without names they get x1 and x2."""
    body = {"features": ((1.0, 2.5), (3.0, 4.0)), "targets": (0.0, 1.0)}
    unnamed = table(InlineDataset.model_validate(body))
    assert (unnamed.name, unnamed.feature_names) == ("inline", ("x1", "x2"))
    assert unnamed.features.dtype == unnamed.targets.dtype == np.float32
    assert unnamed.features.tolist() == [[1.0, 2.5], [3.0, 4.0]]
    assert unnamed.targets.tolist() == [0, 1]
    named = table(InlineDataset.model_validate(body | {"feature_names": ("a", "b")}))
    assert named.feature_names == ("a", "b")


@pytest.mark.parametrize("value", [3.5e38, -1e300])
def test_values_beyond_float32_are_pointed_at(value: float) -> None:
    """A number that float32 cannot hold is refused with its place."""
    rows = InlineDataset(features=((0.0, 1.0), (2.0, value)), targets=(0.0, 1.0))
    with pytest.raises(InvalidField) as caught:
        table(rows)
    assert caught.value.at == ("dataset", "features", 1, 1)


def test_sha256_is_that_of_the_documented_json() -> None:
    """Anyone can recompute the digest from the documented form."""
    rows = InlineDataset(features=((0.5, -0.0), (1.0, 2.0)), targets=(0.0, 1.0))
    text = b'{"features":[[0.5,0.0],[1.0,2.0]],"targets":[0.0,1.0]}'
    assert table_sha256(table(rows)) == hashlib.sha256(text).hexdigest()
    xor = dataset("xor")
    text = json.dumps(
        {"features": xor.features, "targets": [float(t) for t in xor.targets]},
        separators=(",", ":"),
    ).encode()
    assert table_sha256(table("xor")) == hashlib.sha256(text).hexdigest()


def test_sha256_depends_on_every_value() -> None:
    """All built-in datasets differ, and names do not count."""
    digests = {table_sha256(table(name)) for name in dataset_names()}
    assert len(digests) == len(dataset_names())
    assert table_sha256(table("xor")._replace(name="a")) in digests


@given(
    ones=st.integers(0, 40),
    zeros=st.integers(1, 40),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=300)
def test_split_divides_the_rows(ones: int, zeros: int, fraction: float, seed: int) -> None:
    """The parts together are the table, in order, of the sizes asked for, both classes in both."""
    whole = _table(ones, zeros)
    count = round(fraction * (ones + zeros))
    if count in (0, ones + zeros):
        with pytest.raises(InvalidField) as caught:
            split(whole, fraction, seed)
        assert caught.value.at == ("training", "validation_fraction")
        return
    train, valid = split(whole, fraction, seed)
    assert valid is not None
    assert len(valid.targets) == count
    ids = np.concatenate([train.features[:, 0], valid.features[:, 0]])
    assert sorted(ids.tolist()) == list(range(ones + zeros))
    for part in (train, valid):
        indices = part.features[:, 0].astype(int)
        assert (np.diff(indices) > 0).all()
        np.testing.assert_array_equal(part.targets, whole.targets[indices])
        if min(ones, zeros) >= 2 and 2 <= count <= ones + zeros - 2:
            assert set(part.targets.tolist()) == {0, 1}


def test_split_keeps_the_classes_in_proportion() -> None:
    """A fifth of 30 ones and 70 zeros is 6 ones and 14 zeros."""
    _, valid = split(_table(30, 70), 0.2, 1)
    assert valid is not None
    assert int(valid.targets.sum()) == 6
    assert len(valid.targets) == 20


def test_split_depends_on_the_seed_alone() -> None:
    """The same seed gives the same rows, another seed others."""
    kept = [split(_table(50, 50), 0.3, seed)[1] for seed in (1, 1, 2)]
    rows = [part.features.tolist() for part in kept if part is not None]
    assert rows[0] == rows[1] != rows[2]


def test_no_fraction_keeps_every_row() -> None:
    """A fraction of 0 trains on the whole table."""
    whole = table("xor")
    assert split(whole, 0, 777) == (whole, None)


def test_one_row_of_xor_can_validate() -> None:
    """A quarter of four rows is one."""
    train, valid = split(table("xor"), 0.25, 777)
    assert valid is not None
    assert (len(train.targets), len(valid.targets)) == (3, 1)
