"""The application factory: the one place where the API's parts are brought together."""

from importlib.metadata import version

from flask import Response
from flask_openapi3 import Info

from schemas.problem import Problem
from schemas.settings import Settings
from service import (
    backprop,
    datasets,
    exports,
    gates,
    hosts,
    job_predictions,
    jobs,
    memory,
    models,
    open_inference,
    predictions,
    probes,
    problems,
    sweeps,
)
from service.model_cache import ModelCache
from service.openapi import Api
from service.statistics import Statistics
from storage import open_storage
from storage.logs import configure_logging

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
    )
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.url_map.strict_slashes = False
    app.extensions["settings"] = settings
    app.extensions["storage"] = open_storage(settings)
    app.extensions["model_cache"] = ModelCache(settings.model_cache_bytes)
    app.extensions["statistics"] = Statistics()
    hosts.init_app(app, settings)
    problems.init_app(app)
    for resource in (jobs, sweeps, job_predictions, predictions, models, exports, datasets):
        app.register_api(resource.blueprint)
    for resource in (gates, backprop, open_inference, probes, problems):
        app.register_api(resource.blueprint)
    app.add_url_rule("/openapi.json", view_func=lambda: app.api_doc, endpoint="openapi_json")
    app.after_request(_harden)
    app.after_request(memory.trim_after_large)
    return app


def _harden(response: Response) -> Response:
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")
    response.vary.update(("Accept", "Accept-Language"))
    return response
