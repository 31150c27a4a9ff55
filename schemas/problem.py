"""The one error body, `application/problem+json` (RFC 9457)."""

from schemas.base import Record


class FieldProblem(Record):
    """What is wrong with one place of the request."""

    detail: str
    pointer: str | None = None
    """JSON pointer into the body, as a URI fragment: `#/training/epochs`."""
    parameter: str | None = None
    """Name of the header, or of the part of the path or query, when it is not in the body."""


class Problem(Record):
    """Why a request was refused."""

    type: str
    """URI of the page that explains this kind of problem."""
    title: str
    """The kind of problem; the same for every problem of the type."""
    status: int
    detail: str
    """What to do about this one."""
    code: str
    """Short name of the type, for programs."""
    instance: str | None = None
    """Path of the request; none where it could not be read as one."""
    request_id: str | None = None
    """Identifier of the request, as in the header `X-Request-Id` and in the service's log."""
    errors: tuple[FieldProblem, ...] = ()
    """Each wrong place, for problems with the request's content."""


class ProblemExplanation(Record):
    """What a kind of problem means."""

    code: str
    title: str
    status: int
    description: str
