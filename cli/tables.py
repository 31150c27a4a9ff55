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
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def table(*columns: str, title: str | None = None) -> Table:
    """
    Make a table in the style of all of them.

    A column that begins with `>` has numbers, one that begins with `!` is never broken.
    """
    made = Table(title=title, title_justify="left", header_style="bold", box=box.ROUNDED)
    for column in columns:
        made.add_column(
            plain(column.lstrip(">!")),
            justify="right" if ">" in column[:2] else "left",
            no_wrap="!" in column[:2],
            overflow="fold",
        )
    return made


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
    room: int = 0
    """Letters of a line from which on there is room for it."""


def listed(
    console: Console, found: Mapping[str, Any], what: str, columns: Sequence[Column]
) -> None:
    """Print a list, a line for each item, and say where it was cut off."""
    columns = [column for column in columns if console.width >= column.room]
    made = table(*(column.heading for column in columns))
    for item in found["data"]:
        made.add_row(*(_in_one_line(column.cell(item)) for column in columns))
    console.print(made)
    if found["has_more"]:
        console.print(f"There are more {what}: ask for them with --limit.", style="dim")


def _in_one_line(cell: str | Text) -> Text:
    """Have a cell cut where there is no room for it, and not go on in a second line."""
    made = Text(plain(cell)) if isinstance(cell, str) else cell
    made.no_wrap, made.overflow = True, "ellipsis"
    return made


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
