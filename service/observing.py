"""What is outermost around every request: its identifiers, its count and time, its log line."""

import re
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any

import structlog
from flask import Response, request

from service.metrics import UNMATCHED, Metrics
from storage.trace_context import child_of, parent_of, said

if TYPE_CHECKING:
    from storage.telemetry import Telemetry, Traced

REQUEST_ID, TRACE, ROUTE = "perceptron.request_id", "perceptron.trace", "perceptron.route"
"""What a request's environment says of it, by these keys."""

_SANE_ID = re.compile(r"[!-~]{1,128}")
_FAULT = "500"

StartResponse = Callable[..., Callable[[bytes], object]]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
ErrorInfo = tuple[type[BaseException], BaseException, TracebackType]

log = structlog.get_logger(__name__)


class Observed:
    """
    A WSGI application whose requests are counted, timed, traced and, if wanted, logged.

    The request's identifier is what the client sends as `X-Request-Id`, or that of its trace.
    """

    def __init__(
        self,
        application: Application,
        metrics: Metrics,
        telemetry: "Telemetry | None" = None,
        *,
        logs_all: bool = False,
    ) -> None:
        self._application = application
        self._telemetry = telemetry
        self.metrics = metrics
        self.logs_all = logs_all

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request; see PEP 3333."""
        began = perf_counter()
        parent = parent_of(environ.get("HTTP_TRACEPARENT"))
        span = None if self._telemetry is None else _span(self._telemetry, parent, environ)
        trace = child_of(parent) if span is None else span.trace
        request_id = environ.get("HTTP_X_REQUEST_ID")
        if request_id is None or not _SANE_ID.fullmatch(request_id):
            request_id = trace.trace_id
        environ[REQUEST_ID] = request_id
        environ[TRACE] = trace
        said.set({"request_id": request_id, "trace_id": trace.trace_id})
        answer = _Answer(self, environ, start_response, span, began)
        try:
            body = self._application(environ, answer.start_response)
        except BaseException:
            answer.fail()
            raise
        if type(body) is list or type(body) is tuple:
            answer.end()
            return body
        answer.body = body
        return answer


def _span(telemetry: "Telemetry", parent: Any, environ: dict[str, Any]) -> "Traced":
    method = environ["REQUEST_METHOD"]
    told = {"http.request.method": method, "url.path": environ.get("PATH_INFO", "")}
    return telemetry.start(method, "server", parent, told)


class _Answer:
    """An answer on its way, until its body is closed."""

    __slots__ = (
        "_began",
        "_environ",
        "_headers",
        "_items",
        "_observed",
        "_span",
        "_start_response",
        "_status",
        "body",
    )

    def __init__(
        self,
        observed: Observed,
        environ: dict[str, Any],
        start_response: StartResponse,
        span: "Traced | None",
        began: float,
    ) -> None:
        self._observed = observed
        self._environ = environ
        self._start_response = start_response
        self._span = span
        self._began = began
        self._status = _FAULT
        self._headers: list[tuple[str, str]] = []
        self.body: Iterable[bytes] = ()

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ErrorInfo | None = None
    ) -> Callable[[bytes], object]:
        """Begin the answer, and tell the request's identifier."""
        self._status = status[:3]
        self._headers = [*headers, ("X-Request-Id", self._environ[REQUEST_ID])]
        return self._start_response(status, self._headers, exc_info)

    def __iter__(self) -> Iterator[bytes]:
        self._items = iter(self.body)
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._items)
        except StopIteration:
            raise
        except BaseException:
            self._status = _FAULT
            raise

    def close(self) -> None:
        """End with the body, which the server closes in any case."""
        try:
            close = getattr(self.body, "close", None)
            if close is not None:
                close()
        except BaseException:
            self.fail()
            raise
        self.end()

    def fail(self) -> None:
        """End with a fault of our own; what the server logs of it still bears the identifiers."""
        identifiers = said.get()
        self._status = _FAULT
        self.end()
        said.set(identifiers)

    def end(self) -> None:
        """Count the request, and tell of it."""
        seconds = perf_counter() - self._began
        environ, status, observed = self._environ, self._status, self._observed
        method, route = environ["REQUEST_METHOD"], environ.get(ROUTE, UNMATCHED)
        observed.metrics.request(method, route, status, seconds)
        if self._span is not None:
            self._end_span(method, route)
        if observed.logs_all or status >= _FAULT:
            self._log(method, route, seconds)
        said.set({})

    def _end_span(self, method: str, route: str) -> None:
        told: dict[str, str | int] = {"http.response.status_code": int(self._status)}
        if route != UNMATCHED:
            told["http.route"] = route
        name = f"{method} {route}" if route != UNMATCHED else method
        assert self._span is not None  # noqa: S101
        self._span.end(name, told, has_failed=self._status >= _FAULT)

    def _log(self, method: str, route: str, seconds: float) -> None:
        sizes = [value for name, value in self._headers if name.lower() == "content-length"]
        write = log.error if self._status >= _FAULT else log.info
        write(
            "request",
            method=method,
            route=route,
            path=self._environ.get("PATH_INFO", ""),
            status=int(self._status),
            duration_seconds=round(seconds, 6),
            bytes=int(sizes[0]) if sizes else None,
        )


def name_route(response: Response) -> Response:
    """Tell the route that Flask found, for the count; an `after_request` function."""
    if request.url_rule is not None:
        request.environ[ROUTE] = request.url_rule.rule
    return response
