"""What commands say of jobs and predictions."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.columns import Columns
from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.region import region
from cli.server import Refused, Server, path_of
from cli.tables import fitting, number, spelled, table

MOST_CLASSES = 10
"""Classes of a confusion matrix up to which it is shown."""
MOST_COLUMNS = 5
"""Features of a table of predictions."""
NARROW = 56
"""Letters of a line that is too short for bars and for room around cells."""
BAR = 8
"""Letters of a probability's bar."""
ALL_ROWS, SOME_ROWS = 16, 6
"""Rows of a table that are all shown as examples, and how many of a longer one."""
PARTS = ("train", "validation", "test")
MEASURES = (
    "loss", "accuracy", "precision", "recall", "f1", "roc_auc", "pr_auc", "macro.precision",
    "macro.recall", "macro.f1", "mae", "rmse", "r2",
)  # fmt: skip


# Jobs


def show_end(server: Server, job: Mapping[str, Any]) -> None:
    """Say what came of a job that succeeded, and how to go on."""
    console = server.console
    console.print()
    if job["kind"] == "predict":
        if job.get("evaluation"):
            show_metrics(console, {"train": job["evaluation"]})
        console.print(f"The predictions are at {server.url}{job['links']['predictions']}")
        return
    known = show_learned(server, job)
    if job["model"]:
        name, version = job["model"]["name"], job["model"]["version"]
        told = (name, "bold"), f", version {version}. Go on with:"
        console.print(Text.assemble("Published as ", *told), soft_wrap=True)
        console.print(f"  perceptron predict {name} {_row_hint(known)}", soft_wrap=True)
        console.print(f"  perceptron models show {name}", soft_wrap=True)


def show_learned(server: Server, job: Mapping[str, Any]) -> "Known | None":
    """Say how good a training is, what it answers for rows of its dataset, and the diagnosis."""
    card = card_of(server, job)
    if job["metrics"]:
        show_metrics(server.console, job["metrics"], classes_of(card))
    known = None if card is None else _known_rows(server, job, card)
    if known is not None:
        server.console.print(_examples(server, job["model"], known))
    drawn = card and region(server, job["model"], card)
    if drawn:
        server.console.print(drawn)
    if job["diagnosis"]:
        show_diagnosis(server.console, job["diagnosis"])
    return known


def card_of(server: Server, job: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the card of the version that a job published; None where there is none any more."""
    if not job["model"]:
        return None
    try:
        path = path_of("models", job["model"]["name"], "versions", str(job["model"]["version"]))
        return dict(server.get(path)["card"])
    except Refused:
        return None


def classes_of(card: Mapping[str, Any] | None) -> Sequence[Any]:
    """Give the classes that a model tells apart; 0 and 1 where nothing is known of them."""
    if card is None or card["preprocessing"] is None:
        return (0, 1)
    return card["preprocessing"]["target"]["classes"] or (0, 1)


def show_metrics(
    console: Console, metrics: Mapping[str, Any], classes: Sequence[Any] = (0, 1)
) -> None:
    """
    Print the metrics of each part of the rows, and their confusion matrices.

    `classes` names those of a binary task.
    """
    parts = {part: metrics[part] for part in PARTS if metrics.get(part)}
    made = table("", *(f">{part}" for part in parts), ">baseline")
    baseline = parts["train"]["baseline"]
    for measure in MEASURES:
        found = [_look_up(part, measure) for part in parts.values()]
        if any(value is not None for value in found):
            name = measure.replace("macro.", "mean ").replace("_", " ")
            made.add_row(name, *map(number, found), number(baseline.get(measure)))
    matrices = [
        matrix
        for name, part in parts.items()
        if (matrix := confusion(part, name, classes)) is not None
    ]
    console.print(Columns([made, *matrices], padding=(0, 3)))


def _look_up(part: Mapping[str, Any], place: str) -> Any:
    found: Any = part
    for name in place.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def confusion(part: Mapping[str, Any], name: str, classes: Sequence[Any]) -> Table | None:
    """Make the confusion matrix of a part; None where there is none to show."""
    counts: Any = part.get("confusion_matrix")
    if part["task"] == "binary":
        names = ("true_negative", "false_positive"), ("false_negative", "true_positive")
        rows: Any = [[counts[name] for name in pair] for pair in names]
    elif part["task"] == "multiclass" and len(part["classes"]) <= MOST_CLASSES:
        classes, rows = part["classes"], counts
    else:
        return None
    made = table("actual", *(f">{spelled(label)}" for label in classes), title=f"{name}: predicted")
    for place, (label, row) in enumerate(zip(classes, rows, strict=True)):
        cells = [
            Text(f"{count:,}", _matrix_style(count, is_right=place == column))
            for column, count in enumerate(row)
        ]
        made.add_row(spelled(label), *cells)
    return made


def _matrix_style(count: int, *, is_right: bool) -> str:
    if count == 0:
        return "dim"
    return "bold green" if is_right else "bold red"


def show_diagnosis(console: Console, diagnosis: Mapping[str, str]) -> None:
    """Print what the curves say, in words."""
    colour = "green" if diagnosis["code"] == "good_fit" else "yellow"
    title = diagnosis["code"].replace("_", " ")
    console.print(Panel(diagnosis["message"], title=title, title_align="left", border_style=colour))


# Predictions


class Known(NamedTuple):
    """Rows of a job's dataset."""

    features: Sequence[str]
    target: str
    records: Sequence[Mapping[str, Any]]


def _known_rows(server: Server, job: Mapping[str, Any], card: Mapping[str, Any]) -> Known | None:
    """Give rows of a job's dataset; None for rows that it brought, or that are gone."""
    if job["dataset"] == "inline":
        return None
    try:
        dataset = server.get(path_of("datasets", job["dataset"]))
    except Refused:
        return None
    target = card["preprocessing"]["target"]["name"] if card["preprocessing"] else dataset["target"]
    records = [record for record in dataset["records"] if record.get(target) is not None]
    return Known(card["feature_names"], target, records) if records else None


def _examples(server: Server, model: Mapping[str, Any], known: Known) -> Table:
    """Show what the model says of rows of its dataset; all of them where they are few."""
    features, target, records = known
    if len(records) > ALL_ROWS:
        step = (len(records) - 1) / (SOME_ROWS - 1)
        records = [records[round(place * step)] for place in range(SOME_ROWS)]
    rows = [[record[name] for name in features] for record in records]
    asked = {"model": model["name"], "version": model["version"], "inputs": rows}
    answer = server.post("/predict", asked)
    actual = [record.get(target) for record in records]
    return predictions(server.console, Answered(features, rows, answer, actual))


def _row_hint(known: Known | None) -> str:
    """Write a row as one types it."""
    if known is None or len(known.features) > MOST_COLUMNS:
        return "rows.csv -o predictions.csv"
    last = known.records[-1]
    cells = ("" if last[name] is None else spelled(last[name]) for name in known.features)
    return shlex.quote(",".join(cells))


class Answered(NamedTuple):
    """Rows, and what a model says of them."""

    features: Sequence[str]
    rows: Sequence[Sequence[Any]]
    answer: Mapping[str, Any]
    actual: Sequence[Any] | None = None


def predictions(console: Console, answered: Answered) -> Table:
    """Make a table of rows and what a model says of them, with the features there is room for."""
    most = min(MOST_COLUMNS, len(answered.features))
    return fitting(console, most, lambda shown: _predictions(console, answered, shown))


def _predictions(console: Console, answered: Answered, shown: int) -> Table:
    """Make it with so many features."""
    features, rows, answer, actual = answered
    is_plain = console.width < NARROW or console.options.ascii_only
    more = ["…"] if len(features) > shown else []
    probabilities = answer["probabilities"]
    made = table(
        *(f">{name}" for name in features[:shown]),
        *more,
        *([] if actual is None else [">!actual"]),
        ">!prediction",
        *([] if probabilities is None else ["!P" if is_plain else "!probability"]),
        title=f"{answer['model']}, version {answer['version']}",
    )
    if console.width < NARROW:
        made.padding, made.pad_edge = (0, 0), False
    for place, (row, predicted) in enumerate(zip(rows, answer["predictions"], strict=True)):
        cells: list[RenderableType] = [spelled(cell) for cell in row[:shown]]
        cells += more
        if actual is None:
            cells.append(Text(spelled(predicted), "bold"))
        else:
            cells += [spelled(actual[place]), _judged(predicted, actual[place], probabilities)]
        if probabilities is not None:
            cells.append(_bar(probabilities[place], answer["classes"], is_plain=is_plain))
        made.add_row(*cells)
    return made


def _judged(predicted: Any, actual: Any, probabilities: Any) -> Text:
    if probabilities is None:
        return Text(spelled(predicted), "bold")
    return Text(spelled(predicted), "bold green" if predicted == actual else "bold red")


def _bar(probability: Any, classes: Sequence[Any], *, is_plain: bool) -> Text:
    """Write the probability of the second class, or the greatest of several, with its bar."""
    share, told = probability, f"P({spelled(classes[1])}) = "
    if isinstance(probability, list):
        share, told = max(probability), ""
    if is_plain:
        return Text(f"{share:.4f}")
    filled = round(BAR * share)
    bar = ("━" * filled, "blue"), ("·" * (BAR - filled), "dim")
    return Text.assemble(*bar, f" {told}{share:.4f}")
