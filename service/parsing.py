"""What the process that reads an uploaded table does: from a file to its stored form."""

from pathlib import Path

from perceptron.datasets import describe
from perceptron.frames import Frame
from schemas.base import Record
from schemas.dataset import Dataset, DatasetOptions, SampleConfig
from schemas.errors import InvalidField
from service.charsets import UTF_8

MOST_TOLD_BYTES = 4 * 1024 * 1024
"""Size of what is known of a table; fewer of its first rows are told where they are large."""


class ParsingRequest(Record):
    """A table to read, or to draw, and where to put it."""

    options: DatasetOptions
    source: Path | SampleConfig
    """A file, or what to draw."""
    media_type: str = ""
    """Of the file."""
    charset: str = UTF_8
    """Of a file that is CSV, as Python names it."""
    destination: Path
    """File for the table's stored form."""
    most_rows: int
    most_columns: int
    most_bytes: int


def work(request: bytes) -> bytes:
    """
    Read a table into the destination; answers with the Dataset as JSON.

    Raises: InvalidField, which points into the form of an upload: `file`, `target`, `columns`.
    """
    asked = ParsingRequest.model_validate_json(request)
    if isinstance(asked.source, SampleConfig):
        frame = _drawn(asked, asked.source)
    else:
        frame = _read(asked, asked.source)
    data = frame.to_bytes()
    told = _told(describe(frame, asked.options, data))
    asked.destination.write_bytes(data)
    return told


# Here alone: the API, which imports this module, goes without Polars and random numbers.


def _read(asked: ParsingRequest, source: Path) -> Frame:
    from perceptron.parsing import Limits, parse  # noqa: PLC0415

    limits = Limits(asked.most_rows, asked.most_columns, asked.most_bytes)
    return parse(source, asked.media_type, asked.options, limits, asked.charset)


def _drawn(asked: ParsingRequest, config: SampleConfig) -> Frame:
    from perceptron.samples import sample  # noqa: PLC0415

    for name in asked.options.columns:
        raise InvalidField("a sample's columns are what they are", "columns", name)
    if config.rows > asked.most_rows:
        raise InvalidField(f"more than {asked.most_rows} rows", "sample", "rows")
    return sample(config)


def _told(dataset: Dataset) -> bytes:
    told = dataset.model_dump_json().encode()
    while len(told) > MOST_TOLD_BYTES and dataset.records:
        records = dataset.records[: len(dataset.records) // 2]
        dataset = dataset.model_copy(update={"records": records})
        told = dataset.model_dump_json().encode()
    if len(told) > MOST_TOLD_BYTES:
        raise InvalidField("the values of its columns are too long to be listed", "file")
    return told
