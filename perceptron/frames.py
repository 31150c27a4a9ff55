"""A raw table, as it was uploaded or built: columns of numbers, truths, categories and texts."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from perceptron.layers import stored_metadata
from schemas.dataset import CategoryCount, ColumnKind, ColumnSummary, ToldCell
from schemas.errors import CorruptModel, InvalidField
from schemas.preprocessing import Label

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

MAX_CATEGORIES = 100
"""Most categories of one column that a summary lists."""
FEW_NUMBERS = 20
"""Most different numbers of one column that a summary lists."""
LOOKED_AT = 1_000
"""Different texts of one column among which a summary looks for numbers."""

FLOAT32_MAX = float(np.finfo(np.float32).max)
FAR_FROM_ZERO = 1_000
"""
Numbers whose mean is more standard deviations than this away from 0 need doubles: rounded to a
float they are off by more than 1 / 30,000 of one.
"""

TRUTHS: Mapping[str, bool] = {"true": True, "false": False, "yes": True, "no": False}
"""Texts that are truths, in lower case."""

EXACT_INTEGERS = 2**53
"""Whole numbers below this are told as integers: floats hold every one of them."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+")

_DTYPES: dict[ColumnKind, npt.DTypeLike] = {
    "numeric": np.float64,
    "boolean": np.float64,
    "categorical": np.int32,
    "text": np.int32,
}


class Column(NamedTuple):
    """The values of one column, in the order of the rows."""

    name: str
    kind: ColumnKind
    values: npt.NDArray[Any]
    """
    Shape (rows,). Numeric: float64, NaN where missing. Boolean: float64, 0, 1 or NaN. Categorical
    and text: int32, the place in `categories`, −1 where missing.
    """
    categories: tuple[str, ...] = ()
    """Sorted, all different; there may be some that no row has."""

    @property
    def is_coded(self) -> bool:
        """Whether the values are places in `categories`."""
        return self.kind in ("categorical", "text")

    @property
    def missing(self) -> Mask:
        """Which rows have no value. Shape (rows,)."""
        return self.values < 0 if self.is_coded else np.isnan(self.values)

    def labels(self) -> tuple[Label, ...]:
        """Give every different value, ascending, as the table spells it."""
        if self.is_coded:
            return tuple(text for text, rows in self._counted_categories() if rows)
        values, _ = self._counted_numbers()
        return tuple(map(self._label, values.tolist()))

    def numbered(self) -> npt.NDArray[np.int64]:
        """Give each row the number of its value among `labels`, −1 where missing."""
        if self.is_coded:
            used = np.bincount(self.values + 1, minlength=len(self.categories) + 1)[1:] > 0
            places = np.concatenate([[-1], np.cumsum(used) - 1])
            return np.asarray(places[self.values + 1], np.int64)
        values, _ = self._counted_numbers()
        return np.where(self.missing, -1, np.searchsorted(values, self.values))

    def cells(self) -> list[ToldCell]:
        """Give every value as answers tell it; None: missing."""
        if self.is_coded:
            texts = (*self.categories, None)  # −1 is the last
            return [texts[place] for place in self.values.tolist()]
        return [None if math.isnan(value) else self._label(value) for value in self.values.tolist()]

    def summary(self) -> ColumnSummary:
        """Say what is known of the column."""
        missing = int(self.missing.sum())
        if self.is_coded:
            counted = [(text, rows) for text, rows in self._counted_categories() if rows]
            listed = _most_frequent(counted) if self.kind == "categorical" else None
            return ColumnSummary(
                name=self.name,
                kind=self.kind,
                missing=missing,
                distinct=len(counted),
                categories=listed,
                note=_note_on_texts([text for text, _ in counted[:LOOKED_AT]]),
            )
        values, counts = self._counted_numbers()
        listed = None
        if self.kind == "boolean" or len(values) <= FEW_NUMBERS:
            labels = map(spelled, map(self._label, values.tolist()))
            listed = _most_frequent(list(zip(labels, counts.tolist(), strict=True)))
        return ColumnSummary(
            name=self.name,
            kind=self.kind,
            missing=missing,
            distinct=len(values),
            categories=listed,
            **(self._numeric_summary() if self.kind == "numeric" and len(values) else {}),
        )

    def _label(self, value: float) -> Label:
        return bool(value) if self.kind == "boolean" else as_number(value)

    def _counted_categories(self) -> Iterable[tuple[str, int]]:
        counts = np.bincount(self.values + 1, minlength=len(self.categories) + 1)[1:]
        return zip(self.categories, counts.tolist(), strict=True)

    def _counted_numbers(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        return np.unique(self.values[~self.missing], return_counts=True)

    def _numeric_summary(self) -> dict[str, Any]:
        values = self.values[~self.missing]
        mean, deviation = moments(values)
        return {
            "minimum": float(values.min()),
            "maximum": float(values.max()),
            "mean": mean,
            "standard_deviation": deviation,
            "note": _note_on_numbers(values),
        }


class Frame(NamedTuple):
    """Columns of one length, with different names."""

    columns: tuple[Column, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.columns[0].values) if self.columns else 0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def sha256(self) -> str:
        """SHA-256 of `to_bytes`."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def column(self, name: str) -> Column:
        """Find a column. Raises: InvalidField."""
        for column in self.columns:
            if column.name == name:
                return column
        raise InvalidField(f"there is no column {name!r}")

    def take(self, chosen: Mask | Indices) -> "Frame":
        """Choose rows, by a mask or by their numbers."""
        return Frame(
            tuple(column._replace(values=column.values[chosen]) for column in self.columns)
        )

    def summaries(self) -> tuple[ColumnSummary, ...]:
        """Say what is known of each column."""
        return tuple(column.summary() for column in self.columns)

    def records(self, first: int, end: int) -> tuple[dict[str, ToldCell], ...]:
        """Give the rows from `first` up to `end` as `{column: value}`; None: missing."""
        cells = [
            column._replace(values=column.values[first:end]).cells() for column in self.columns
        ]
        return tuple(dict(zip(self.names, row, strict=True)) for row in zip(*cells, strict=True))

    def to_bytes(self) -> bytes:
        """
        Write the table in safetensors form: the same table always makes the same bytes.

        Column i is `i.values`, and where it has categories `i.text`, their UTF-8 one after the
        other, and `i.lengths`, the bytes of each. Names and kinds are one JSON list under one
        metadata key, because the format does not fix the order of several. Every NaN is the same
        one, and −0 is 0.
        """
        tensors: dict[str, npt.NDArray[Any]] = {}
        for index, column in enumerate(self.columns):
            tensors[f"{index}.values"] = _canonical(column)
            if column.is_coded:
                texts = [text.encode() for text in column.categories]
                tensors[f"{index}.text"] = np.frombuffer(b"".join(texts), np.uint8)
                tensors[f"{index}.lengths"] = np.array(list(map(len, texts)), np.int64)
        described = json.dumps([[column.name, column.kind] for column in self.columns])
        return save(tensors, metadata={"columns": described})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Frame":
        """
        Read a table that `to_bytes` wrote.

        Raises: CorruptModel when `data` is anything else.
        """
        try:
            tensors = load(data)
            described = json.loads(stored_metadata(data)["columns"])
            frame = cls(
                tuple(
                    _stored_column(tensors, index, str(name), kind)
                    for index, (name, kind) in enumerate(described)
                )
            )
        except (SafetensorError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise CorruptModel from error
        if tensors or not _fits(frame):
            raise CorruptModel
        return frame


def numbers(name: str, values: npt.ArrayLike) -> Column:
    """Make a numeric column; NaN: missing."""
    return Column(name, "numeric", np.asarray(values, np.float64))


def booleans(name: str, values: Sequence[bool | None]) -> Column:
    """Make a boolean column; None: missing."""
    known = [np.nan if value is None else float(value) for value in values]
    return Column(name, "boolean", np.array(known, np.float64))


def categories(name: str, values: Sequence[str | None], kind: ColumnKind = "categorical") -> Column:
    """Make a column of categories, or of texts; None: missing."""
    known = sorted({value for value in values if value is not None})
    places: dict[str | None, int] = {text: place for place, text in enumerate(known)}
    codes = np.array([places.get(value, -1) for value in values], np.int32)
    return Column(name, kind, codes, tuple(known))


def as_number(value: float) -> int | float:
    """Give a whole number as an integer, any other as it is."""
    return int(value) if value.is_integer() and abs(value) < EXACT_INTEGERS else value


def spelled(label: Label) -> str:
    """Write a label as text: `true`, `3`, `0.5`, or the text that it is."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return label if isinstance(label, str) else str(as_number(float(label)))


def moments(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """
    Compute the mean and the standard deviation over all values, whatever their size.

    Of equal values the mean is that value and the deviation 0, not a rounding error.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low, 0.0
    # A power of two keeps squares in range without rounding anything.
    exponent = int(np.frexp(max(abs(low), abs(high)))[1])
    scaled = np.ldexp(values, -exponent)
    mean = np.clip(scaled.mean(), scaled.min(), scaled.max())
    return float(np.ldexp(mean, exponent)), float(np.ldexp(scaled.std(), exponent))


def _note_on_texts(texts: Sequence[str]) -> str | None:
    """Say which few texts keep a column from being numbers."""
    if not texts:
        return "no row has a value"
    others = [text for text in texts if not _NUMBER.fullmatch(text)]
    if others and 2 * len(others) <= len(texts):
        told = ", ".join(repr(text[:30]) for text in others[:3])
        return f"numbers but for {told}: leave those cells empty where they mean that it is missing"
    if all(map(_DECIMAL_COMMA.fullmatch, texts)):
        return "numbers with a decimal comma are taken for texts: write them with a point"
    return None


def _note_on_numbers(values: npt.NDArray[np.float64]) -> str | None:
    """Say that whole numbers are too large for floats to hold every one of them."""
    if float(np.abs(values).max()) < EXACT_INTEGERS or (values != np.rint(values)).any():
        return None
    return "whole numbers beyond 2^53 are rounded: make the column categorical if they are names"


def _most_frequent(counted: Sequence[tuple[str, int]]) -> tuple[CategoryCount, ...]:
    """List values with their rows; those that are as frequent stay in their order."""
    ordered = sorted(counted, key=lambda pair: -pair[1])[:MAX_CATEGORIES]
    return tuple(CategoryCount(value=value, rows=rows) for value, rows in ordered)


def _canonical(column: Column) -> npt.NDArray[Any]:
    values = np.ascontiguousarray(column.values, _DTYPES[column.kind])
    return values if column.is_coded else np.where(np.isnan(values), np.nan, values + 0.0)


def _stored_column(
    tensors: dict[str, npt.NDArray[Any]], index: int, name: str, kind: ColumnKind
) -> Column:
    column = Column(name, kind, tensors.pop(f"{index}.values"))
    if not column.is_coded:
        return column
    text = tensors.pop(f"{index}.text")
    lengths = tensors.pop(f"{index}.lengths")
    return column._replace(categories=tuple(_texts(text, lengths)))


def _texts(text: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> Iterator[str]:
    """Cut texts apart. Raises: ValueError where the lengths are not those of UTF-8 texts."""
    if text.dtype != np.uint8 or lengths.dtype != np.int64 or lengths.ndim != 1:
        raise ValueError("not the texts of categories")
    whole = text.tobytes()
    ends = list(accumulate(lengths.tolist(), initial=0))
    if ends[-1] != len(whole) or (lengths < 0).any():
        raise ValueError("texts of other lengths")
    return (whole[start:end].decode() for start, end in pairwise(ends))


def _fits(frame: Frame) -> bool:
    """Whether the columns make one table."""
    return len(set(frame.names)) == len(frame.columns) > 0 and all(
        column.kind in get_args(ColumnKind) and _column_fits(column, frame.rows)
        for column in frame.columns
    )


def _column_fits(column: Column, rows: int) -> bool:
    name, kind, values, texts = column
    if not name or values.dtype != _DTYPES[kind] or values.shape != (rows,):
        return False
    if column.is_coded:
        in_range = bool(((values >= -1) & (values < len(texts))).all())
        return in_range and all(before < after for before, after in pairwise(texts))
    known = values[~np.isnan(values)]
    if kind == "boolean":
        return bool(np.isin(known, (0.0, 1.0)).all())
    return bool(np.isfinite(known).all())
