"""Which rows train, which validate and which test."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from perceptron.splitting import folds, split
from schemas.errors import InvalidField
from schemas.network import Task
from schemas.training import TrainingConfig


def _training(**fields: Any) -> TrainingConfig:
    return TrainingConfig.model_validate(fields)


def _table(ones: int, zeros: int) -> np.ndarray[Any, Any]:
    return np.array([1.0] * ones + [0.0] * zeros)


def _split_of_the_first_release(targets: Any, fraction: float, seed: int) -> list[int]:
    """Choose what validates as version 0.1.0 did: stored experiments were split by it."""
    ones, rows = targets > 0.5, len(targets)
    count, positives = round(fraction * rows), int(ones.sum())
    order = np.random.RandomState(seed).permutation(rows)
    least, most = max(1, count - (rows - positives - 1)), min(positives - 1, count - 1)
    if least > most:
        return sorted(order[:count].tolist())
    quota = min(max(round(count * positives / rows), least), most)
    shuffled = ones[order]
    chosen = [*order[shuffled][:quota], *order[~shuffled][: count - quota]]
    return sorted(map(int, chosen))


@given(
    ones=st.integers(0, 40),
    zeros=st.integers(1, 40),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=300)
def test_split_divides_the_rows(ones: int, zeros: int, fraction: float, seed: int) -> None:
    """The parts are the table, in order, with both classes in both: the rows of old releases."""
    whole, rows = _table(ones, zeros), ones + zeros
    count = round(fraction * rows)
    training = _training(validation_fraction=fraction, seed=seed)
    if count in (0, rows):
        with pytest.raises(InvalidField) as caught:
            split(whole, "binary", training)
        assert caught.value.at == ("training", "validation_fraction")
        return
    parts = split(whole, "binary", training)
    assert parts.valid.tolist() == _split_of_the_first_release(whole, fraction, seed)
    assert sorted([*parts.train, *parts.valid]) == list(range(rows))
    assert len(parts.test) == 0
    for part in (parts.train, parts.valid):
        assert (np.diff(part) > 0).all()
        if min(ones, zeros) >= 2 and 2 <= count <= rows - 2:
            assert set(whole[part]) == {0, 1}


@given(
    sizes=st.lists(st.integers(1, 30), min_size=2, max_size=6),
    valid=st.floats(0.05, 0.6),
    test=st.floats(0.05, 0.39),
    task=st.sampled_from(["multiclass", "regression"]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=200)
def test_three_parts_of_several_classes(
    sizes: list[int], valid: float, test: float, task: Task, seed: int
) -> None:
    """Parts of the sizes asked for; each class is in training, and in its proportion elsewhere."""
    numbered = np.repeat(np.arange(len(sizes), dtype=np.float64), sizes)
    rows = len(numbered)
    training = _training(validation_fraction=valid, test_fraction=test, seed=seed)
    counts = (round(valid * rows), round(test * rows))
    if 0 in counts or sum(counts) >= rows:
        with pytest.raises(InvalidField):
            split(numbered, task, training)
        return
    parts = split(numbered, task, training)
    assert (len(parts.valid), len(parts.test)) == counts
    assert sorted(np.concatenate(parts).tolist()) == list(range(rows))
    assert all((np.diff(part) > 0).all() for part in parts)
    alone = split(numbered, task, _training(validation_fraction=valid, seed=seed))
    assert parts.valid.tolist() == alone.valid.tolist()
    if task == "multiclass" and len(sizes) > 2 and counts[0] <= rows - len(sizes):
        assert set(numbered[alone.train]) == set(numbered)
        found = np.bincount(numbered[parts.valid].astype(int), minlength=len(sizes))
        if min(sizes) * counts[0] > rows:
            share = np.array(sizes) * counts[0] / rows
            assert (np.abs(found - share) < len(sizes)).all()
            assert (found >= 1).all()


def test_split_keeps_the_classes_in_proportion() -> None:
    """A fifth of 30 ones and 70 zeros is 6 and 14; of three classes it is a fifth of each."""
    parts = split(_table(30, 70), "binary", _training(validation_fraction=0.2))
    assert _table(30, 70)[parts.valid].sum() == 6
    numbered = np.repeat([0.0, 1, 2], [50, 30, 20])
    parts = split(numbered, "multiclass", _training(validation_fraction=0.2, test_fraction=0.1))
    assert np.bincount(numbered[parts.valid].astype(int)).tolist() == [10, 6, 4]
    assert np.bincount(numbered[parts.test].astype(int)).tolist() == [5, 3, 2]


def test_a_class_of_one_row_trains() -> None:
    """With several classes, the only row of one is not kept out of training."""
    numbered = np.array([0.0] * 10 + [1] * 10 + [2])
    for seed in range(30):
        parts = split(numbered, "multiclass", _training(validation_fraction=0.5, seed=seed))
        assert 20 in parts.train


def test_split_depends_on_the_seed_alone() -> None:
    """The same seed gives the same rows, another seed others."""
    kept = [
        split(_table(50, 50), "binary", _training(validation_fraction=0.3, seed=seed)).valid
        for seed in (1, 1, 2)
    ]
    assert kept[0].tolist() == kept[1].tolist() != kept[2].tolist()


def test_no_fraction_keeps_every_row() -> None:
    """A fraction of 0 trains on the whole table, in order."""
    parts = split(_table(2, 2), "binary", _training())
    assert (parts.train.tolist(), len(parts.valid), len(parts.test)) == ([0, 1, 2, 3], 0, 0)


@given(
    sizes=st.lists(st.integers(1, 20), min_size=2, max_size=4),
    count=st.integers(2, 5),
    seed=st.integers(0, 1000),
)
@settings(deadline=None)
def test_folds_deal_the_rows_out(sizes: list[int], count: int, seed: int) -> None:
    """Each row validates once; each class is dealt out as evenly as scikit-learn deals it."""
    numbered = np.repeat(np.arange(len(sizes), dtype=np.float64), sizes)
    if count > len(numbered):
        with pytest.raises(InvalidField):
            folds(numbered, "multiclass", count, seed)
        return
    found = folds(numbered, "multiclass", count, seed)
    assert sorted(np.concatenate([part.valid for part in found]).tolist()) == list(
        range(len(numbered))
    )
    for part in found:
        assert sorted([*part.train, *part.valid]) == list(range(len(numbered)))
    if min(sizes) >= count:
        theirs = [
            np.bincount(numbered[valid].astype(int), minlength=len(sizes))
            for _, valid in StratifiedKFold(count).split(numbered, numbered)
        ]
        ours = [np.bincount(numbered[p.valid].astype(int), minlength=len(sizes)) for p in found]
        for number in range(len(sizes)):
            assert sorted(c[number] for c in ours) == sorted(c[number] for c in theirs)
