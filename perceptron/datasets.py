"""Tables of numbers to train on: the built-in ones, and those in a request."""

import hashlib
import json
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perceptron.gates import NAMED_TABLES
from schemas.dataset import Dataset, DatasetSummary, InlineDataset
from schemas.errors import InvalidField, NotFound

INLINE_NAME = "inline"


class Table(NamedTuple):
    """Rows of numbers with a class, 0 or 1, each."""

    name: str
    feature_names: tuple[str, ...]
    features: npt.NDArray[np.float32]
    """Shape (rows, features)."""
    targets: npt.NDArray[np.float32]
    """Shape (rows,)."""


def dataset_names() -> tuple[str, ...]:
    """List the built-in datasets."""
    return tuple(NAMED_TABLES)


def dataset(name: str) -> Dataset:
    """
    Describe a built-in dataset, rows included.

    Raises: NotFound.
    """
    rows = _built_in(name)
    return Dataset(
        **summary(name).model_dump(),
        features=tuple(map(tuple, rows.features.tolist())),
        targets=tuple(map(int, rows.targets.tolist())),
    )


def summary(name: str) -> DatasetSummary:
    """
    Describe a built-in dataset without its rows.

    Raises: NotFound.
    """
    rows = _built_in(name)
    return DatasetSummary(
        name=name,
        description=NAMED_TABLES[name].description,
        rows=len(rows.targets),
        feature_names=rows.feature_names,
        positives=int(rows.targets.sum()),
    )


def table(reference: str | InlineDataset) -> Table:
    """
    Take a built-in dataset by name, or the rows themselves, as float32 arrays.

    Raises: NotFound for an unknown name; InvalidField at a value that float32 cannot hold.
    """
    if isinstance(reference, str):
        return _built_in(reference)
    features = _float32(np.array(reference.features, np.float64))
    names = reference.feature_names or _default_names(features.shape[1])
    return Table(INLINE_NAME, names, features, np.array(reference.targets, np.float32))


def table_sha256(table: Table) -> str:
    """
    Name a table by its content: SHA-256 of `{"features":[[…]],"targets":[…]}` without spaces.

    Numbers are float32 values written as the shortest decimal of the equal float64, `0.0` for −0.
    """
    content = {
        "features": (table.features.astype(np.float64) + 0.0).tolist(),
        "targets": (table.targets.astype(np.float64) + 0.0).tolist(),
    }
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def split(table: Table, validation_fraction: float, seed: int) -> tuple[Table, Table | None]:
    """
    Keep round(fraction · rows) random rows out for validation; the rest trains.

    Both parts hold both classes wherever that is possible, in the table's proportion as nearly
    as it goes, and keep the table's order. A fraction of 0 keeps nothing out.

    Raises: InvalidField when either part would be empty.
    """
    if validation_fraction == 0:
        return table, None
    rows = len(table.targets)
    count = round(validation_fraction * rows)
    if count in (0, rows):
        part = "validation" if count == 0 else "training"
        raise InvalidField(
            f"{validation_fraction:g} of {rows} rows leaves no row for {part}",
            "training",
            "validation_fraction",
        )
    kept_out = _kept_out(table.targets > 0.5, count, np.random.RandomState(seed))
    return _rows(table, ~kept_out), _rows(table, kept_out)


def _built_in(name: str) -> Table:
    if name not in NAMED_TABLES:
        raise NotFound("dataset", name)
    truth = NAMED_TABLES[name]
    return Table(name, _default_names(truth.inputs), truth.features, truth.targets)


def _default_names(width: int) -> tuple[str, ...]:
    return tuple(f"x{index}" for index in range(1, width + 1))


def _float32(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    too_large = np.argwhere(~np.isfinite(rounded))
    if len(too_large):
        row, column = map(int, too_large[0])
        raise InvalidField(
            f"{values[row, column]:g} is beyond the range of 32-bit floats (±3.4e38)",
            "dataset",
            "features",
            row,
            column,
        )
    return rounded


def _kept_out(
    ones: npt.NDArray[np.bool_], count: int, random: np.random.RandomState
) -> npt.NDArray[np.bool_]:
    """Choose `count` rows at random, by class where both parts can hold both classes."""
    order = random.permutation(len(ones))
    quota = _quota(int(ones.sum()), len(ones), count)
    if quota is None:
        chosen = order[:count]
    else:
        shuffled = ones[order]
        chosen = np.concatenate([order[shuffled][:quota], order[~shuffled][: count - quota]])
    mask = np.zeros(len(ones), bool)
    mask[chosen] = True
    return mask


def _quota(positives: int, rows: int, count: int) -> int | None:
    """Rows of class 1 among the `count`; null where a class would be missing from a part."""
    least = max(1, count - (rows - positives - 1))
    most = min(positives - 1, count - 1)
    if least > most:
        return None
    return min(max(round(count * positives / rows), least), most)


def _rows(table: Table, mask: npt.NDArray[np.bool_]) -> Table:
    return table._replace(features=table.features[mask], targets=table.targets[mask])
