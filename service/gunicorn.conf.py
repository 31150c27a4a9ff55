"""How gunicorn serves the API: gevent workers, forked from a master that has loaded it."""

import gc
import os
from typing import Any

from gunicorn.glogging import Logger

from schemas.settings import Settings
from service.counting import make_directory, remove_directory

_settings = Settings()
_inherited = os.environ.get("PERCEPTRON_LISTEN_FD")

gc.disable()  # until the application is loaded: nearly all that is made while it loads stays

_counted = make_directory()  # before Prometheus' client is imported

bind = [f"fd://{_inherited}" if _inherited else f"{_settings.host}:{_settings.port}"]
workers = _settings.api_workers
worker_class = "service.connections.Worker"
worker_connections = 4_000
backlog = 2_048
preload_app = True  # workers share the loaded code's memory and start at once
timeout = 60
graceful_timeout = 2  # idle connections and event streams are cut; clients come back
keepalive = 30
control_socket_disable = True


class Quiet(Logger):  # type: ignore[misc]
    """Leaves access to our own log: to prepare gunicorn's lines takes a tenth of a prediction."""

    access_log_enabled = False


logger_class = Quiet
logconfig_dict: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {"gunicorn.error": {"level": _settings.log_level.upper(), "propagate": True}},
}


def when_ready(server: Any) -> None:
    """
    Keep the loaded code out of garbage collection, so that workers share its memory for good.

    And have gunicorn write answers as `service/wire.py` says.
    """
    from service import wire  # noqa: PLC0415  # loaded by now, with the application

    wire.install(server.app.wsgi().extensions["metrics"], server.cfg)
    gc.collect()
    gc.freeze()
    gc.enable()


def post_worker_init(worker: Any) -> None:
    """Look settings up once, not some twenty times in each request; none changes any more."""
    vars(worker.cfg).update({name: one.get() for name, one in worker.cfg.settings.items()})


def worker_exit(_server: object, worker: Any) -> None:
    """Tell what the worker has counted and not yet summed up."""
    if worker.wsgi is not None:  # it ended before it served
        worker.wsgi.extensions["metrics"].sum_up()


def child_exit(_server: object, worker: Any) -> None:
    """Forget what a worker that has ended kept in memory; what it counted counts on."""
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415  # see above

    mark_process_dead(worker.pid)


def on_exit(_server: object) -> None:
    """Forget what the workers counted."""
    remove_directory(_counted)
