"""Paths and methods that nobody should send: every answer is one that a program can read."""

import json
import re
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import unquote

import pytest

from schemas.settings import Settings
from service.app import create_app
from tests.acceptance.wire import address_of
from tests.deployment import Deployment

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND")
ODD = (
    *("", ".", "..", "%2e%2e", "%2F", "%5c", "%00", "%0a", "%ff", "%E2%82", "%C3%A9", "%", "%zz"),
    *("1.0", "01", "+1", "%D9%A1", "-1", "a;b", "a,b", "*", "$", "~", "<b>", "x" * 300),
)
"""What stands in the place of a part of a path."""

PAGES = re.compile(r"/|/docs(/.*)?")
"""What a browser is to show."""


def filled(rule: str) -> str:
    """Write a route with something in the place of each variable."""
    values = {"version": "1", "path:filename": "x.js"}
    return re.sub(r"<(.+?)>", lambda found: values.get(found[1], "xor"), rule)


def odd_paths(path: str) -> Iterator[str]:
    """Write a path in ways that are nearly right."""
    parts = path.split("/")[1:]
    yield from (path, f"{path}/", f"{path}//", f"/{path}", path.replace("/", "//"), f"{path}?%ff=%")
    for place in range(len(parts)):
        for odd in ODD:
            yield "/" + "/".join((*parts[:place], odd, *parts[place + 1 :]))


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Every route of the application, filled."""
    directory: Path = tmp_path_factory.mktemp("routes")
    app = create_app(Settings(data_dir=directory))
    return sorted({filled(rule.rule) for rule in app.url_map.iter_rules()})


@pytest.fixture
def connection(deployment: Deployment) -> Iterator[HTTPConnection]:
    """A connection on which a path is sent as it is."""
    opened = HTTPConnection(*address_of(deployment), timeout=60)
    yield opened
    opened.close()


def wrong(method: str, path: str, answer: HTTPResponse, body: bytes) -> str | None:
    """Say what is wrong with an answer; None where a program can read it."""
    media_type = answer.headers.get("Content-Type", "")
    at = f"{method} {path}: {answer.status} {media_type} {body[:60]!r}"
    path = "/" + unquote(path.partition("?")[0]).lstrip("/")
    if 300 <= answer.status < 400 or answer.status == 500:
        return at
    if answer.status < 400:
        is_page = method in ("GET", "HEAD") and PAGES.fullmatch(path)
        return at if "html" in media_type and not is_page else None
    if path == "/" and answer.status == 503:
        return None  # the page that says that the pages are not built
    is_protocol = path == "/v2" or path.startswith("/v2/")
    expected = "application/json" if is_protocol else "application/problem+json"
    if media_type != expected or not answer.headers.get("X-Request-Id"):
        return at
    if method != "HEAD":
        told = json.loads(body)
        names = {"error"} if is_protocol else {"type", "title", "status", "request_id"}
        return None if names <= set(told) else at
    return None


def ask(connection: HTTPConnection, method: str, path: str) -> str | None:
    """Send a request; what is wrong with its answer."""
    connection.request(method, path)
    answer = connection.getresponse()
    return wrong(method, path, answer, answer.read())


def test_wrong_methods(connection: HTTPConnection, routes: list[str]) -> None:
    """Whatever the method, no route answers with a page, a redirect or a fault."""
    asked = [(method, path) for path in routes for method in METHODS]
    assert not [found for one in asked if (found := ask(connection, *one))]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_odd_paths(connection: HTTPConnection, routes: list[str], method: str) -> None:
    """Whatever stands in a path, no answer is a page, a redirect or a fault."""
    asked = {path for route in routes for path in odd_paths(route)}
    assert len(asked) > 1_000
    assert not [found for path in sorted(asked) if (found := ask(connection, method, path))]


@pytest.mark.parametrize("version", ["1.0", "01", "+1", "%201", "1_0", "%D9%A1", "-1"])
def test_only_a_number_is_a_version(deployment: Deployment, version: str) -> None:
    """What is only nearly a version's number is none, in front of Flask and behind it."""
    tensor = {"name": "input", "shape": [1, 2], "datatype": "FP32", "data": [0, 1]}
    at = f"/v2/models/xor/versions/{version}"
    answers = [
        deployment.post(f"{at}/infer", {"inputs": [tensor]}),
        deployment.post(f"{at}/infer?", {"inputs": [tensor]}),
        deployment.get(at),
        deployment.client.delete(f"/models/xor/versions/{version}"),
        deployment.post(f"/predict?model=xor&version={version}", [{"x1": 0, "x2": 1}]),
    ]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 422, 422]
    assert deployment.post("/v2/models/xor/versions/1/infer", {"inputs": [tensor]}).is_success
