"""The supervisor: keeps a deployment's processes on this host alive, and reconciles."""

import secrets
import socket
import time
from collections.abc import Callable, Mapping

import structlog

from schemas.errors import Unavailable
from schemas.settings import Settings
from storage import Storage, open_storage
from storage.embedded_valkey import EmbeddedValkey
from workers.children import PYTHON, Child, Children, environment_of
from workers.reconciler import reconcile, release_worker

START_SECONDS = 60
"""How long the API has to be ready for the first time."""
READINESS_INTERVAL_SECONDS = 0.05

log = structlog.get_logger(__name__)


class Supervisor:
    """Tends children until SIGTERM or SIGINT, and reconciles in between."""

    def __init__(
        self, settings: Settings, children: Children, valkey: EmbeddedValkey | None = None
    ) -> None:
        self._settings = settings
        self._storage = open_storage(settings, pooled=False)
        self._valkey = valkey
        self._children = children
        self._reconcile_at = 0.0

    def add_workers(self, count: int) -> None:
        """Start queue workers; by each process's own name its job is taken back when it dies."""
        for _ in range(count):
            self._children.add(_worker(self._settings, self._storage))

    def run(
        self,
        is_ready: Callable[[], bool] = lambda: True,
        announce: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Keep everything alive until a signal; announce once, when it is first ready.

        Raises: Unavailable, with everything stopped, when it is not ready in time.
        """
        announced = False
        give_up_at = time.monotonic() + START_SECONDS
        try:
            while not self._children.is_stopping:
                self._tend()
                if not announced and is_ready():
                    announce()
                    announced = True
                if not announced and time.monotonic() > give_up_at:
                    raise Unavailable(f"not ready within {START_SECONDS} seconds; the log says why")
                self._children.wait(
                    self._settings.reconcile_seconds if announced else READINESS_INTERVAL_SECONDS
                )
        finally:
            self._children.stop()
            if self._valkey is not None:
                self._valkey.stop()

    def _tend(self) -> None:
        self._tend_valkey()
        self._children.tend()
        if time.monotonic() >= self._reconcile_at:
            reconcile(self._storage)
            self._reconcile_at = time.monotonic() + self._settings.reconcile_seconds

    def _tend_valkey(self) -> None:
        if self._valkey is None or self._valkey.is_running():
            return
        log.info("valkey starts")
        try:
            self._valkey.start()
        except Unavailable as error:
            log.warning("valkey did not start", error=error.detail)


def _worker(settings: Settings, storage: Storage) -> Child:
    name = ""

    def environment() -> Mapping[str, str]:
        nonlocal name
        name = f"{socket.gethostname()}:{secrets.token_hex(4)}"
        return environment_of(settings) | {"PERCEPTRON_WORKER_NAME": name}

    command = (*PYTHON, "-m", "workers.worker")
    return Child(command, environment, when_lost=lambda: release_worker(storage, name))
