"""
The short lane: predictions that succeed, answered in front of Flask.

It takes the usual form of `POST /predict` and the Open Inference Protocol's `infer`. Whatever it
does not know, and whatever it would have to refuse, goes on to Flask whole, body and all: so there
is one place that says what is wrong, and Flask's answers are those of the lane.
"""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from io import BytesIO
from typing import Any, NamedTuple

import orjson
from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import ClosingIterator

from perceptron.preprocessing import as_numbers
from schemas.media_types import JSON
from schemas.model import read_version
from schemas.prediction import ModelReference, PredictRequest
from schemas.settings import Settings
from service import hosts, inference, memory
from service.inference import Asked
from service.memory import LARGE_BYTES
from service.metrics import Metrics
from service.model_cache import ModelCache
from service.observing import ROUTE, Application, StartResponse
from service.predictions import Rows, check_work, computed, predicted
from service.responses import HARDENED, VARY
from service.shadowing import Counts, ask_shadows
from service.statistics import Statistics

ANYTHING = (None, "*/*", JSON)
"""What a client accepts that gets JSON."""

_V2 = "/v2/models/"
_ROUTES: Mapping[int, str] = {
    5: "/v2/models/<name>/infer",
    7: "/v2/models/<name>/versions/<version>/infer",
}
"""The route of a path by its number of parts."""

MANY_BYTES = 1_000
"""Of a body whose rows may be read all at once in less time."""

_PREDICTED = {"Content-Type": JSON, **HARDENED, "Vary": ", ".join(VARY)}


class Parts(NamedTuple):
    """What the lane shares with the views."""

    cache: ModelCache
    metrics: Metrics
    statistics: Statistics
    settings: Settings


class Lane:
    """A WSGI application in front of another one; see PEP 3333."""

    def __init__(self, application: Application, parts: Parts) -> None:
        self._application = application
        self._cache, self._metrics, self._statistics, settings = parts
        self._counts = Counts(self._metrics, self._statistics)
        self._trusted = hosts.trusted_hosts(settings)
        self._most_bytes = min(settings.max_body_bytes, LARGE_BYTES)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Any:
        """Answer a request, or have the application answer it."""
        if environ["REQUEST_METHOD"] == "POST":
            path = environ["PATH_INFO"]
            if path == "/predict":
                answer = self._predict(environ)
            elif path.startswith(_V2) and path.endswith("/infer"):
                answer = self._infer(environ, path.split("/"))
            else:
                answer = None
            if answer is not None:
                headers, body = answer
                start_response("200 OK", [*headers.items(), ("Content-Length", str(len(body)))])
                if len(body) > LARGE_BYTES:
                    return ClosingIterator([body], memory.trim_soon)
                return [body]
        return self._application(environ, start_response)

    def _predict(self, environ: dict[str, Any]) -> tuple[dict[str, str], bytes] | None:
        if (
            environ.get("CONTENT_TYPE") != JSON
            or environ.get("HTTP_ACCEPT") not in ANYTHING
            or "HTTP_CONTENT_ENCODING" in environ
            or not self._is_plain(environ)
        ):
            return None
        try:
            asked, rows = _read(_body(environ))
            choice = self._cache.choice(asked.model, asked.version)
            model = choice.of(environ)
            check_work(model, len(rows.cells))
            body = predicted(model, rows)
        except Exception:  # noqa: BLE001  # Flask meets it again, and says what it is
            return None
        environ[ROUTE] = "/predict"
        self._metrics.predicted(len(rows.cells))
        ask_shadows(model, choice.shadows, partial(computed, rows=rows), self._counts)
        return _PREDICTED, body

    def _infer(
        self, environ: dict[str, Any], parts: list[str]
    ) -> tuple[dict[str, str], bytes] | None:
        route = _ROUTES.get(len(parts))
        if route is None or not self._is_plain(environ):
            return None
        reference = read_version(parts[5]) if len(parts) == 7 else None
        asked = Asked(
            environ.get("HTTP_INFERENCE_HEADER_CONTENT_LENGTH"),
            environ.get("HTTP_CONTENT_ENCODING", ""),
            environ.get("HTTP_ACCEPT_ENCODING"),
        )
        try:
            choice = self._cache.choice(parts[3], reference)
            model, body = choice.of(environ), _body(environ)
            done = inference.infer(model, asked, body, self._most_bytes, self._statistics)
        except Exception:  # noqa: BLE001  # Flask meets it again, says what it is, and counts it
            return None
        environ[ROUTE] = route
        self._metrics.predicted(done.rows)
        compute = partial(inference.computed, asked=asked, body=body, limit=self._most_bytes)
        ask_shadows(model, choice.shadows, compute, self._counts)
        vary = [*filter(None, [done.headers.get("Vary")]), *VARY]
        return {**HARDENED, **done.headers, "Vary": ", ".join(vary)}, done.body

    def _is_plain(self, environ: dict[str, Any]) -> bool:
        """Whether a request asks nothing by its query, is of known size, small, and for us."""
        length = environ.get("CONTENT_LENGTH", "")
        host = environ.get("HTTP_HOST")
        return (
            not environ.get("QUERY_STRING")
            and length.isdecimal()
            and 0 < int(length) <= self._most_bytes
            and host is not None
            and environ.get("RAW_URI", "/").startswith("/")
            and hosts.is_trusted(host, self._trusted)
        )


def _body(environ: dict[str, Any]) -> bytes:
    """Read the body, and leave it to be read again. Raises: ClientDisconnected."""
    length = int(environ["CONTENT_LENGTH"])
    body: bytes = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = BytesIO(body)
    if len(body) < length:
        raise ClientDisconnected
    return body


def _read(body: bytes) -> tuple[ModelReference, Rows]:
    """Read a PredictRequest. Raises: ValidationError."""
    if len(body) > MANY_BYTES:
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            return _read_numbers(body)
    request = PredictRequest.model_validate_json(body)
    return request, Rows(request.inputs)


def _read_numbers(body: bytes) -> tuple[ModelReference, Rows]:
    """
    Read a PredictRequest of rows that are numbers throughout, in half of pydantic's time.

    Raises: ValueError, TypeError, KeyError or AttributeError where it may not be one.
    """
    fields = orjson.loads(body)
    rows = fields.pop("inputs")
    asked = ModelReference.model_validate(fields)
    numbers = as_numbers(rows, are_numbers=_has_only_numbers(body))
    if numbers is None or 0 in numbers.shape or len(set(map(len, rows))) > 1:
        raise ValueError("the rows are not of numbers, or of several lengths")
    return asked, Rows(rows, numbers)


def _has_only_numbers(body: bytes) -> bool:
    """Whether nothing behind the name of the rows can be a text, `true`, `false` or `null`."""
    start = body.find(b'"inputs"') + len(b'"inputs"')
    return b"\\" not in body and all(body.find(mark, start) < 0 for mark in (b'"', b"u", b"l"))
