"""How many epochs a compiled engine trains before it hands back control."""

import time
from collections.abc import Iterator

from perceptron.engines import YIELD_SECONDS

FIRST_OPERATIONS = 10_000_000
"""Multiplications of the first chunk; then the clock decides."""
MAX_WORDS = 4_000_000
"""Most numbers that are drawn at once for the order of rows."""
LARGEST_GROWTH = 4.0


def chunks(
    epochs: int, operations: int, words: int, *, first: int = 0, stop_at: int | None = None
) -> Iterator[tuple[int, int]]:
    """
    Divide epochs into chunks that take about half of `YIELD_SECONDS` each.

    `operations` and `words` are those of one epoch. The caller trains a chunk (first, end) before
    it takes the next. With `stop_at`, a chunk ends after each multiple of it.
    """
    size = max(1, FIRST_OPERATIONS // operations)
    most = max(1, MAX_WORDS // words)
    while first < epochs:
        end = min(first + min(size, most), epochs)
        if stop_at is not None:
            end = min(end, -(-first // stop_at) * stop_at + 1)
        began = time.monotonic()
        yield first, end
        seconds = max(time.monotonic() - began, 1e-9)
        fitting = (end - first) * YIELD_SECONDS / 2 / seconds
        size = max(1, int(min(LARGEST_GROWTH * size, fitting)))
        first = end
