"""The rows of a whole table: block by block, with the very numbers that a request's rows get."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from perceptron import inference
from perceptron.frames import FLOAT32_MAX, Column, Frame, numbers, spelled
from perceptron.layers import FloatArray, Layers
from perceptron.preprocessing import encode, places_of, with_derived
from schemas.dataset import ColumnKind
from schemas.errors import InvalidField
from schemas.preprocessing import CategoricalFeature, NumericFeature, Preprocessing, Target

MOST_VALUES = 20_000_000
"""Most predictions and probabilities that one table is answered with."""
ENCODED_VALUES = 2**24
"""Inputs of the network that are made at a time, where a block needs no more."""
MOST_ENCODED_VALUES = 2**26
"""Most inputs of a block: beyond, it has fewer rows than `inference` would take."""

PREDICTION = "prediction"
PROBABILITY = "probability"


def answer_names(target: Target) -> tuple[str, ...]:
    """Name the columns of a table's answer."""
    if target.classes is None:
        return (PREDICTION,)
    if target.task == "binary":
        return (PREDICTION, PROBABILITY)
    return (PREDICTION, *(f"{PROBABILITY}_{spelled(label)}" for label in target.classes))


def check_size(target: Target, rows: int, *at: str | int) -> None:
    """Refuse a table whose answer would be very large. Raises: InvalidField."""
    most = MOST_VALUES // len(answer_names(target))
    if rows > most:
        raise InvalidField(f"{rows} rows: at most {most} at a time for this model", *at)


def usable(preprocessing: Preprocessing, frame: Frame, *, are_numbers_texts: bool) -> Frame:
    """
    Choose the features' columns, and see that numeric ones hold numbers.

    `are_numbers_texts` says that numbers may have been read as texts, as they stand in CSV.

    Raises: InvalidField that points at the column.
    """
    columns = [
        _numeric(frame.column(feature.name), are_texts=are_numbers_texts)
        if isinstance(feature, NumericFeature)
        else frame.column(feature.name)
        for feature in preprocessing.features
    ]
    return Frame(tuple(columns))


def _numeric(column: Column, *, are_texts: bool) -> Column:
    """Give a column as numbers, as strictly as a request's values are taken."""
    if column.kind == "numeric":
        return column
    found = np.full(len(column.values), math.nan)
    if column.is_coded:
        found = np.array([*map(_number, column.categories), math.nan])[column.values]
    wrong = np.isnan(found) & ~column.missing
    if not (are_texts or wrong.any()):  # in JSON numbers beside a text are read as texts, too
        wrong = ~column.missing
    if wrong.any():
        row = int(wrong.argmax())
        cell = column._replace(values=column.values[row : row + 1]).cells()[0]
        told = f"the text {cell!r}" if isinstance(cell, str) else spelled(bool(cell))
        detail = f"row {row + 1}: {column.name!r} is {told}: a number is needed"
        raise InvalidField(detail, column.name)
    return numbers(column.name, found)


def _number(text: str) -> float:
    """Read a number; NaN where the text is none."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) and "_" not in text else math.nan


def outputs(
    preprocessing: Preprocessing, layers: Layers, frame: Frame, first_row: int = 0
) -> Iterator[FloatArray]:
    """
    Give the network's outputs from a row on, block after block.

    The blocks are those in which `inference.forward` would take all rows, so that every number is
    the same to the last bit, as long as `first_row` begins one.

    Shapes: (rows of the block,) for one output unit, (rows of the block, outputs) for several.
    Raises: InvalidField that points at the column, for a value that cannot be used.
    """
    width = preprocessing.width
    block = min(inference.block_rows(layers), max(1, MOST_ENCODED_VALUES // width))
    step = block * max(1, ENCODED_VALUES // (width * block))
    parts = _by_feature(preprocessing)
    for start in range(first_row, frame.rows, step):
        rows = _encoded(parts, _between(frame, start, start + step), start)
        rows = with_derived(preprocessing, rows)
        for first in range(0, len(rows), block):
            yield inference.forward(layers, rows[first : first + block])


def _by_feature(preprocessing: Preprocessing) -> Sequence[tuple[Preprocessing, slice]]:
    """Give each feature alone, and the network's inputs that it becomes."""
    alone = [
        preprocessing.model_copy(update={"features": (feature,), "derived": ()})
        for feature in preprocessing.features
    ]
    return list(zip(alone, places_of(preprocessing), strict=True))


def _encoded(
    parts: Sequence[tuple[Preprocessing, slice]], frame: Frame, first_row: int
) -> npt.NDArray[np.float32]:
    """Encode rows; a number beyond a float32's range counts as its largest."""
    encoded = np.empty((frame.rows, parts[-1][1].stop), np.float32)
    for alone, place in parts:
        try:
            encoded[:, place] = encode(alone, frame, first_row=first_row)
        except InvalidField as error:
            error.at = alone.feature_names
            raise
    return np.clip(encoded, -FLOAT32_MAX, FLOAT32_MAX, out=encoded)


def _between(frame: Frame, start: int, end: int) -> Frame:
    columns = (column._replace(values=column.values[start:end]) for column in frame.columns)
    return Frame(tuple(columns))


def check_kinds(preprocessing: Preprocessing, kinds: Mapping[str, ColumnKind], *at: str) -> None:
    """See that a table has the features' columns, of kinds that suit. Raises: InvalidField."""
    for feature in preprocessing.features:
        kind = kinds.get(feature.name)
        if kind is None:
            raise InvalidField(f"it has no column {feature.name!r}, a feature of the model", *at)
        is_suited = kind == "numeric" or not isinstance(feature, NumericFeature)
        if not is_suited or (kind == "text" and not isinstance(feature, CategoricalFeature)):
            needed = "numbers are" if isinstance(feature, NumericFeature) else "true or false is"
            raise InvalidField(f"its column {feature.name!r} is {kind}: {needed} needed", *at)
