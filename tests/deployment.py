"""A deployment in processes of its own, as its commands start it."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import psutil

from cli.demo import start_perceptron

END_SECONDS = 150

Found = TypeVar("Found")


def eventually(look: Callable[[], Found | None]) -> Found:
    """Look again and again until something true is found; fail after `END_SECONDS`."""
    deadline = time.monotonic() + END_SECONDS
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {END_SECONDS} seconds: {look}")
        time.sleep(0.02)


class Deployment:
    """`perceptron up` or `serve` on a free port and a data directory; ended with its processes."""

    def __init__(
        self,
        data_dir: Path,
        *arguments: str,
        command: str = "up",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._command = command
        self.data_dir = data_dir
        self._arguments = arguments
        self._settings = settings
        self.url = ""
        self.client = httpx.Client(timeout=120, trust_env=False)
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        """Start and wait until the line with the URL is printed."""
        where = ("--port", "0", "--data-dir", str(self.data_dir))
        log = self.data_dir.parent / f"{self.data_dir.name}.log"
        with log.open("a") as errors:
            self.process = start_perceptron(
                self._command,
                *where,
                *self._arguments,
                settings=self._settings,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert " at http" in line, f"{line!r}; see {log}"
        self.url = line.split()[-1]
        self.client.base_url = self.url
        return self

    def freeze_horse(self) -> int:
        """
        SIGSTOP the work-horse that has a job, and give its process id.

        When it is not writing: SQLite would stay locked until it goes on.
        """
        pid = self.horse
        assert pid is not None

        def is_frozen() -> bool:
            os.kill(pid, signal.SIGSTOP)
            eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
            try:
                self._write_nothing()
            except sqlite3.OperationalError:
                os.kill(pid, signal.SIGCONT)
                return False
            return True

        eventually(is_frozen)
        return pid

    def _write_nothing(self) -> None:
        """Raises: sqlite3.OperationalError where another process has written for a second."""
        path = self.data_dir / "perceptron.db"
        with contextlib.closing(sqlite3.connect(path, timeout=1, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask for the end and wait for it; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(timeout=40)
        self.close()
        return status

    def kill_everything(self) -> None:
        """SIGKILL every process at once."""
        for pid in [*self.pids(""), self.process.pid if self.process else 0]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process:
            self.process.wait()
        self.close()

    def close(self) -> None:
        """Close the connections to what has ended."""
        self.client.close()
        if self.process and self.process.stdout:
            self.process.stdout.close()

    def pids(self, word: str) -> list[int]:
        """Find the running descendants whose command line has the word, parents first."""
        assert self.process is not None
        return [pid for pid in process_tree(self.process.pid)[1:] if word in _command(pid)]

    @property
    def api_master(self) -> int:
        """Process id of gunicorn's master."""
        return self.pids("service")[0]

    @property
    def worker(self) -> int:
        """Process id of the first queue worker."""
        return self.pids("workers.worker")[0]

    @property
    def horse(self) -> int | None:
        """
        Process id of a work-horse that has a job, while there is one: a queue worker's child.

        It has a lifeline beside it; one that stands by has a single thread.
        """
        assert self.process is not None
        workers = self.pids("workers.worker")
        children = [child.pid for child in psutil.Process(self.process.pid).children()]
        return next((pid for pid in workers if pid not in children and _threads(pid) > 1), None)

    @property
    def valkey(self) -> int:
        """Process id of the embedded Valkey."""
        return self.pids("valkey-server")[0]

    # HTTP

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """POST JSON; header names are given with underscores."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, json=body, headers=names)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """GET; header names are given with underscores."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers=names)

    def submit(self, **body: Any) -> str:
        """Post a training and return its job's id."""
        response = self.post("/jobs", body)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Read a job, again after a moment where the API is just starting anew."""

        def look() -> dict[str, Any] | None:
            try:
                response = self.get(f"/jobs/{job_id}")
            except httpx.TransportError:
                return None
            return dict(response.json()) if response.status_code == 200 else None

        return eventually(look)

    def finished(self, job_id: str) -> dict[str, Any]:
        """Wait for a job's end."""

        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["status"] in ("succeeded", "failed", "cancelled") else None

        return eventually(look)

    def running(self, job_id: str, after_epoch: int = 0) -> dict[str, Any]:
        """Wait until a job runs and has passed an epoch."""

        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            assert job["status"] in ("queued", "running"), job
            passed = job["status"] == "running" and job["progress"]["epoch"] > after_epoch
            return job if passed else None

        return eventually(look)

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """Read all of a job's events."""
        return list(self.get(f"/jobs/{job_id}/events?limit=1000").json()["data"])


def event_stream(response: httpx.Response) -> Iterator[tuple[str | None, str, Any]]:
    """Read server-sent events as (id, event, data)."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if not line and "event" in fields:
            yield fields.get("id"), fields["event"], json.loads(fields["data"])
            fields = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def process_tree(pid: int) -> list[int]:
    """Find a process and its running descendants, parents first."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [pid]


def _threads(pid: int) -> int:
    try:
        return psutil.Process(pid).num_threads()
    except psutil.NoSuchProcess:
        return 0


def _command(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return "gone"
