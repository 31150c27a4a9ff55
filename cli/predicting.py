"""`perceptron predict`: ask a model, for a few rows or for a whole table."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cli.reports import Answered, predictions
from cli.server import Server, asks_server, complete_model, path_of
from schemas.media_types import CSV, JSON, NDJSON, PARQUET

MEDIA_TYPES = {
    ".csv": CSV,
    ".parquet": PARQUET,
    ".ndjson": NDJSON,
    ".jsonl": NDJSON,
}
"""What a file is by its name's end."""
STANDARD_INPUT = "-"
PIECE_BYTES = 64 * 1024
WORDS = {"true": True, "false": False, "": None}


ENCODING = click.option(
    "--encoding", default=None, help="Charset of CSV, such as cp949 or utf-16.  [default: utf-8]"
)


@click.command()
@click.argument("model", shell_complete=complete_model)
@click.argument("rows", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for a table's predictions; its end says the form.  [default: CSV, printed]",
)
@click.option(
    "--keep",
    multiple=True,
    metavar="COLUMN",
    help="Column of a table to repeat before the predictions; once for each.",
)
@click.option("--version", default=None, help="Number or alias.  [default: the latest]")
@ENCODING
@asks_server
def predict(server: Server, model: str, *, rows: tuple[str, ...], **options: Any) -> None:
    """
    Ask MODEL for ROWS, or for the rows of a file.

    A row is its values by comma, in the order of the features, or NAME=VALUE by comma; nothing is a
    missing value. A file is CSV, Parquet or NDJSON by its name's end, with the features among its
    columns; `-` is CSV from standard input.

    \b
    perceptron predict my-xor 0,1 1,1
    perceptron predict irises rows.csv -o predictions.csv
    """  # noqa: D301
    if _is_file(rows[0]):
        if len(rows) > 1:
            raise click.UsageError("one file at a time")
        _predict_file(server, model, rows[0], **options)
        return
    for option in ("output", "keep", "encoding"):
        if options[option]:
            raise click.UsageError(f"--{option} is for files")
    _predict_rows(server, model, rows, options["version"])


def media_type(path: str) -> str:
    """Say what a file is. Raises: BadParameter."""
    if path == STANDARD_INPUT:
        return CSV
    found = MEDIA_TYPES.get(Path(path).suffix.lower())
    if found is None:
        raise click.BadParameter(f"{path}: its name must end in {', '.join(MEDIA_TYPES)}")
    return found


def content_type(path: str, encoding: str | None) -> str:
    """Say what a file is, and the charset of its text where one is named. Raises: BadParameter."""
    found = media_type(path)
    if encoding is None:
        return found
    if found != CSV:
        raise click.BadParameter("is for CSV", param_hint="--encoding")
    if not re.fullmatch(r"[\w.:+-]+", encoding, re.ASCII):
        raise click.BadParameter(f"{encoding!r} is no charset", param_hint="--encoding")
    return f"{found}; charset={encoding}"


def pieces(path: str) -> Iterator[bytes]:
    """Read a file, or standard input, piece by piece."""
    with click.open_file(path, "rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def cells(text: str) -> list[str]:
    """
    Divide a text at its commas, as tables in CSV do: double quotes hold one together.

    Raises: BadParameter.
    """
    try:
        return next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error:
        raise click.BadParameter(f"{text!r} is no single line of CSV") from None


def _is_file(text: str) -> bool:
    return text == STANDARD_INPUT or Path(text).suffix.lower() in MEDIA_TYPES


def _predict_file(
    server: Server, model: str, path: str, *, output: Path | None, keep: tuple[str, ...],
    version: str | None, encoding: str | None,
) -> None:  # fmt: skip
    if path != STANDARD_INPUT and not Path(path).exists():
        raise click.BadParameter(f"there is no file {path}", param_hint="ROWS")
    wanted = media_type(str(output)) if output else JSON if server.as_json else CSV
    query: dict[str, Any] = {"model": model, "keep": list(keep)}
    query |= {} if version is None else {"version": version}
    headers = {"Content-Type": content_type(path, encoding), "Accept": wanted}
    size = server.download(
        "POST", "/predict", output, params=query, headers=headers, content=pieces(path)
    )
    if output:
        server.say(f"{output}: {size:,} bytes", file=str(output), size_bytes=size)


def _predict_rows(server: Server, model: str, rows: tuple[str, ...], version: str | None) -> None:
    inputs = [_row(text) for text in rows]
    chosen = {} if version is None else {"version": _reference(version)}
    answer = server.post("/predict", {"model": model, **chosen, "inputs": inputs})
    if server.as_json:
        server.show_json(answer)
        return
    number = str(answer["version"])
    features = server.get(path_of("models", model, "versions", number))["card"]["feature_names"]
    lists = [
        [row.get(name) for name in features] if isinstance(row, dict) else row for row in inputs
    ]
    server.console.print(predictions(server.console, Answered(features, lists, answer)))


def _reference(version: str) -> int | str:
    return int(version) if version.isdecimal() else version


def _row(text: str) -> list[Any] | dict[str, Any]:
    """Read a row: values, or names with values."""
    found = cells(text)
    if found and all("=" in cell for cell in found):
        return {name: _cell(value) for name, _, value in (cell.partition("=") for cell in found)}
    return [_cell(cell) for cell in found]


def _cell(text: str) -> Any:
    """Read a number, a truth or a missing value; anything else is a category."""
    text = text.strip()
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        return text
