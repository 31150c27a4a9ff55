"""`perceptron sweep`: train many networks that differ, and find the best."""

from collections import defaultdict
from statistics import fmean
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.fields import (
    ACTIVATIONS,
    DATA,
    DETACH,
    MODEL,
    OPTIMIZERS,
    TRAINING,
    data_fields,
    given,
    training_fields,
)
from cli.reports import NARROW, show_end
from cli.server import Server, asks_server, complete_dataset, path_of
from cli.tables import fitting, number, table
from cli.training import refuse_file
from cli.watching import watch

MOST_RESULTS = 10
"""Networks that the list of the best shows."""
MOST_ROWS = 5_000
"""Results that the map is made from."""
SHADES = ("red", "dark_orange", "yellow", "chartreuse3", "green")


def _shape(text: str) -> list[int]:
    """Read the units of hidden layers by hyphen; `0` is none."""
    try:
        return [] if text == "0" else [int(part) for part in text.split("-")]
    except ValueError:
        raise click.BadParameter(f"{text!r} is no shape such as 10-10, or 0 for none") from None


@click.command()
@click.argument("dataset", shell_complete=complete_dataset)
@click.option(
    "--hidden",
    "hidden_layers",
    multiple=True,
    metavar="SHAPE",
    help="Hidden layers to try, such as 10-10, or 0 for none; once for each shape.",
)
@click.option(
    "--activation",
    multiple=True,
    type=ACTIVATIONS,
    help="Activation of every hidden layer; once for each.",
)
@click.option("--optimizer", multiple=True, type=OPTIMIZERS, help="Update rule; once for each.")
@click.option("--learning-rate", multiple=True, type=float, help="Step size; once for each.")
@click.option("--batch-size", multiple=True, type=int, help="Rows of one step; once for each.")
@click.option("--weight-decay", multiple=True, type=float, help="L2 penalty; once for each.")
@click.option(
    "--seeds",
    "seed",
    type=click.IntRange(1),
    default=None,
    help="Try so many seeds of each.  [default: one]",
)
@click.option("--epochs", type=int, default=None, help="Passes over the rows.  [default: 10001]")
@click.option(
    "--method",
    type=click.Choice(["grid", "random", "halving"]),
    default="grid",
    show_default=True,
    help="Every combination, some, or the best ones for longer.",
)
@click.option("--samples", type=int, default=None, help="Points to draw, for random and halving.")
@click.option("--folds", type=int, default=None, help="Cross-validate with so many parts.")
@click.option(
    "--score",
    type=click.Choice(["accuracy", "loss", "r2"]),
    default=None,
    help="What makes one better than another.  [default: accuracy, or r2]",
)
@click.option("--no-refit", is_flag=True, help="Do not train and publish the best one.")
@TRAINING
@DATA
@MODEL
@DETACH
@asks_server
def sweep(server: Server, dataset: str, *, detach: bool, **options: Any) -> None:
    """
    Train many networks on DATASET that differ, and find the best.

    \b
    perceptron sweep xor --hidden 2 --hidden 4 --hidden 10-10 \\
      --learning-rate 0.1 --learning-rate 1 --seeds 20 --epochs 2000
    """  # noqa: D301
    refuse_file(dataset)
    lists = ("activation", "optimizer", "learning_rate", "batch_size", "weight_decay")
    space: dict[str, Any] = {name: list(options[name]) for name in lists if options[name]}
    if options["hidden_layers"]:
        space["hidden_layers"] = [_shape(text) for text in options["hidden_layers"]]
    if options["seed"]:
        space["seed"] = {"count": options["seed"]}
    search = {"method": options["method"], "space": space}
    search |= given(**{name: options[name] for name in ("samples", "folds", "score")})
    training = given(epochs=options["epochs"]) | training_fields(options)
    body = {"kind": "sweep", "dataset": dataset, "search": search, "training": training}
    body |= data_fields(options) | ({"refit": False} if options["no_refit"] else {})
    job = server.post("/jobs", body)
    if detach:
        server.show_json(job) if server.as_json else click.echo(job["id"])
        return
    ended = watch(server, job)
    if server.as_json:
        server.show_json(ended)
        return
    show_results(server, ended)
    if ended["model"]:
        show_end(server, ended)


def show_results(server: Server, job: dict[str, Any]) -> None:
    """Show the best networks, and a map of how often rates and shapes converge."""
    path = f"{path_of('jobs', job['id'])}/results"
    best = server.get(path, limit=MOST_RESULTS)["data"]
    searched = job["sweep"]["search"]
    dimensions = [name for name, values in searched["space"].items() if _varies(values)]
    server.console.print()
    is_narrow = server.console.width < NARROW

    def make(shown: int) -> Table:
        more = ["…"] if shown < len(dimensions) else []
        made = table(
            ">", *map(_heading, dimensions[:shown]), *more, f">!{searched['score']}",
            *([] if is_narrow else ["!>train loss"]), "!✓" if is_narrow else "!converged",
            title=f"The best of {job['sweep']['members']:,}",
        )  # fmt: skip
        for row in best:
            cells = [_cell(row[name]) for name in dimensions[:shown]]
            loss = [] if is_narrow else [number(row["train_loss"])]
            converged = {True: Text("✓", "green"), False: Text("✗", "red"), None: Text("")}
            cells += [*more, number(row["score"]), *loss]
            made.add_row(str(row["position"]), *cells, converged[row["converged"]])
        return made

    server.console.print(fitting(server.console, len(dimensions), make))
    if "learning_rate" in dimensions and "hidden_layers" in dimensions:
        _show_map(server.console, _all_results(server, path))


def _varies(values: Any) -> bool:
    """Say whether a dimension has several values: a list, a range, or a count of seeds."""
    if isinstance(values, dict):
        return values.get("count") != 1
    return values is not None and len(values) > 1


def _all_results(server: Server, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {"has_more": True, "last_id": 0}
    while page["has_more"] and len(found) < MOST_ROWS:
        page = server.get(path, limit=1000, after=page["last_id"], sort="number")
        found += page["data"]
    return found


def _show_map(console: Console, rows: list[dict[str, Any]]) -> None:
    """Print the share of networks that converge, by learning rate and hidden layers."""
    cells: dict[tuple[str, float], list[bool]] = defaultdict(list)
    for row in rows:
        if row["converged"] is not None:
            key = _cell(row["hidden_layers"]), row["learning_rate"]
            cells[key].append(row["converged"])
    if not cells:
        return
    shapes = list(dict.fromkeys(shape for shape, _ in cells))
    rates = sorted({rate for _, rate in cells})
    if len(rates) > len(shapes) * 12:  # drawn from a range: no map
        return
    made = table("hidden layers", *(f">{rate:g}" for rate in rates),
                 title="Share that learns every row, by learning rate")  # fmt: skip
    for shape in shapes:
        shares = [fmean(cells[shape, rate]) if cells[shape, rate] else None for rate in rates]
        made.add_row(shape, *map(_shade, shares))
    console.print(made)


def _shade(share: float | None) -> Text:
    if share is None:
        return Text("")
    return Text(f"{share:.0%}", f"bold {SHADES[min(int(share * len(SHADES)), len(SHADES) - 1)]}")


def _heading(name: str) -> str:
    return name.replace("_", " ") if "_" in name else f"!{name}"


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "-".join(map(str, value)) or "none"
    return "all rows" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
