"""How gunicorn serves the API: gevent workers, forked from a master that has loaded it."""

import gc
import os
import shutil
import tempfile
from typing import Any

from schemas.settings import Settings
from service.statistics import DIRECTORY, PREFIX

_settings = Settings()
_inherited = os.environ.get("PERCEPTRON_LISTEN_FD")

_counted = None if os.environ.get(DIRECTORY) else tempfile.mkdtemp(prefix=PREFIX)
if _counted:
    os.environ[DIRECTORY] = _counted  # where the workers' counts lie side by side

bind = [f"fd://{_inherited}" if _inherited else f"{_settings.host}:{_settings.port}"]
workers = _settings.api_workers
worker_class = "gevent"
worker_connections = 4_000
backlog = 2_048
preload_app = True  # workers share the loaded code's memory and start at once
timeout = 60
graceful_timeout = 2  # idle connections and event streams are cut; clients come back
keepalive = 30
control_socket_disable = True
logconfig_dict: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {"gunicorn.error": {"level": _settings.log_level.upper(), "propagate": True}},
}


def when_ready(_server: object) -> None:
    """Keep the loaded code out of garbage collection, so that workers share its memory for good."""
    gc.collect()
    gc.freeze()


def on_exit(_server: object) -> None:
    """Forget what the workers counted."""
    if _counted:
        shutil.rmtree(_counted, ignore_errors=True)
