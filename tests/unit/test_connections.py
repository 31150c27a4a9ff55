"""How the worker bears crowds: streams wait for a quiet moment, and memory comes back."""

from typing import Any

import gevent
import pytest
from gevent.event import Event
from gunicorn.workers.ggevent import GeventWorker

from service import connections, turns
from service.connections import MANY, Worker
from service.turns import await_quiet


class Request:
    """What the worker looks at in a request."""

    def __init__(self, method: str, accept: str) -> None:
        self.method = method
        self.headers = [("HOST", "localhost"), ("ACCEPT", accept)]


STREAM = Request("GET", "text/event-stream")
PREDICTION = Request("POST", "application/json")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Requests in the order in which gunicorn's own worker was handed them."""
    order: list[Any] = []

    def serve(_worker: Any, _name: Any, request: Any, *_: Any) -> None:
        order.append(request)

    monkeypatch.setattr(GeventWorker, "__init__", lambda _worker: None)
    monkeypatch.setattr(GeventWorker, "handle_request", serve)
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 60)
    return order


def busy(turns: int) -> None:
    """Have something to do for so many turns of the loop."""
    for _ in range(turns):
        gevent.sleep(0)


def test_streams_open_after_all_else(served: list[Any]) -> None:
    """Streams that came first are opened when nothing else is to be done, predictions at once."""
    worker = Worker()

    def predict() -> None:
        for _ in range(50):
            busy(1)
            worker.handle_request("", PREDICTION, None, None)

    streams = [gevent.spawn(worker.handle_request, "", STREAM, None, None) for _ in range(5)]
    gevent.joinall([*streams, gevent.spawn(predict)], raise_error=True)
    assert served == [PREDICTION] * 50 + [STREAM] * 5


def test_streams_do_not_wait_for_good() -> None:
    """In a process that is always busy a stream is opened all the same."""
    never_quiet = gevent.spawn(busy, 2**62)
    waiting = gevent.spawn(await_quiet)
    try:
        waiting.get(timeout=60)
    finally:
        never_quiet.kill()


@pytest.mark.parametrize(("crowd", "is_trimmed"), [(MANY - 1, False), (2 * MANY, True)])
@pytest.mark.usefixtures("served")
def test_memory_is_given_back_after_a_crowd(
    monkeypatch: pytest.MonkeyPatch, crowd: int, is_trimmed: bool
) -> None:
    """Many connections that have ended have memory given back; a few have not."""
    trimmed, over = [], Event()
    monkeypatch.setattr(GeventWorker, "handle", lambda *_: over.wait())
    monkeypatch.setattr(connections, "trim_soon", lambda: trimmed.append(True))
    worker = Worker()
    open_ones = [gevent.spawn(worker.handle, None, None, None) for _ in range(crowd)]
    gevent.sleep(0)
    over.set()
    gevent.joinall(open_ones, raise_error=True)
    assert bool(trimmed) is is_trimmed
