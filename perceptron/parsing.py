"""
From a file to a frame: CSV, Parquet, NDJSON and JSON, read by Polars.

For a process of its own: it may take much memory, and Polars is not small.
"""

import csv
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from perceptron.frames import TRUTHS, Column, Frame, categories, spelled
from schemas.dataset import ColumnKind, DatasetOptions
from schemas.errors import InvalidField
from schemas.media_types import CSV, JSON, NDJSON, PARQUET

EXPECTED: Mapping[str, str] = {
    CSV: "CSV: a line of names, then a line of values for each row",
    PARQUET: "Parquet: it is something else, or damaged",
    NDJSON: "NDJSON: an object {column: value} on each line, the values of a column of one kind",
    JSON: "JSON: a list of objects {column: value}, the values of a column of one kind",
}
"""What a file of each type is."""

MISSING = (
    *("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan"),
    *("null", "NULL", "Null", "None", "?"),
)
"""What stands for a missing value in CSV."""
LEADING_ZERO = r"^\s*0\d"
"""A whole number that is written like this is a name: a postal code, say."""

MOST_CATEGORIES = 100
"""Texts with more different values, most of them once, are free text."""
MOST_NAME = 128
"""Longest name of a column."""
SNIFFED_BYTES = 65_536
UTF_8 = "utf-8"
DELIMITERS = ",;\t|"

_TIMES = (pl.Date, pl.Datetime, pl.Time, pl.Duration)


class Limits(NamedTuple):
    """The largest table that is taken."""

    rows: int
    columns: int
    size_bytes: int
    """Of the values, as they lie in memory."""
    needed: tuple[str, ...] | None = None
    """Columns that are taken, in this order, and must be there; None: all that are there."""


def parse(
    source: Path,
    media_type: str,
    options: DatasetOptions,
    limits: Limits,
    charset: str = UTF_8,
) -> Frame:
    """
    Read a table, and choose a kind for each column.

    `charset` is Python's name of CSV's; what is in another one than UTF-8 is written again beside
    the source for the time being, at most three times as large.

    Numbers, booleans (also yes and no) and texts are what they are; texts of many different
    values, dates and times are kept as free text, as are columns without a value;
    `options.columns` says otherwise.

    Raises: InvalidField.
    """
    with _readable(media_type), _in_utf8(source, charset) as readable:
        table = _READERS[media_type](readable, options, limits)
        if limits.needed is not None:
            table = table.select(limits.needed)
        _check_shape(table, limits)
        for name in options.columns:
            if name not in table.columns:
                raise InvalidField(f"there is no column {name!r}", "columns", name)
        columns = table.iter_columns()
        return Frame(tuple(_column(series, options.columns.get(series.name)) for series in columns))


@contextmanager
def _readable(media_type: str) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        detail = f"the table cannot be read as {EXPECTED[media_type]}"
        raise InvalidField(detail, "file") from error


# Readers


@contextmanager
def _in_utf8(source: Path, charset: str) -> Iterator[Path]:
    """Give a file that is in UTF-8 as far as it is text. Raises: InvalidField."""
    if charset == UTF_8:
        yield source
        return
    with tempfile.NamedTemporaryFile(dir=source.parent) as file:
        path = Path(file.name)
        try:
            with (
                source.open(encoding=charset, newline="") as text,
                path.open("w", encoding=UTF_8, newline="") as copy,
            ):
                shutil.copyfileobj(text, copy)
        except UnicodeError:
            raise _not_in(charset, source) from None
        yield path


def _not_in(charset: str, source: Path) -> InvalidField:
    """Say where a file is not in its charset."""
    data = source.read_bytes()
    try:
        data.decode(charset)
    except UnicodeDecodeError as error:
        line = data[: error.start].decode(charset, errors="ignore").count("\n") + 1
        detail = f"line {line} is not {charset.upper()}: {error.reason} at byte {error.start}"
        return InvalidField(detail, "file")
    return InvalidField(f"the table is not {charset.upper()}", "file")


def _read_csv(source: Path, options: DatasetOptions, limits: Limits) -> pl.DataFrame:
    delimiter = _delimiter(source)
    lines = _look_through(source, delimiter, limits)
    as_texts = [name for name, kind in options.columns.items() if kind in ("categorical", "text")]
    table = pl.read_csv(
        source,
        separator=delimiter,
        null_values=list(MISSING),
        infer_schema_length=None,
        schema_overrides=dict.fromkeys(as_texts, pl.String),  # 007 stays 007
        try_parse_dates=True,
        encoding="utf8",
    )
    table = table.with_columns(_numbers_with_leading_zeros(source, delimiter, table))
    table.columns = lines.names
    table = table.with_columns(pl.col(pl.String).str.strip_chars())
    table = table.with_columns(pl.col(pl.String).replace(dict.fromkeys(MISSING)))
    if lines.has_blank and len(lines.names) > 1:
        table = table.filter(~pl.all_horizontal(pl.all().is_null()))
    numeric = [series for series in table.iter_columns() if _is_padded_numbers(series, as_texts)]
    return table.with_columns(series.cast(pl.Float64) for series in numeric)


def _numbers_with_leading_zeros(
    source: Path, delimiter: str, table: pl.DataFrame
) -> list[pl.Series]:
    """Read the columns of whole numbers again, as texts; give those that begin with 0."""
    whole = [index for index, dtype in enumerate(table.dtypes) if dtype.is_integer()]
    if not whole:
        return []
    texts = pl.read_csv(
        source,
        separator=delimiter,
        columns=whole,
        null_values=list(MISSING),
        infer_schema=False,
        encoding="utf8",
    )
    return [series for series in texts.iter_columns() if series.str.contains(LEADING_ZERO).any()]


def _is_padded_numbers(series: pl.Series, as_texts: Sequence[str]) -> bool:
    """Whether texts, their blanks gone, are numbers throughout."""
    if series.dtype != pl.String or series.name in as_texts or series.count() == 0:
        return False
    if series.str.contains(LEADING_ZERO).any():
        return False
    return series.cast(pl.Float64, strict=False).null_count() == series.null_count()


def _delimiter(source: Path) -> str:
    """Find what divides the fields of the first line; a table of one column has nothing."""
    with source.open("rb") as file:
        first = file.readline(SNIFFED_BYTES).decode("utf-8-sig", errors="ignore")
    try:
        return csv.Sniffer().sniff(first, DELIMITERS).delimiter
    except csv.Error:
        return ","


class _Lines(NamedTuple):
    """What a look through all lines of a CSV file tells."""

    names: list[str]
    has_blank: bool


def _look_through(source: Path, delimiter: str, limits: Limits) -> _Lines:
    """See that each line is UTF-8, and divided as the first one is. Raises: InvalidField."""
    most = 1 + (MOST_NAME + 3) * limits.columns
    with source.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            first = file.readline(most)
            if len(first) == most:
                raise _too_wide(limits)
            if first.endswith("\r"):
                raise InvalidField("lines end in a carriage return: a line feed is needed", "file")
            file.seek(0)
            names = [name.strip() for name in next(reader, [])]
            _check_names(names, limits)
            return _Lines(names, _check_lines(reader, len(names), limits))
        except csv.Error as error:
            raise InvalidField(f"line {reader.line_num}: {error}", "file") from None
        except UnicodeDecodeError:
            raise _not_in(UTF_8, source) from None


def _check_lines(reader: Any, width: int, limits: Limits) -> bool:
    """See that each line has a value for each column; returns whether one is blank."""
    rows, has_blank = 0, False
    for row in reader:
        if len(row) == width:
            rows += 1
        elif row:
            raise InvalidField(
                f"line {reader.line_num} has {len(row)} values, the first line {width}", "file"
            )
        has_blank = has_blank or not row
        if rows > limits.rows:
            break
    _check_rows(rows, limits)
    return has_blank


def _read_parquet(source: Path, _options: DatasetOptions, limits: Limits) -> pl.DataFrame:
    scan = pl.scan_parquet(source, glob=False)
    schema = scan.collect_schema()
    _check_names(schema.names(), limits)
    if limits.needed is not None:
        scan = scan.select(limits.needed)
        schema = scan.collect_schema()
    _check_types(schema)
    rows = int(scan.select(pl.len()).collect().item())  # from the file's own description
    _check_rows(rows, limits)
    _check_size(8 * rows * len(schema), limits)
    return scan.collect()


def _read_ndjson(source: Path, _options: DatasetOptions, limits: Limits) -> pl.DataFrame:
    table = pl.scan_ndjson(source, infer_schema_length=None).head(limits.rows + 1).collect()
    _check_names(table.columns, limits)
    return table


def _read_json(source: Path, _options: DatasetOptions, limits: Limits) -> pl.DataFrame:
    table = pl.read_json(source, infer_schema_length=None)
    _check_names(table.columns, limits)
    return table


_READERS: Mapping[str, Callable[[Path, DatasetOptions, Limits], pl.DataFrame]] = {
    CSV: _read_csv,
    PARQUET: _read_parquet,
    NDJSON: _read_ndjson,
    JSON: _read_json,
}


# Checks


def _check_names(names: Sequence[str], limits: Limits) -> None:
    if not any(names):
        raise InvalidField("the table is empty", "file")
    if len(names) > limits.columns:
        raise _too_wide(limits)
    seen = set()
    for number, name in enumerate(names, 1):
        if not name.strip():
            raise InvalidField(f"column {number} has no name", "file")
        if len(name) > MOST_NAME:
            raise InvalidField(
                f"the name of column {number} has more than {MOST_NAME} characters", "file"
            )
        if name in seen:
            raise InvalidField(f"two columns are called {name!r}", "file")
        if "\0" in name:
            raise InvalidField(f"the name of column {number} has a NUL character", "file")
        seen.add(name)
    for name in limits.needed or ():
        if name not in seen:
            raise InvalidField(f"there is no column {name!r}", "columns", name)


def _too_wide(limits: Limits) -> InvalidField:
    return InvalidField(f"more than {limits.columns} columns", "file")


def _check_types(schema: Mapping[str, pl.DataType]) -> None:
    """See that each column holds single values. Raises: InvalidField."""
    for name, dtype in schema.items():
        if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
            raise InvalidField(
                f"the column {name!r} holds lists, records or bytes: single values are needed",
                "file",
            )


def _check_rows(rows: int, limits: Limits) -> None:
    if rows == 0:
        raise InvalidField("the table has no rows", "file")
    if rows > limits.rows:
        raise InvalidField(f"more than {limits.rows} rows", "file")


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.size_bytes:
        raise InvalidField(f"more than {limits.size_bytes} bytes of values", "file")


def _check_shape(table: pl.DataFrame, limits: Limits) -> None:
    _check_rows(table.height, limits)
    _check_types(table.schema)
    _check_size(max(8 * table.height * table.width, int(table.estimated_size())), limits)


# Columns


def _column(series: pl.Series, asked: ColumnKind | None) -> Column:
    kind = asked or _kind(series)
    if kind == "numeric":
        return _numeric(series)
    return _boolean(series) if kind == "boolean" else _text(series, kind)


def _kind(series: pl.Series) -> ColumnKind:
    if series.dtype == pl.Boolean:
        return "boolean"
    if series.dtype.is_numeric():
        return "numeric"
    if series.dtype in _TIMES or series.count() == 0:
        return "text"
    texts = series.cast(pl.String)
    different = texts.drop_nulls().unique()
    if different.str.to_lowercase().is_in(list(TRUTHS)).all():
        return "boolean"
    if different.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False).null_count() == 0:
        return "text"
    is_free = len(different) > MOST_CATEGORIES and 2 * len(different) > texts.count()
    return "text" if is_free else "categorical"


def _numeric(series: pl.Series) -> Column:
    if series.dtype in _TIMES:
        raise _not(series, "numeric", "numbers")
    try:
        numbers = series.cast(pl.Float64)
    except pl.exceptions.PolarsError:
        raise _not(series, "numeric", "numbers") from None
    values = numbers.fill_null(np.nan).to_numpy().astype(np.float64)
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        detail = f"row {infinite[0] + 1} of the column {series.name!r} is infinite"
        raise InvalidField(detail, "file")
    return Column(series.name, "numeric", values)


def _boolean(series: pl.Series) -> Column:
    if series.dtype == pl.String:
        texts = series.str.to_lowercase()
        if not set(texts.drop_nulls().unique()) <= TRUTHS.keys():
            raise _not(series, "boolean", "true and false")
        found = texts.replace_strict(TRUTHS, return_dtype=pl.Boolean)
    else:
        column = _numeric(series)
        if not np.isin(column.values[~column.missing], (0, 1)).all():
            raise _not(series, "boolean", "true and false")
        return column._replace(kind="boolean")
    values = found.cast(pl.Float64).fill_null(np.nan).to_numpy().astype(np.float64)
    return Column(series.name, "boolean", values)


def _text(series: pl.Series, kind: ColumnKind) -> Column:
    """Number the different texts in their order, whole numbers without a point."""
    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        column = _boolean(series) if series.dtype == pl.Boolean else _numeric(series)
        spelt = [None if cell is None else spelled(cell) for cell in column.cells()]
        return categories(series.name, spelt, kind)
    is_duration = series.dtype == pl.Duration
    texts = series.dt.to_string("iso") if is_duration else series.cast(pl.String)
    known = texts.drop_nulls().unique().sort()
    if known.str.contains("\0", literal=True).any():
        raise InvalidField(f"the column {series.name!r} has a NUL character", "file")
    codes = texts.cast(pl.Enum(known)).to_physical().cast(pl.Int32).fill_null(-1)
    return Column(series.name, kind, codes.to_numpy().astype(np.int32), tuple(known.to_list()))


def _not(series: pl.Series, kind: str, what: str) -> InvalidField:
    return InvalidField(
        f"the column {series.name!r} cannot be {kind}: it holds more than {what}",
        "columns",
        series.name,
    )
