"""Writing answers."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode

from flask import Response, request
from pydantic import BaseModel

from schemas.media_types import CSV, JSON
from schemas.page import Page

PIECE_BYTES = 64 * 1024

HARDENED: Mapping[str, str] = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
"""Headers of every answer that does not say otherwise."""
VARY = ("Accept", "Accept-Language")
"""Headers of a request that change answers."""

_PARAMETERS = {CSV: "; charset=utf-8; header=present"}


def file_response(
    path: Path, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with a file, piece by piece; its directory may go before it is sent."""
    file = path.open("rb")
    response = Response(
        _pieces(file),
        headers=headers,
        content_type=media_type + _PARAMETERS.get(media_type, ""),
    )
    response.content_length = os.fstat(file.fileno()).st_size
    response.call_on_close(file.close)
    return response


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece


def json_response(
    record: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with a record as JSON."""
    return Response(record.model_dump_json(), status, headers, content_type=JSON)


def page_response(page: Page[Any, Any]) -> Response:
    """Answer with a page, and with a link (RFC 8288) to the next one where more follows."""
    if not page.has_more:
        return json_response(page)
    query = urlencode(request.args.to_dict() | {"after": page.last_id})
    return json_response(page, headers={"Link": f'<{quote(request.path)}?{query}>; rel="next"'})


def harden(response: Response) -> Response:
    """Add the headers that every answer has; an `after_request` function."""
    for name, value in HARDENED.items():
        response.headers.setdefault(name, value)
    response.vary.update(VARY)
    return response


def no_content() -> Response:
    """Answer that it is done."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response
