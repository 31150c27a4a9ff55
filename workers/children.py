"""
The processes of a deployment on this host: started again when they end, and ended together.

Loads nothing large, so that the first of them can start while their parent still loads the rest.
"""

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from schemas.settings import Settings
from workers.parent_death import die_with_parent

STOP_SECONDS = 15
"""How long children have to stop before they are killed."""
LONGEST_PAUSE_SECONDS = 5.0
"""Longest pause before a child that keeps dying is started again."""

PYTHON = (sys.executable, "-P")
"""The interpreter, which takes no module from the directory that it happens to run in."""

log = logging.getLogger(__name__)  # structlog is large, and takes these lines, too


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
        log.warning("process ended: %s, status %d", self._command[-1], status)
        self._process = None
        self._when_lost()


class Children:
    """
    The processes of a block, which end with it.

    Signals count from the moment that it is made: nothing that it starts is left behind.
    """

    def __init__(self) -> None:
        self._children: list[Child] = []
        self.is_stopping = False
        """Whether SIGTERM or SIGINT has come."""
        self._wake_reader, self._wake_writer = os.pipe()
        self._gate_reader, self._gate_writer = os.pipe()
        self._listen_for_signals()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

    def add(self, child: Child) -> None:
        """Add a process, and start it."""
        self._children.append(child)
        child.tend()

    def add_api(self, settings: Settings, listener: socket.socket) -> None:
        """Add the API, which loads its code at once and begins once it is let in."""
        command, environment = api_process(settings, listener)
        held = {**environment, "PERCEPTRON_GATE_FD": str(self._gate_reader)}
        passed = (listener.fileno(), self._gate_reader)
        self.add(Child(command, lambda: held, pass_fds=passed))

    def let_in(self) -> None:
        """Let the API begin: this one, and every one that is started in its place."""
        os.close(self._gate_writer)  # its reader sees the end of the file, now and later

    def tend(self) -> None:
        """Start the processes that do not run and are not pausing."""
        for child in self._children:
            child.tend()

    def wait(self, seconds: float) -> None:
        """Wait for a signal (a child's end among them), or for so long."""
        readable, _, _ = select.select([self._wake_reader], [], [], seconds)
        if readable:
            os.read(self._wake_reader, 4096)

    def stop(self) -> None:
        """Ask all of them to end, and wait until they have."""
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.wait(deadline)

    def _listen_for_signals(self) -> None:
        os.set_blocking(self._wake_writer, False)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request_stop)

    def _request_stop(self, *_: object) -> None:
        self.is_stopping = True


def api_process(
    settings: Settings, listener: socket.socket
) -> tuple[Sequence[str], Mapping[str, str]]:
    """Give the command of an API that accepts on a socket, and what its environment needs."""
    listener.set_inheritable(True)
    environment = environment_of(settings) | {"PERCEPTRON_LISTEN_FD": str(listener.fileno())}
    # Without columns in tracebacks the code takes half a megabyte less.
    return (*PYTHON, "-X", "no_debug_ranges", "-m", "service"), environment


def environment_of(settings: Settings) -> dict[str, str]:
    """Settings as the environment variables that a child reads them from."""
    values = settings.model_dump(
        mode="json", exclude_none=True, exclude={"database_url", "valkey_url"}
    )
    secret = {"database_url": settings.database_location, "valkey_url": settings.valkey_location}
    return {f"PERCEPTRON_{name.upper()}": str(value) for name, value in (values | secret).items()}
