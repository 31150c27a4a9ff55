"""Every error as `application/problem+json` (RFC 9457), each kind mapped in one place."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import structlog
from flask import Flask, Response, request
from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json
from werkzeug.exceptions import HTTPException, NotFound as NoSuchRoute

from schemas import errors
from schemas.problem import FieldProblem, Problem

CONTENT_TYPE = "application/problem+json"

log = structlog.get_logger(__name__)


class ProblemType(NamedTuple):
    """One kind of problem."""

    status: int
    code: str
    title: str


INVALID = ProblemType(422, "invalid_content", "The request's content is not valid")
MALFORMED = ProblemType(400, "malformed_json", "The body is not JSON")
INTERNAL = ProblemType(500, "internal_error", "The service failed")

PROBLEM_TYPES: dict[type[errors.PerceptronError], ProblemType] = {
    errors.PerceptronError: INTERNAL,
    errors.InvalidField: INVALID,
    errors.NotFound: ProblemType(404, "not_found", "There is nothing by that name"),
    errors.Conflict: ProblemType(409, "conflict", "The request contradicts what is stored"),
    errors.IdempotencyMismatch: ProblemType(
        422, "idempotency_mismatch", "The Idempotency-Key was used with another request"
    ),
    errors.BuiltInModel: ProblemType(409, "built_in_model", "Built-in models cannot be changed"),
    errors.AlreadyFinal: ProblemType(409, "already_final", "The job has ended already"),
    errors.PreconditionRequired: ProblemType(428, "precondition_required", "If-Match is missing"),
    errors.PreconditionFailed: ProblemType(412, "precondition_failed", "It has changed since"),
    errors.Unavailable: ProblemType(503, "unavailable", "A dependency does not answer"),
    errors.CorruptModel: ProblemType(500, "corrupt_model", "The stored model is damaged"),
    errors.Diverged: INTERNAL,
    errors.DeviceUnavailable: INTERNAL,
    errors.LeaseLost: INTERNAL,
}
"""How each domain error answers; the workers' own errors never should."""


def init_app(app: Flask) -> None:
    """Answer every error of the application with a problem."""
    app.register_error_handler(errors.PerceptronError, from_domain)
    app.register_error_handler(HTTPException, from_http)
    app.register_error_handler(Exception, from_fault)


def documented(*statuses: int) -> dict[int, dict[str, Any]]:
    """Declare problems with these statuses, for an operation's `responses`."""
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in (*statuses, 422, 503)
    }


def from_domain(error: errors.PerceptronError) -> Response:
    """Answer a domain error as its kind is mapped."""
    kind = PROBLEM_TYPES[type(error)]
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request failed", path=request.path, error=repr(error), code=kind.code)
    detail = error.detail if kind is not INTERNAL else INTERNAL.title
    places: tuple[FieldProblem, ...] = ()
    if isinstance(error, errors.InvalidField):
        pointer = None if error.parameter else json_pointer(error.at)
        places = (FieldProblem(detail=detail, pointer=pointer, parameter=error.parameter),)
    return _response(kind, detail, places)


def from_http(error: HTTPException) -> Response:
    """Answer Flask's own refusals: no such route, method not allowed, body too large…"""
    if error.response is not None:  # made by us already
        return error.response  # type: ignore[return-value]
    code = error.code or 500
    phrase = HTTPStatus(code).phrase
    detail = error.description or phrase
    if isinstance(error, NoSuchRoute):
        detail = f"there is no {request.path}: see /docs"
    kind = ProblemType(code, phrase.lower().replace(" ", "_"), phrase)
    response = _response(kind, detail)
    response.headers.extend(
        (name, value) for name, value in error.get_headers() if name != "Content-Type"
    )
    return response


def from_fault(error: Exception) -> Response:
    """Answer a fault of our own without showing its insides; the log has them."""
    log.error("request failed", path=request.path, exc_info=error)
    return _response(INTERNAL, "the fault is in the service's log")


def from_validation(error: ValidationError) -> Response:
    """Answer pydantic's findings, each with a pointer into the body or the parameter's name."""
    found = error.errors(include_url=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return _response(MALFORMED, found[0]["msg"])
    in_body = not error.title.endswith(("Query", "Path"))
    body = from_json(request.get_json()) if in_body else {}
    places = tuple(_place(item, body, in_body=in_body) for item in found)
    return _response(INVALID, _summary(places), places)


def json_pointer(at: Iterable[str | int]) -> str:
    """Write a place as a JSON pointer (RFC 6901) in a URI fragment."""
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in at)


def _place(item: ErrorDetails, body: Any, *, in_body: bool) -> FieldProblem:
    at = (*item["loc"], *item.get("ctx", {}).get("at", ()))
    if in_body:
        return FieldProblem(detail=item["msg"], pointer=json_pointer(_in_document(at, body)))
    return FieldProblem(detail=item["msg"], parameter=".".join(map(str, at)))


def _in_document(at: Sequence[str | int], document: Any) -> Iterable[str | int]:
    """Drop the steps that only name a union's branch and are not in the document."""
    for depth, part in enumerate(at, 1):
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            document = document[part]
        elif not (depth == len(at) and isinstance(document, dict)):
            continue
        yield part


def _summary(places: Sequence[FieldProblem]) -> str:
    first = places[0]
    more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
    return f"{first.pointer or first.parameter}: {first.detail}{more}"


def _response(kind: ProblemType, detail: str, places: Sequence[FieldProblem] = ()) -> Response:
    problem = Problem(
        type=f"{request.host_url}problems/{kind.code}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        code=kind.code,
        instance=request.path,
        errors=tuple(places),
    )
    headers = {"Retry-After": "1"} if kind.status == HTTPStatus.SERVICE_UNAVAILABLE else None
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, kind.status, headers, content_type=CONTENT_TYPE)

