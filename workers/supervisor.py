"""The supervisor: keeps a deployment's processes on this host alive, and reconciles."""

import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog

from schemas.errors import Unavailable
from schemas.settings import Settings
from storage import Storage, open_storage
from storage.embedded_valkey import EmbeddedValkey
from workers.parent_death import die_with_parent
from workers.reconciler import reconcile, release_worker

START_SECONDS = 60
"""How long the API has to be ready for the first time."""
STOP_SECONDS = 15
"""How long children have to stop before they are killed."""
LONGEST_PAUSE_SECONDS = 5.0
"""Longest pause before a child that keeps dying is started again."""
READINESS_INTERVAL_SECONDS = 0.05

PYTHON = (sys.executable, "-P")
"""The interpreter, which takes no module from the directory that it happens to run in."""

log = structlog.get_logger(__name__)


class Child:
    """One process of the deployment, started again whenever it ends."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Callable[[], Mapping[str, str]],
        when_lost: Callable[[], None] = lambda: None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._command = command
        self._environment = environment
        self._when_lost = when_lost
        self._pass_fds = pass_fds
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._pause_seconds = 0.0

    def tend(self) -> None:
        """Start the process where it does not run and is not pausing."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._lost(self._process.returncode)
        if time.monotonic() >= self._started_at + self._pause_seconds:
            self._start()

    def terminate(self) -> None:
        """Ask the process to end."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, deadline: float) -> None:
        """Wait until the process has ended; kill it at the deadline (monotonic seconds)."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        self._started_at = time.monotonic()
        self._process = subprocess.Popen(
            self._command,
            env={**os.environ, **self._environment()},
            pass_fds=self._pass_fds,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone
            preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509  # one thread
        )

    def _lost(self, status: int) -> None:
        lived = time.monotonic() - self._started_at
        self._pause_seconds = (
            0.0
            if lived > LONGEST_PAUSE_SECONDS
            else min(LONGEST_PAUSE_SECONDS, max(0.1, 2 * self._pause_seconds))
        )
        log.warning("process ended", command=self._command[-1], status=status)
        self._process = None
        self._when_lost()


class Supervisor:
    """
    Runs children until SIGTERM or SIGINT, and reconciles in between.

    Signals count from the moment that it is made: nothing it starts is left behind.
    """

    def __init__(self, settings: Settings, valkey: EmbeddedValkey | None = None) -> None:
        self._settings = settings
        self._storage = open_storage(settings, pooled=False)
        self._valkey = valkey
        self._children: list[Child] = []
        self._stopping = False
        self._wake_reader, self._wake_writer = os.pipe()
        self._reconcile_at = 0.0
        self._listen_for_signals()

    def add_workers(self, count: int) -> None:
        """Add queue workers; by each process's own name its job is taken back when it dies."""
        self._children += [_worker(self._settings, self._storage) for _ in range(count)]

    def add_api(self, listener: socket.socket) -> None:
        """Add the API, which accepts on a socket that outlives its processes."""
        command, environment = api_process(self._settings, listener)
        self._children.append(Child(command, lambda: environment, pass_fds=(listener.fileno(),)))

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
            while not self._stopping:
                self._tend()
                if not announced and is_ready():
                    announce()
                    announced = True
                if not announced and time.monotonic() > give_up_at:
                    raise Unavailable(f"not ready within {START_SECONDS} seconds; the log says why")
                self._wait(
                    self._settings.reconcile_seconds if announced else READINESS_INTERVAL_SECONDS
                )
        finally:
            self._stop()

    def _tend(self) -> None:
        self._tend_valkey()
        for child in self._children:
            child.tend()
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

    def _wait(self, seconds: float) -> None:
        """Wait for a signal (a child's end among them), or for so long."""
        readable, _, _ = select.select([self._wake_reader], [], [], seconds)
        if readable:
            os.read(self._wake_reader, 4096)

    def _listen_for_signals(self) -> None:
        os.set_blocking(self._wake_writer, False)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request_stop)

    def _request_stop(self, *_: object) -> None:
        self._stopping = True

    def _stop(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.wait(deadline)
        if self._valkey is not None:
            self._valkey.stop()


def api_process(
    settings: Settings, listener: socket.socket
) -> tuple[Sequence[str], Mapping[str, str]]:
    """Give the command of an API that accepts on a socket, and what its environment needs."""
    listener.set_inheritable(True)
    environment = _environment(settings) | {"PERCEPTRON_LISTEN_FD": str(listener.fileno())}
    return (*PYTHON, "-m", "service"), environment


def _worker(settings: Settings, storage: Storage) -> Child:
    name = ""

    def environment() -> Mapping[str, str]:
        nonlocal name
        name = f"{socket.gethostname()}:{secrets.token_hex(4)}"
        return _environment(settings) | {"PERCEPTRON_WORKER_NAME": name}

    command = (*PYTHON, "-m", "workers.worker")
    return Child(command, environment, when_lost=lambda: release_worker(storage, name))


def _environment(settings: Settings) -> dict[str, str]:
    """Settings as the environment variables that a child reads them from."""
    values = settings.model_dump(
        mode="json", exclude_none=True, exclude={"database_url", "valkey_url"}
    )
    secret = {"database_url": settings.database_location, "valkey_url": settings.valkey_location}
    return {f"PERCEPTRON_{name.upper()}": str(value) for name, value in (values | secret).items()}
