"""
Giving memory back after large requests.

A body of some megabytes becomes some hundred megabytes of Python's numbers. glibc keeps what they
leave free below anything that is still in use, and an API process would stay that large for good.
"""

import ctypes
import gc
from collections.abc import Callable
from functools import cache

from flask import Response, request

from service.requests import JsonRequest
from service.soon import Soon

LARGE_BYTES = 1_000_000
"""Size of a body or of an answer that leaves memory worth giving back."""
DELAY_SECONDS = 1.0
"""How long the next large request may use what one has left: giving back takes milliseconds."""


def trim_after_large(response: Response) -> Response:
    """Give memory back soon after the answer, if it or the request's body was large."""
    received = request.body_bytes if isinstance(request, JsonRequest) else 0
    sent = response.calculate_content_length() if response.is_sequence else None  # not of a stream
    if max(received, sent or 0) > LARGE_BYTES:
        response.call_on_close(trim_soon)
    return response


def _trim() -> None:
    malloc_trim = _malloc_trim()
    if malloc_trim is not None:
        gc.collect()  # a refused body hangs in the cycle of its error and the error's traceback
        malloc_trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """Find glibc's own function; other C libraries have none."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


trim_soon = Soon(_trim, DELAY_SECONDS)
"""Gives memory back in a second, once for all that ask for it until then."""
