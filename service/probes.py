"""/livez and /readyz: whether the process answers, and whether what it needs does."""

from collections.abc import Callable

from flask import Response
from flask_openapi3 import APIBlueprint, Tag

from schemas.errors import Unavailable
from schemas.probe import Liveness, Readiness
from service.context import storage
from service.responses import json_response

blueprint = APIBlueprint("probes", __name__, abp_tags=[Tag(name="probes", description="Health")])


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


def _check(ping: Callable[[], None]) -> str:
    try:
        ping()
    except Unavailable as error:
        return error.detail
    return "ok"
