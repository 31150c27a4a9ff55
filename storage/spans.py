"""Whether spans are exported: only then is OpenTelemetry imported."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import structlog

from storage.trace_context import Trace

if TYPE_CHECKING:
    from storage.telemetry import Telemetry

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

Attributes = Mapping[str, str | int]

log = structlog.get_logger(__name__)


class Past(NamedTuple):
    """A span of what has ended, told by somebody else."""

    name: str
    parent: Trace | None
    attributes: Attributes
    began_at: float
    """In seconds since 1970."""
    ended_at: float


def open_telemetry(service: str) -> "Telemetry | None":
    """
    Bring OpenTelemetry in where an endpoint is set and the extra `otel` is installed.

    Nothing connects, and no thread starts, before the first span.
    """
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if is_off or not any(map(os.environ.get, ENDPOINTS)):
        return None
    try:
        from storage.telemetry import Telemetry  # noqa: PLC0415  # it is optional, and large
    except ModuleNotFoundError as error:
        log.warning("no spans are exported: the extra `otel` is missing", error=str(error))
        return None
    return Telemetry(service)
