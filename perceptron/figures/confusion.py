"""Confusion matrices."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from perceptron.figures.style import LETTER_INCHES, Look, short
from perceptron.frames import spelled
from schemas.preprocessing import Label
from schemas.training import Evaluation, RegressionEvaluation

MOST_CLASSES_NAMED = 24
MOST_CLASSES_COUNTED = 14
"""Classes up to which each count is written into its cell."""


class Judged(NamedTuple):
    """Rows of one part, and how good the predictions for them are."""

    name: str
    evaluation: Evaluation


def confusion(parts: Sequence[Judged], classes: Sequence[Label], look: Look, title: str) -> Figure:
    """
    Draw a matrix for each part: actual classes by predicted ones.

    A cell's colour is its share of the actual class; `classes` names those of a binary task.
    """
    names = [short(spelled(label)) for label in _classes(parts[0].evaluation, classes)]
    size = max(2.6, min(6.0, 1.4 + 0.36 * len(names)))
    longest = max(map(len, names)) * 0.075
    width = 0.9 + longest + (size + 0.3) * len(parts)
    figure = Figure(
        (max(width, 0.4 + LETTER_INCHES * len(title)), size + 1.5 + longest / 2),
        layout="compressed",
    )
    figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    panels = figure.subplots(1, len(parts), squeeze=False)[0]
    for place, (panel, judged) in enumerate(zip(panels, parts, strict=True)):
        _matrix(panel, judged, names, look)
        panel.set_xlabel(look.words.predicted)
        if place == 0:
            panel.set_ylabel(look.words.actual)
    return figure


def _classes(evaluation: Evaluation, classes: Sequence[Label]) -> Sequence[Label]:
    return evaluation.classes if evaluation.task == "multiclass" else classes


def _matrix(panel: Axes, judged: Judged, names: Sequence[str], look: Look) -> None:
    counts = _counts(judged.evaluation)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shades = LinearSegmentedColormap.from_list("share", [look.ground, look.positive])
    panel.imshow(shares, cmap=shades, vmin=0, vmax=1)
    rows = int(counts.sum())
    accuracy = float(np.trace(counts)) / max(rows, 1)
    words = look.words.judged_one if rows == 1 else look.words.judged
    name = look.words.parts.get(judged.name, judged.name)
    panel.set_title(words.format(name, rows, accuracy), fontsize=9.5)
    step = -(-len(names) // MOST_CLASSES_NAMED)
    ticks = range(0, len(names), step)
    told = [names[tick] for tick in ticks]
    is_long = max(map(len, told)) * len(told) > 3 * 10
    panel.set_xticks(
        ticks, told, rotation=45 if is_long else 0, ha="right" if is_long else "center"
    )
    if is_long:
        for label in panel.get_xticklabels():
            label.set_rotation_mode("anchor")
    panel.set_yticks(ticks, told)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(True)
    panel.spines[:].set_color(look.faint)
    if len(names) <= MOST_CLASSES_COUNTED:
        for (row, column), count in np.ndenumerate(counts):
            ink = _readable(shades(shares[row, column]))
            panel.text(column, row, f"{int(count):,}", ha="center", va="center", color=ink)


def _counts(evaluation: Evaluation) -> npt.NDArray[np.int64]:
    """Give the counts, a row per actual class. Shape (classes, classes)."""
    if isinstance(evaluation, RegressionEvaluation):
        raise TypeError("a regression has no classes")
    if evaluation.task == "multiclass":
        return np.array(evaluation.confusion_matrix, np.int64)
    found = evaluation.confusion_matrix
    return np.array(
        [
            [found.true_negative, found.false_positive],
            [found.false_negative, found.true_positive],
        ],
        np.int64,
    )


def _readable(colour: Sequence[float]) -> str:
    """Give black or white, whichever is read better on a colour (its luma by ITU-R BT.601)."""
    red, green, blue = colour[:3]
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "#ffffff"
