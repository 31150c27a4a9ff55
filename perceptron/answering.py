"""
From a network's outputs to a file of answers: CSV, NDJSON, JSON and Parquet, written by Polars.

For a process of its own, as `perceptron.parsing` is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from perceptron.batches import answer_names
from perceptron.frames import EXACT_INTEGERS, Column
from perceptron.layers import FloatArray
from perceptron.preprocessing import answers, chosen
from schemas.media_types import CSV, JSON, NDJSON, PARQUET
from schemas.preprocessing import Label, Target

BATCH = 10_000
"""Rows of JSON that are written at a time."""


class Answered(NamedTuple):
    """What a model said of the rows of a table."""

    model: str
    version: int
    target: Target
    outputs: FloatArray
    """Shape (rows,) for one output unit, (rows, outputs) for several."""
    kept: Sequence[Column] = ()
    """Columns of the table to repeat before the answers; JSON has no place for them."""


def write(answered: Answered, destination: Path, media_type: str) -> None:
    """Write the answers into a file, a row for each row of the table, in order."""
    _WRITERS[media_type](answered, destination)


def table(answered: Answered) -> pl.DataFrame:
    """Lay the answers out as columns."""
    target, outputs = answered.target, answered.outputs
    names = answer_names(target)
    kept = [_series(column) for column in answered.kept]
    if target.classes is None:
        return pl.DataFrame([*kept, pl.Series(names[0], outputs)])
    columns = outputs[:, None] if target.task == "binary" else outputs
    found = _labels(names[0], target.classes, chosen(target, outputs))
    probabilities = [
        pl.Series(name, np.ascontiguousarray(values))
        for name, values in zip(names[1:], columns.T, strict=True)
    ]
    return pl.DataFrame([*kept, found, *probabilities])


def _labels(name: str, classes: Sequence[Label], numbers: npt.NDArray[np.int64]) -> pl.Series:
    """Give each row its class, by the number of that."""
    known = list(map(float, classes)) if _are_mixed(classes) else list(classes)
    return pl.Series(name, known).gather(numbers)


def _are_mixed(classes: Sequence[Label]) -> bool:
    """Whether some of the classes are whole numbers, and some are not."""
    return {type(label) for label in classes} == {int, float}


def _series(column: Column) -> pl.Series:
    """Give a column of a table back, whole numbers as such."""
    if column.is_coded:
        texts = pl.Series(column.name, [*column.categories, None], pl.String)
        return texts.gather(np.where(column.values < 0, len(column.categories), column.values))
    values = pl.Series(column.name, column.values).fill_nan(None)
    if column.kind == "boolean":
        return values.cast(pl.Boolean)
    known = column.values[~column.missing]
    are_whole = bool((known == np.rint(known)).all() and (np.abs(known) < EXACT_INTEGERS).all())
    return values.cast(pl.Int64) if are_whole else values


def _write_csv(answered: Answered, destination: Path) -> None:
    table(answered).write_csv(destination)


def _write_ndjson(answered: Answered, destination: Path) -> None:
    table(answered).write_ndjson(destination)


def _write_parquet(answered: Answered, destination: Path) -> None:
    table(answered).write_parquet(destination)


def _write_json(answered: Answered, destination: Path) -> None:
    """Write what `/predict` answers with: see PredictResponse."""
    target = answered.target
    with destination.open("wb") as file:
        head = orjson.dumps({"model": answered.model, "version": answered.version})
        file.write(head[:-1] + b',"predictions":')
        _write_list(file, (found.predictions for found in _batches(answered)))
        file.write(b',"probabilities":')
        if target.classes is None:
            file.write(b"null")
        else:
            _write_list(file, (found.probabilities for found in _batches(answered)))
        file.write(b',"classes":' + orjson.dumps(target.classes) + b"}")


def _batches(answered: Answered) -> Iterator[Any]:
    for start in range(0, len(answered.outputs), BATCH):
        yield answers(answered.target, answered.outputs[start : start + BATCH])


def _write_list(file: IO[bytes], batches: Iterator[Any]) -> None:
    """Write batches of values as one list."""
    before = b"["
    for batch in batches:
        file.write(before + orjson.dumps(batch, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1])
        before = b","
    file.write(b"]")


_WRITERS: Mapping[str, Callable[[Answered, Path], None]] = {
    CSV: _write_csv,
    NDJSON: _write_ndjson,
    JSON: _write_json,
    PARQUET: _write_parquet,
}
