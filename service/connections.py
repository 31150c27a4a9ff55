"""The gunicorn worker that serves the API: gevent's, made to bear thousands of connections."""

from typing import Any

import gevent
from gevent.lock import BoundedSemaphore
from gunicorn.workers.ggevent import GeventWorker

from service.memory import trim_soon

EVENT_STREAM = "text/event-stream"
PATIENCE_SECONDS = 0.01
"""How long the next event stream waits for a moment in which nothing else is to be done."""
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
        if any(EVENT_STREAM in value for name, value in req.headers if name == "ACCEPT"):
            with self._turn:
                _await_quiet()
        super().handle_request(listener_name, req, sock, addr)


def _await_quiet() -> None:
    """Let the loop turn until it finds nothing else to do, or for `PATIENCE_SECONDS`."""
    hub = gevent.get_hub()
    quiet = hub.loop.idle()
    try:
        with gevent.Timeout(PATIENCE_SECONDS, exception=False):
            hub.wait(quiet)
    finally:
        quiet.close()
