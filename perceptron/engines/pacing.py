"""How many epochs a compiled engine trains before it hands back control."""

import time
from collections.abc import Iterator

from perceptron.engines import YIELD_SECONDS

FIRST_OPERATIONS = 10_000_000
"""Multiplications of the first chunk; then the clock decides."""
MAX_WORDS = 4_000_000
"""Most numbers that are drawn at once for the order of rows."""
LARGEST_GROWTH = 4.0


def chunks(epochs: int, operations: int, words: int) -> Iterator[tuple[int, int]]:
    """
    Divide epochs into chunks that take about half of `YIELD_SECONDS` each.

    `operations` and `words` are those of one epoch. The caller trains a chunk (first, end) before
    it takes the next.
    """
    size = max(1, FIRST_OPERATIONS // operations)
    most = max(1, MAX_WORDS // words)
    first = 0
    while first < epochs:
        end = min(first + min(size, most), epochs)
        began = time.monotonic()
        yield first, end
        seconds = max(time.monotonic() - began, 1e-9)
        size = max(1, int((end - first) * min(LARGEST_GROWTH, YIELD_SECONDS / 2 / seconds)))
        first = end
