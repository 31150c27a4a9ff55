"""How gunicorn puts answers on the wire: what it is told to do in another way than by itself."""

import socket
import time
from collections.abc import Iterable
from functools import lru_cache, partial
from http import HTTPStatus
from typing import ClassVar

import structlog
from gunicorn import util
from gunicorn.config import Config
from gunicorn.http import message, parser, wsgi

from schemas.media_types import PROBLEM
from schemas.problem import Problem
from service.metrics import Metrics
from service.problems import http_type
from service.requests import PIECE_BYTES
from service.responses import HARDENED
from storage.trace_context import child_of, said

log = structlog.get_logger(__name__)


MOST_PEERS = 1_024
"""Addresses that are known at once."""
COMMON = frozenset(HARDENED)
"""Headers of answers that have the same values again and again."""
MOST_AT_ONCE = 65_536
"""Largest body that is copied to be sent with its head."""


def install(metrics: Metrics, config: Config) -> None:
    """Have gunicorn do so, in this process and in those that it forks, and count its refusals."""
    _keep_what_does_not_change(config)
    util.write_error = partial(refuse, metrics)
    util.http_date = http_date
    wsgi.Response = Response
    parser.Parser.finish_body = discard_body


class Response(wsgi.Response):  # type: ignore[misc]
    """Sends an answer that is there as a whole at once, not its head by itself: half the calls."""

    headers_sent: bool
    _known: ClassVar[set[tuple[str, str]]] = set()

    def process_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """Take headers; those that are the same in most answers are checked once."""
        for header in headers:
            if header in self._known:
                self.headers.append(header)
                continue
            super().process_headers((header,))
            if header[0] in COMMON:
                self._known.add(header)

    def write(self, arg: bytes) -> None:
        """Send a part of the body, with the head before the first one."""
        is_whole = not self.headers_sent and self.response_length == len(arg)
        if self._omits_body or not is_whole or len(arg) > MOST_AT_ONCE:
            super().write(arg)
            return
        head = [*self.default_headers(), *(f"{k}: {v}\r\n" for k, v in self.headers), "\r\n"]
        self.headers_sent = True
        self.sent = len(arg)
        answer = "".join(head).encode("latin-1") + arg
        sent = self.sock.send(answer)
        if sent < len(answer):
            self.sock.sendall(answer[sent:])


def _keep_what_does_not_change(config: Config) -> None:
    """Find out once what every environment has, and which peers are known."""
    environ, is_in_list = wsgi.base_environ(config), message._ip_in_allow_list  # noqa: SLF001
    networks = config.forwarded_allow_networks()

    @lru_cache(MOST_PEERS)
    def is_allowed(address: str) -> bool:
        return bool(is_in_list(address, config.forwarded_allow_ips, networks))

    wsgi.base_environ = lambda _: environ.copy()
    message._ip_in_allow_list = lambda address, *_: is_allowed(address)  # noqa: SLF001


def discard_body(reader: parser.Parser, *_: object, **__: object) -> bool:
    """
    Read what the last request's answer did not wait for; False: there is no next request.

    Other requests have their turn in between. Gunicorn takes 1 KB at a time, and each time copies
    all that it has received: megabytes, where a refused upload goes on.
    """
    body = getattr(reader.mesg, "body", None)
    if getattr(body, "failed", False):
        return False
    while body and body.read(PIECE_BYTES):
        time.sleep(0)
    return True


def http_date(timestamp: float | None = None) -> str:
    """Give a moment, or this one, as the header `Date` has it; made once a second."""
    return _http_date(int(time.time() if timestamp is None else timestamp))


_made_http_date = util.http_date


@lru_cache(1)
def _http_date(second: int) -> str:
    return str(_made_http_date(second))


def refuse(metrics: Metrics, client: socket.socket, status: int, reason: str, detail: str) -> None:
    """
    Answer on a connection that ends then; takes the place of `gunicorn.util.write_error`.

    There is no path: a problem of the Open Inference Protocol's clients looks the same. A request
    that the application failed at has its identifier, and is counted, already.
    """
    request_id = said.get().get("request_id")
    if request_id is None:
        request_id = child_of(None).trace_id
        metrics.refused(str(status))
    kind = http_type(HTTPStatus(status))
    problem = Problem(
        type=f"/problems/{kind.code}",
        title=kind.title,
        status=status,
        detail=detail or kind.title,
        code=kind.code,
        request_id=request_id,
    )
    log.info("unreadable request", request_id=request_id, status=status, detail=detail)
    body = problem.model_dump_json(exclude_none=True)
    headers = {
        "Connection": "close",
        "Content-Type": PROBLEM,
        "Content-Length": str(len(body.encode())),
        "X-Request-Id": request_id,
        **HARDENED,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    util.write_nonblock(client, f"HTTP/1.1 {status} {reason}\r\n{head}\r\n{body}".encode())
