"""The tables that are always there, and the rows that come in a request."""

import hashlib
from functools import cache

import numpy as np
import numpy.typing as npt

from perceptron.frames import FLOAT32_MAX, Column, Frame
from perceptron.gates import NAMED_TABLES
from perceptron.preparation import Source, inferred_task
from perceptron.tables import INLINE_NAME
from schemas.dataset import Dataset, DatasetOptions, DatasetSummary, InlineDataset
from schemas.errors import InvalidField, NotFound

TARGET = "y"
"""Name of the target of truth tables and inline rows."""
SHOWN_ROWS = 100
"""Most rows that a dataset shows."""


def dataset_names() -> tuple[str, ...]:
    """List the truth tables."""
    return tuple(NAMED_TABLES)


@cache
def dataset(name: str) -> Dataset:
    """
    Describe a truth table, rows included.

    Raises: NotFound.
    """
    frame = _truth_table(name)
    options = DatasetOptions(name=name, target=TARGET, description=NAMED_TABLES[name].description)
    return describe(frame, options, frame.to_bytes()).model_copy(update={"built_in": True})


def summary(name: str) -> DatasetSummary:
    """
    Describe a truth table without its rows.

    Raises: NotFound.
    """
    fields = dataset(name).model_dump(include=set(DatasetSummary.model_fields))
    return DatasetSummary(**fields)


def describe(frame: Frame, options: DatasetOptions, data: bytes) -> Dataset:
    """
    Say what is known of a frame, whose stored form `data` is; users' options name it.

    Raises: InvalidField where the target is no column.
    """
    columns = frame.summaries()
    names = [column.name for column in columns]
    target = names[-1] if options.target is None else options.target
    if target not in names:
        raise InvalidField(f"there is no column {target!r}", "target")
    goal = columns[names.index(target)]
    return Dataset(
        name=options.name,
        description=options.description,
        built_in=False,
        rows=frame.rows,
        feature_names=tuple(
            column.name for column in columns if column.kind != "text" and column.name != target
        ),
        target=target,
        task=inferred_task(goal, frame.rows - goal.missing),
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        created_at=None,
        columns=columns,
        records=frame.records(0, SHOWN_ROWS),
    )


def in_request(reference: str | InlineDataset) -> Source | None:
    """
    Give the table that a request brings or that is part of the program; None for any other name.

    Raises: InvalidField.
    """
    if isinstance(reference, str):
        if reference not in NAMED_TABLES:
            return None
        return Source(_truth_table(reference), reference, TARGET, is_standardised=False)
    return Source(_inline(reference), INLINE_NAME, _inline_target(reference), is_standardised=False)


def _truth_table(name: str) -> Frame:
    if name not in NAMED_TABLES:
        raise NotFound("dataset", name)
    truth = NAMED_TABLES[name]
    return _numbers(_default_names(truth.inputs), truth.features, truth.targets, TARGET)


def _inline(rows: InlineDataset) -> Frame:
    features = np.array(rows.features, np.float64)
    targets = np.array(rows.targets, np.float64)
    _refuse_large(features, "features")
    _refuse_large(targets, "targets")
    names = rows.feature_names or _default_names(features.shape[1])
    return _numbers(names, features, targets, _inline_target(rows))


def _refuse_large(values: npt.NDArray[np.float64], part: str) -> None:
    too_large = np.argwhere(np.abs(values) > FLOAT32_MAX)
    if len(too_large):
        place = tuple(too_large[0].tolist())
        detail = f"{values[place]:g} is beyond the range of 32-bit floats (±3.4e38)"
        raise InvalidField(detail, "dataset", part, *place)


def _inline_target(rows: InlineDataset) -> str:
    """Name the target otherwise where a feature has its name."""
    name = TARGET
    while name in (rows.feature_names or ()):
        name += "_"
    return name


def _numbers(
    names: tuple[str, ...],
    features: npt.NDArray[np.floating],
    targets: npt.NDArray[np.floating],
    target: str,
) -> Frame:
    columns = [
        Column(name, "numeric", np.ascontiguousarray(values, np.float64))
        for name, values in zip(names, features.T, strict=True)
    ]
    return Frame((*columns, Column(target, "numeric", targets.astype(np.float64))))


def _default_names(width: int) -> tuple[str, ...]:
    return tuple(f"x{index}" for index in range(1, width + 1))
