"""Curves in a terminal: where the dots are, and what the labels say."""

import io

import pytest
from rich.console import Console

from cli.curve import Curve, Series

HEIGHT, WIDTH = 4, 40
ROOM = WIDTH - 11
"""Letters between the axis and the right edge."""


def drawn(*series: Series, encoding: str = "utf-8") -> list[str]:
    """Draw curves; gives the lines without their styles."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=WIDTH, color_system=None)
    console.print(Curve(series, height=HEIGHT, width=WIDTH))
    file.seek(0)
    return file.read().splitlines()


def dots(lines: list[str]) -> set[tuple[int, int]]:
    """Read the dots of braille letters, as (column, row) from the top left."""
    places = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))  # Unicode, bit by bit
    return {
        (2 * column + x, 4 * row + y)
        for row, line in enumerate(lines[:HEIGHT])
        for column, letter in enumerate(line[11:])
        for bit, (x, y) in enumerate(places)
        if letter > "\u2800" and ord(letter) - 0x2800 & 1 << bit
    }


def test_a_straight_line() -> None:
    """It goes from the lowest value, bottom left, to the highest, top right."""
    line = Series("line", "blue", [(0, -1.0), (10, 1.0)])
    found = dots(drawn(line))
    right, bottom = 2 * ROOM - 1, 4 * HEIGHT - 1
    assert {(0, bottom), (right, 0)} <= found
    assert {x for x, _ in found} == set(range(right + 1))
    for x, y in found:
        assert abs(y - bottom * (1 - x / right)) <= 1


def test_losses_are_logarithmic() -> None:
    """A loss that falls by the same factor each time is a straight line; the ends are labelled."""
    falling = Series("loss", "blue", [(epoch, 10.0**-epoch) for epoch in range(5)])
    lines = drawn(falling)
    right, bottom = 2 * ROOM - 1, 4 * HEIGHT - 1
    for x, y in dots(lines):
        assert abs(y - bottom * x / right) <= 1.5  # the ends of each piece are rounded
    assert lines[0].startswith("        1 │")
    assert lines[HEIGHT].split() == ["0", "4"]
    assert "log scale" in "".join(lines[HEIGHT + 1 :])


def test_two_curves_share_their_scale() -> None:
    """The second one begins where its epochs do, and both are named."""
    one = Series("a", "blue", [(0, 0.0), (10, 0.0)])
    two = Series("b", "red", [(5, 1.0), (10, 1.0)])
    lines = drawn(one, two)
    found = dots(lines)
    assert {x for x, y in found if y == 4 * HEIGHT - 1} == set(range(2 * ROOM))
    assert min(x for x, y in found if y == 0) in (ROOM - 1, ROOM)
    named = "".join(lines[HEIGHT + 1 :])
    assert "a" in named
    assert "b" in named


@pytest.mark.parametrize("points", [[(3, 0.5)], [(0, 0.5), (9, 0.5)], [(0, 1e-300), (1, 1e300)]])
def test_what_has_no_range(points: list[tuple[float, float]]) -> None:
    """One point, equal values and immense ranges are drawn."""
    assert dots(drawn(Series("flat", "blue", points)))


def test_nothing_to_draw() -> None:
    """Without points nothing is written."""
    assert drawn(Series("none", "blue", [])) == []


def test_terminals_without_braille() -> None:
    """In ASCII the dots are asterisks."""
    lines = drawn(Series("line", "blue", [(0, -1.0), (10, 1.0)]), encoding="ascii")
    assert all("*" in line and "|" in line for line in lines[:HEIGHT])
