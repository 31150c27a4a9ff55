"""Which version answers."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptron.routing import choose

CHOICES = 40_000
KEYS = [f"user-{number}" for number in range(CHOICES)]
WEIGHTS = [(1.0,), (1.0, 1.0), (9.0, 1.0), (0.2, 0.3, 0.5), (1e-9, 1.0), (5.0, 1.0, 1.0, 3.0)]


def expected(weights: tuple[float, ...]) -> list[float]:
    """The shares as their definition gives them."""
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("is_sticky", [True, False])
def test_shares_follow_the_weights(weights: tuple[float, ...], is_sticky: bool) -> None:
    """Over many keys, or many draws, each gets its part: within five standard deviations."""
    random.seed(1)
    counts = Counter(choose(weights, key if is_sticky else None) for key in KEYS)
    for index, share in enumerate(expected(weights)):
        deviation = (share * (1 - share) / CHOICES) ** 0.5
        assert counts[index] / CHOICES == pytest.approx(share, abs=5 * deviation + 1e-12)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=16), st.text() | st.none())
def test_one_is_chosen(weights: list[float], key: str | None) -> None:
    """Whatever the weights and the key are, one is chosen; for a key always the same one."""
    index = choose(weights, key)
    assert 0 <= index < len(weights)
    if key is not None:
        assert choose(weights, key) == index
        assert choose([weight * 4 for weight in weights], key) == index


def test_known_keys() -> None:
    """Other processes, releases and machines choose the same: BLAKE2b's first 53 bits."""
    found = "".join(str(choose((1.0, 1.0, 1.0, 1.0), f"user-{number}")) for number in range(16))
    assert found == "0213220002023220"


def test_only_the_moved_share_moves() -> None:
    """When the second of two gets more, nobody leaves it, and as many come as it gets more."""
    before = [choose((9.0, 1.0), key) for key in KEYS]
    after = [choose((7.0, 3.0), key) for key in KEYS]
    moves = Counter(zip(before, after, strict=True))
    assert moves[1, 0] == 0
    assert moves[0, 1] / CHOICES == pytest.approx(0.2, abs=0.01)


def test_a_header_that_is_no_unicode() -> None:
    """The bytes of a header are a key whatever they are."""
    assert choose((1.0, 1.0), "\udcff\xe9") in (0, 1)
