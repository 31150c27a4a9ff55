"""
What a model answers over its two features, drawn in a terminal, with rows of the table on it.

With colours each letter shows two places, one above the other; without them, one.
"""

import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.text import Text

from cli.curve import LABEL
from cli.server import Refused, Server, path_of
from cli.tables import number, plain, spelled

Colour = tuple[float, float, float]
"""Red, green and blue, to 255."""

COLOURS: Sequence[Colour] = (
    (245, 147, 34), (8, 119, 189), (0, 158, 115), (204, 121, 167), (240, 228, 66),
    (86, 180, 233), (213, 94, 0), (120, 120, 120), (148, 103, 189), (140, 86, 75),
)  # fmt: skip
"""Of the classes, as in the web pages; numbers go from the first one to the second."""
PALE: Colour = (245, 246, 247)
"""Where the model is not sure, and halfway from the lowest number to the highest."""
INK: Colour = (21, 32, 43)
SHADES, ASCII_SHADES = " ░▒▓█", " .:+#"
"""Two classes, and numbers, without colours."""
LETTERS = string.ascii_letters
"""Several classes without colours."""
WIDTH, HEIGHT = 40, 14
"""Letters."""
MARGIN = 0.12
"""Share of an axis's length that is added at either end of the rows."""
MOST_ROWS = 2_000
SPREAD = 2.5
"""Deviations around the mean that are shown where the table is gone."""


class Axis(NamedTuple):
    """A feature, and what is shown of it."""

    name: str
    low: float
    high: float

    def centres(self, count: int) -> list[float]:
        """Divide it into so many parts, and give the middle of each, ascending."""
        step = (self.high - self.low) / count
        return [self.low + (place + 0.5) * step for place in range(count)]

    def part(self, value: float, count: int) -> int:
        """Say in which of so many parts a value lies."""
        share = (value - self.low) / (self.high - self.low)
        return min(count - 1, max(0, int(share * count)))


class Row(NamedTuple):
    """A row of the table."""

    x: float
    y: float
    actual: Any


class Plane(NamedTuple):
    """Places on two axes, and what a model answers there."""

    x: Axis
    y: Axis
    columns: int
    rows: int
    answer: Mapping[str, Any]
    """To the places row by row, the topmost first."""


class Region:
    """The drawing of a plane."""

    def __init__(
        self, plane: Plane, target: str, rows: Sequence[Row], *, is_coloured: bool
    ) -> None:
        self._plane, self._target, self._rows = plane, target, rows
        self._is_coloured = is_coloured
        self._classes: Sequence[Any] | None = plane.answer["classes"]
        told: Sequence[Any] = plane.answer["probabilities"] or plane.answer["predictions"]
        self._low: float = 0.0 if self._classes else min(told)
        self._high: float = 1.0 if self._classes else max(told)
        width = plane.columns
        self._told = [told[start : start + width] for start in range(0, len(told), width)]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        x, y, columns, *_rest = self._plane
        shades = ASCII_SHADES if options.ascii_only else SHADES
        points = self._points() if self._is_coloured else {}
        yield _line(f"{'':{LABEL}} {plain(y.name)}")
        for row in range(HEIGHT):
            end = {0: y.high, HEIGHT - 1: y.low}.get(row)
            line = _line(f"{'' if end is None else number(end):>{LABEL}} ")
            for column in range(columns):
                if self._is_coloured:
                    line.append(*self._letter(row, column, points))
                else:
                    line.append(self._shade(self._told[row][column], shades))
            yield line
        low, high = number(x.low), number(x.high)
        name = plain(x.name)[: max(0, columns - len(low) - len(high) - 2)]
        yield _line(f"{'':{LABEL}} {low}{name:^{columns - len(low) - len(high)}}{high}")
        yield self._legend(shades)

    def _letter(
        self, row: int, column: int, points: Mapping[tuple[int, int], Colour]
    ) -> tuple[str, Style]:
        """Make a letter of two places, or of a row of the table on the upper one."""
        upper, lower = (self._colour(self._told[2 * row + part][column]) for part in (0, 1))
        point = points.get((row, column))
        if point is None:
            return "▀", _style(upper, lower)
        return "●", _style(point, upper)

    def _points(self) -> dict[tuple[int, int], Colour]:
        """Say in which letter a row of the table lies, and its colour."""
        x, y, columns, *_ = self._plane
        return {
            (HEIGHT - 1 - y.part(row.y, HEIGHT), x.part(row.x, columns)): _mixed(
                self._colour_of(row.actual), INK, 0.45
            )
            for row in self._rows
            if self._classes is None or row.actual in self._classes
        }

    def _colour_of(self, actual: Any) -> Colour:
        if self._classes is None:
            return _between(self._share(float(actual)))
        return COLOURS[self._classes.index(actual) % len(COLOURS)]

    def _colour(self, told: Any) -> Colour:
        """Give the colour of a number, or of probabilities: the paler, the less sure."""
        if not isinstance(told, list):
            return _between(min(0.9, max(0.1, self._share(told))))
        best, few = max(told), 1 / len(told)
        sure = (best - few) / (1 - few)
        return _mixed(PALE, COLOURS[told.index(best) % len(COLOURS)], min(0.8, max(0.1, sure)))

    def _shade(self, told: Any, shades: str) -> str:
        if isinstance(told, list):
            return LETTERS[told.index(max(told)) % len(LETTERS)]
        return shades[round(self._share(told) * (len(shades) - 1))]

    def _share(self, value: float) -> float:
        return min(1.0, max(0.0, (value - self._low) / ((self._high - self._low) or 1)))

    def _legend(self, shades: str) -> Text:
        made = _line(f"{'':{LABEL}} {plain(self._target)}:")
        ends = self._classes or (self._low, self._high)
        marks = LETTERS if isinstance(self._told[0][0], list) else (shades[0], shades[-1])
        for place, name in enumerate(ends):
            if self._is_coloured:
                made.append(" ■ ", _style(COLOURS[place % len(COLOURS)]))
            else:
                made.append(f" {marks[place % len(marks)]!r} ")
            made.append(spelled(name))
        return made


def region(server: Server, model: Mapping[str, Any], card: Mapping[str, Any]) -> Region | None:
    """
    Ask a version all over its two features; None where it has not two that are numbers.

    `model` has its `name` and `version`.
    """
    names = card["feature_names"]
    features = (card["preprocessing"] or {}).get("features") or [{"kind": "numeric"}] * len(names)
    if len(names) != 2 or any(feature["kind"] != "numeric" for feature in features):
        return None
    target = card["preprocessing"]["target"]["name"] if card["preprocessing"] else "y"
    rows = _rows(server, card, target)
    x = _axis(names[0], features[0], [row.x for row in rows])
    y = _axis(names[1], features[1], [row.y for row in rows])
    console = server.console
    has_blocks = not console.options.ascii_only
    is_coloured = has_blocks and console.color_system is not None and not console.no_color
    columns = max(8, min(WIDTH, console.width - LABEL - 2))
    up, across = y.centres(HEIGHT * (2 if is_coloured else 1)), x.centres(columns)
    places = [[at_x, at_y] for at_y in reversed(up) for at_x in across]
    asked = {"model": model["name"], "version": model["version"], "inputs": places}
    plane = Plane(x, y, columns, len(up), server.post("/predict", asked))
    return Region(plane, target, rows, is_coloured=is_coloured)


def _rows(server: Server, card: Mapping[str, Any], target: str) -> list[Row]:
    """Give rows that a model was trained on; none where they are gone."""
    try:
        if card["job_id"] is not None:
            path = f"{path_of('jobs', card['job_id'])}/rows"
            found = server.get(path, limit=MOST_ROWS)["data"]
            return list(_numbers((*row["inputs"], row["target"]) for row in found))
    except Refused:  # of a sweep, or the job is forgotten
        pass
    try:
        dataset = server.get(path_of("datasets", card["dataset"]))
    except Refused:
        return []
    if card["dataset_sha256"] not in (None, dataset["sha256"]):
        return []
    names = (*card["feature_names"], target)
    return list(_numbers([record.get(name) for name in names] for record in dataset["records"]))


def _numbers(rows: Iterable[Sequence[Any]]) -> Iterator[Row]:
    for x, y, actual in rows:
        if x is not None and y is not None and actual is not None:
            yield Row(float(x), float(y), actual)


def _axis(name: str, feature: Mapping[str, Any], known: Sequence[float]) -> Axis:
    if not known:
        mean, spread = feature.get("mean", 0.0), SPREAD * feature.get("scale", 1.0)
        return Axis(name, mean - spread, mean + spread)
    low, high = min(known), max(known)
    margin = MARGIN * (high - low) or 1.0
    return Axis(name, low - margin, high + margin)


def _line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="crop")


def _style(colour: Colour, ground: Colour | None = None) -> Style:
    return Style(color=Color.from_rgb(*colour), bgcolor=ground and Color.from_rgb(*ground))


def _between(share: float) -> Colour:
    """Give the colour between the first (0), and the second (1)."""
    return _mixed(PALE, COLOURS[share > 0.5], abs(2 * share - 1))


def _mixed(start: Colour, end: Colour, share: float) -> Colour:
    red, green, blue = (one + (two - one) * share for one, two in zip(start, end, strict=True))
    return red, green, blue
