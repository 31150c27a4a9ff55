"""Reading requests: bodies within the limit, and the headers that change how we answer."""

import re
from functools import cached_property
from typing import Any, Literal

from flask import Request, current_app, request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from schemas.errors import InvalidField

MAX_KEY_LENGTH = 255


class JsonRequest(Request):
    """A request that hands its JSON on as text, for pydantic to parse and validate in one go."""

    def get_json(self, *_args: Any, **_kwargs: Any) -> Any:
        """Give the body as text, for `model_validate_json`."""
        return self.json_text

    @cached_property
    def json_text(self) -> str:
        """
        The body as text; none at all reads as an empty object.

        Raises: RequestEntityTooLarge, UnsupportedMediaType, BadRequest when it is not UTF-8.
        """
        body = self._bounded_body()
        if not body:
            return "{}"
        if self.mimetype != "application/json" and not self.mimetype.endswith("+json"):
            raise UnsupportedMediaType("send the body as Content-Type: application/json")
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(
                f"the body is not UTF-8: {error.reason} at byte {error.start}"
            ) from None

    def _bounded_body(self) -> bytes:
        limit = int(current_app.config["MAX_CONTENT_LENGTH"])
        if (self.content_length or 0) <= limit:
            # Straight from the server: Werkzeug would cut a chunked body at the limit, silently.
            body: bytes = self.environ["wsgi.input"].read(
                limit + 1 if self.content_length is None else self.content_length
            )
            if len(body) <= limit:
                return body
        raise RequestEntityTooLarge(f"the body is larger than {limit} bytes")


def language() -> Literal["en", "ko"]:
    """Choose the language of sentences from Accept-Language."""
    return "ko" if request.accept_languages.best_match(["en", "ko"]) == "ko" else "en"


def idempotency_key() -> str | None:
    """Read Idempotency-Key, with or without quotes. Raises: InvalidField."""
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return None
    key = header.strip().removeprefix('"').removesuffix('"')
    if not re.fullmatch(rf"[!-~]{{1,{MAX_KEY_LENGTH}}}", key):
        raise InvalidField(
            f"1 to {MAX_KEY_LENGTH} visible ASCII characters", parameter="Idempotency-Key"
        )
    return key


def wait_preference(longest: float) -> float | None:
    """Read `Prefer: wait=N` (RFC 7240) in seconds, at most the longest; None where it is absent."""
    found = re.search(r"(?:^|[,;\s])wait\s*=\s*(\d{1,9})", request.headers.get("Prefer", ""))
    return min(float(found[1]), longest) if found else None


def wants_event_stream() -> bool:
    """Whether the client asks for `text/event-stream` rather than JSON."""
    offered = ["application/json", "text/event-stream"]
    return request.accept_mimetypes.best_match(offered) == "text/event-stream"


def if_match() -> str | None:
    """Read the one ETag of If-Match; `*` stands for any."""
    header = request.headers.get("If-Match")
    return None if header is None else header.strip().removeprefix("W/").strip('"')


def last_event_id(default: int) -> int:
    """Read Last-Event-ID. Raises: InvalidField."""
    header = request.headers.get("Last-Event-ID")
    if header is None:
        return default
    if not re.fullmatch(r"\d{1,9}", header):
        raise InvalidField("a whole number", parameter="Last-Event-ID")
    return int(header)
