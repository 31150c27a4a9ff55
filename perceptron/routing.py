"""Which of several versions answers: by weights at random, or always the same for the same key."""

import hashlib
import random
from collections.abc import Sequence
from itertools import accumulate


def choose(weights: Sequence[float], key: str | None = None) -> int:
    """
    Choose one by its weight; with a key, the same one in every process and at every time.

    A key's digest is a point of [0, 1), the weights are stretches of it in their order: where two
    share the traffic and one of them gets more, only keys move that go from the other to it.
    Returns its index.
    """
    ends = list(accumulate(weights))
    point = ends[-1] * (random.random() if key is None else _uniform(key))  # noqa: S311
    return next((index for index, end in enumerate(ends) if point < end), len(ends) - 1)


def _uniform(key: str) -> float:
    """Turn a text into a number of [0, 1), evenly spread over different texts."""
    digest = hashlib.blake2b(key.encode(errors="surrogateescape"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
