"""What flask-openapi3 cannot say of answers: their headers, and media types other than JSON."""

from collections.abc import Mapping
from typing import Any

from flask_openapi3 import OpenAPI

from service.requests import JsonRequest

HEADERS: Mapping[str, str] = {
    "ETag": "The alias's state, to send back in `If-Match`.",
    "Link": 'Where the next page is (`rel="next"`), while there is one.',
    "Location": "The job's path.",
    "Preference-Applied": "The wait that was granted.",
    "Retry-After": "Seconds after which to ask again.",
}
"""Headers of answers that clients are to know."""

EVENT_STREAM: Mapping[str, Any] = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}

_EXTENSION = "x-answers"


class Api(OpenAPI):
    """Flask with our requests, and with the answers' headers in its OpenAPI document."""

    request_class = JsonRequest

    def generate_spec_json(self) -> None:
        """Make the document, and add to each operation's answers what `answers` told of them."""
        super().generate_spec_json()  # type: ignore[no-untyped-call]
        for methods in self.spec_json["paths"].values():
            for operation in methods.values():
                for status, parts in operation.pop(_EXTENSION, {}).items():
                    answer = operation["responses"][status]
                    answer |= {name: answer.get(name, {}) | part for name, part in parts.items()}


def answers(parts: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Add parts to an operation's answers, by status: for its `openapi_extensions`."""
    return {_EXTENSION: {str(status): part for status, part in parts.items()}}


def headers(*names: str) -> dict[str, Any]:
    """Describe headers as a part of an answer."""
    schema = {"type": "string"}
    return {"headers": {name: {"description": HEADERS[name], "schema": schema} for name in names}}
