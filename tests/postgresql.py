"""A PostgreSQL server of the tests' own."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import psycopg
import pytest

from tests.deployment import eventually


class PostgreSQL:
    """A server on a Unix socket, run as an unprivileged user where we are root."""

    def __init__(self) -> None:
        self._initdb, self._postgres = _program("initdb"), _program("postgres")
        self._user = "nobody" if os.getuid() == 0 else None
        self._directory = Path(tempfile.mkdtemp(prefix="perceptron-pg-"))
        self.url = f"postgresql+psycopg://perceptron@/postgres?host={self._directory}"

    def __enter__(self) -> Self:
        if self._user is not None:
            os.chown(self._directory, pwd.getpwnam(self._user).pw_uid, -1)
        settings = ("--username=perceptron", "--auth=trust", "--no-sync", "--encoding=UTF8")
        subprocess.run(
            [self._initdb, *settings, str(self._directory / "data")],
            user=self._user,
            check=True,
            capture_output=True,
            cwd=self._directory,
        )
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._directory)

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        where = ("-D", str(self._directory / "data"), "-k", str(self._directory))
        command = [self._postgres, *where, "-c", "listen_addresses="]
        with (self._directory / "log").open("a") as log:
            self.process = subprocess.Popen(
                command, user=self._user, stderr=log, stdout=log, cwd=self._directory
            )
        eventually(self._answers)

    def _answers(self) -> bool:
        """Whether it takes connections: its socket is there a moment before."""
        try:
            psycopg.connect(self.url.replace("+psycopg", "")).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """End every connection and the server."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)


def _program(name: str) -> str:
    """Find one of PostgreSQL's programs, which Debian keeps out of PATH."""
    found = shutil.which(name) or next(
        (str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None
    )
    if found is None:
        message = f"PostgreSQL's {name} is not installed (Debian: apt-get install postgresql)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found
