"""Bodies that are encoded as gzip or deflate."""

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from service.encodings import LEAST_BYTES, accepted, decoded, encoded

LARGE = bytes(LEAST_BYTES)


@given(body=st.binary())
def test_bodies_come_and_go(body: bytes) -> None:
    """A body is read as it was before gzip and zlib, and they read what is written here."""
    assert decoded(body, "", 0) == decoded(body, "Identity ", 0) == body
    assert decoded(gzip.compress(body), "gzip", len(body)) == body
    assert decoded(gzip.compress(body) * 2, "x-gzip", 2 * len(body)) == body * 2
    assert decoded(zlib.compress(body), "DEFLATE", len(body)) == body
    assert gzip.decompress(encoded(body, "gzip")) == body
    assert zlib.decompress(encoded(body, "deflate")) == body


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_bombs_do_not_go_off(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    """What becomes larger than the limit is refused, in one member or in many."""
    with pytest.raises(RequestEntityTooLarge):
        decoded(compress(bytes(50_000_001)), encoding, 50_000)
    with pytest.raises(RequestEntityTooLarge):
        decoded(compress(bytes(30_000)) * 2, encoding, 50_000)


@pytest.mark.parametrize(
    "body",
    [b"no", gzip.compress(LARGE)[:-1], gzip.compress(LARGE) + b"x"],
    ids=["no", "short", "long"],
)
def test_damaged_bodies(body: bytes) -> None:
    """What is not whole, or not encoded, is refused."""
    with pytest.raises(BadRequest):
        decoded(body, "gzip", len(LARGE))


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd"])
def test_other_encodings(encoding: str) -> None:
    """Other encodings, and several at once, are refused as such."""
    with pytest.raises(UnsupportedMediaType):
        decoded(b"", encoding, 0)


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, None),
        ("", None),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("gzip;q=0.5, deflate", "deflate"),
        ("gzip;q=0", None),
        ("identity, gzip;q=0.5", None),
        ("br", None),
    ],
)
def test_only_what_the_client_asks_for(header: str | None, chosen: str | None) -> None:
    """The client's best encoding is taken; none for an answer that is small anyway."""
    assert accepted(header, LARGE) == chosen
    assert accepted(header, LARGE[1:]) is None
