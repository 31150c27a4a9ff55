"""The short lane answers as Flask does: the same requests through both ways, on a real database."""

import gzip
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from flask import Flask
from werkzeug.datastructures import Headers
from werkzeug.test import Client, EnvironBuilder, TestResponse

from cli.deployment import prepare
from schemas.settings import Settings
from service.app import create_app
from service.lane import Lane, Parts
from service.observing import Observed, StartResponse

REQUEST_ID = {"X-Request-Id": "the-same"}
MOST_BYTES = 20_000


class Ways(NamedTuple):
    """Both ways to an answer, and how often the lane has handed a request on."""

    app: Flask
    lane: Client
    flask: Client
    handed_on: list[str]


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    """An application on SQLite with the built-in models, and a lane in front of it."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), max_body_bytes=MOST_BYTES)
    prepare(settings)
    app = create_app(settings)
    handed_on: list[str] = []

    def plain(environ: dict[str, Any], start_response: StartResponse) -> Any:
        return Flask.wsgi_app(app, environ, start_response)

    def counted(environ: dict[str, Any], start_response: StartResponse) -> Any:
        handed_on.append(environ["PATH_INFO"])
        return plain(environ, start_response)

    shared = app.extensions
    parts = Parts(shared["model_cache"], shared["metrics"], shared["statistics"], settings)
    observed = [Observed(one, shared["metrics"]) for one in (Lane(counted, parts), plain)]
    yield Ways(app, Client(observed[0]), Client(observed[1]), handed_on)
    shared["storage"].database.close()


def tensors(**changes: Any) -> bytes:
    """Write a request of the protocol."""
    tensor = {"name": "input", "shape": [2, 2], "datatype": "FP32", "data": [0, 1, 1, 1]}
    return json.dumps({"inputs": [tensor | changes]}).encode()


def rows(*inputs: Any, **others: Any) -> bytes:
    """Write a request for `/predict`."""
    return json.dumps({"model": "xor", "inputs": inputs, **others}).encode()


JSON = {"Content-Type": "application/json"}
INFER = "/v2/models/xor/infer"

MANY = [[0, 1]] * 500

ANSWERED = {
    "numbers": ("/predict", JSON, rows([0, 1], [1, 1.0])),
    "records": ("/predict", JSON, rows({"x1": 0, "x2": 1})),
    "a version": ("/predict", JSON, rows([0, 1], version=1)),
    "an alias": ("/predict", JSON | {"Accept": "*/*"}, rows([0, 1], version="latest")),
    "a browser": ("/predict", JSON | {"Accept-Language": "ko"}, rows([1, 1])),
    "many": ("/predict", JSON, rows(*MANY, [0.1, 1])),
    "many, and a version": ("/predict", JSON, rows(*MANY, version=1)),
    "many, with their names spelled": ("/predict", JSON, rows(*MANY).replace(b"inp", b"\\u0069np")),
    "many of large numbers": ("/predict", JSON, rows(*MANY, [10**30, -(10**300)])),
    "many records": ("/predict", JSON, rows(*[{"x1": 0, "x2": 1}] * 200)),
    "tensors": (INFER, JSON, tensors()),
    "no media type": (INFER, {}, tensors()),
    "a version's tensors": ("/v2/models/xor/versions/1/infer", JSON, tensors()),
    "an alias's tensors": ("/v2/models/xor/versions/latest/infer", JSON, tensors()),
    "gzip": (INFER, {"Content-Encoding": "gzip"}, gzip.compress(tensors(), mtime=0)),
    "gzip back": (
        INFER,
        {"Accept-Encoding": "gzip"},
        tensors(shape=[300, 2], data=[0.25, 0.5] * 300),
    ),
    "bytes": (
        INFER,
        {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"},
        bytes(16),
    ),
}

HANDED_ON = {
    "no such model": ("/predict", JSON, b'{"model":"none","inputs":[[0,1]]}'),
    "no such version": ("/predict", JSON, rows([0, 1], version=7)),
    "no such alias": ("/v2/models/xor/versions/none/infer", JSON, tensors()),
    "no number": ("/predict", JSON, rows([0, "one"])),
    "too few": ("/predict", JSON, rows([0])),
    "many, one no number": ("/predict", JSON, rows(*MANY, [0, "1"])),
    "many, one true": ("/predict", JSON, rows(*MANY, [0.5, True])),
    "many, one false, names spelled": (
        "/predict",
        JSON,
        b'{"model":"inputs","\\u0069nputs":%b}' % json.dumps([*MANY, [0.5, False]]).encode(),
    ),
    "many, one missing": ("/predict", JSON, rows(*MANY, [0, None])),
    "many, one too short": ("/predict", JSON, rows(*MANY, [0])),
    "many, of the same sum": ("/predict", JSON, rows(*MANY, [0], [0, 1, 1])),
    "many, all too short": ("/predict", JSON, rows(*[[0]] * 500)),
    "many of nothing": ("/predict", JSON, rows(*[[]] * 500)),
    "many, one in a list": ("/predict", JSON, rows(*MANY, [[0], 1])),
    "many without a list": ("/predict", JSON, rows(*[0] * 500)),
    "many, and more": ("/predict", JSON, rows(*MANY, more=1)),
    "many, one infinite": ("/predict", JSON, rows(*MANY).replace(b"0,", b"1e999,", 1)),
    "many without a model": ("/predict", JSON, json.dumps({"inputs": MANY}).encode()),
    "many in a list": ("/predict", JSON, json.dumps(MANY).encode()),
    "no JSON": ("/predict", JSON, b"{"),
    "not UTF-8": ("/predict", JSON, b'{"model":"\xff"}'),
    "NaN": ("/predict", JSON, b'{"model":"xor","inputs":[[NaN,1]]}'),
    "infinity": ("/predict", JSON, b'{"model":"xor","inputs":[[1e999,1]]}'),
    "nothing": ("/predict", JSON, b""),
    "too large": ("/predict", JSON, rows(*[[0, 1]] * MOST_BYTES)),
    "another media type": ("/predict", {"Content-Type": "text/plain"}, rows([0, 1])),
    "a table": ("/predict?model=xor", {"Content-Type": "text/csv"}, b"x1,x2\n0,1\n"),
    "not encoded": ("/predict", JSON | {"Content-Encoding": "identity"}, rows([0, 1])),
    "encoded": ("/predict", JSON | {"Content-Encoding": "gzip"}, rows([0, 1])),
    "an encoded table": (
        "/predict?model=xor",
        {"Content-Type": "text/csv", "Content-Encoding": "gzip"},
        gzip.compress(b"x1,x2\n0,1\n", mtime=0),
    ),
    "CSV back": ("/predict", JSON | {"Accept": "text/csv"}, rows([0, 1])),
    "a query": ("/predict?version=1", JSON, rows([0, 1])),
    "a strange host": ("/predict", JSON | {"Host": "example.org"}, rows([0, 1])),
    "a wrong shape": (INFER, JSON, tensors(shape=[3, 2])),
    "a strange encoding": (INFER, JSON | {"Content-Encoding": "br"}, tensors()),
    "a bomb": (INFER, {"Content-Encoding": "gzip"}, gzip.compress(b" " * 100_000, mtime=0)),
    "no gzip": (INFER, {"Content-Encoding": "gzip"}, tensors()),
    "a strange version": ("/v2/models/xor/versions/0/infer", JSON, tensors()),
    "a long version": ("/v2/models/xor/versions/12345678901234567890/infer", JSON, tensors()),
    "a longer path": ("/v2/models/xor/versions/1/more/infer", JSON, tensors()),
    "a model with no name": ("/v2/models//infer", JSON, tensors()),
}


def ask(client: Client, request: tuple[str, dict[str, str], bytes]) -> TestResponse:
    """Send a request."""
    path, headers, body = request
    return client.post(path, data=body, headers=headers | REQUEST_ID, buffered=True)


def same(ways: Ways, request: tuple[str, dict[str, str], bytes]) -> TestResponse:
    """Send a request both ways, and compare the answers whole."""
    found, expected = ask(ways.lane, request), ask(ways.flask, request)
    assert found.status == expected.status
    assert sorted(found.headers) == sorted(expected.headers)
    assert found.data == expected.data
    return found


@pytest.mark.parametrize("name", ANSWERED)
def test_the_lane_answers_as_flask_does(ways: Ways, name: str) -> None:
    """What the lane answers itself has the status, headers and body of Flask's answer."""
    before = len(ways.handed_on)
    answer = same(ways, ANSWERED[name])
    assert answer.status_code == 200
    assert len(ways.handed_on) == before


@pytest.mark.parametrize("name", HANDED_ON)
def test_the_lane_hands_on_what_it_does_not_answer(ways: Ways, name: str) -> None:
    """Anything else reaches Flask with its whole body, and is answered by it."""
    before = len(ways.handed_on)
    same(ways, HANDED_ON[name])
    assert len(ways.handed_on) == before + 1


@pytest.mark.parametrize("name", ["encoded", "an encoded table"])
def test_encoded_bodies_are_refused(ways: Ways, name: str) -> None:
    """Outside of `/v2` no body is decoded, and one that may need it is not taken for something."""
    answer = same(ways, HANDED_ON[name])
    assert answer.status_code == 415
    assert "Content-Encoding: gzip" in answer.get_json()["detail"]


def test_a_chunked_body_is_handed_on(ways: Ways) -> None:
    """A body of unknown size is Flask's to read within the limit."""
    for client in (ways.lane, ways.flask):
        builder = EnvironBuilder("/predict", method="POST", headers=Headers(JSON | REQUEST_ID))
        environ = builder.get_environ()
        environ.pop("CONTENT_LENGTH", None)
        environ["HTTP_TRANSFER_ENCODING"] = "chunked"
        environ["wsgi.input_terminated"] = True
        environ["wsgi.input"] = _Input(rows([0, 1]))
        assert client.run_wsgi_app(environ)[1].startswith("200")


class _Input:
    """A server's view of a body in chunks."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self, size: int = -1) -> bytes:
        """Give up to so many bytes."""
        taken, self._body = self._body[:size], self._body[size:]
        return taken


def test_both_ways_are_counted_alike(ways: Ways) -> None:
    """The lane counts rows, requests by their routes, and the protocol's statistics."""
    client = ways.app.test_client()
    before = _counted(client.get("/metrics").text), _statistics(ways)
    for way in (ways.lane, ways.flask):
        ask(way, ANSWERED["numbers"])
        ask(way, ANSWERED["tensors"])
        ask(way, ANSWERED["a version's tensors"])
    after = _counted(client.get("/metrics").text), _statistics(ways)
    moved = {name: count - before[0].get(name, 0) for name, count in after[0].items()}
    assert moved["perceptron_predicted_rows_total"] == 12
    for route in ("/predict", "/v2/models/<name>/infer"):
        name = f'perceptron_http_requests_total{{method="POST",route="{route}",status="200"}}'
        assert moved[name] == 2
    assert after[1] - before[1] == 8


def _counted(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def _statistics(ways: Ways) -> int:
    told = ways.app.test_client().get("/v2/models/xor/stats").json
    assert told is not None
    return int(told["model_stats"][0]["inference_count"])
