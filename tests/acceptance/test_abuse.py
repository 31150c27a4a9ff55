"""Requests that no honest client sends: each is refused or answered once, and harms no other."""

import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.wire import Address, Answer, address_of, exchange
from tests.deployment import Deployment

PARSERS = ("fast", "python") if importlib.util.find_spec("gunicorn_h1c") else ("python",)
"""Gunicorn's ways to read a head; they must not differ in what they let through."""

GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b'{"model":"xor","inputs":[[0,1]]}'
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
FOLLOWING = b"GET /gates/xor HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def get(*headers: bytes) -> bytes:
    """Ask for the probe with more headers."""
    return GET + b"".join(header + b"\r\n" for header in headers) + b"\r\n"


def line(request_line: bytes) -> bytes:
    """Ask with this request line."""
    return request_line + b"\r\nHost: localhost\r\n\r\n"


def post(*headers: bytes, body: bytes = BODY) -> bytes:
    """Ask for a prediction with these headers about the body."""
    return POST + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


def chunk(body: bytes) -> bytes:
    """Write a body as one chunk and the last one."""
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def encoded(*values: bytes) -> bytes:
    """Send a chunked body, and another request, under these transfer encodings."""
    return post(*(b"Transfer-Encoding:" + value for value in values), body=chunk(BODY) + SMUGGLED)


LENGTH = b"Content-Length: %d" % len(BODY)

REFUSED: Mapping[str, bytes] = {
    # two lengths, or one that is none
    "length and chunks": post(LENGTH, b"Transfer-Encoding: chunked", body=chunk(BODY) + SMUGGLED),
    "chunks and length": post(
        b"Transfer-Encoding: chunked", b"Content-Length: 50", body=b"0\r\n\r\n" + SMUGGLED
    ),
    "two lengths": post(LENGTH, b"Content-Length: 99", body=BODY + SMUGGLED),
    "one length twice": post(LENGTH, LENGTH),
    "list of lengths": post(b"Content-Length: 32, 32"),
    "positive length": post(b"Content-Length: +32"),
    "negative length": post(b"Content-Length: -1"),
    "length in hexadecimal": post(b"Content-Length: 0x20"),
    "length with an underscore": post(b"Content-Length: 3_2"),
    "length in other digits": post(b"Content-Length: 3\xb2"),
    "length with a space": post(b"Content-Length: 3 2"),
    "empty length": post(b"Content-Length:"),
    "length beyond 64 bits": post(b"Content-Length: " + b"9" * 40),
    "length beyond the limit": post(b"Content-Length: 999999999999"),
    "length beyond what comes": post(b"Content-Length: 33333"),
    # transfer encodings
    "unknown encoding": encoded(b" xchunked"),
    "identity after chunked": encoded(b" chunked, identity"),
    "identity": encoded(b" identity"),
    "chunked twice": encoded(b" chunked, chunked"),
    "chunked in two headers": encoded(b" chunked", b" chunked"),
    "gzip after chunked": encoded(b" chunked, gzip"),
    "encoding after a vertical tab": encoded(b" \x0bchunked"),
    "no encoding": encoded(b""),
    "quoted encoding": encoded(b' "chunked"'),
    "space before the colon": post(b"Transfer-Encoding : chunked", body=chunk(BODY) + SMUGGLED),
    "space before the name": post(b" Transfer-Encoding: chunked", body=chunk(BODY) + SMUGGLED),
    "chunks in HTTP/1.0": encoded(b" chunked").replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    # chunks
    "chunk size with a sign": CHUNKED + b"+20\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk size with a prefix": CHUNKED + b"0x20\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk size with an underscore": CHUNKED + b"2_0\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk size with a space": CHUNKED + b"20 \r\n" + BODY + b"\r\n0\r\n\r\n",
    "no chunk size": CHUNKED + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    "huge chunk size": CHUNKED + b"f" * 40 + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    "line feed in an extension": CHUNKED + b"20;a\n=b\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunks with bare line feeds": CHUNKED + b"20\n" + BODY + b"\n0\n\n",
    "chunk longer than its size": CHUNKED + b"1e\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk without its end": CHUNKED + b"20\r\n" + BODY + b"XX0\r\n\r\n",
    "length as a trailer": CHUNKED + b"20\r\n" + BODY + b"\r\n0\r\nContent-Length: 9\r\n\r\n",
    "no last chunk": CHUNKED + b"20\r\n" + BODY + b"\r\n\r\n",
    # Host
    "two hosts": get(b"Host: other.example"),
    "one host twice": get(b"Host: localhost"),
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "empty host": b"GET /livez HTTP/1.1\r\nHost:\r\n\r\n",
    "hosts in a list": b"GET /livez HTTP/1.1\r\nHost: localhost,other.example\r\n\r\n",
    "two words as host": b"GET /livez HTTP/1.1\r\nHost: localhost other.example\r\n\r\n",
    "other host in the target": line(b"GET http://other.example/livez HTTP/1.1"),
    "user in the target": line(b"GET http://user:word@localhost/livez HTTP/1.1"),
    "no port in the target": line(b"GET http://localhost:x/livez HTTP/1.1"),
    "half a bracket in the target": line(b"GET http://[/livez HTTP/1.1"),
    # names and values of headers
    "space in a name": get(b"X Y: 1"),
    "space after a name": get(b"X : 1"),
    "no name": get(b": 1"),
    "no colon": get(b"X"),
    "letter beyond ASCII in a name": get(b"X\xe9: 1"),
    "bracket in a name": get(b"X(a): 1"),
    "folded value": get(b"X: 1", b" 2"),
    "folded by a tab": get(b"X: 1", b"\t2"),
    "folded at first": b"GET /livez HTTP/1.1\r\n X: 1\r\nHost: localhost\r\n\r\n",
    "line feed in a header": get(b"X: 1\nY: 2"),
    "line feeds only": get().replace(b"\r", b""),
    "line feed after the request line": get().replace(b"\r", b"", 1),
    "line feed at the end": get()[:-2] + b"\n",
    "carriage return in a header": get(b"X: 1\rY: 2"),
    "carriage return after a header": get(b"X: 1\r"),
    "carriage return in the request line": get().replace(b"\r\n", b"\r", 1),
    "NUL in a value": get(b"X: a\0b"),
    "NUL in a name": get(b"X\0: a"),
    "NUL in the host": b"GET /livez HTTP/1.1\r\nHost: localhost\0\r\n\r\n",
    "control in a value": get(b"X: a\x01b"),
    "DEL in a value": get(b"X: a\x7fb"),
    "two content types": post(LENGTH, b"Content-Type: text/plain"),
    "unknown expectation": post(LENGTH, b"Expect: 200-ok"),
    "header of 64 KB": get(b"X: " + b"a" * 65_536),
    "name of 64 KB": get(b"X" * 65_536 + b": 1"),
    "1,000 headers": get(*(b"X-%d: 1" % number for number in range(1_000))),
    # request lines
    "NUL in the target": line(b"GET /livez\0 HTTP/1.1"),
    "byte beyond ASCII in the target": line(b"GET /livez\xff HTTP/1.1"),
    "space in the target": line(b"GET /li vez HTTP/1.1"),
    "backslash": line(b"GET \\livez HTTP/1.1"),
    "authority as target": line(b"GET localhost:80 HTTP/1.1"),
    "asterisk": line(b"GET * HTTP/1.1"),
    "no target": line(b"GET HTTP/1.1"),
    "target of 64 KB": line(b"GET /livez?" + b"a" * 65_536 + b" HTTP/1.1"),
    "tabs": line(b"GET\t/livez\tHTTP/1.1"),
    "space at first": line(b" GET /livez HTTP/1.1"),
    "space at last": line(b"GET /livez HTTP/1.1 "),
    "line feed at first": line(b"\nGET /livez HTTP/1.1"),
    "HTTP/0.9": line(b"GET /livez"),
    "HTTP/2.0": line(b"GET /livez HTTP/2.0"),
    "HTTP/1.10": line(b"GET /livez HTTP/1.10"),
    "version in lower case": line(b"GET /livez http/1.1"),
    "another protocol": line(b"GET /livez ICY/1.1"),
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "method in lower case": line(b"get /livez HTTP/1.1"),
    "method in mixed case": line(b"GeT /livez HTTP/1.1"),
    "method with a bracket": line(b"GE{T /livez HTTP/1.1"),
    "method with a colon": line(b"GET: /livez HTTP/1.1"),
    "method with NUL": line(b"G\0ET /livez HTTP/1.1"),
    "method beyond ASCII": line(b"G\xc9T /livez HTTP/1.1"),
    "method of 5,000 letters": line(b"G" * 5_000 + b" /livez HTTP/1.1"),
    "unknown method": line(b"FETCH /livez HTTP/1.1"),
    "method for tunnels": line(b"CONNECT localhost:80 HTTP/1.1"),
    "method that echoes": line(b"TRACE /livez HTTP/1.1"),
}
"""What is refused, whatever follows on the connection."""

SINGLE: Mapping[str, bytes] = {
    "length with a zero": post(b"Content-Length: 0032"),
    "chunks": post(b"Transfer-Encoding: chunked", body=chunk(BODY)),
    "encoding after a tab": post(b"Transfer-Encoding:\tchunked", body=chunk(BODY)),
    "encoding before a tab": post(b"Transfer-Encoding: chunked \t", body=chunk(BODY)),
    "encoding in capitals": post(b"Transfer-Encoding: CHUNKED", body=chunk(BODY)),
    "identity before chunked": post(b"Transfer-Encoding: identity, chunked", body=chunk(BODY)),
    "gzip before chunked": post(b"Transfer-Encoding: gzip, chunked", body=chunk(BODY)),
    "extension of a chunk": CHUNKED + b"20;a=b\r\n" + BODY + b"\r\n0\r\n\r\n",
    "trailer": CHUNKED + b"20\r\n" + BODY + b"\r\n0\r\nX: 1\r\n\r\n",
    "encoding by another name": post(LENGTH, b"Transfer_Encoding: chunked"),
    "length by another name": post(LENGTH, b"Content_Length: 500"),
    "body of a GET": get(b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED,
    "chunks of a GET": get(b"Transfer-Encoding: chunked") + chunk(SMUGGLED),
    "body that nobody reads": line(b"POST /nope HTTP/1.1\r\nContent-Length: %d" % len(SMUGGLED))
    + SMUGGLED,
    "chunks that nobody reads": line(b"POST /livez HTTP/1.1\r\nTransfer-Encoding: chunked")
    + chunk(SMUGGLED),
    "body of another type": line(b"POST /predict HTTP/1.1\r\nContent-Length: %d" % len(SMUGGLED))
    + SMUGGLED,
    "body that is waited for": post(LENGTH, b"Expect: 100-continue"),
    "absolute target": line(b"GET http://localhost/livez HTTP/1.1"),
    "absolute target of another scheme": line(b"GET ftp://localhost/livez HTTP/1.1"),
    "target without a host": line(b"GET //livez HTTP/1.1"),
    "target that looks like a host": line(b"GET //other.example/livez HTTP/1.1"),
    "dots": line(b"GET /../livez HTTP/1.1"),
    "fragment": line(b"GET /livez#x HTTP/1.1"),
    "bad escape": line(b"GET /livez%zz HTTP/1.1"),
    "escaped byte that is no UTF-8": line(b"GET /jobs/%ff?limit=%ff HTTP/1.1"),
    "asterisk of OPTIONS": line(b"OPTIONS * HTTP/1.1"),
    "two spaces": line(b"GET  /livez HTTP/1.1"),
    "empty line at first": b"\r\n" + get(),
    "two empty lines at first": b"\r\n\r\n" + get(),
    "HTTP/1.2": line(b"GET /livez HTTP/1.2"),
    "byte beyond ASCII in a value": get(b"X: a\xffb"),
    "100 headers": get(*(b"X-%d: 1" % number for number in range(99))),
    "upgrade to HTTP/2": get(
        b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"
    ),
}
"""What may be answered or refused, but as exactly one request."""


@pytest.fixture(scope="module", params=PARSERS)
def address(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Address]:
    """A deployment for each way to read a head."""
    directory: Path = tmp_path_factory.mktemp("abuse")
    settings = {"GUNICORN_CMD_ARGS": f"--http-parser {request.param}"}
    started = Deployment(directory / "data", "--workers", "0", settings=settings).start()
    yield address_of(started)
    started.stop()


def assert_in_step(answers: list[Answer]) -> None:
    """At most one answer came before the one to the following request, which is as ever."""
    assert 1 <= len(answers) <= 2, answers
    assert b"smuggled" not in b"".join(answer.body for answer in answers)
    for following in answers[1:]:
        assert following.status == 200
        assert json.loads(following.body)["name"] == "xor"


@pytest.mark.parametrize("case", REFUSED)
def test_refused(address: Address, case: str) -> None:
    """A request that can be read in two ways, or in none, is refused, and no other comes of it."""
    answers = exchange(address, REFUSED[case] + FOLLOWING)
    assert_in_step(answers)
    assert 400 <= answers[0].status < 500 or answers[0].status in (501, 505), answers
    problem = json.loads(answers[0].body)
    assert answers[0].media_type == "application/problem+json"
    assert problem["status"] == answers[0].status
    assert f"X-Request-Id: {problem['request_id']}\r\n".encode() in answers[0].head + b"\r\n"


@pytest.mark.parametrize("case", SINGLE)
def test_single(address: Address, case: str) -> None:
    """An odd request gets one answer, and the next one its own."""
    answers = exchange(address, SINGLE[case] + FOLLOWING)
    assert_in_step(answers)
    assert answers[0].status < 500, answers


def test_pipelined(address: Address) -> None:
    """Requests that are sent at once are answered one by one, in their order."""
    names = ["and", "or", "nand", "nor", "xor", "xnor"] * 20
    asked = b"".join(
        b"GET /gates/%s HTTP/1.1\r\nHost: localhost\r\n\r\n%s" % (name.encode(), post(LENGTH))
        for name in names
    )
    answers = exchange(address, asked)
    assert {answer.status for answer in answers} == {200}
    assert [json.loads(answer.body)["name"] for answer in answers[::2]] == names
    assert len({answer.body for answer in answers[1::2]}) == 1
    assert len(answers) == 2 * len(names)


NESTED = 100_000
DEEP = ("[" * NESTED, "[" * NESTED + "]" * NESTED, '{"a":' * NESTED + "1" + "}" * NESTED)
INFER = "/v2/models/xor/infer"
TENSOR = '{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","data":%s}]}'
ENTRIES = {
    "/jobs": '{"dataset":{"features":%s,"targets":[0,1]}}',
    "/predict": '{"model":"xor","inputs":%s}',
    INFER: TENSOR,
}


def assert_bad(answer: Answer, path: str) -> None:
    """It is a 4xx in the form that the path's errors have."""
    assert 400 <= answer.status < 500, answer
    if path.startswith("/v2"):
        assert answer.media_type == "application/json"
        assert set(json.loads(answer.body)) == {"error"}
    else:
        assert answer.media_type == "application/problem+json"
        assert json.loads(answer.body)["status"] == answer.status


def ask(address: Address, path: str, *headers: bytes, body: bytes) -> Answer:
    """Post a body; the one answer."""
    start = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json" % path.encode()
    (answer,) = exchange(address, b"\r\n".join((start, *headers, b"", body)))
    return answer


def send(address: Address, path: str, body: str) -> Answer:
    """Post JSON; the one answer."""
    return ask(address, path, b"Content-Length: %d" % len(body), body=body.encode())


@pytest.mark.parametrize("path", ENTRIES)
@pytest.mark.parametrize("deep", DEEP, ids=["open", "closed", "objects"])
def test_nested(address: Address, path: str, deep: str) -> None:
    """JSON that is nested 100,000 deep is refused, at the top and inside."""
    assert_bad(send(address, path, deep), path)
    assert_bad(send(address, path, ENTRIES[path] % deep), path)


NUMBERS = {
    "/jobs": [
        '{"dataset":{"features":[[0],[%s]],"targets":[0,1]}}',
        '{"dataset":{"features":[[0],[1]],"targets":[0,%s]}}',
        '{"dataset":"xor","network":{"hidden_layers":[%s]}}',
        '{"dataset":"xor","training":{"epochs":%s}}',
        '{"dataset":"xor","training":{"learning_rate":%s}}',
        '{"dataset":"xor","training":{"seed":%s}}',
        '{"dataset":"xor","training":{"validation_fraction":%s}}',
        '{"kind":"sweep","dataset":"xor","space":{"learning_rate":[0.1,%s]}}',
    ],
    "/predict": [
        '{"model":"xor","inputs":[[0,%s]]}',
        '{"model":"xor","inputs":[{"x1":0,"x2":%s}]}',
        '{"model":"xor","version":%s,"inputs":[[0,1]]}',
    ],
    "/backprop": [
        '{"inputs":[1,%s]}',
        '{"targets":[%s]}',
        '{"learning_rate":%s}',
        '{"layers":[{"weights":[[1,%s]]}]}',
    ],
    INFER: [TENSOR.replace("[1,2]", "[%s,2]") % ("%s", "[0,1]"), TENSOR % "[0,%s]"],
}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize("path", NUMBERS)
def test_no_numbers(address: Address, path: str, number: str) -> None:
    """What is no finite number is refused wherever a number belongs."""
    for body in NUMBERS[path]:
        assert_bad(send(address, path, body % number), path)


@pytest.mark.parametrize("path", ENTRIES)
def test_too_large(address: Address, path: str) -> None:
    """A body beyond the limit is a 413, whether its length is said before or not."""
    large = b"[" + b" " * 11 * 2**20
    said = ask(address, path, b"Content-Length: %d" % len(large), body=large)
    unsaid = ask(address, path, b"Transfer-Encoding: chunked", body=chunk(large))
    for answer in (said, unsaid):
        assert answer.status == 413
        assert_bad(answer, path)
