"""Which rows train, which validate and which test: drawn by a seed, the classes in proportion."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.errors import InvalidField
from schemas.network import Task
from schemas.training import TrainingConfig


class Parts(NamedTuple):
    """Numbers of the rows of each part, in the table's order."""

    train: npt.NDArray[np.int64]
    valid: npt.NDArray[np.int64]
    """Empty where there is none, as is the next."""
    test: npt.NDArray[np.int64]


def split(numbers: npt.NDArray[np.float64], task: Task, training: TrainingConfig) -> Parts:
    """
    Keep round(fraction · rows) random rows out for validation, then for the test.

    In classification every part holds every class wherever that is possible, in the table's
    proportion as nearly as it goes. The seed decides; what validates is the same with and without
    a test.

    Raises: InvalidField where a part that is asked for would be empty.
    """
    rows = len(numbers)
    kept = counts(training, rows)
    if not any(kept):
        return Parts(np.arange(rows), _NOTHING, _NOTHING)
    order = np.random.RandomState(training.seed).permutation(rows)
    classes = numbers if task != "regression" else np.zeros(rows)
    chosen = []
    for count in kept:
        picked = _pick(order, classes, count)
        order = order[~np.isin(order, picked)]
        chosen.append(np.sort(picked))
    return Parts(np.sort(order), *chosen)


_NOTHING = np.zeros(0, np.int64)


def counts(training: TrainingConfig, rows: int) -> tuple[int, int]:
    """Count the rows for validation and for the test. Raises: InvalidField."""
    valid = _count(rows, training.validation_fraction, "validation")
    test = _count(rows, training.test_fraction, "test")
    if valid + test >= rows:
        raise InvalidField(
            f"{valid} rows for validation and {test} for the test, of {rows}, leave none to train "
            "on",
            "training",
            "test_fraction",
        )
    return valid, test


def _count(rows: int, fraction: float, part: str) -> int:
    count = round(fraction * rows)
    if fraction and count in (0, rows):
        without = part if count == 0 else "training"
        raise InvalidField(
            f"{fraction:g} of {rows} rows leaves no row for {without}",
            "training",
            f"{part}_fraction",
        )
    return count


def _pick(
    order: npt.NDArray[np.int64], classes: npt.NDArray[np.float64], count: int
) -> npt.NDArray[np.int64]:
    """Pick `count` of the rows in their random order, by class where all parts can hold all."""
    if count == 0:
        return _NOTHING
    _, ranks, sizes = np.unique(classes[order], return_inverse=True, return_counts=True)
    quotas = _quotas(sizes.tolist(), count)
    if quotas is None:
        return order[:count]
    return np.concatenate([order[ranks == rank][:quota] for rank, quota in enumerate(quotas)])


def _quotas(sizes: list[int], count: int) -> list[int] | None:
    """
    Divide a count among classes by their sizes, leaving a row of each; None: by chance.

    The last class gets its rounded share of the count, the one before it its share of what is
    left, and so on: experiments are repeated with the rows that this chooses.
    """
    bounds = _bounds(sizes, count)
    if bounds is None:
        return None
    quotas = []
    rows = sum(sizes)
    least, most = (sum(each) for each in zip(*bounds, strict=True))
    for size, (low, high) in zip(reversed(sizes), reversed(bounds), strict=True):
        least, most = least - low, most - high  # of the classes that are still to come
        quota = round(count * size / rows)
        quotas.append(min(max(quota, low, count - most), high, count - least))
        count, rows = count - quotas[-1], rows - size
    return quotas[::-1]


def _bounds(sizes: list[int], count: int) -> list[tuple[int, int]] | None:
    """Give each class's least and most rows: what all parts can hold, or else as near as can be."""
    choices = [[(1, size - 1) for size in sizes]]
    if len(sizes) > 2:
        choices.append([(min(1, size - 1), size - 1) for size in sizes])
        choices.append([(0, size - 1) for size in sizes])
        choices.append([(0, size) for size in sizes])
    for bounds in choices:
        least, most = (sum(each) for each in zip(*bounds, strict=True))
        if all(low <= high for low, high in bounds) and least <= count <= most:
            return bounds
    return None


def folds(numbers: npt.NDArray[np.float64], task: Task, count: int, seed: int) -> tuple[Parts, ...]:
    """
    Divide the rows into `count` parts, each of which validates what the others train.

    In classification the rows of each class are dealt out in turn. Raises: InvalidField.
    """
    if count > len(numbers):
        raise InvalidField(f"{count} folds of {len(numbers)} rows", "search", "folds")
    order = np.random.RandomState(seed).permutation(len(numbers))
    if task != "regression":
        order = order[np.argsort(numbers[order], kind="stable")]
    fold = np.empty(len(numbers), np.int64)
    fold[order] = np.arange(len(numbers)) % count
    return tuple(
        Parts(np.flatnonzero(fold != number), np.flatnonzero(fold == number), _NOTHING)
        for number in range(count)
    )
