"""Uploads: the table that a client sends goes into a file, piece by piece, not into memory."""

import io
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import IO, Annotated, Any, NamedTuple, cast

from flask import Request, abort
from gunicorn.http.errors import ParseException
from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema
from pydantic_core import from_json
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import (
    BadRequest,
    ClientDisconnected,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from schemas.base import Record, invalid
from schemas.dataset import ColumnKind, DatasetName, DatasetOptions
from schemas.errors import InvalidField
from schemas.media_types import CSV, JSON, NDJSON, PARQUET
from schemas.preprocessing import FeatureName
from service import encodings, problems
from service.charsets import charset_of

FORM = "multipart/form-data"

MEDIA_TYPES: Mapping[str, str] = {
    CSV: CSV,
    PARQUET: PARQUET,
    "application/x-parquet": PARQUET,
    NDJSON: NDJSON,
    "application/ndjson": NDJSON,
    "application/jsonl": NDJSON,
}
"""Media types that a table may come as, and the one that stands for each."""

SUFFIXES: Mapping[str, str] = {
    ".csv": CSV,
    ".parquet": PARQUET,
    ".ndjson": NDJSON,
    ".jsonl": NDJSON,
}
"""What a file in a form is by its name, where its media type says nothing."""

_TEXT = {"type": "string"}
_BINARY = {"type": "string", "format": "binary"}
_FIELDS = {"name": _TEXT, "target": _TEXT, "description": _TEXT}

UPLOADS: Mapping[str, Any] = {
    FORM: {
        "type": "object",
        "required": ["file", "name"],
        "properties": {
            **_FIELDS,
            "columns": {"type": "object", "additionalProperties": _TEXT},
            "file": _BINARY,
        },
    },
    CSV: _TEXT,
    NDJSON: _TEXT,
    PARQUET: _BINARY,
}
"""Schemas of a table's bodies that are not JSON, for OpenAPI."""

PIECE_BYTES = 512 * 1024
"""What is read at a time; gunicorn copies what it has beyond, so smaller pieces take longer."""
MOST_PARTS = 16
"""Fields and files of one form; more are refused."""
MOST_FIELD_BYTES = 1024 * 1024
"""Size of a form's fields that are no file: `columns` may name thousands."""


def _from_json_text(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return from_json(value)
    except ValueError as error:
        raise invalid(f"is not JSON: {error}") from None


ColumnKinds = Annotated[
    Mapping[FeatureName, ColumnKind],
    BeforeValidator(_from_json_text),
    WithJsonSchema({"type": "string", "contentMediaType": JSON}),
]
"""Kinds of columns as JSON in a text."""


class UploadQuery(Record):
    """What to know of a table that is the whole body."""

    name: DatasetName | None = None
    """Name of the dataset; required where the body is the table itself."""
    target: FeatureName | None = None
    """Column to predict, unless a job names another; absent: the last one."""
    columns: ColumnKinds = Field(default_factory=dict)
    """Kinds of columns as JSON, such as `{"zip": "categorical"}`, where the inferred one is not
    meant: `numeric`, `categorical`, `boolean`, `text`."""
    description: Annotated[str, Field(max_length=1_000)] = ""

    def options(self) -> DatasetOptions:
        """Give them as those of any table. Raises: InvalidField without a name."""
        if self.name is None:
            raise InvalidField("is required: ?name=…", parameter="name")
        return DatasetOptions(**self.model_dump())


class Upload(NamedTuple):
    """A table in a file, as it was sent."""

    path: Path
    media_type: str
    """One of CSV, PARQUET, NDJSON."""
    charset: str
    """Of CSV, as Python names it."""
    options: DatasetOptions


class Body(io.RawIOBase):
    """
    A request's body as a stream that ends where the body does.

    Raises, when read: RequestEntityTooLarge beyond the limit; ClientDisconnected where the client
    sends less than it announced; BadRequest where its chunks are none.

    Raises, at once: UnsupportedMediaType where the body is encoded.
    """

    def __init__(self, request: Request, limit: int) -> None:
        encodings.refuse(request.headers.get("Content-Encoding", ""))
        self._input: IO[bytes] = request.environ["wsgi.input"]
        self._length = request.content_length
        self._limit = limit
        self.size_bytes = 0
        """Bytes read."""
        if (self._length or 0) > limit:
            raise self._too_large()

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; 0 at the end."""
        left = None if self._length is None else self._length - self.size_bytes
        wanted = len(buffer) if left is None else min(len(buffer), left)
        piece = self._read(wanted) if wanted else b""
        if not piece and left:
            raise ClientDisconnected
        self.size_bytes += len(piece)
        if self.size_bytes > self._limit:
            raise self._too_large()
        buffer[: len(piece)] = piece
        return len(piece)

    def _read(self, size: int) -> bytes:
        time.sleep(0)  # gevent's: where data is always there, reading it lets nobody else go on
        try:
            return self._input.read(size)
        except OSError:
            raise ClientDisconnected from None
        except ParseException as error:
            raise BadRequest(f"the body's chunks cannot be read: {error}") from None

    def _too_large(self) -> RequestEntityTooLarge:
        return RequestEntityTooLarge(f"the body is larger than {self._limit} bytes")


def receive(request: Request, query: UploadQuery, directory: Path, limit: int) -> Upload:
    """
    Receive the table of a request into a file of the directory.

    Raises: InvalidField; UnsupportedMediaType; what Body raises.
    """
    body = Body(request, limit)
    if request.mimetype == FORM:
        refuse_query(query)
        return _from_form(request, body, directory)
    media_type = MEDIA_TYPES.get(request.mimetype)
    if media_type is None:
        raise unsupported(request.mimetype)
    charset = charset_of(request.content_type or "", media_type)
    options = query.options()
    path = directory / "body"
    with path.open("wb") as file:
        shutil.copyfileobj(body, file, PIECE_BYTES)
    return Upload(path, media_type, charset, options)


def refuse_query(query: Record) -> None:
    """See that nothing is in the query that belongs in the body. Raises: InvalidField."""
    for name in query.model_fields_set:
        raise InvalidField("belongs in the body here", parameter=name)


def unsupported(media_type: str) -> UnsupportedMediaType:
    """Say what a body, or a file in a form, may be."""
    return UnsupportedMediaType(
        f"{media_type or 'no media type'}: send a table as {CSV}, {PARQUET} or {NDJSON}, such a "
        f"table as the file of a {FORM}, or records as application/json"
    )


def _from_form(request: Request, body: Body, directory: Path) -> Upload:
    form, files = _parsed(request, body, directory)
    fields: dict[str, Any] = form.to_dict()
    if list(files) != ["file"] or len(files.getlist("file")) != 1:
        raise InvalidField("send the table as the form's one file, called `file`", "file")
    if "columns" in fields:
        fields["columns"] = _from_json(fields["columns"])
    try:
        options = DatasetOptions.model_validate(fields)
    except ValidationError as error:
        abort(problems.from_validation(error, fields))
    file = files["file"]
    suffix = Path(file.filename or "").suffix.lower()
    media_type = MEDIA_TYPES.get(file.mimetype) or SUFFIXES.get(suffix)
    if media_type is None:
        raise unsupported(file.mimetype)
    try:
        charset = charset_of(file.content_type or "", media_type)
    except InvalidField as error:
        raise InvalidField(error.detail, "file") from None
    return Upload(Path(file.stream.name), media_type, charset, options)


def _parsed(
    request: Request, body: Body, directory: Path
) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
    """Read a form, each of its files into one of the directory."""
    numbers = count()
    _, options = parse_options_header(request.content_type)
    with ExitStack() as opened:

        def new_file(*_: object, **__: object) -> IO[bytes]:
            return opened.enter_context((directory / f"file-{next(numbers)}").open("wb"))

        parser = FormDataParser(new_file, MOST_FIELD_BYTES, silent=False, max_form_parts=MOST_PARTS)
        try:
            _, form, files = parser.parse(
                cast(IO[bytes], body), FORM, request.content_length, options
            )
        except ValueError as error:
            raise BadRequest(f"the form cannot be read: {error}") from None
    return form, files


def _from_json(text: str) -> object:
    try:
        return from_json(text)
    except ValueError as error:
        raise InvalidField(f"is not JSON: {error}", "columns") from None
