"""The application factory: the one place where the API's parts are brought together."""

import os
from importlib.metadata import version

from flask_openapi3 import Info

from schemas.problem import Problem
from schemas.settings import Settings
from service import (
    backprop,
    datasets,
    exports,
    figures,
    gates,
    hosts,
    job_predictions,
    job_rows,
    jobs,
    memory,
    models,
    open_inference,
    predictions,
    probes,
    problems,
    sweeps,
    ui,
)
from service.event_stream import EventStreams
from service.lane import Lane, Parts
from service.metrics import Metrics
from service.model_cache import ModelCache
from service.observing import Observed, name_route
from service.openapi import Api, Document
from service.responses import harden
from service.statistics import Statistics
from storage import open_storage
from storage.logs import configure_logging
from storage.spans import open_telemetry

DESCRIPTION = """Train a small neural network with `POST /jobs`, watch it at `/jobs/<id>` and
`/jobs/<id>/events`, and predict with it at `/predict`. Every error is an
`application/problem+json` (RFC 9457) that points at the field."""


def create_app(settings: Settings | None = None) -> Api:
    """Make the WSGI application; it connects to nothing before the first request."""
    settings = settings or Settings()
    configure_logging(settings)
    app = Api(
        __name__,
        info=Info(
            title="Perceptron", version=version("perceptron-service"), description=DESCRIPTION
        ),
        security_schemes={},
        doc_prefix="/docs",
        validation_error_model=Problem,
        validation_error_callback=problems.from_validation,
        static_folder=None,  # `ui` gives the pages' files
    )
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # it would redirect, in HTML
    app.extensions["settings"] = settings
    storage = open_storage(settings)
    metrics = Metrics(storage)
    cache = ModelCache(storage.models, storage.notices, metrics, settings.model_cache_bytes)
    statistics = Statistics()
    app.extensions["storage"] = storage
    app.extensions["event_streams"] = EventStreams(storage)
    app.extensions["metrics"] = metrics
    app.extensions["model_cache"] = cache
    app.extensions["statistics"] = statistics
    hosts.init_app(app, settings)
    problems.init_app(app)
    for resource in (jobs, sweeps, job_predictions, predictions, models, exports, datasets):
        app.register_api(resource.blueprint)
    for resource in (figures, job_rows, gates, backprop, open_inference, probes, problems):
        app.register_api(resource.blueprint)
    app.register_blueprint(ui.blueprint)
    document = Document()
    app.add_url_rule("/openapi.json", view_func=document, endpoint="openapi_json")
    app.view_functions["openapi.doc_url"] = document  # where the pages of /docs find it
    app.after_request(harden)
    app.after_request(memory.trim_after_large)
    app.after_request(name_route)
    app.wsgi_app = Observed(  # type: ignore[method-assign]
        Lane(app.wsgi_app, Parts(cache, metrics, statistics, settings)),
        metrics,
        open_telemetry("perceptron-api"),
        logs_all=settings.log_requests,
    )
    return app


def create_app_when_let_in() -> Api:
    """
    Make the application, whose code is loaded, when a supervisor has prepared the database.

    The supervisor lets it in by closing its end of a pipe. Without one, nothing is waited for.
    """
    gate = os.environ.get("PERCEPTRON_GATE_FD")
    if gate is not None:
        os.read(int(gate), 1)
    return create_app()
