"""What a model answers all over a plane: two of its features vary, the others stay."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perceptron import inference
from perceptron.frames import Column, Frame
from perceptron.layers import FloatArray, Layers, parameter_counts
from perceptron.preprocessing import encode_columns, places_by_name, with_derived
from perceptron.splitting import Parts, split
from schemas.dataset import ToldCell
from schemas.errors import InvalidField
from schemas.preprocessing import (
    BooleanFeature,
    Feature,
    NumericFeature,
    Preprocessing,
    Target,
)
from schemas.training import Importance, TrainingConfig

MOST_PLACES = 220
"""Places along an axis of numbers."""
FEWEST_PLACES = 40
MOST_WORK = 2_000_000_000
"""Multiplications of all places together, where that leaves `FEWEST_PLACES`."""
BLOCK_VALUES = 2**22
"""Inputs of the network that are made at a time."""
MOST_POINTS = 2_000
"""Rows that are shown; of more, as many are drawn."""
MARGIN = 0.12
"""Share of an axis's length that is added at either end."""
SPREAD = 0.3
"""How far the rows of one category are spread around its place."""


class Axis(NamedTuple):
    """One feature's values along an axis."""

    name: str
    places: npt.NDArray[np.float64]
    """Where they lie, ascending and evenly."""
    cells: Sequence[ToldCell]
    """The value at each place."""
    is_numeric: bool
    """Whether the places are the values; else they count from 0."""


class Points(NamedTuple):
    """Rows of the table on the plane."""

    x: npt.NDArray[np.float64]
    """Shape (rows,), as all that follows."""
    y: npt.NDArray[np.float64]
    """The target's value where the plane is a line and the target a number."""
    numbers: npt.NDArray[np.float64]
    """The class's number, or the target's value."""
    parts: npt.NDArray[np.int64]
    """0: training, 1: validation, 2: test."""
    of: int
    """Rows of which these are a sample."""


class Region(NamedTuple):
    """What a model answers on a plane, or along a line where it has one feature."""

    x: Axis
    y: Axis | None
    target: Target
    outputs: FloatArray
    """Shape (places of y, places of x), with several classes (…, classes); without y (1, …)."""
    others: Mapping[str, ToldCell]
    """What the features have that do not vary."""
    points: Points | None
    """None where the table is not there."""


class Rows(NamedTuple):
    """The table that a model was made from."""

    frame: Frame
    training: TrainingConfig | None
    """How its rows were divided; None: they were not."""


def chosen_axes(
    preprocessing: Preprocessing, importance: Sequence[Importance], x: str | None, y: str | None
) -> tuple[str, str | None]:
    """
    Choose the features that vary: those that are asked for, or else the most important ones.

    The vertical one is None for a model of one feature. Raises: InvalidField.
    """
    names = preprocessing.feature_names
    for parameter, name in (("x", x), ("y", y)):
        if name is not None and name not in names:
            raise InvalidField(f"the model has no feature {name!r}", parameter=parameter)
    if x is not None and x == y:
        raise InvalidField("is the horizontal axis already: choose another feature", parameter="y")
    means = {found.feature: found.mean for found in importance}
    by_importance = sorted(names, key=lambda name: -means.get(name, 0.0))
    if x is None and y is None:
        leading = sorted(by_importance[:2], key=names.index)
        return leading[0], leading[1] if len(leading) > 1 else None
    x = x or next((name for name in by_importance if name != y), None)
    if x is None:
        raise InvalidField("the model has one feature: it goes along x", parameter="y")
    return x, y or next((name for name in by_importance if name != x), None)


def region(
    preprocessing: Preprocessing,
    layers: Layers,
    axes: tuple[str, str | None],
    rows: Rows | None,
) -> Region:
    """
    Ask a model for its answers while the features of the axes vary.

    The others stay at their mean, or their most frequent value, in the training rows; where those
    are not there, in what preprocessing has learned of them.
    """
    parts = _divided(rows, preprocessing.target) if rows else None
    known = rows.frame.take(parts.train) if rows and parts else None
    features = {feature.name: feature for feature in preprocessing.features}
    count = _places(layers)
    x, y = (
        None if name is None else _axis(features[name], rows.frame if rows else None, count)
        for name in axes
    )
    assert x is not None  # noqa: S101  # for mypy: every model has a feature
    usual = {name: _usual(feature, known) for name, feature in features.items()}
    outputs = np.concatenate(list(_outputs(preprocessing, layers, (x, y), usual)))
    shape = (1 if y is None else len(y.places), len(x.places), *outputs.shape[1:])
    others = {name: cell for name, cell in usual.items() if name not in axes}
    points = _points(rows.frame, parts, (x, y), preprocessing.target) if rows and parts else None
    return Region(x, y, preprocessing.target, outputs.reshape(shape), others, points)


# The plane


def _places(layers: Layers) -> int:
    affordable = int((MOST_WORK / parameter_counts(layers).total) ** 0.5)
    return max(FEWEST_PLACES, min(MOST_PLACES, affordable))


def _axis(feature: Feature, frame: Frame | None, count: int) -> Axis:
    if isinstance(feature, NumericFeature):
        low, high = _range(feature, frame)
        margin = (high - low) * MARGIN
        places = np.linspace(low - margin, high + margin, count)
        return Axis(feature.name, places, places.tolist(), is_numeric=True)
    cells: Sequence[ToldCell] = (
        (False, True) if isinstance(feature, BooleanFeature) else feature.categories
    )
    return Axis(feature.name, np.arange(len(cells), dtype=np.float64), cells, is_numeric=False)


def _range(feature: NumericFeature, frame: Frame | None) -> tuple[float, float]:
    """Give the range of the table's values, or else of what preprocessing takes for usual."""
    if frame is not None:
        values = frame.column(feature.name).values
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        return (low, high) if low < high else (low - 1, high + 1)
    if feature.scale != 1 or feature.mean:
        return feature.mean - 2 * feature.scale, feature.mean + 2 * feature.scale
    fill = feature.fill or 0.0
    return min(0.0, 2 * fill), max(1.0, 2 * fill)


def _usual(feature: Feature, frame: Frame | None) -> ToldCell:
    """Give a feature's mean, or its most frequent value."""
    column = None if frame is None else frame.column(feature.name)
    present = None if column is None else column.values[~column.missing]
    if isinstance(feature, NumericFeature):
        if present is not None and len(present):
            return float(present.mean())
        return feature.mean if feature.scale != 1 or feature.mean else feature.fill or 0.0
    if isinstance(feature, BooleanFeature):
        share = float(present.mean()) if present is not None and len(present) else feature.fill
        return (share or 0.0) > 0.5
    if column is None or present is None or not len(present):
        return feature.fill or feature.categories[0]
    if column.is_coded:
        return column.categories[int(np.bincount(present).argmax())]
    values, counts = np.unique(present, return_counts=True)
    return float(values[counts.argmax()])


def _outputs(
    preprocessing: Preprocessing,
    layers: Layers,
    axes: tuple[Axis, Axis | None],
    usual: Mapping[str, ToldCell],
) -> Iterator[FloatArray]:
    """Give the outputs row by row of the plane, some at a time."""
    places = places_by_name(preprocessing)
    plain = preprocessing.model_copy(update={"derived": ()})
    base = encode_columns(plain, {n: [cell] for n, cell in usual.items()}, slice(0, 1))
    x, y = axes
    width = len(x.places)
    total = width * (1 if y is None else len(y.places))
    block = max(1, BLOCK_VALUES // preprocessing.width)
    for start in range(0, total, block):
        numbers = np.arange(start, min(start + block, total))
        rows = np.repeat(base, len(numbers), axis=0)
        for axis, at in ((x, numbers % width), (y, numbers // width)):
            if axis is not None:
                rows[:, places[axis.name]] = _encoded(plain, axis)[at]
        yield inference.forward(layers, with_derived(preprocessing, rows))


def _encoded(preprocessing: Preprocessing, axis: Axis) -> npt.NDArray[np.float32]:
    """Encode an axis's values alone. Shape (places, numbers that the feature becomes)."""
    features = tuple(item for item in preprocessing.features if item.name == axis.name)
    alone = preprocessing.model_copy(update={"features": features})
    return encode_columns(alone, {axis.name: list(axis.cells)}, slice(0, len(axis.cells)))


# The table's rows on it


def _divided(rows: Rows, target: Target) -> Parts:
    """Divide the rows that have a target as training did."""
    present = np.flatnonzero(~rows.frame.column(target.name).missing)
    nothing = present[:0]
    if rows.training is None:
        return Parts(present, nothing, nothing)
    numbers = _numbers(rows.frame.column(target.name), target)[present]
    return Parts(*(present[part] for part in split(numbers, target.task, rows.training)))


def _numbers(goal: Column, target: Target) -> npt.NDArray[np.float64]:
    """Give each row its class's number, −1 where missing, or the target's value."""
    if target.classes is None:
        return np.asarray(goal.values, np.float64)
    known = {label: number for number, label in enumerate(target.classes)}
    of_labels = [*(known.get(label, -1) for label in goal.labels()), -1]
    return np.array(of_labels, np.float64)[goal.numbered()]


def _points(frame: Frame, parts: Parts, axes: tuple[Axis, Axis | None], target: Target) -> Points:
    part_of = np.full(frame.rows, -1)
    for number, part in enumerate(parts):
        part_of[part] = number
    numbers = _numbers(frame.column(target.name), target)
    x, y = axes
    draws = np.random.RandomState(0)
    at_x = _positions(frame.column(x.name), x, draws)
    at_y = numbers if y is None else _positions(frame.column(y.name), y, draws)
    shown = np.flatnonzero((part_of >= 0) & ~np.isnan(at_x) & ~np.isnan(at_y))
    of = len(shown)
    if of > MOST_POINTS:
        shown = np.sort(draws.permutation(shown)[:MOST_POINTS])
    return Points(at_x[shown], at_y[shown], numbers[shown], part_of[shown], of)


def _positions(
    column: Column, axis: Axis, draws: "np.random.RandomState"
) -> npt.NDArray[np.float64]:
    """Say where each row lies on an axis, NaN where nowhere: those of a category beside it."""
    if axis.is_numeric:
        return np.asarray(column.values, np.float64)
    of_cell = {cell: float(place) for place, cell in enumerate(axis.cells)}
    known = [*(of_cell.get(_as_cell(label, axis), np.nan) for label in column.labels()), np.nan]
    positions = np.array(known)[column.numbered()]
    return np.asarray(positions + draws.uniform(-SPREAD, SPREAD, len(positions)))


def _as_cell(label: ToldCell, axis: Axis) -> ToldCell:
    """Give a category as the model knows it: as text."""
    return str(label) if axis.cells and isinstance(axis.cells[0], str) else label
