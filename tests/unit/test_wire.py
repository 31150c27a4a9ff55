"""How gunicorn puts answers on the wire: what is checked or found once still counts each time."""

import socket
import threading
from typing import Any

import pytest
from gunicorn import util
from gunicorn.config import Config
from gunicorn.http import message, parser, wsgi
from gunicorn.http.errors import InvalidHeader
from gunicorn.http.wsgi import InvalidResponseHeader

from schemas.settings import Settings
from service import wire
from service.metrics import Metrics
from storage import open_storage


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Config:
    """A configuration with one proxy that is trusted, installed for the test."""
    config = Config()
    config.set("forwarded_allow_ips", "10.0.0.1,10.1.0.0/16")
    for module, name in (
        (util, "write_error"),
        (util, "http_date"),
        (wsgi, "Response"),
        (wsgi, "base_environ"),
        (message, "_ip_in_allow_list"),
        (parser.Parser, "finish_body"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))  # to be put back
    wire.install(Metrics(open_storage(Settings(data_dir=tmp_path))), config)
    return config


def request_from(address: str, config: Config) -> Any:
    """Read a request as gunicorn does that says to have come by HTTPS."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n")
        return next(parser.RequestParser(config, ours, (address, 1)))


def test_only_proxies_are_believed(config: Config) -> None:
    """Whoever is no trusted proxy stays so, whatever the others are known as."""
    for _ in range(2):
        assert request_from("10.0.0.1", config).scheme == "https"
        assert request_from("10.1.2.3", config).scheme == "https"
        assert request_from("10.0.0.2", config).scheme == "http"


def test_environments_are_apart(config: Config) -> None:
    """What one request's environment is given, another's has not."""
    first = wsgi.base_environ(config)
    first["REQUEST_METHOD"] = "GET"
    second = wsgi.base_environ(config)
    assert "REQUEST_METHOD" not in second
    assert second["wsgi.version"] == (1, 0)


def test_headers_are_checked(config: Config) -> None:
    """Values that would break the answer's head apart are refused, also of common headers."""
    good = [("Cache-Control", "no-store"), ("Content-Length", "3"), ("X-Other", "a")]
    for _ in range(2):
        response = wsgi.Response(None, None, config)
        response.process_headers(good)
        assert response.headers == good
        assert response.response_length == 3
        for name in ("Cache-Control", "X-Other"):
            with pytest.raises((InvalidResponseHeader, InvalidHeader)):
                response.process_headers([(name, "no-store\r\nSet-Cookie: a=b")])


def test_large_answers_are_sent_whole(config: Config) -> None:
    """An answer that the socket does not take at once is sent to its end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        request = request_from("10.0.0.1", config)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        ours.settimeout(5)  # it takes what there is room for
        body = bytes(wire.MOST_AT_ONCE)
        response = wsgi.Response(request, ours, config)
        response.start_response("200 OK", [("Content-Length", str(len(body)))])
        received = bytearray()

        def receive() -> None:
            while piece := theirs.recv(10_000):
                received.extend(piece)

        reader = threading.Thread(target=receive)
        reader.start()
        response.write(body)
        ours.shutdown(socket.SHUT_WR)
        reader.join()
    head, _, found = bytes(received).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert found == body
