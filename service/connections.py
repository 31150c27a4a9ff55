"""The gunicorn worker that serves the API: gevent's, made to bear thousands of connections."""

from collections.abc import Iterable
from typing import Any

import gevent
from gevent.lock import BoundedSemaphore
from gunicorn.workers.ggevent import GeventWorker

from schemas.media_types import EVENT_STREAM
from service.memory import trim_soon
from service.turns import await_quiet

MANY = 200
"""Connections whose end leaves memory worth giving back."""


class Worker(GeventWorker):  # type: ignore[misc]
    """
    Opens event streams when nothing else is to be done, and gives memory back after a crowd.

    To open a stream takes as long as a prediction, and nobody waits for it as eagerly. Where
    thousands come at once, each waits for a turn of the loop in which nothing else happened: a
    prediction that comes then stands behind the connections before it, not behind their streams.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._open = 0
        self._most_open = 0
        """Since memory was given back last."""
        self._turn = BoundedSemaphore()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection to its end."""
        self._open += 1
        self._most_open = max(self._most_open, self._open)
        try:
            super().handle(listener, client, addr)
        finally:
            self._open -= 1
            if self._most_open - self._open >= MANY:
                self._most_open = self._open
                trim_soon()

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Serve a request whose head is read."""
        if req.method == "GET" and _asks_for_stream(req.headers):
            with self._turn:
                await_quiet()
        super().handle_request(listener_name, req, sock, addr)
        gevent.sleep(0)  # a busy connection would never wait, and keep the others off


def _asks_for_stream(headers: Iterable[tuple[str, str]]) -> bool:
    return any(EVENT_STREAM in value for name, value in headers if name == "ACCEPT")
