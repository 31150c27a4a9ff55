"""Sockets that are held open for nothing, and clients that ask for what is refused."""

import contextlib
import resource
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from tests.acceptance.wire import Address, connected, exchange

SLOW_HEADS, SLOW_BODIES, STREAMS = 500, 500, 2_000
SPARE_FILES = 500
DRIP_SECONDS = 0.5
JOB = {
    "dataset": "xor",
    "network": {"hidden_layers": [1_024, 1_024]},
    "training": {"epochs": 1_000_000, "record_every": 900_000, "engine": "torch"},
}
"""Outlasts a storm."""

_HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
_POST = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_BODY = _POST + b"Content-Length: 100000\r\n\r\n"
_LARGE = b"[" + b" " * 11 * 2**20
_DEEP = b'{"model":"xor","inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
_NO_NUMBER = b'{"model":"xor","inputs":[[0,NaN]]}'


def _with_length(body: bytes) -> bytes:
    return b"%sContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (_POST, len(body), body)


PREDICT = _with_length(b'{"model":"xor","inputs":[[0,1]]}')
HOSTILE: Mapping[str, bytes] = {
    "body over the limit": _with_length(_LARGE),
    "body over the limit, in chunks": _POST
    + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
    % (len(_LARGE), _LARGE),
    "JSON 100,000 deep": _with_length(_DEEP),
    "NaN": _with_length(_NO_NUMBER),
}
"""Requests that are refused, and cost something all the same."""


@contextmanager
def allowed_share() -> Iterator[float]:
    """Raise the limit of open files as far as needed; the part of a storm that it then allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SLOW_HEADS + SLOW_BODIES + STREAMS + SPARE_FILES
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    try:
        yield (most - SPARE_FILES) / (wanted - SPARE_FILES)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Storm:
    """Sockets that send slowly, a byte at a time, and streams that are read by nobody."""

    def __init__(self, address: Address, job_id: str, share: float) -> None:
        self._address = address
        self._opened = ExitStack()
        self._over = threading.Event()
        self.slow = [self._open(_HEAD) for _ in range(int(SLOW_HEADS * share))]
        self.slow += [self._open(_BODY) for _ in range(int(SLOW_BODIES * share))]
        watch = f"GET /jobs/{job_id}/events HTTP/1.1\r\nHost: localhost\r\n"
        watch += "Accept: text/event-stream\r\n\r\n"
        self.streams = [self._open(watch.encode()) for _ in range(int(STREAMS * share))]
        self._dripping = threading.Thread(target=self._drip, daemon=True)
        self._dripping.start()

    def _open(self, sent: bytes) -> socket.socket:
        connection = self._opened.enter_context(connected(self._address))
        connection.sendall(sent)
        return connection

    def _drip(self) -> None:
        while not self._over.wait(DRIP_SECONDS):
            for connection in self.slow:
                with contextlib.suppress(OSError):  # the server ends what is too slow
                    connection.sendall(b" ")

    def await_streams(self, mark: bytes) -> None:
        """Read every stream until something comes, or fail at its end."""
        for stream in self.streams:
            read_until(stream, mark)

    def close(self) -> None:
        """Leave without a word."""
        self._over.set()
        self._dripping.join()
        self._opened.close()


class HostileClients:
    """One client for each hostile request, which sends it again and again."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._over = threading.Event()
        self.statuses: Counter[int] = Counter()
        self._threads = [
            threading.Thread(target=self._ask, args=(request,), daemon=True)
            for request in HOSTILE.values()
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, request: bytes) -> None:
        while not self._over.is_set():
            for answer in exchange(self._address, request):
                self.statuses[answer.status] += 1

    def close(self) -> None:
        """End after the requests under way."""
        self._over.set()
        for thread in self._threads:
            thread.join()


def read_until(connection: socket.socket, mark: bytes) -> bytes:
    """Read a stream until something comes, or fail at its end."""
    received = b""
    while mark not in received:
        part = connection.recv(65_536)
        assert part, received[-500:]
        received += part
    return received
