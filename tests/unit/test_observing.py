"""What is outermost around a request, whatever is inside."""

import json
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from schemas.settings import Settings
from service.metrics import Metrics
from service.observing import Application, Observed, StartResponse
from service.wire import refuse
from storage import open_storage
from storage.trace_context import said


class Stream:
    """A body in two pieces that may break off, and knows whether it was closed."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.breaks = breaks
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield b"one"
        if self.breaks:
            raise ValueError("broken off")
        yield b"two"

    def close(self) -> None:
        """Remember it."""
        self.is_closed = True


@pytest.fixture
def metrics(tmp_path: Path) -> Metrics:
    """Counts of their own."""
    return Metrics(open_storage(Settings(data_dir=tmp_path)))


def counted(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Read the count of requests, as {(method, route, status): value}."""
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in parsed(metrics.exposition("")[0].decode())
        for sample in family.samples
        if sample.name == "perceptron_http_requests_total"
    }


def answering(body: Iterable[bytes]) -> Application:
    """Make an application that answers with a body."""

    def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        environ["perceptron.route"] = "/inside"
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body

    return application


def ask(application: Application) -> Iterable[bytes]:
    """Ask as a server does."""
    return application({"REQUEST_METHOD": "GET"}, lambda *_: lambda _data: None)


def test_a_list_is_counted_at_once(metrics: Metrics) -> None:
    """A body that is all there is given on as it is, and the request has ended."""
    body = [b"all"]
    assert ask(Observed(answering(body), metrics)) is body
    assert counted(metrics) == {("GET", "/inside", "200"): 1}


def test_a_stream_is_counted_when_it_is_closed(metrics: Metrics) -> None:
    """A stream counts at its end, by its close, also where it is not read to it."""
    body = Stream()
    answer = ask(Observed(answering(body), metrics))
    assert list(answer) == [b"one", b"two"]
    assert counted(metrics) == {}
    answer.close()  # type: ignore[attr-defined]
    assert body.is_closed
    assert counted(metrics) == {("GET", "/inside", "200"): 1}


def test_a_stream_that_breaks_is_a_fault(metrics: Metrics) -> None:
    """A stream that fails on its way counts as 500, though its head said 200."""
    body = Stream(breaks=True)
    answer = ask(Observed(answering(body), metrics))
    with pytest.raises(ValueError, match="broken off"):
        list(answer)
    answer.close()  # type: ignore[attr-defined]
    assert body.is_closed
    assert counted(metrics) == {("GET", "/inside", "500"): 1}


def test_a_fault_inside_is_counted_and_told_on(metrics: Metrics) -> None:
    """An application that raises counts as 500; the server gets the error, and its log the ids."""

    def application(_environ: dict[str, Any], _start: StartResponse) -> Iterable[bytes]:
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        ask(Observed(application, metrics))
    assert counted(metrics) == {("GET", "unmatched", "500"): 1}
    assert set(said.get()) == {"request_id", "trace_id"}


def test_a_fault_is_counted_once_and_keeps_its_identifier(metrics: Metrics) -> None:
    """What the server answers where the application failed is that request's, counted before."""

    def application(_environ: dict[str, Any], _start: StartResponse) -> Iterable[bytes]:
        raise ValueError("inside")

    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(ValueError, match="inside"):
            ask(Observed(application, metrics))
        request_id = said.get()["request_id"]
        refuse(metrics, ours, 500, "Internal Server Error", "")
        head, _, body = theirs.recv(65_536).partition(b"\r\n\r\n")
    assert f"X-Request-Id: {request_id}".encode() in head.split(b"\r\n")
    assert json.loads(body)["request_id"] == request_id
    assert counted(metrics) == {("GET", "unmatched", "500"): 1}


def test_nothing_is_said_after_a_request(metrics: Metrics) -> None:
    """What is logged between two requests of a connection bears no identifier."""
    ask(Observed(answering([b""]), metrics))
    assert said.get() == {}


def test_the_hot_path_counts(metrics: Metrics) -> None:
    """Rows, loads, the cache and shadows are told as they were counted."""
    metrics.predicted(3)
    metrics.predicted(5)
    metrics.loaded()
    metrics.cached(100, 2)
    metrics.shadowed("differed")
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in parsed(metrics.exposition("")[0].decode())
        for sample in family.samples
    }
    assert found["perceptron_predicted_rows_total",] == 8
    assert found["perceptron_predict_batch_size_count",] == 2
    assert found["perceptron_predict_batch_size_bucket", "4.0"] == 1
    assert found["perceptron_predict_batch_size_bucket", "16.0"] == 2
    assert found["perceptron_model_loads_total",] == 1
    assert found["perceptron_model_cache_bytes",] == 100
    assert found["perceptron_model_cache_models",] == 2
    assert found["perceptron_shadow_predictions_total", "differed"] == 1
    assert found["perceptron_shadow_predictions_total", "agreed"] == 0
