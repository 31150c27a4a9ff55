"""Tables for people: how they look, and what they leave out where there is little room."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.console import Console, Group
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

STATUS_COLOURS = {
    "queued": "yellow",
    "running": "blue",
    "paused": "magenta",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "dim",
}
ENDLESS = 100_000
"""Letters of a line that has room for anything."""
FRAME, EDGE = 3, 1
"""Letters around a cell, and at the edge of a table."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def table(*columns: str, title: str | None = None) -> Table:
    """
    Make a table in the style of all of them.

    A column that begins with `>` has numbers, one that begins with `!` is never broken.
    """
    made = Table(title=title, title_justify="left", header_style="bold", box=box.ROUNDED)
    for column in columns:
        made.add_column(
            _words(column),
            justify="right" if ">" in column[:2] else "left",
            no_wrap=_is_whole(column),
            overflow="fold",
        )
    return made


def _words(heading: str) -> str:
    return plain(heading.lstrip(">!"))


def _is_whole(heading: str) -> bool:
    return "!" in heading[:2]


def plain(text: str) -> str:
    """Show control characters of a table's texts, rather than have the terminal follow them."""
    return _CONTROL.sub("�", text)


def number(value: Any) -> str:
    """Write a number in four digits; nothing for none."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def status(name: str) -> Text:
    """Write a status in its colour."""
    return Text(name, STATUS_COLOURS.get(name, ""))


def spelled(value: Any) -> str:
    """Write a cell as tables do."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else plain(str(value))


class Column(NamedTuple):
    """A column of a list."""

    heading: str
    """As `table` takes it."""
    cell: Callable[[Mapping[str, Any]], str | Text]
    """What it says of an item."""
    rank: int = 0
    """Columns of a higher rank give way sooner where there is too little room."""
    least: int = 12
    """Letters that a cell may be cut to, unless the heading says that it is never broken."""


class _Filled(NamedTuple):
    """A column with its cells."""

    column: Column
    cells: Sequence[Text]

    @property
    def width(self) -> int:
        """Letters that show all of it."""
        heading = Text(_words(self.column.heading))
        return max(cell.cell_len for cell in (heading, *self.cells))

    @property
    def least(self) -> int:
        """Letters without which it is left out."""
        whole = self.width
        return whole if _is_whole(self.column.heading) else min(whole, self.column.least)


def listed(
    console: Console, found: Mapping[str, Any], what: str, columns: Sequence[Column]
) -> None:
    """
    Print a list, a line for each item, and say where it was cut off.

    The first column, one with `!`, names the items as commands want them: it is never cut, and is
    folded where even it alone has no room. What is no terminal has room for everything.
    """
    filled = [_filled(column, found["data"]) for column in columns]
    room = console.width if console.file.isatty() else ENDLESS
    shown = _with_room(filled, room)
    made = table(*(one.column.heading for one, _ in shown))
    for column, (_, width) in zip(made.columns, shown, strict=True):
        column.width = width
    made.columns[0].no_wrap = False
    for row in zip(*(one.cells for one, _ in shown), strict=True):
        for cell in row[1:]:
            cell.no_wrap, cell.overflow = True, "ellipsis"
        made.add_row(*row)
    made.width = _line(width for _, width in shown)
    console.print(made, crop=False)
    if found["has_more"]:
        console.print(f"There are more {what}: ask for them with --limit.", style="dim")


def _filled(column: Column, items: Sequence[Mapping[str, Any]]) -> _Filled:
    told = [column.cell(item) for item in items]
    cells = [Text(plain(cell)) if isinstance(cell, str) else cell for cell in told]
    return _Filled(column, cells)


def _with_room(filled: Sequence[_Filled], room: int) -> Sequence[tuple[_Filled, int]]:
    """Choose the columns that a line of so many letters has room for, each with its width."""
    by_rank = sorted(filled, key=lambda one: one.column.rank)
    while len(by_rank) > 1 and _line(one.least for one in by_rank) > room:
        by_rank.pop()
    spare = room - _line(one.least for one in by_rank)
    widths: dict[Column, int] = {}
    for one in by_rank:
        more = min(spare, one.width - one.least)
        spare -= more
        widths[one.column] = max(1, one.least + more)
    return [(one, widths[one.column]) for one in filled if one.column in widths]


def _line(widths: Iterable[int]) -> int:
    """Count the letters of a table's line: those of its cells, of their frames and its edge."""
    return sum(width + FRAME for width in widths) + EDGE


def pairs(rows: Iterable[tuple[str, Any]]) -> Table:
    """Make a table of names and values, without lines."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim")
    made.add_column(overflow="fold")
    for name, value in rows:
        if value is not None:
            made.add_row(name, value if isinstance(value, Text | Group) else str(value))
    return made


def fitting(console: Console, most: int, make: Callable[[int], Table]) -> Table:
    """Make a table with as many columns, at most so many, as leave each word in one piece."""
    endless = console.options.update_width(ENDLESS)
    for shown in range(most, 0, -1):
        made = make(shown)
        if Measurement.get(console, endless, made).minimum <= console.width:
            return made
    return make(0)
