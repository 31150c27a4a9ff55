"""Every error as `application/problem+json` (RFC 9457), each kind mapped in one place."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import structlog
from flask import Flask, Response, abort, request
from flask_openapi3 import Tag
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import NotFound as NoSuchRoute
from werkzeug.http import HTTP_STATUS_CODES

from schemas import errors
from schemas.base import Identifier, Record
from schemas.media_types import PROBLEM
from schemas.open_inference import ProtocolError
from schemas.problem import FieldProblem, Problem, ProblemExplanation
from service.hosts import base_url
from service.openapi import Blueprint, headers
from service.responses import json_response

PROTOCOL = "/v2"
"""Below it, errors are those of the Open Inference Protocol, which knows no 422."""

MAX_FOUND = 1_000
"""Most wrong places that are looked at one by one; more are only counted."""
MAX_LISTED = 100
"""Most wrong places that one problem lists."""

log = structlog.get_logger(__name__)


Body = TypeVar("Body", bound=BaseModel)


class ProblemType(NamedTuple):
    """One kind of problem."""

    status: int
    code: str
    title: str


INVALID = ProblemType(422, "invalid_content", "The request's content is not valid")
MALFORMED = ProblemType(400, "malformed_json", "The body is not JSON")
INTERNAL = ProblemType(500, "internal_error", "The service failed")

JSON_TYPES: Mapping[str, str] = {
    "a valid tuple": "a valid array",
    "Tuple should": "Array should",
    "a valid dictionary": "a valid object",
    "Dictionary should": "Object should",
}
"""Python's types, as pydantic names them, and JSON's."""
EXPECTED = "Input should be a valid "
NOT_FINITE = "Input should be a finite number"

FRAGMENT_CHARACTERS = "!$&'()*+,;=:@?"
"""Characters besides letters, digits and -._~ that a URI's fragment holds as they are: RFC 3986."""

PROBLEM_RESPONSE: dict[str, Any] = {
    "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
}

PROBLEM_TYPES: dict[type[errors.PerceptronError], ProblemType] = {
    errors.PerceptronError: INTERNAL,
    errors.InvalidField: INVALID,
    errors.NotFound: ProblemType(404, "not_found", "Not Found"),
    errors.Conflict: ProblemType(409, "conflict", "The request contradicts what is stored"),
    errors.IdempotencyMismatch: ProblemType(
        422, "idempotency_mismatch", "The Idempotency-Key was used with another request"
    ),
    errors.BuiltInModel: ProblemType(409, "built_in_model", "Built-in models cannot be changed"),
    errors.BuiltInDataset: ProblemType(
        409, "built_in_dataset", "Built-in datasets cannot be changed"
    ),
    errors.DatasetExists: ProblemType(409, "dataset_exists", "The dataset's name is taken"),
    errors.AlreadyFinal: ProblemType(409, "already_final", "The job has ended already"),
    errors.CannotPause: ProblemType(409, "cannot_pause", "The job cannot be paused"),
    errors.PreconditionRequired: ProblemType(428, "precondition_required", "If-Match is missing"),
    errors.PreconditionFailed: ProblemType(412, "precondition_failed", "It has changed since"),
    errors.NothingToRollBackTo: ProblemType(
        409, "nothing_to_roll_back_to", "The alias cannot be rolled back"
    ),
    errors.Unavailable: ProblemType(503, "unavailable", "A dependency does not answer"),
    errors.DiskFull: ProblemType(507, "insufficient_storage", "The service's disk is full"),
    errors.CorruptModel: ProblemType(500, "corrupt_model", "What is stored is damaged"),
    errors.InvalidData: INTERNAL,
    errors.Diverged: INTERNAL,
    errors.DeviceUnavailable: INTERNAL,
    errors.LeaseLost: INTERNAL,
}
"""How each domain error answers; the workers' own errors never should."""


blueprint = Blueprint(
    "problems", __name__, abp_tags=[Tag(name="problems", description="Kinds of problems")]
)


class ProblemPath(Record):
    """Which kind of problem."""

    code: Identifier


@blueprint.get("/problems/<code>", responses={200: ProblemExplanation, 404: {**PROBLEM_RESPONSE}})
def explain_problem(path: ProblemPath) -> Response:
    """Explain a kind of problem: where a problem's `type` leads."""
    explanation = _explanations().get(path.code)
    if explanation is None:
        raise errors.NotFound("problem", path.code)
    return json_response(explanation)


def init_app(app: Flask) -> None:
    """Answer every error of the application with a problem."""
    app.register_error_handler(errors.PerceptronError, from_domain)
    app.register_error_handler(HTTPException, from_http)
    app.register_error_handler(Exception, from_fault)


def documented(*statuses: int) -> dict[str | int, Any]:
    """Declare problems with these statuses, for an operation's `responses`."""
    found: dict[str | int, Any] = {
        status: {"description": HTTPStatus(status).phrase, **PROBLEM_RESPONSE}
        for status in (400, *statuses, 422, 503)
    }
    found[503] |= headers("Retry-After")
    return found


def from_domain(error: errors.PerceptronError) -> Response:
    """Answer a domain error as its kind is mapped."""
    kind = PROBLEM_TYPES[type(error)]
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request failed", path=request.path, code=kind.code, exc_info=error)
    detail = error.detail if kind is not INTERNAL else INTERNAL.title
    if error.at is None and error.parameter is None:
        return _response(kind, detail)
    pointer = None if error.at is None else json_pointer(error.at)
    place = FieldProblem(detail=detail, pointer=pointer, parameter=error.parameter)
    return _response(kind, detail, (place,))


def from_http(error: HTTPException) -> Response:
    """Answer Flask's own refusals, such as an unknown route or a body that is too large."""
    if error.response is not None:  # made by us already
        return error.response  # type: ignore[return-value]
    kind = http_type(HTTPStatus(error.code or 500))
    detail = error.description or kind.title
    if isinstance(error, NoSuchRoute):
        detail = f"there is no {request.path}: see /docs"
    response = _response(kind, detail)
    response.headers.extend(
        (name, value) for name, value in error.get_headers() if name != "Content-Type"
    )
    return response


def from_fault(error: Exception) -> Response:
    """Answer a fault of our own without showing its insides; the log has them."""
    log.error("request failed", path=request.path, exc_info=error)
    return _response(INTERNAL, "the fault is in the service's log")


def from_validation(error: ValidationError, document: Any = None) -> Response:
    """
    Answer pydantic's findings, each with a pointer into the body or the parameter's name.

    `document` is what the body says, where it is not JSON.
    """
    count = error.error_count()
    if count > MAX_FOUND:
        return _response(INVALID, f"{count} fields are not valid")
    found = _causes(error.errors(include_url=False, include_input=False))
    if found[0]["type"] == "json_invalid":
        return _response(MALFORMED, found[0]["msg"])
    in_body = not error.title.endswith(("Headers", "Path", "Query"))
    body = from_json(request.get_json()) if in_body and document is None else document
    places = _merged([_place(item, body, in_body=in_body) for item in found])
    return _response(INVALID, _summary(places[0], len(places)), places[:MAX_LISTED])


def json_body(model: type[Body]) -> Body:
    """Read the current request's JSON, for a view that does so itself; what is wrong is told."""
    try:
        return model.model_validate_json(request.get_json())
    except ValidationError as error:
        abort(from_validation(error))


def _causes(found: Sequence[ErrorDetails]) -> Sequence[ErrorDetails]:
    """Leave out what pydantic finds only because something inside, or beside, is wrong."""
    above = {item["loc"][:depth] for item in found for depth in range(len(item["loc"]))}
    return [
        item
        for item in found
        if item["type"] != "default_factory_not_called"
        and not (item["type"] == "too_short" and item["loc"] in above)
    ]


def _merged(places: Sequence[FieldProblem]) -> tuple[FieldProblem, ...]:
    """Say once what is wrong in one place: each branch of a union finds the value wrong."""
    details: dict[tuple[str | None, str | None], list[str]] = {}
    for place in places:
        details.setdefault((place.pointer, place.parameter), []).append(place.detail)
    return tuple(
        FieldProblem(detail=_one_of(found), pointer=pointer, parameter=parameter)
        for (pointer, parameter), found in details.items()
    )


def _one_of(details: Sequence[str]) -> str:
    """Put what the branches expect into one sentence."""
    different = list(dict.fromkeys(details))
    if NOT_FINITE in different:
        return NOT_FINITE
    expected = [detail.removeprefix(EXPECTED) for detail in different]
    return (EXPECTED if different[0].startswith(EXPECTED) else "") + " or ".join(expected)


def json_pointer(at: Iterable[str | int]) -> str:
    """Write a place as a JSON pointer in a URI fragment (RFC 6901, section 6)."""
    tokens = (str(part).replace("~", "~0").replace("/", "~1") for part in at)
    return "#" + "".join("/" + quote(token, safe=FRAGMENT_CHARACTERS) for token in tokens)


def http_type(status: HTTPStatus) -> ProblemType:
    """Give the kind of problem that only HTTP has a name for."""
    title = HTTP_STATUS_CODES[status]  # HTTPStatus words some of them anew with each Python
    return ProblemType(status.value, title.lower().replace(" ", "_").replace("'", ""), title)


def _explanations() -> Mapping[str, ProblemExplanation]:
    """Explain every code, our own kinds before those that only HTTP has."""
    kinds = [
        (http_type(status), status.description)
        for status in HTTPStatus
        if status >= HTTPStatus.BAD_REQUEST
    ]
    kinds += [(kind, (error.__doc__ or "").strip()) for error, kind in PROBLEM_TYPES.items()]
    kinds += [
        (INVALID, "A value cannot be used: `errors` point at each, in the body or by its name."),
        (MALFORMED, "The body cannot be read as JSON; `detail` says where it ends to be."),
        (INTERNAL, "The fault is in the service: its log has the traceback."),
    ]
    return {
        kind.code: ProblemExplanation(
            code=kind.code, title=kind.title, status=kind.status, description=description
        )
        for kind, description in kinds
    }


def _place(item: ErrorDetails, body: Any, *, in_body: bool) -> FieldProblem:
    if in_body:
        at = (*_in_document(item, body), *item.get("ctx", {}).get("at", ()))
        return FieldProblem(detail=_in_json_terms(item["msg"]), pointer=json_pointer(at))
    return FieldProblem(detail=item["msg"], parameter=str(item["loc"][0]))


def _in_json_terms(message: str) -> str:
    """Name the types of a body as JSON does."""
    for ours, of_json in JSON_TYPES.items():
        message = message.replace(ours, of_json)
    return message


def _in_document(item: ErrorDetails, document: Any) -> Iterable[str | int]:
    """Walk to the place, leaving out the steps that only name the branch of a union."""
    for depth, part in enumerate(item["loc"], 1):
        is_missing = item["type"] == "missing" and depth == len(item["loc"])
        if isinstance(document, list) and isinstance(part, int):
            document = document[part]
            yield part
        elif isinstance(document, dict) and (part in document or is_missing):
            document = document.get(part)
            yield part


def _summary(first: FieldProblem, count: int) -> str:
    listed = f"; the first {MAX_LISTED} are listed" if count > MAX_LISTED else ""
    more = f" (and {count - 1} more{listed})" if count > 1 else ""
    return f"{first.pointer or first.parameter}: {first.detail}{more}"


def _response(kind: ProblemType, detail: str, places: Sequence[FieldProblem] = ()) -> Response:
    again = {"Retry-After": "1"} if kind.status == HTTPStatus.SERVICE_UNAVAILABLE else None
    if request.path == PROTOCOL or request.path.startswith(f"{PROTOCOL}/"):
        status = 400 if kind.status == INVALID.status else kind.status
        return json_response(ProtocolError(error=detail), status, again)
    problem = Problem(
        type=f"{base_url()}problems/{kind.code}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        code=kind.code,
        instance=request.path,
        request_id=request.environ.get("perceptron.request_id"),
        errors=tuple(places),
    )
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, kind.status, again, content_type=PROBLEM)
