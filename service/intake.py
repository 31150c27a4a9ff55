"""Taking tables in, to a stored dataset or to nothing at all, and finding them by name."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
from flask import request
from gevent import get_hub

from perceptron import datasets
from perceptron.tables import INLINE_NAME
from schemas.dataset import Dataset, DatasetOptions, DatasetRequest, SampleConfig
from schemas.errors import DatasetExists, InvalidField, NotFound, PerceptronError, Unavailable
from schemas.media_types import JSON
from schemas.settings import Settings
from service import apart, problems, scratch, uploads
from service.charsets import UTF_8
from service.context import settings, storage
from service.parsing import ParsingRequest
from service.requests import JsonRequest
from service.uploads import UploadQuery
from storage import Storage

FILE = "file"
"""The field that stands for the table itself, as errors of reading it point."""

_reading = threading.BoundedSemaphore()
"""A table may be large: one API process reads and stores one at a time."""


def take_in(query: UploadQuery) -> Dataset:
    """
    Store the table of the current request.

    Raises: InvalidField; DatasetExists; Unavailable; DiskFull; what `uploads.receive` raises.
    """
    with scratch.directory() as directory:
        if request.is_json:
            uploads.refuse_query(query)
            return _from_json(problems.json_body(DatasetRequest), directory)
        upload = uploads.receive(request, query, directory, settings().max_upload_bytes)
        try:
            return _read(upload.options, upload.path, upload.media_type, directory, upload.charset)
        except InvalidField as error:
            if request.mimetype != uploads.FORM:
                _point_into_raw_body(error)
            raise


def _point_into_raw_body(error: InvalidField) -> None:
    """Point at what stands for a form's field where the table is the whole body."""
    field, *rest = error.at or (FILE,)
    if field == FILE:
        error.at = tuple(rest)
    else:
        error.at, error.parameter = None, str(field)


def _from_json(body: DatasetRequest, directory: Path) -> Dataset:
    options = DatasetOptions(**body.model_dump(include=set(DatasetOptions.model_fields)))
    if body.sample is not None:
        return _read(options, body.sample, "", directory)
    path = directory / "records"
    path.write_bytes(orjson.dumps(body.records))
    try:
        return _read(options, path, JSON, directory)
    except InvalidField as error:
        field, *rest = error.at or (FILE,)
        error.at = ("records" if field == FILE else field, *rest)
        raise


def _read(
    options: DatasetOptions,
    source: Path | SampleConfig,
    media_type: str,
    directory: Path,
    charset: str = UTF_8,
) -> Dataset:
    """Have a table read by a process of its own, and store what it wrote."""
    _check_name(options.name)
    limits = settings()
    asked = ParsingRequest(
        options=options,
        source=source,
        media_type=media_type,
        charset=charset,
        destination=directory / "frame",
        most_rows=limits.max_dataset_rows,
        most_columns=limits.max_dataset_columns,
        most_bytes=limits.max_dataset_bytes,
    )
    with _turn(limits.upload_seconds):
        found = _read_apart(asked, limits)
        return _store(found, asked.destination)


def _read_apart(asked: ParsingRequest, limits: Settings) -> Dataset:
    most = apart.Limits(limits.upload_seconds, limits.upload_memory_bytes)
    try:
        told = apart.run("service.parsing", asked.model_dump_json().encode(), most)
    except apart.Overrun as error:
        raise InvalidField(f"reading the table takes {error}: send a smaller one", FILE) from None
    return Dataset.model_validate_json(told)


def dataset(name: str, stored: Storage) -> Dataset:
    """Give a dataset, be it a truth table or stored. Raises: NotFound."""
    if name in datasets.dataset_names():
        return datasets.dataset(name)
    return stored.datasets.get(name)


def dataset_in_body(name: str, stored: Storage) -> Dataset:
    """Give the dataset that a job names. Raises: InvalidField."""
    try:
        return dataset(name, stored)
    except NotFound as error:
        raise InvalidField(f"{error.detail}: see GET /datasets", "dataset") from None


def _check_name(name: str) -> None:
    """See that the name is free, to begin with. Raises: InvalidField, DatasetExists."""
    if name == INLINE_NAME:
        raise InvalidField(f"{name!r} stands for rows in a job: choose another name", "name")
    if name in datasets.dataset_names():
        raise DatasetExists(f"{name!r} is a built-in dataset: choose another name")
    storage().datasets.check_is_free(name)


def _store(found: Dataset, source: Path) -> Dataset:
    """Store a table in a thread: SQLite takes a second for what is large, and does not yield."""
    if isinstance(request, JsonRequest):
        size = source.stat().st_size
        request.body_bytes = max(request.body_bytes, size)  # memory worth giving back
    create = storage().datasets.create

    def stored() -> Dataset | PerceptronError:
        try:
            return create(found, source.read_bytes())
        except PerceptronError as error:  # the pool would print what it raises
            return error

    outcome: Dataset | PerceptronError = get_hub().threadpool.apply(stored)
    if isinstance(outcome, PerceptronError):
        raise outcome
    return outcome


@contextmanager
def _turn(seconds: float) -> Iterator[None]:
    """Wait for this request's turn. Raises: Unavailable where that takes too long."""
    if not _reading.acquire(timeout=seconds):
        raise Unavailable("other tables are being read: try again")
    try:
        yield
    finally:
        _reading.release()
