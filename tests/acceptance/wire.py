"""Bytes on a connection, as no client library would send them."""

import contextlib
import socket
from typing import NamedTuple

from tests.deployment import Deployment

Address = tuple[str, int]

TIMEOUT_SECONDS = 60


class Answer(NamedTuple):
    """One answer on a connection."""

    status: int
    head: bytes
    body: bytes

    @property
    def media_type(self) -> str:
        """What the body says that it is."""
        for line in self.head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-type":
                return value.strip().decode()
        return ""


def address_of(deployment: Deployment) -> Address:
    """Find where a deployment listens."""
    host, _, port = deployment.url.removeprefix("http://").rpartition(":")
    return host, int(port)


def connected(address: Address) -> socket.socket:
    """Open a connection."""
    return socket.create_connection(address, TIMEOUT_SECONDS)


def exchange(address: Address, sent: bytes) -> list[Answer]:
    """Send bytes and then the end of all bytes; every answer until the server closes, too."""
    with connected(address) as connection:
        with contextlib.suppress(OSError):  # it may refuse before all is sent
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        return answers(_received(connection))


def receive(connection: socket.socket) -> Answer:
    """Receive one answer that gives its length, on a connection that stays open."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    while len(body) < _length(head):
        body += _more(connection)
    (answer,) = answers(head + b"\r\n\r\n" + body)
    return answer


def _more(connection: socket.socket) -> bytes:
    part = connection.recv(65_536)
    assert part, "the server closed the connection"
    return part


def _received(connection: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def answers(received: bytes) -> list[Answer]:
    """Take answers that give their length apart; bytes that belong to none fail."""
    found = []
    while received:
        head, end, received = received.partition(b"\r\n\r\n")
        assert end, head[:200]
        assert head.startswith(b"HTTP/1."), head[:200]
        status = int(head[9:12])
        length = _length(head)
        if status >= 200:  # what comes before is only informative
            found.append(Answer(status, head, received[:length]))
        assert len(received) >= length, head
        received = received[length:]
    return found


def _length(head: bytes) -> int:
    lines = [line.lower().partition(b":") for line in head.split(b"\r\n")]
    return next((int(value) for name, _, value in lines if name == b"content-length"), 0)
