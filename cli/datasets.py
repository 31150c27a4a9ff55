"""`perceptron datasets`: list, show, add and delete tables."""

import json
import re
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from cli.predicting import ENCODING, STANDARD_INPUT, content_type, pieces
from cli.server import Server, asks_server, complete_dataset, path_of
from cli.tables import Column, fitting, listed, number, pairs, spelled, table

MOST_NAMED = 6
"""Categories of a column that are named."""
FIRST_ROWS, FIRST_COLUMNS = 5, 8
"""Of a table, to show what it is like."""
WIDE = 64
"""Letters of a line from which on there is room for counts."""
KINDS = ("numeric", "categorical", "boolean", "text")
NAME = click.argument("dataset", shell_complete=complete_dataset)


@click.group(invoke_without_command=True)
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="Most datasets."
)
@asks_server
def datasets(server: Server, *, limit: int) -> None:
    """List datasets; show, add and delete them."""
    if click.get_current_context().invoked_subcommand is None:
        _list(server, limit)


def _list(server: Server, limit: int) -> None:
    found = server.items("/datasets", limit)
    if server.as_json:
        server.show_json(found)
        return
    columns = (
        Column("!dataset", lambda item: item["name"]),
        Column("!>rows", lambda item: f"{item['rows']:,}", 1),
        Column("!>features", lambda item: f"{len(item['feature_names']):,}", 2),
        Column("target", lambda item: item["target"], 5),
        Column("!task", lambda item: item["task"] or "–", 3),
        Column("description", lambda item: item["description"], 4, least=24),
    )
    listed(server.console, found, "datasets", columns)


@datasets.command()
@NAME
@asks_server
def show(server: Server, dataset: str) -> None:
    """Show a dataset's columns and its first rows."""
    _show(server, server.get(path_of("datasets", dataset)))


@datasets.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--name", default=None, help="Name of the dataset.  [default: the file's]")
@click.option("--target", default=None, help="Column to predict.  [default: the last one]")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=KIND",
    help=f"Kind of a column, where the inferred one is not meant: {', '.join(KINDS)}.",
)
@click.option("--description", default=None, help="What it is.")
@ENCODING
@asks_server
def add(server: Server, file: str, *, name: str | None, **options: Any) -> None:
    """Store FILE as a dataset: CSV, Parquet or NDJSON by its name's end; `-` is CSV."""
    if name is None and file == STANDARD_INPUT:
        raise click.UsageError("--name is needed for standard input")
    query = {
        "name": name or re.sub(r"[^a-z0-9_-]+", "-", Path(file).stem.lower()).strip("-_"),
        "target": options["target"],
        "description": options["description"],
        "columns": json.dumps(dict(map(_kind, options["columns"]))) if options["columns"] else None,
    }
    stored = server.ask(
        "POST",
        "/datasets",
        params={key: value for key, value in query.items() if value is not None},
        headers={"Content-Type": content_type(file, options["encoding"])},
        content=pieces(file),
    ).json()
    _show(server, stored)
    server.say(f"Go on with: perceptron train {stored['name']} --hidden 8")


@datasets.command()
@NAME
@click.option("--yes", is_flag=True, help="Do not ask.")
@asks_server
def rm(server: Server, dataset: str, *, yes: bool) -> None:
    """Delete a dataset; models that were trained on it stay."""
    if not yes:
        click.confirm(f"Delete the dataset {dataset}?", abort=True, err=True)
    server.ask("DELETE", path_of("datasets", dataset))
    server.say(f"the dataset {dataset} is deleted", deleted=dataset)


def _kind(text: str) -> tuple[str, str]:
    name, _, kind = text.rpartition("=")
    if not name or kind not in KINDS:
        told = f"{text!r} is no NAME=KIND, with a kind of {', '.join(KINDS)}"
        raise click.BadParameter(told, param_hint="--column")
    return name, kind


def _show(server: Server, dataset: dict[str, Any]) -> None:
    if server.as_json:
        server.show_json(dataset)
        return
    console = server.console
    facts = [
        ("dataset", dataset["name"]),
        ("", dataset["description"] or None),
        ("rows", f"{dataset['rows']:,}"),
        ("target", f"{dataset['target']} ({dataset['task'] or 'no job can learn it'})"),
    ]
    console.print(pairs(facts))
    columns = dataset["columns"]
    counts = (">missing", ">distinct") if console.width >= WIDE else ()
    has_notes = any(column.get("note") for column in columns)
    made = table("column", "!kind", *counts, "values", *(("note",) if has_notes else ()))
    for column in columns:
        counted = (f"{column[name.lstrip('>')]:,}" for name in counts)
        note = (column.get("note") or "",) if has_notes else ()
        made.add_row(column["name"], column["kind"], *counted, _values(column), *note)
    console.print(made)
    console.print(fitting(console, FIRST_COLUMNS, lambda shown: _first_rows(dataset, shown)))


def _first_rows(dataset: dict[str, Any], shown: int) -> Table:
    names = [column["name"] for column in dataset["columns"]]
    more = ["…"] if len(names) > shown else []
    made = table(*names[:shown], *more, title="The first rows")
    for record in dataset["records"][:FIRST_ROWS]:
        made.add_row(*(spelled(record[name]) for name in names[:shown]), *more)
    return made


def _values(column: dict[str, Any]) -> str:
    if column["kind"] == "numeric" and column.get("minimum") is not None:
        ends = f"{number(column['minimum'])} … {number(column['maximum'])}"
        return f"{ends}, mean {number(column['mean'])}"
    named = column.get("categories") or ()
    told = ", ".join(f"{one['value']} ({one['rows']:,})" for one in named[:MOST_NAMED])
    return told + (", …" if len(named) > MOST_NAMED else "")
