"""What the running application was made with, for the views."""

from typing import cast

from flask import current_app, request

from schemas.settings import Settings
from service.event_stream import EventStreams
from service.metrics import Metrics
from service.model_cache import ModelCache
from service.observing import REQUEST_ID, TRACE
from service.shadowing import Counts
from service.statistics import Statistics
from storage import Storage
from storage.jobs import Origin


def storage() -> Storage:
    """The application's way to the database and to Valkey."""
    return cast(Storage, current_app.extensions["storage"])


def settings() -> Settings:
    """The deployment's settings."""
    return cast(Settings, current_app.extensions["settings"])


def event_streams() -> EventStreams:
    """The process's streams of events."""
    return cast(EventStreams, current_app.extensions["event_streams"])


def statistics() -> Statistics:
    """What the API counts of inference."""
    return cast(Statistics, current_app.extensions["statistics"])


def metrics() -> Metrics:
    """What Prometheus is told of."""
    return cast(Metrics, current_app.extensions["metrics"])


def counts() -> Counts:
    """Where it is counted what came of asking shadows."""
    return Counts(metrics(), statistics())


def origin() -> Origin:
    """What the current request is known by, for what goes on after it."""
    trace = request.environ.get(TRACE)
    return Origin(trace and trace.header, request.environ.get(REQUEST_ID))


def model_cache() -> ModelCache:
    """The process's ready models."""
    return cast(ModelCache, current_app.extensions["model_cache"])
