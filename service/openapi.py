"""
The OpenAPI document, described when it is asked for.

It says what flask-openapi3 alone cannot: the headers of answers, and media types other than JSON.
"""

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flask import Response
from flask_openapi3 import APIBlueprint, OpenAPI
from pydantic import BaseModel

from schemas import media_types
from schemas.errors import Unavailable
from service import apart
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

DOCUMENT_SECONDS = 60
"""Time for a process that loads the whole API, on a busy machine."""

EVENT_STREAM: Mapping[str, Any] = {
    "content": {media_types.EVENT_STREAM: {"schema": {"type": "string"}}}
}

_ANSWERS = "x-answers"
_SCHEMAS = "x-schemas"
_SCHEMA = "#/components/schemas/{model}"
_BODY = "x-body"
_QUERY = "x-query"


class Blueprint(APIBlueprint):
    """The operations of a resource, which are described when the document is asked for."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._undescribed: list[Callable[[], Any]] = []

    def _collect_openapi_info(
        self, rule: str, func: Callable[..., Any], **options: Any
    ) -> Any:  # flask-openapi3 calls it for each operation that is added
        self._undescribed.append(partial(self._describe, rule, func, options))
        return super()._collect_openapi_info(rule, func, doc_ui=False)

    def _describe(self, rule: str, func: Callable[..., Any], options: dict[str, Any]) -> None:
        told: dict[str, Any] = {}
        for name, value in (options.pop("openapi_extensions", None) or {}).items():
            told |= value() if callable(value) else {name: value}
        super()._collect_openapi_info(rule, func, openapi_extensions=told, **options)

    def describe(self) -> None:
        """Describe the operations that are not described yet."""
        while self._undescribed:
            self._undescribed.pop(0)()


class Api(OpenAPI):
    """Flask with our requests, and with the answers' headers in its OpenAPI document."""

    request_class = JsonRequest

    def make_default_options_response(self) -> Response:
        """Answer OPTIONS with the methods there are, and no body: so of no media type either."""
        response = super().make_default_options_response()
        del response.headers["Content-Type"]
        return response

    def generate_spec_json(self) -> None:
        """Make the document, and add what `answers` and `bodies` told of each operation."""
        for blueprint in self.blueprints.values():
            if isinstance(blueprint, Blueprint):
                self._describe(blueprint)
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

    def _describe(self, blueprint: Blueprint) -> None:
        blueprint.describe()
        self.paths |= blueprint.paths
        self.components_schemas |= blueprint.components_schemas
        for tag in blueprint.tags:
            if tag.name not in self.tag_names:
                self.tags.append(tag)
                self.tag_names.append(tag.name)


class Document:
    """
    The view of the document, which a process of its own makes at the first request.

    Neither the time nor the memory that it takes is that of the API process.
    """

    def __init__(self) -> None:
        self._text = b""
        self._one_at_a_time = threading.Lock()

    def __call__(self) -> Response:
        """Answer with the document. Raises: Unavailable."""
        with self._one_at_a_time:
            if not self._text:
                self._text = _made_apart()
        return Response(self._text, content_type=media_types.JSON)


def _made_apart() -> bytes:
    try:
        return apart.run("service.document", b"", apart.Limits(DOCUMENT_SECONDS))
    except apart.Overrun as error:
        raise Unavailable(f"the document was not made in time ({error}): try again") from error


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
    return {_BODY: partial(_body, model, others, required=required)}


def _body(model: type[BaseModel], others: Mapping[str, Any], *, required: bool) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template=_SCHEMA)
    schemas = {**schema.pop("$defs", {}), model.__name__: schema}
    reference = {"$ref": _SCHEMA.format(model=model.__name__)}
    content = {media_types.JSON: reference, **others}
    told = {media_type: {"schema": schema} for media_type, schema in content.items()}
    return {"requestBody": {"required": required, "content": told}, _SCHEMAS: schemas}


def parameters(model: type[BaseModel]) -> dict[str, Any]:
    """
    Describe the query of an operation that reads it itself, for its `openapi_extensions`.

    flask-openapi3 would make the model's schema anew for each request: half a millisecond.
    """
    return {_QUERY: partial(_query, model)}


def _query(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(mode="validation")
    told = [
        {"in": "query", "name": name, "description": value.pop("description", ""), "schema": value}
        for name, value in schema["properties"].items()
    ]
    return {"parameters": told}


def headers(*names: str) -> dict[str, Any]:
    """Describe headers as a part of an answer."""
    schema = {"type": "string"}
    return {"headers": {name: {"description": HEADERS[name], "schema": schema} for name in names}}
