"""Writing answers."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from flask import Response, request
from pydantic import BaseModel

from schemas.page import Page


def json_response(
    record: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with a record as JSON."""
    return Response(record.model_dump_json(), status, headers, content_type="application/json")


def page_response(page: Page[Any, Any]) -> Response:
    """Answer with a page, and with a link (RFC 8288) to the next one where more follows."""
    if not page.has_more:
        return json_response(page)
    query = urlencode(request.args.to_dict() | {"after": page.last_id})
    return json_response(page, headers={"Link": f'<{quote(request.path)}?{query}>; rel="next"'})


def no_content() -> Response:
    """Answer that it is done."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response
