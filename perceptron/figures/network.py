"""Networks: their units and weights."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from perceptron.figures.style import Look, add_legend, short, title_points
from perceptron.figures.words import Words
from perceptron.frames import spelled
from perceptron.layers import Layers
from schemas.preprocessing import Preprocessing

MOST_UNITS = 14
"""Most units of a layer that are drawn; of more, the first and the last ones."""
MOST_LAYERS = 12


def network(preprocessing: Preprocessing, layers: Layers, look: Look, title: str) -> Figure:
    """
    Draw units and weights: orange negative, blue positive, the wider and darker the larger.

    Of wide layers and deep networks the ends are drawn, with a word on what is left out.
    """
    columns = _columns(preprocessing, layers, look.words)
    names = [len(text) for column in (columns[0], columns[-1]) for text in column.names]
    tallest = max(len(column.shown) for column in columns)
    side = 0.09 * max(names)
    size = (max(6.4, 1.5 * len(columns) + 2 * side), max(3.4, 1.3 + 0.42 * tallest))
    figure = Figure(size, layout="constrained")
    panel = figure.add_subplot()
    panel.set_title(title, fontsize=title_points(title))
    panel.set_axis_off()
    reach = (tallest - 1) / 2
    for place, (left, right) in enumerate(pairwise(columns)):
        if right.weight is None:
            words = look.words.left_out.format(len(layers) - MOST_LAYERS)
            panel.text(place + 0.5, 0, words, ha="center", va="center")
        else:
            _edges(panel, place, left, right, look)
    for place, column in enumerate(columns):
        _units(panel, place, column, look, is_last=place == len(columns) - 1)
        panel.text(place, -reach - 0.55, column.words, ha="center", va="top", fontsize=8.5)
    panel.set(
        xlim=(-0.25 - side * 0.72, len(columns) - 0.75 + side * 0.72),
        ylim=(-reach - 1.5, reach + 0.8),
    )
    handles = [
        Line2D([], [], color=look.negative, linewidth=2.5, label=look.words.negative),
        Line2D([], [], color=look.positive, linewidth=2.5, label=look.words.positive),
    ]
    add_legend(figure, handles)
    return figure


class _Column(NamedTuple):
    """A layer as it is drawn; the inputs are one, too."""

    words: str
    names: Sequence[str]
    """Beside the units that are drawn; empty in hidden layers."""
    shown: Sequence[int | None]
    """Numbers of the units that are drawn, from top to bottom; None: some are left out."""
    weight: npt.NDArray[Any] | None
    """Shape (units, units of the column before); None where layers in between are left out."""
    bias: npt.NDArray[Any] | None


def _columns(preprocessing: Preprocessing, layers: Layers, words: Words) -> list[_Column]:
    inputs = _shown(preprocessing.width)
    named = _input_names(preprocessing, words)
    texts = ["" if unit is None else short(named[unit]) for unit in inputs]
    counted = (words.one_input if len(named) == 1 else words.inputs).format(len(named))
    columns = [_Column(counted, texts, inputs, None, None)]
    left_out = len(layers) - MOST_LAYERS
    for number, (weight, bias, activation) in enumerate(layers):
        if left_out > 0 and MOST_LAYERS // 2 <= number < MOST_LAYERS // 2 + left_out:
            continue
        is_cut = left_out > 0 and number == MOST_LAYERS // 2 + left_out
        is_last = number == len(layers) - 1
        shown = _shown(len(bias))
        outputs = _output_names(preprocessing) if is_last else ()
        names = ["" if unit is None else short(outputs[unit]) for unit in shown if outputs]
        told = f"{len(bias):,}\n{activation.replace('_', ' ')}"
        columns.append(_Column(told, names, shown, None if is_cut else weight, bias))
    return columns


def _shown(units: int) -> Sequence[int | None]:
    if units <= MOST_UNITS:
        return range(units)
    half = MOST_UNITS // 2
    return [*range(half), None, *range(units - half + 1, units)]


def _input_names(preprocessing: Preprocessing, words: Words) -> list[str]:
    names = []
    for feature in preprocessing.features:
        if feature.kind != "categorical":
            names.append(feature.name)
            continue
        names += [f"{feature.name} = {category}" for category in feature.categories]
        names += [words.missing.format(feature.name)] if feature.missing == "place" else []
    return names + [derived.name for derived in preprocessing.derived]


def _output_names(preprocessing: Preprocessing) -> list[str]:
    target = preprocessing.target
    if target.task == "multiclass" and target.classes:
        return [spelled(label) for label in target.classes]
    if target.classes:
        return [f"{target.name} = {spelled(target.classes[1])}"]
    return [target.name]


def _heights(shown: Sequence[int | None]) -> list[float]:
    return [(len(shown) - 1) / 2 - place for place in range(len(shown))]


def _edges(panel: Axes, place: int, left: _Column, right: _Column, look: Look) -> None:
    weight = np.asarray(right.weight, np.float64)
    largest = float(np.abs(weight).max()) or 1.0
    ends = [
        ((place, from_y), (place + 1, to_y), weight[to, source] / largest)
        for source, from_y in zip(left.shown, _heights(left.shown), strict=True)
        for to, to_y in zip(right.shown, _heights(right.shown), strict=True)
        if source is not None and to is not None
    ]
    ends.sort(key=lambda edge: abs(edge[2]))  # the largest on top
    lines = LineCollection(
        [(start, end) for start, end, _ in ends],
        colors=[
            (*to_rgb(look.positive if share > 0 else look.negative), 0.12 + 0.8 * abs(share))
            for *_, share in ends
        ],
        linewidths=[0.4 + 3.2 * abs(share) for *_, share in ends],
        capstyle="round",
        zorder=1,
    )
    panel.add_collection(lines)


def _units(panel: Axes, place: int, column: _Column, look: Look, *, is_last: bool) -> None:
    heights = _heights(column.shown)
    largest = 1.0 if column.bias is None else float(np.abs(column.bias).max()) or 1.0
    for order, (unit, height) in enumerate(zip(column.shown, heights, strict=True)):
        if unit is None:
            panel.text(place, height, "⋮", ha="center", va="center", fontsize=13)
            continue
        face: str | tuple[float, ...] = look.ground
        if column.bias is not None:
            share = float(column.bias[unit]) / largest
            face = _mixed(
                look.ground, look.positive if share > 0 else look.negative, 0.75 * abs(share)
            )
        panel.plot(
            [place], [height], "o", markersize=13, markerfacecolor=face,
            markeredgecolor=look.ink, markeredgewidth=1, zorder=2,
        )  # fmt: skip
        if column.names and column.names[order]:
            gap, side = (0.14, "left") if is_last else (-0.14, "right")
            panel.text(place + gap, height, column.names[order], ha=side, va="center")


def _mixed(ground: str, colour: str, share: float) -> tuple[float, ...]:
    return tuple(
        (1 - share) * under + share * over
        for under, over in zip(to_rgb(ground), to_rgb(colour), strict=True)
    )
