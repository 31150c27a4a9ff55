"""What flask-openapi3 cannot say: the headers of answers, and media types other than JSON."""

from collections.abc import Mapping
from typing import Any

from flask_openapi3 import OpenAPI
from pydantic import BaseModel

from service.requests import JsonRequest

HEADERS: Mapping[str, str] = {
    "Content-Encoding": "`gzip` or `deflate`, where the client accepts it.",
    "Content-Disposition": "The file's name.",
    "Content-Language": "The language of the diagnosis.",
    "ETag": "An alias's state, to send back in `If-Match`; of a file, its SHA-256.",
    "Inference-Header-Content-Length": "Bytes of the JSON object, where those of tensors follow.",
    "Link": 'Where the next page is (`rel="next"`), while there is one.',
    "Location": "The path of what was made.",
    "Model-Version": "The version that predicted a table, or rows whose answer is one.",
    "Preference-Applied": "The wait that was granted.",
    "Retry-After": "Seconds after which to ask again.",
}
"""Headers of answers that clients are to know."""

EVENT_STREAM: Mapping[str, Any] = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}

_ANSWERS = "x-answers"
_SCHEMAS = "x-schemas"
_SCHEMA = "#/components/schemas/{model}"


class Api(OpenAPI):
    """Flask with our requests, and with the answers' headers in its OpenAPI document."""

    request_class = JsonRequest

    def generate_spec_json(self) -> None:
        """Make the document, and add what `answers` and `bodies` told of each operation."""
        super().generate_spec_json()  # type: ignore[no-untyped-call]
        for methods in self.spec_json["paths"].values():
            for operation in methods.values():
                self.spec_json["components"]["schemas"] |= operation.pop(_SCHEMAS, {})
                for status, parts in operation.pop(_ANSWERS, {}).items():
                    if parts is None:
                        operation["responses"].pop(status, None)
                        continue
                    answer = operation["responses"][status]
                    answer |= {name: answer.get(name, {}) | part for name, part in parts.items()}


def answers(parts: Mapping[int, Mapping[str, Any] | None]) -> dict[str, Any]:
    """
    Add parts to an operation's answers, by status: for its `openapi_extensions`.

    None: there is no such answer, though flask-openapi3 describes one.
    """
    return {_ANSWERS: {str(status): part for status, part in parts.items()}}


def bodies(
    model: type[BaseModel], others: Mapping[str, Any], *, required: bool = True
) -> dict[str, Any]:
    """
    Describe a request's body as a model in JSON, or as one of other media types by their schemas.

    For the `openapi_extensions` of an operation that reads its body itself.
    """
    schema = model.model_json_schema(ref_template=_SCHEMA)
    schemas = {**schema.pop("$defs", {}), model.__name__: schema}
    reference = {"$ref": _SCHEMA.format(model=model.__name__)}
    content = {"application/json": reference, **others}
    told = {media_type: {"schema": schema} for media_type, schema in content.items()}
    return {"requestBody": {"required": required, "content": told}, _SCHEMAS: schemas}


def parameters(model: type[BaseModel]) -> dict[str, Any]:
    """
    Describe the query of an operation that reads it itself, for its `openapi_extensions`.

    flask-openapi3 would make the model's schema anew for each request: half a millisecond.
    """
    schema = model.model_json_schema()
    told = [
        {"in": "query", "name": name, "description": value.pop("description", ""), "schema": value}
        for name, value in schema["properties"].items()
    ]
    return {"parameters": told}


def headers(*names: str) -> dict[str, Any]:
    """Describe headers as a part of an answer."""
    schema = {"type": "string"}
    return {"headers": {name: {"description": HEADERS[name], "schema": schema} for name in names}}
