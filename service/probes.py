"""/livez, /readyz and /metrics: whether the service answers, what it needs, what it does."""

from collections.abc import Callable
from typing import Any

from flask import Response, request
from flask_openapi3 import Tag

from schemas.errors import Unavailable
from schemas.probe import Liveness, Readiness
from service.context import metrics, storage
from service.openapi import Blueprint
from service.responses import json_response

blueprint = Blueprint("probes", __name__, abp_tags=[Tag(name="probes", description="Health")])

METRICS: dict[str, Any] = {
    "description": "Every metric, in the text format of Prometheus or of OpenMetrics.",
    "content": {
        name: {"schema": {"type": "string"}}
        for name in ("text/plain", "application/openmetrics-text")
    },
}


@blueprint.get("/livez", responses={200: Liveness})
def livez() -> Response:
    """Say that the process answers."""
    return json_response(Liveness())


@blueprint.get("/readyz", responses={200: Readiness, 503: Readiness})
def readyz() -> Response:
    """Say whether the database and Valkey answer."""
    checks = {
        "database": _check(storage().database.ping),
        "valkey": _check(storage().doorbell.ping),
    }
    is_ready = all(result == "ok" for result in checks.values())
    report = Readiness(status="ok" if is_ready else "unavailable", checks=checks)
    return json_response(report, 200 if is_ready else 503)


@blueprint.get("/metrics", responses={200: METRICS})
def get_metrics() -> Response:
    """Report what Prometheus scrapes, in the form that `Accept` asks for."""
    text, media_type = metrics().exposition(request.headers.get("Accept", ""))
    return Response(text, content_type=media_type)


def _check(ping: Callable[[], None]) -> str:
    try:
        ping()
    except Unavailable as error:
        return error.detail
    return "ok"
