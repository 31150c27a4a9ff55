"""Preparation: from a table and what a job wants of it to the rows that a network trains on."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perceptron.frames import FAR_FROM_ZERO, FLOAT32_MAX, Column, Frame, moments, spelled
from perceptron.layers import Layer, Layers
from perceptron.preprocessing import encode, fit, missing_policy, no_policy, places_of
from perceptron.splitting import Parts, counts, split
from perceptron.tables import Table
from schemas.dataset import ColumnSummary
from schemas.errors import InvalidField
from schemas.job import JobRequest
from schemas.network import Task
from schemas.preprocessing import (
    CategoricalFeature,
    DerivedInput,
    Label,
    Preprocessing,
    PreprocessingConfig,
    Target,
)
from schemas.training import RowCounts, TrainingConfig

MOST_INFERRED_CLASSES = 20
"""Whole numbers with more different values than this are taken for a regression's."""
MOST_CLASSES = 1_000
"""Classes of one model: its card holds a matrix of them."""


class Source(NamedTuple):
    """A table, and how it is known."""

    frame: Frame
    name: str
    target: str
    """Column to predict unless a job names another."""
    is_standardised: bool
    """Whether numeric columns are standardised unless a job says otherwise."""


class Outline(NamedTuple):
    """What a job comes to, as far as the columns' summaries tell."""

    task: Task
    target: str
    features: tuple[str, ...]
    inputs: int
    """Most numbers that a row becomes."""
    outputs: int
    """Units of the output layer."""
    rows: int
    """Rows with a target."""


class Prepared(NamedTuple):
    """Rows to train on, in parts, with what made them."""

    preprocessing: Preprocessing
    train: Table
    valid: Table | None
    test: Table | None
    target_mean: float
    """A regression trains on (target − mean) / scale."""
    target_scale: float
    name: str
    sha256: str
    """Of the whole table's bytes."""
    without_target: int
    """Rows that were left out."""

    @property
    def row_counts(self) -> RowCounts:
        """Count the rows of every part, and those of none."""
        parts = {"train": self.train, "validation": self.valid, "test": self.test}
        counts = {name: 0 if part is None else len(part.targets) for name, part in parts.items()}
        return RowCounts(**counts, without_target=self.without_target)


# What a job comes to


def outline(
    request: JobRequest, columns: Sequence[ColumnSummary], rows: int, target: str
) -> Outline:
    """
    Check all that the columns' summaries tell, and say what the job comes to.

    Raises: InvalidField that points at what the job asks for.
    """
    by_name = {column.name: column for column in columns}
    goal = by_name.get(request.target or target)
    if goal is None:
        raise InvalidField(f"there is no column {request.target or target!r}", "target")
    known = rows - goal.missing
    if known < 2:
        place = "dataset" if rows < 2 else "target"
        detail = f"rows with a value of {goal.name!r}: {known}, and at least 2 are needed"
        raise InvalidField(detail, place)
    task = _task(request, goal, known)
    features = _features(request, by_name, goal.name)
    for name in request.preprocessing.missing:
        if name not in features:
            raise InvalidField(f"{name!r} is no feature", "preprocessing", "missing", name)
    _check_derived(request.preprocessing.derived, by_name, features)
    inputs = sum(_most_inputs(by_name[name], request.preprocessing) for name in features)
    inputs += len(request.preprocessing.derived)
    outputs = goal.distinct if task == "multiclass" else 1
    _check_class_weights(request.training, task, goal)
    counts(request.training, known)
    return Outline(task, goal.name, features, inputs, outputs, known)


def outline_of(request: JobRequest, source: Source) -> Outline:
    """Outline a job on a table that is at hand; see `outline`."""
    return outline(request, source.frame.summaries(), source.frame.rows, source.target)


def _task(request: JobRequest, goal: ColumnSummary, rows: int) -> Task:
    task = request.task or inferred_task(goal, rows)
    if goal.kind == "text":
        raise InvalidField(f"{goal.name!r} holds free text: it cannot be learned", "target")
    if task == "regression" and goal.kind != "numeric":
        raise InvalidField(f"{goal.name!r} holds no numbers: a regression needs them", "task")
    # A truth table may be constant: its other class is known all the same.
    if task is None or (goal.distinct < 2 and not (task == "binary" and _are_zero_and_one(goal))):
        raise InvalidField(f"every row of {goal.name!r} is the same: nothing to learn", "target")
    if task == "binary" and goal.distinct > 2:
        raise InvalidField(f"{goal.name!r} has {goal.distinct} different values, not two", "task")
    if task == "multiclass":
        _check_classes(request, goal, rows)
    return task


def _check_classes(request: JobRequest, goal: ColumnSummary, rows: int) -> None:
    if goal.distinct <= min(max(2, rows // 2), MOST_CLASSES):
        return
    instead = "; a regression may suit it" if goal.kind == "numeric" else ""
    raise InvalidField(
        f"{goal.name!r} has {goal.distinct} classes in {rows} rows: at most half as many as rows, "
        f"and {MOST_CLASSES}, can be learned{instead}",
        "task" if request.task else "target",
    )


def inferred_task(goal: ColumnSummary, rows: int) -> Task | None:
    """
    Say what is learned from a column where nobody says otherwise; None: it cannot be.

    Numbers are classes where they are two, or whole and few: at most `MOST_INFERRED_CLASSES`, and
    at most half as many as the rows.
    """
    if goal.kind == "text" or goal.distinct == 0:
        return None
    if goal.distinct == 1 and not _are_zero_and_one(goal):
        return None
    if goal.kind != "numeric":
        return "binary" if goal.distinct <= 2 else "multiclass"
    if goal.distinct <= 2:
        return "binary"
    are_few = goal.distinct <= MOST_INFERRED_CLASSES and 2 * goal.distinct <= rows
    return "multiclass" if are_few and _are_whole(goal) else "regression"


def _are_zero_and_one(goal: ColumnSummary) -> bool:
    if goal.kind == "boolean":
        return True
    return goal.distinct <= 2 and {goal.minimum, goal.maximum} <= {0.0, 1.0}


def _are_whole(goal: ColumnSummary) -> bool:
    listed = goal.categories or ()
    return len(listed) == goal.distinct and all(
        category.value.lstrip("-").isdecimal() for category in listed
    )


def _features(
    request: JobRequest, columns: Mapping[str, ColumnSummary], target: str
) -> tuple[str, ...]:
    """Choose the columns to predict from; each has a value somewhere."""
    if request.features is not None:
        _check_features(request.features, columns, target)
    chosen = request.features or tuple(
        name for name, column in columns.items() if column.kind != "text" and name != target
    )
    if not chosen:
        raise InvalidField(f"there is no column to predict {target!r} from", "dataset")
    for index, name in enumerate(chosen):
        if columns[name].distinct == 0:
            place = ("features", index) if request.features else ("dataset",)
            raise InvalidField(
                f"no row has a value of {name!r}: leave it out of `features`", *place
            )
    return chosen


def _check_features(
    chosen: Sequence[str], columns: Mapping[str, ColumnSummary], target: str
) -> None:
    seen = set()
    for index, name in enumerate(chosen):
        if name not in columns:
            raise InvalidField(f"there is no column {name!r}", "features", index)
        if name == target:
            raise InvalidField(f"{name!r} is the target", "features", index)
        if name in seen:
            raise InvalidField(f"{name!r} repeats", "features", index)
        if columns[name].kind == "text" and columns[name].distinct:
            raise InvalidField(f"{name!r} holds free text: it can be no feature", "features", index)
        seen.add(name)


def _check_derived(
    asked: Sequence[DerivedInput], columns: Mapping[str, ColumnSummary], features: Sequence[str]
) -> None:
    for index, derived in enumerate(asked):
        at = ("preprocessing", "derived", index)
        if any(derived.is_same(other) for other in asked[:index]):
            raise InvalidField(f"{derived.name} repeats", *at)
        for place, name in enumerate(derived.of):
            if name not in features:
                raise InvalidField(f"{name!r} is no feature", *at, "of", place)
            if columns[name].kind == "categorical":
                raise InvalidField(f"{name!r} is categorical: no number", *at, "of", place)


def _most_inputs(column: ColumnSummary, config: PreprocessingConfig) -> int:
    """Count the numbers that a value becomes. Raises: InvalidField where a policy forbids."""
    policy = missing_policy(column.name, column.kind, config)
    if policy == "error" and column.missing:
        raise no_policy(column.name, column.kind, column.missing, config)
    if column.kind != "categorical":
        return 1
    return column.distinct + (policy == "category" and column.missing > 0)


def _check_class_weights(training: TrainingConfig, task: Task, goal: ColumnSummary) -> None:
    asked = training.class_weights
    if asked is None:
        return
    if task == "regression":
        raise InvalidField("a regression has no classes", "training", "class_weights")
    listed = [category.value for category in goal.categories or ()]
    if asked != "balanced" and goal.distinct == len(listed) > 1:
        _weights_by_name(asked, listed)


# The rows


def prepare(request: JobRequest, source: Source) -> Prepared:
    """
    Choose columns, split, learn what preprocessing needs from the training rows, and encode.

    Rows without a target are left out. Raises: InvalidField.
    """
    return prepare_outlined(request, source, outline_of(request, source))


def prepare_outlined(request: JobRequest, source: Source, found: Outline) -> Prepared:
    """Prepare what `outline_of` has checked; see `prepare`."""
    rows = labelled(source.frame, found)
    parts = split(rows.numbers, found.task, request.training)
    return encoded(request, source, found, rows, parts)


class Labelled(NamedTuple):
    """The rows that have a target, with its numbers."""

    frame: Frame
    target: Target
    numbers: npt.NDArray[np.float64]
    """The class's number, or the value of a regression. Shape (rows,)."""


def labelled(frame: Frame, found: Outline) -> Labelled:
    """Leave out the rows without a target, and number the classes. Raises: InvalidField."""
    goal = frame.column(found.target)
    if goal.missing.any():
        present = np.flatnonzero(~goal.missing)
        frame = frame.take(present)
        goal = frame.column(found.target)
    if found.task == "regression":
        target = Target(name=goal.name, task="regression", classes=None)
        return Labelled(frame, target, goal.values)
    classes, numbers = goal.labels(), goal.numbered()
    if found.task == "binary" and len(classes) == 1:
        classes, numbers = _with_other_class(goal, classes[0], numbers)
    target = Target(name=goal.name, task=found.task, classes=classes)
    return Labelled(frame, target, numbers.astype(np.float64))


def _with_other_class(
    goal: Column, only: Label, numbers: npt.NDArray[np.int64]
) -> tuple[tuple[Label, ...], npt.NDArray[np.int64]]:
    """Give the class that no row has its place beside the only one: 0 beside 1 (or true)."""
    if goal.kind == "categorical" or only not in (0, 1):
        raise InvalidField(f"every row of {goal.name!r} is {only!r}: nothing to learn", "target")
    classes = (False, True) if goal.kind == "boolean" else (0, 1)
    return classes, numbers + int(only)


# Encoding


def encoded(
    request: JobRequest, source: Source, found: Outline, rows: Labelled, parts: Parts
) -> Prepared:
    """Learn from the training rows what preprocessing needs, and encode every part."""
    is_standardised = request.preprocessing.standardise
    if is_standardised is None:
        is_standardised = source.is_standardised
    preprocessing = fit(
        rows.frame.take(parts.train),
        found.features,
        rows.target,
        request.preprocessing,
        standardise=is_standardised,
    )
    mean, scale = _target_scale(rows, parts, is_standardised=is_standardised)
    with np.errstate(over="ignore"):
        features = encode(_for_known_rows(preprocessing), rows.frame)
        goals = ((rows.numbers - mean) / scale).astype(np.float32)
    _check_range(source.frame.names, request, preprocessing, features, goals)
    table = Table(
        source.name,
        preprocessing.feature_names,
        features,
        goals,
        found.task,
        len(rows.target.classes or ()) or 2,
    )
    weights = _row_weights(request.training, rows, parts)
    train = table if len(parts.train) == len(goals) else table.take(parts.train)
    valid, test = (table.take(part) if len(part) else None for part in (parts.valid, parts.test))
    return Prepared(
        preprocessing,
        train._replace(weights=weights),
        valid,
        test,
        mean,
        scale,
        source.name,
        source.frame.sha256,
        source.frame.rows - len(rows.numbers),
    )


def _for_known_rows(preprocessing: Preprocessing) -> Preprocessing:
    """Let rows that are kept out have unseen categories: refusing them is for predictions."""
    features = tuple(
        feature.model_copy(update={"unknown": "ignore"})
        if isinstance(feature, CategoricalFeature)
        else feature
        for feature in preprocessing.features
    )
    return preprocessing.model_copy(update={"features": features})


def _target_scale(rows: Labelled, parts: Parts, *, is_standardised: bool) -> tuple[float, float]:
    if rows.target.task != "regression" or not is_standardised:
        return 0.0, 1.0
    mean, deviation = moments(rows.numbers[parts.train])
    return mean, deviation or 1.0


def _check_range(
    columns: Sequence[str],
    request: JobRequest,
    preprocessing: Preprocessing,
    features: npt.NDArray[np.float32],
    goals: npt.NDArray[np.float32],
) -> None:
    """Refuse numbers that 32-bit floats cannot hold, scaled as they are."""
    beyond = "is beyond the range of 32-bit floats (±3.4e38)"
    is_inline = not isinstance(request.dataset, str)
    if not np.isfinite(features).all():
        row, place = np.argwhere(~np.isfinite(features))[0].tolist()
        ends = [taken.stop for taken in places_of(preprocessing)]
        name = preprocessing.features[bisect_right(ends, place)].name
        at: tuple[str | int, ...] = (
            ("dataset", "features", row, columns.index(name)) if is_inline else ("dataset",)
        )
        raise InvalidField(f"row {row + 1}: {name!r} {beyond}", *at)
    if not np.isfinite(goals).all():
        row = int(np.flatnonzero(~np.isfinite(goals))[0])
        at = ("dataset", "targets", row) if is_inline else ("target",)
        raise InvalidField(f"row {row + 1}: the target {beyond}", *at)


def _row_weights(
    training: TrainingConfig, rows: Labelled, parts: Parts
) -> npt.NDArray[np.float32] | None:
    """Give each training row its class's weight, scaled to a mean of 1."""
    asked, classes = training.class_weights, rows.target.classes
    if asked is None or classes is None:
        return None
    numbers = rows.numbers[parts.train].astype(np.int64)
    if asked == "balanced":
        of_class = 1 / np.maximum(np.bincount(numbers, minlength=len(classes)), 1)
    else:
        of_class = _weights_by_name(asked, [spelled(label) for label in classes])
    weights = of_class[numbers]
    return np.asarray(weights / weights.mean(), np.float32)


def _weights_by_name(asked: Mapping[str, float], classes: Sequence[str]) -> npt.NDArray[np.float64]:
    """Give each class the weight by its name, or 1. Raises: InvalidField for other names."""
    for name in asked:
        if name not in classes:
            told = ", ".join(classes[:20]) + ("" if len(classes) <= 20 else ", …")
            raise InvalidField(
                f"there is no class {name!r}, but {told}", "training", "class_weights", name
            )
    return np.array([asked.get(name, 1.0) for name in classes])


def finish(prepared: Prepared, layers: Layers) -> Layers:
    """
    Bring a regression's last layer, which has no activation, back to the target's own unit.

    Where single precision could not hold that unit, all layers become double precision.
    """
    mean, scale = prepared.target_mean, prepared.target_scale
    if (mean, scale) == (0.0, 1.0):
        return layers
    last = layers[-1]
    weight = last.weight.astype(np.float64) * scale
    bias = last.bias.astype(np.float64) * scale + mean
    largest = max(float(np.abs(weight).max()), float(np.abs(bias).max()))
    fits = abs(mean) <= FAR_FROM_ZERO * scale and largest < FLOAT32_MAX
    dtype = last.weight.dtype if fits else np.float64
    finished = (*layers[:-1], Layer(weight, bias, last.activation))
    return tuple(
        Layer(layer.weight.astype(dtype), layer.bias.astype(dtype), layer.activation)
        for layer in finished
    )
