"""Writing answers."""

from collections.abc import Mapping

from flask import Response
from pydantic import BaseModel


def json_response(
    record: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with a record as JSON."""
    return Response(record.model_dump_json(), status, headers, content_type="application/json")


def no_content() -> Response:
    """Answer that it is done."""
    return Response(status=204)
