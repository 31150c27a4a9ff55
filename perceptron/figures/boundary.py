"""Decision regions: what a model answers over two of its features."""

from collections.abc import Callable, Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from perceptron.figures.style import Look, add_legend, short, title_points
from perceptron.figures.words import Words
from perceptron.frames import spelled
from perceptron.regions import Axis, Points, Region
from schemas.dataset import ToldCell

MORE_CLASSES = (
    "#2e9e5b", "#b8439c", "#d4a017", "#4bb3c4", "#c0392b", "#6c5ce7", "#7f8c3a", "#8d6e63",
)  # fmt: skip
"""Colours from the third class on; more than ten classes have those of a colour map."""
MOST_IN_LEGEND = 10
FEW_POINTS = 300
"""Rows up to which each one is a shape of an SVG; more are a picture in it."""
MARKERS = ("o", "s", "^")
"""Of training, validation and test rows."""


def boundary(found: Region, look: Look, title: str) -> Figure:
    """Draw what a model answers over two features, or over its only one, with the table's rows."""
    figure = Figure((6.4, 5.4), layout="constrained")
    panel = figure.add_subplot()
    figure.suptitle(title, x=0.02, ha="left", fontsize=title_points(title))
    if found.others:
        panel.set_title(_others(found.others, look.words), fontsize=8.5)
    if found.y is None:
        handles = _line(panel, found, look)
    else:
        handles = _plane(figure, panel, found, found.y, look)
    _axis(panel, found.x, "x")
    handles += _part_handles(found.points, look)
    add_legend(figure, handles)
    return figure


def _plane(figure: Figure, panel: Axes, found: Region, y: Axis, look: Look) -> list[Line2D]:
    extent = (*_edges_of(found.x), *_edges_of(y))
    common: dict[str, Any] = {"origin": "lower", "extent": extent, "aspect": "auto"}
    _axis(panel, y, "y")
    if found.target.classes is None:
        known = [found.outputs.ravel()] + ([found.points.numbers] if found.points else [])
        values = np.concatenate(known)
        norm = Normalize(float(values.min()), float(values.max()))
        panel.imshow(found.outputs, norm=norm, cmap="viridis", interpolation="nearest", **common)
        if _are_both_numeric(found.x, y) and found.outputs.min() < found.outputs.max():
            panel.contour(
                found.x.places, y.places, found.outputs, 7, colors="#ffffff", linewidths=0.6
            )
        bar = figure.colorbar(mpl.cm.ScalarMappable(norm, "viridis"), ax=panel)
        bar.set_label(short(found.target.name))
        bar.outline.set_visible(False)
        _scatter(panel, found.points, look, lambda numbers: colormaps["viridis"](norm(numbers)))
        return []
    colours = _class_colours(len(found.target.classes), look)
    probabilities = _probabilities(found)
    ground = np.array(to_rgb(look.ground))
    picture = 0.55 * (probabilities @ colours) + 0.45 * ground
    panel.imshow(picture, interpolation="nearest", **common)
    if _are_both_numeric(found.x, y):
        _draw_borders(panel, found, y, probabilities, look)
    _scatter(panel, found.points, look, lambda numbers: colours[numbers.astype(int)])
    return _class_handles(found, colours, look.words)


def _line(panel: Axes, found: Region, look: Look) -> list[Line2D]:
    """Draw the outputs along the one feature."""
    colours = _class_colours(len(found.target.classes or (0,)), look)
    style = "-" if found.x.is_numeric else "o"
    outputs = found.outputs[0]
    panel.grid(visible=True)
    if found.target.classes is None:
        panel.set_ylabel(short(found.target.name))
        panel.plot(found.x.places, outputs, style, color=look.positive)
        if found.points:
            panel.plot(found.points.x, found.points.y, ".", color=look.negative, zorder=1)
        return []
    panel.set_ylabel(look.words.probability)
    panel.set_ylim(-0.05, 1.05)
    probabilities = _probabilities(found)[0]
    for number, colour in enumerate(colours):
        panel.plot(found.x.places, probabilities[:, number], style, color=colour)
    if found.points:
        at = np.where(found.points.numbers > 0, 1.0, 0.0)
        shown = colours[found.points.numbers.astype(int)]
        panel.scatter(found.points.x, at, c=shown, s=26, zorder=3, clip_on=False)
    return _class_handles(found, colours, look.words)


def _probabilities(found: Region) -> npt.NDArray[np.float64]:
    """Give the probability of each class. Shape (…, classes)."""
    outputs = np.asarray(found.outputs, np.float64)
    return outputs if found.target.task == "multiclass" else np.stack([1 - outputs, outputs], -1)


def _class_colours(count: int, look: Look) -> npt.NDArray[np.float64]:
    """Give each class a colour. Shape (classes, 3)."""
    known = (look.negative, look.positive, *MORE_CLASSES)
    if count <= len(known):
        return np.array([to_rgb(colour) for colour in known[:count]])
    return np.asarray(colormaps["turbo"](np.linspace(0.05, 0.95, count)))[:, :3]


def _are_both_numeric(x: Axis, y: Axis) -> bool:
    return x.is_numeric and y.is_numeric


def _draw_borders(
    panel: Axes,
    found: Region,
    y: Axis,
    probabilities: npt.NDArray[np.float64],
    look: Look,
) -> None:
    """Draw the lines on which one class gives way to another."""
    for number in range(1 if probabilities.shape[-1] == 2 else 0, probabilities.shape[-1]):
        others = np.delete(probabilities, number, axis=-1).max(axis=-1)
        lead = probabilities[..., number] - others
        if lead.min() < 0 < lead.max():
            panel.contour(found.x.places, y.places, lead, [0.0], colors=look.ink, linewidths=1.1)


def _scatter(panel: Axes, points: Points | None, look: Look, colour: Callable[..., Any]) -> None:
    if points is None:
        return
    size = 70 if len(points.x) <= 20 else 30 if len(points.x) <= FEW_POINTS else 18
    width = 0.8 if size > 18 else 0.4
    for number, marker in enumerate(MARKERS):
        of_part = points.parts == number
        if of_part.any():
            panel.scatter(
                points.x[of_part], points.y[of_part], s=size, marker=marker,
                c=colour(points.numbers[of_part]), edgecolors=look.ground, linewidths=width,
                zorder=3, rasterized=len(points.x) > FEW_POINTS,
            )  # fmt: skip


def _class_handles(found: Region, colours: npt.NDArray[np.float64], words: Words) -> list[Line2D]:
    classes = found.target.classes or ()
    name = f"{short(found.target.name)} = " if found.target.task == "binary" else ""
    handles = [
        _handle("o", tuple(colour), f"{name}{short(spelled(label))}")
        for label, colour in zip(classes[:MOST_IN_LEGEND], colours, strict=False)
    ]
    more = len(classes) - MOST_IN_LEGEND
    return handles + ([_handle("", "none", words.more_classes.format(more))] if more > 0 else [])


def _part_handles(points: Points | None, look: Look) -> list[Line2D]:
    """Say which marks are which rows, and how many are shown of many."""
    if points is None:
        return []
    parts = sorted(set(points.parts.tolist()))
    handles = []
    if len(parts) > 1:
        handles += [_handle(MARKERS[part], look.ink, look.words.part_rows[part]) for part in parts]
    if points.of > len(points.x):
        handles.append(_handle("", "none", look.words.some_rows.format(len(points.x), points.of)))
    return handles


def _handle(marker: str, colour: Any, label: str) -> Line2D:
    return Line2D([], [], linestyle="", marker=marker, color=colour, label=label)


def _axis(panel: Axes, axis: Axis, side: str) -> None:
    own = panel.xaxis if side == "x" else panel.yaxis
    own.set_label_text(short(axis.name))
    (panel.set_xlim if side == "x" else panel.set_ylim)(*_edges_of(axis))
    if axis.is_numeric:
        own.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        return
    step = -(-len(axis.cells) // 12)
    ticks = range(0, len(axis.cells), step)
    is_long = side == "x" and sum(len(_cell(axis.cells[tick])) for tick in ticks) > 40
    slanted: Any = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    told = [short(_cell(axis.cells[tick])) for tick in ticks]
    own.set_ticks(ticks, told, **(slanted if is_long else {}))


def _edges_of(axis: Axis) -> tuple[float, float]:
    """Give the ends of an axis: half a place beyond the outer ones where they are categories."""
    half = 0.0 if axis.is_numeric else 0.5
    return float(axis.places[0]) - half, float(axis.places[-1]) + half


def _others(others: Mapping[str, ToldCell], words: Words) -> str:
    told = [f"{short(name)} = {_cell(cell)}" for name, cell in list(others.items())[:3]]
    more = len(others) - len(told)
    end = words.more_of_rest.format(more) if more else ""
    return words.rest.format(f"{', '.join(told)}{end}")


def _cell(cell: ToldCell) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else spelled(cell if cell is not None else "")
