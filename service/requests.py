"""Reading requests: bodies within the limit, and the headers that change how we answer."""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any

from flask import Request, current_app, request
from gunicorn.http.errors import NoMoreData, ParseException
from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from werkzeug.datastructures import ETags, LanguageAccept, MIMEAccept
from werkzeug.exceptions import (
    BadRequest,
    ClientDisconnected,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)
from werkzeug.http import parse_accept_header, parse_etags

from schemas.base import Record
from schemas.job import EventId
from schemas.media_types import EVENT_STREAM, JSON
from schemas.training import Language
from service import encodings
from service.turns import await_quiet

PIECE_BYTES = 2**20
"""Most of a body that is read before other requests have their turn."""


class JsonRequest(Request):
    """A request that hands its JSON on as text, for pydantic to parse and validate in one go."""

    body_bytes = 0
    """Size of what was read of the body."""

    def get_json(self, *_args: Any, **_kwargs: Any) -> Any:
        """Give the body as text, for `model_validate_json`."""
        return self.json_text

    @cached_property
    def json_text(self) -> str:
        """
        The body as text; none at all reads as an empty object.

        Raises: RequestEntityTooLarge, UnsupportedMediaType, BadRequest when it is not UTF-8.
        """
        body = self.read_body()
        if not body:
            return "{}"
        if self.mimetype != JSON and not self.mimetype.endswith("+json"):
            raise UnsupportedMediaType("send the body as Content-Type: application/json")
        encodings.refuse(self.headers.get("Content-Encoding", ""))
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(
                f"the body is not UTF-8: {error.reason} at byte {error.start}"
            ) from None

    def read_body(self) -> bytes:
        """Read the body as it is, once. Raises: RequestEntityTooLarge, BadRequest if damaged."""
        limit = int(current_app.config["MAX_CONTENT_LENGTH"])
        if (self.content_length or 0) <= limit:
            body = self._read(limit + 1 if self.content_length is None else self.content_length)
            self.body_bytes = len(body)
            if len(body) <= limit:
                return body
        raise RequestEntityTooLarge(f"the body is larger than {limit} bytes")

    def _read(self, most: int) -> bytes:
        # Straight from the server: Werkzeug would cut a chunked body at the limit, silently.
        read, left, pieces = self.environ["wsgi.input"].read, most, []
        try:
            while left and (piece := read(min(PIECE_BYTES, left))):
                pieces.append(piece)
                left -= len(piece)
                if left:
                    await_quiet()  # who sends fast is never waited for, and would hold up others
        except ParseException as error:
            raise BadRequest(f"the body's chunks cannot be read: {error}") from None
        except NoMoreData:
            raise ClientDisconnected from None
        body = b"".join(pieces)
        if len(body) < (self.content_length or 0):
            raise ClientDisconnected
        return body


def preferred(media_types: Sequence[str]) -> str | None:
    """
    Choose the media type that the client likes best, the first of equals; None: it takes none.

    Parameters do not matter: who asks for `text/csv; charset=utf-8` is given CSV.
    """
    accepted = [(value.partition(";")[0], weight) for value, weight in request.accept_mimetypes]
    return MIMEAccept(accepted).best_match(media_types)


def wants(media_type: str) -> bool:
    """Whether the client asks for this media type rather than JSON."""
    return preferred([JSON, media_type]) == media_type


def wants_event_stream() -> bool:
    """Whether the client asks for `text/event-stream` rather than JSON."""
    return wants(EVENT_STREAM)


class Headers(Record):
    """Headers that an operation reads; it ignores the rest."""

    model_config = ConfigDict(
        extra="ignore", alias_generator=lambda name: name.replace("_", "-").title()
    )


class LanguageHeaders(Headers):
    """The language to answer in."""

    accept_language: str | None = None
    """Language of the sentences: `en`, the default, or `ko`."""

    @property
    def language(self) -> Language:
        """The language that the client prefers of those that we have."""
        accepted = parse_accept_header(self.accept_language, LanguageAccept)
        return "ko" if accepted.best_match(["en", "ko"]) == "ko" else "en"


_KEY_AS_SENT = r"""^("[!#-~]{1,255}"|[!#-+\-.-~]{1,255})$"""


def _one_key(header: str) -> str:
    """Take a key out of its quotes. Raises: BadRequest where there are several, as a list has."""
    key = header.strip()
    if re.fullmatch(_KEY_AS_SENT, key):
        return key.strip('"')
    if "," in key:
        raise BadRequest("Idempotency-Key: one is needed; one that has a comma goes in quotes")
    return key


class SubmitHeaders(LanguageHeaders):
    """How to accept a job."""

    idempotency_key: (
        Annotated[
            str,
            BeforeValidator(_one_key),
            StringConstraints(pattern=r"^[!#-~]{1,255}$"),
            WithJsonSchema({"type": "string", "pattern": _KEY_AS_SENT}),
        ]
        | None
    ) = None
    """
    Makes it safe to repeat the request: 1 to 255 visible ASCII characters, quoted or not; one that
    has a comma goes in quotes.
    """
    prefer: str | None = None
    """`wait=N` waits up to N seconds for the job's end (RFC 7240)."""

    def wait_seconds(self, longest: float) -> float | None:
        """Give the wait that the client prefers, at most the longest; None where it does not."""
        found = re.search(r"(?:^|[,;\s])wait\s*=\s*(\d{1,9})", self.prefer or "")
        return min(float(found[1]), longest) if found else None


class ConditionHeaders(Headers):
    """What must be true still, for the request to be carried out."""

    if_match: str | None = None
    """ETags of which the alias has one, as it was read; `*` for any."""

    @property
    def etags(self) -> ETags | None:
        """The ETags, compared strongly; None where the client sets no condition."""
        return None if self.if_match is None else parse_etags(self.if_match)


class FileHeaders(Headers):
    """Which file the client has."""

    if_none_match: str | None = None
    """ETags of files that the client has: the answer is 304 where the file is one of them."""


class FigureHeaders(FileHeaders, LanguageHeaders):
    """Which figure the client has, and the language of its words."""


class EventHeaders(Headers):
    """Where to resume a stream of events."""

    last_event_id: Annotated[EventId | None, Field(alias="Last-Event-ID")] = None
    """Stream only events with a greater id; wins over `after`."""
