"""What the process that compares versions on a table does: it predicts every row with each."""

import os
import struct
from collections.abc import Iterator, Sequence

from perceptron.layers import FloatArray
from perceptron.shadows import agreed_rows
from schemas.base import Record
from schemas.errors import PerceptronError
from service.predicting import PredictingRequest, outputs

NICENESS = 10
"""Requests go first: nobody waits for a comparison."""
_LENGTH = struct.Struct("<Q")


class Compared(Record):
    """What came of asking one shadow version."""

    agreed_rows: int | None
    """Null: it cannot take the table, or is damaged."""
    error: str | None = None
    """Why not."""


class Comparison(Record):
    """What came of asking the shadows of a version."""

    rows: int
    shadows: tuple[Compared, ...]
    """One for each, in their order."""


def joined(requests: Sequence[bytes]) -> bytes:
    """Write what is asked: to predict rows with a version, and with each of its shadows."""
    return b"".join(_LENGTH.pack(len(request)) + request for request in requests)


def work(request: bytes) -> bytes:
    """Compare; answers with a Comparison. Raises: InvalidField, CorruptModel: of the version."""
    os.nice(NICENESS)
    first, *others = _parted(request)
    asked, weights = PredictingRequest.read(first)
    found, _ = outputs(asked, weights)
    told = []
    for other in others:
        shadow, weights = PredictingRequest.read(other)
        told.append(_compared(asked, found, shadow, weights))
    return Comparison(rows=len(found), shadows=tuple(told)).model_dump_json().encode()


def _compared(
    asked: PredictingRequest, found: FloatArray, shadow: PredictingRequest, weights: bytes
) -> Compared:
    try:
        theirs, _ = outputs(shadow, weights)
    except PerceptronError as error:
        return Compared(agreed_rows=None, error=error.detail)
    targets = asked.preprocessing.target, shadow.preprocessing.target
    return Compared(agreed_rows=agreed_rows(targets[0], found, targets[1], theirs))


def _parted(request: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(request):
        (length,) = _LENGTH.unpack_from(request, start)
        start += _LENGTH.size
        yield request[start : start + length]
        start += length
