"""A version's card as a page of Markdown, for people and for model hubs."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from schemas.model import Hyperparameters, ModelCard, ModelVersion
from schemas.network import Task
from schemas.preprocessing import Feature, Preprocessing, Target
from schemas.training import EpochRecord, Evaluation, Importance, Metrics, RowCounts

MOST_POINTS = 12
"""Points of the curves that a card shows."""
MOST_ROWS = 100
"""Features that one of a card's tables lists."""
MOST_CATEGORIES = 20
"""Categories or classes that a card names in one place; a larger confusion matrix is left out."""
NONE = "–"

TASKS: Mapping[Task, str] = {
    "binary": "binary classification",
    "multiclass": "classification with several classes",
    "regression": "regression",
}

MEASURES: Mapping[Task, Mapping[str, str]] = {
    "binary": {
        "loss": "loss (binary cross-entropy)",
        "accuracy": "accuracy",
        "precision": "precision",
        "recall": "recall",
        "f1": "F1",
        "roc_auc": "area under the ROC curve",
        "pr_auc": "average precision",
    },
    "multiclass": {
        "loss": "loss (categorical cross-entropy)",
        "accuracy": "accuracy",
        "macro.precision": "precision, mean of the classes",
        "macro.recall": "recall, mean of the classes",
        "macro.f1": "F1, mean of the classes",
        "weighted.f1": "F1, weighted by the classes' rows",
    },
    "regression": {
        "loss": "mean squared error",
        "mae": "mean absolute error",
        "rmse": "root of the mean squared error",
        "r2": "R²",
    },
}
"""What an evaluation holds, by its place there, in words."""

_SPECIAL = re.compile(r"[\\`*_\[\]<>|~&#$@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def markdown(version: ModelVersion, server: str | None = None) -> str:
    """
    Write the card of a version; with figures, where the URL of a server that draws them is given.

    Names, categories and classes that users chose are text in it and nothing else: they make no
    markup, no link and no HTML.
    """
    card = version.card
    preprocessing = card.row_preprocessing
    parts = (
        f"# {escaped(version.name)}, version {version.version}",
        _purpose(card, preprocessing),
        _about(version, preprocessing.target),
        _data(card, preprocessing),
        _training(card),
        _evaluation(card.metrics, preprocessing.target),
        _curves(card),
        _importance(card.importance),
        f"## Diagnosis\n\n{card.diagnosis.message}" if card.diagnosis else "",
        "" if server is None else _figures(version, server),
    )
    return "\n\n".join(filter(None, parts)) + "\n"


def escaped(text: str) -> str:
    """Write text so that Markdown, with GitHub's extensions, shows it as it is, on one line."""
    return _SPECIAL.sub(r"\\\g<0>", _BREAKS.sub(" ", text))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.4g}"


def _listed(texts: Sequence[Any]) -> str:
    more = len(texts) - MOST_CATEGORIES
    named = ", ".join(_label(text) for text in texts[:MOST_CATEGORIES])
    return f"{named} and {more:,} more" if more > 0 else named


def _label(label: Any) -> str:
    """Write a class as the table spells it."""
    return escaped(str(label).lower() if isinstance(label, bool) else str(label))


def _more(count: int) -> str:
    return f"\n\n{count - MOST_ROWS:,} more are in the card as JSON." if count > MOST_ROWS else ""


# What it is, and what it was made from


def _purpose(card: ModelCard, preprocessing: Preprocessing) -> str:
    target = preprocessing.target
    features = len(preprocessing.features)
    classes = f" ({_listed(target.classes)})" if target.classes else ""
    what = f"{'the class of ' if target.classes else ''}{escaped(target.name)}{classes}"
    given = f"{features:,} feature{'s' if features > 1 else ''}"
    return (
        f"Intended use: predicts {what} from {given}, for rows like those of the dataset "
        f"{escaped(card.dataset)}. Nothing is known of how good it is on others."
    )


def _about(version: ModelVersion, target: Target) -> str:
    counts = version.card.parameters
    rows = [
        ("task", TASKS[target.task]),
        ("created", f"{version.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("aliases", ", ".join(map(escaped, version.aliases)) or NONE),
        (
            "parameters",
            f"{counts.total:,}: {counts.weights:,} weights, {counts.biases:,} biases",
        ),
        ("file of the weights", f"{version.size_bytes:,} bytes, SHA-256 `{version.sha256}`"),
        ("job", version.card.job_id or NONE),
    ]
    return _table(("", ""), rows)


def _data(card: ModelCard, preprocessing: Preprocessing) -> str:
    digest = f", SHA-256 `{card.dataset_sha256}`" if card.dataset_sha256 else ""
    features = preprocessing.features
    rows = ((escaped(item.name), item.kind, _becomes(item)) for item in features[:MOST_ROWS])
    counts = card.metrics and card.metrics.rows
    told = f"{_counted(counts)}\n\n" if counts else ""
    return (
        f"## Data\n\nDataset: {escaped(card.dataset)}{digest}\n\n{told}"
        f"{_table(('feature', 'kind', 'becomes'), rows)}{_more(len(features))}"
        f"{_derived(preprocessing)}"
    )


def _derived(preprocessing: Preprocessing) -> str:
    """Name what the network is given beside the features."""
    if not preprocessing.derived:
        return ""
    named = ", ".join(escaped(derived.name) for derived in preprocessing.derived)
    return f"\n\nDerived inputs, of what the features become: {named}"


def _counted(rows: RowCounts) -> str:
    text = f"Rows: {rows.train:,} for training, {rows.validation:,} for validation, "
    left_out = f"; {rows.without_target:,} without a target were left out"
    return f"{text}{rows.test:,} for the test{left_out if rows.without_target else ''}."


def _becomes(feature: Feature) -> str:
    """Say how a feature becomes numbers."""
    if feature.kind == "categorical":
        missing = {
            "place": "missing has a place of its own",
            "zeros": "missing is none of them",
            "fill": f"missing counts as {escaped(feature.fill or '')}",
            "error": "missing is refused",
        }[feature.missing]
        unknown = "is none of them" if feature.unknown == "ignore" else "is refused"
        return f"one-hot: {_listed(feature.categories)}; {missing}; any other {unknown}"
    fill = feature.fill
    missing = "missing is refused" if fill is None else f"missing counts as {_number(fill)}"
    if feature.kind == "boolean":
        return f"true: 1, false: 0; {missing}"
    if feature.mean == 0 and feature.scale == 1:
        return f"as it is; {missing}"
    sign = "−" if feature.mean >= 0 else "+"
    return f"(x {sign} {_number(abs(feature.mean))}) / {_number(feature.scale)}; {missing}"


# How it was made


def _training(card: ModelCard) -> str:
    if card.hyperparameters is None:
        return "## Training\n\nThe weights were set by hand."
    made = {
        "engine used": card.engine or NONE,
        "device used": card.device or NONE,
        "libraries": ", ".join(
            f"{name} {number}" for name, number in card.library_versions.items()
        ),
    }
    told = [(name, escaped(value)) for name, value in made.items()]
    rows = [*_hyperparameters(card.hyperparameters), *told]
    return f"## Training\n\n{_table(('', ''), rows)}"


def _hyperparameters(chosen: Hyperparameters) -> list[tuple[str, str]]:
    fields = {**chosen.network.model_dump(), **chosen.training.model_dump()}
    fields["record_every"] = chosen.training.record_interval
    nothing = {"batch_size": "all rows"}
    return [
        (name.replace("_", " "), nothing.get(name, "none") if value is None else _setting(value))
        for name, value in fields.items()
    ]


def _setting(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{units:,}" for units in value) or "none"
    return escaped(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


# How good it is


def _evaluation(metrics: Metrics | None, target: Target) -> str:
    if metrics is None:
        return ""
    parts: dict[str, Evaluation] = {
        name: part
        for name in ("train", "validation", "test")
        if (part := getattr(metrics, name)) is not None
    }
    matrices = [_matrix(name, part, target) for name, part in parts.items()]
    told = "The baseline is what one gets without looking at the features."
    return "\n\n".join(filter(None, ("## Evaluation", told, _measures(parts), *matrices)))


def _measures(parts: Mapping[str, Evaluation]) -> str:
    fields = [part.model_dump() for part in parts.values()]
    header = ["", *(column for name in parts for column in (name, "baseline"))]
    rows = []
    for place, words in MEASURES[fields[0]["task"]].items():
        cells = [words]
        for found in fields:
            cells.append(_number(_look_up(found, place)))
            is_known = place in found["baseline"]
            cells.append(_number(found["baseline"][place]) if is_known else "")
        rows.append(cells)
    return _table(header, rows)


def _look_up(fields: Mapping[str, Any], place: str) -> float | None:
    found: Any = fields
    for name in place.split("."):
        found = found[name]
    return None if found is None else float(found)


def _matrix(name: str, part: Evaluation, target: Target) -> str:
    """Write a part's confusion matrix: a row per actual class."""
    if part.task == "regression":
        return ""
    classes: Sequence[Any] = target.classes or ()
    if part.task == "multiclass":
        classes, counts = part.classes, part.confusion_matrix
    else:
        found = part.confusion_matrix
        counts = (
            (found.true_negative, found.false_positive),
            (found.false_negative, found.true_positive),
        )
    title = f"### Confusion matrix: {name}, {sum(map(sum, counts)):,} rows"
    if len(counts) > MOST_CATEGORIES:
        return f"{title}\n\nIts {len(counts):,} classes are in the card as JSON."
    labels = list(map(_label, classes))
    header = ("actual", *(f"predicted {label}" for label in labels))
    rows = ((label, *map("{:,}".format, row)) for label, row in zip(labels, counts, strict=True))
    return f"{title}\n\n{_table(header, rows)}"


def _curves(card: ModelCard) -> str:
    if not card.history:
        return ""
    columns = [
        name
        for name in EpochRecord.model_fields
        if any(getattr(record, name) is not None for record in card.history)
    ]
    rows = (
        [str(record.epoch), *(_number(getattr(record, name)) for name in columns[1:])]
        for record in _points(card.history, card.best_epoch)
    )
    kept = "the last epoch" if card.best_epoch is None else f"epoch {card.best_epoch}, the best"
    return (
        f"## Curves\n\nThe weights are those of {kept}. Epochs count from 0.\n\n"
        f"{_table([name.replace('_', ' ') for name in columns], rows)}"
    )


def _points(history: Sequence[EpochRecord], best_epoch: int | None) -> list[EpochRecord]:
    """Choose records evenly, the first and the last among them, and the best epoch's."""
    last, steps = len(history) - 1, MOST_POINTS - 2
    chosen = {round(step * last / steps) for step in range(steps + 1)}
    chosen |= {at for at, record in enumerate(history) if record.epoch == best_epoch}
    return [history[at] for at in sorted(chosen)]


def _importance(found: Sequence[Importance]) -> str:
    if not found:
        return ""
    by_mean = sorted(found, key=lambda item: -item.mean)
    rows = (
        (escaped(item.feature), _number(item.mean), _number(item.standard_deviation))
        for item in by_mean[:MOST_ROWS]
    )
    table = _table(("feature", "mean rise of the loss", "standard deviation"), rows)
    told = "How much the loss rises when a feature's values are shuffled among the rows."
    return f"## Importance\n\n{told}\n\n{table}{_more(len(found))}"


def _figures(version: ModelVersion, server: str) -> str:
    card = version.card
    has_classes = card.metrics is not None and card.metrics.train.task != "regression"
    kinds = {
        "loss": "Learning curves" if card.history else "",
        "confusion": "Confusion matrices" if has_classes else "",
        "boundary": "What the model answers over two of its features",
        "network": "Units and weights",
    }
    at = f"{server.rstrip('/')}/models/{quote(version.name)}/versions/{version.version}/figures"
    shown = (f"![{words}]({at}/{kind})" for kind, words in kinds.items() if words)
    return "\n\n".join(("## Figures", *shown))
