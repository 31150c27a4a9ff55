"""Curves in a terminal, drawn with the dots of braille letters."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a letter's dots, row by row."""
BLANK = 0x2800
ACROSS, DOWN = 2, 4
"""Dots of a letter."""
LABEL = 9
"""Letters of the labels at the left."""


class Series(NamedTuple):
    """One curve."""

    name: str
    colour: str
    points: Sequence[tuple[float, float]]
    """As (epoch, value), the epochs ascending."""


class Curve:
    """Curves over the same epochs; values over 0 are drawn on a logarithmic scale."""

    def __init__(self, series: Sequence[Series], *, height: int = 9, width: int = 72) -> None:
        self._series = [one for one in series if one.points]
        self._height = height
        self._width = width

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """Draw them."""
        if not self._series:
            return
        width = max(8, min(self._width, options.max_width) - LABEL - 2)
        values = [value for one in self._series for _, value in one.points]
        is_log = min(values) > 0 and max(values) > 2 * min(values)
        low, high = _range(values, is_log=is_log)
        cells = self._cells(width, low, high, is_log=is_log)
        for row, line in enumerate(cells):
            share = 1 - row / (self._height - 1)
            label = (
                _number(_value(low + share * (high - low), is_log=is_log)) if row % 4 == 0 else ""
            )
            yield Segment(f"{label:>{LABEL}} ")
            yield Segment("│" if not options.ascii_only else "|", Style(dim=True))
            for bits, colour in line:
                style = Style.parse(colour) if colour else None
                yield Segment(_letter(bits, is_ascii=options.ascii_only), style)
            yield Segment.line()
        first, last = self._epochs()
        ends = f"{first:,.0f}".ljust(width // 2) + f"{last:,.0f}".rjust(width - width // 2)
        yield Segment(" " * (LABEL + 2) + ends)
        yield Segment.line()
        yield Segment(" " * (LABEL + 2))
        for one in self._series:
            yield Segment(f"{'━━' if not options.ascii_only else '--'} ", Style.parse(one.colour))
            yield Segment(f"{one.name}   ")
        yield Segment("log scale" if is_log else "", Style(dim=True))
        yield Segment.line()

    def _epochs(self) -> tuple[float, float]:
        ends = [point[0] for one in self._series for point in (one.points[0], one.points[-1])]
        return min(ends), max(ends)

    def _cells(
        self, width: int, low: float, high: float, *, is_log: bool
    ) -> list[list[tuple[int, str]]]:
        """Set the dots. Returns, row by row, each letter's bits and colour."""
        cells = [[(0, "") for _ in range(width)] for _ in range(self._height)]
        first, last = self._epochs()
        across, down = width * ACROSS - 1, self._height * DOWN - 1
        for one in self._series:
            before: tuple[int, int] | None = None
            for epoch, value in one.points:
                x = round(across * (epoch - first) / ((last - first) or 1))
                share = (_scaled(value, is_log=is_log) - low) / ((high - low) or 1)
                at = (x, round(down * (1 - share)))
                for dot_x, dot_y in _between(before or at, at):
                    bits, _ = cells[dot_y // DOWN][dot_x // ACROSS]
                    bits |= DOTS[dot_y % DOWN][dot_x % ACROSS]
                    cells[dot_y // DOWN][dot_x // ACROSS] = bits, one.colour
                before = at
        return cells


def _scaled(value: float, *, is_log: bool) -> float:
    return math.log10(value) if is_log else value


def _value(scaled: float, *, is_log: bool) -> float:
    return float(10**scaled) if is_log else scaled


def _range(values: Sequence[float], *, is_log: bool) -> tuple[float, float]:
    low, high = (_scaled(end(values), is_log=is_log) for end in (min, max))
    if low == high:
        gap = abs(low) / 10 or 1.0
        return low - gap, high + gap
    return low, high


def _between(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Give the dots of a straight line."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (
            round(start[0] + (end[0] - start[0]) * step / steps),
            round(start[1] + (end[1] - start[1]) * step / steps),
        )
        for step in range(steps + 1)
    ]


def _letter(bits: int, *, is_ascii: bool) -> str:
    if is_ascii:
        return "*" if bits else " "
    return chr(BLANK + bits) if bits else " "


def _number(value: float) -> str:
    return f"{value:.3g}"
