"""Bodies as `gzip` and `deflate`: within a limit, and only where the client asks for them."""

import gzip
import zlib
from collections.abc import Mapping

from werkzeug.datastructures import Accept
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.http import parse_accept_header

WINDOWS: Mapping[str, int] = {
    "gzip": 16 + zlib.MAX_WBITS,
    "x-gzip": 16 + zlib.MAX_WBITS,
    "deflate": zlib.MAX_WBITS,
}
"""How zlib is told the form of a body; `deflate` has zlib's, by RFC 9110, 8.4.1.2."""
LEAST_BYTES = 1_024
"""A smaller answer fits in a packet as it is."""
LEVEL = 1
"""Numbers hardly get smaller by more effort."""


def decoded(body: bytes, encoding: str, limit: int) -> bytes:
    """
    Give a body as it was before it was encoded.

    Raises: UnsupportedMediaType, RequestEntityTooLarge, or BadRequest where it is damaged.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in WINDOWS:
        raise UnsupportedMediaType(f"the Content-Encoding {encoding!r} is none of gzip, deflate")
    parts = []
    left = limit
    while body:  # a gzip body may have several members
        decoder = zlib.decompressobj(WINDOWS[encoding])
        try:
            parts.append(decoder.decompress(body, left + 1))
        except zlib.error as error:
            raise BadRequest(f"the body is not {encoding}: {error}") from None
        left -= len(parts[-1])
        if left < 0:
            raise RequestEntityTooLarge(f"the body is larger than {limit} bytes when decoded")
        if not decoder.eof:
            raise BadRequest(f"the body is not {encoding}: it ends too early")
        body = decoder.unused_data
    return b"".join(parts)


def refuse(encoding: str) -> None:
    """See that a body is as it is, where none is decoded. Raises: UnsupportedMediaType."""
    if encoding.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType(f"send the body as it is, without Content-Encoding: {encoding}")


def accepted(accept: str | None, body: bytes) -> str | None:
    """Choose the encoding for an answer; None: as it is."""
    if not accept or len(body) < LEAST_BYTES:
        return None
    weights = parse_accept_header(accept, Accept)
    best = weights.best_match(("gzip", "deflate"))
    return best if best and weights.quality(best) >= weights.quality("identity") else None


def encoded(body: bytes, encoding: str) -> bytes:
    """Encode an answer."""
    if encoding == "gzip":
        return gzip.compress(body, LEVEL, mtime=0)
    return zlib.compress(body, LEVEL)
