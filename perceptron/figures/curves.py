"""Learning curves."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from perceptron.figures.scales import log_limits, log_ticks
from perceptron.figures.style import Look, add_legend, title_points
from perceptron.figures.words import Words
from schemas.figure import Scale
from schemas.training import EpochRecord

FEW_RECORDS = 30
"""Records up to which each one has a mark."""


def curves(
    history: Sequence[EpochRecord], kept: int | None, scale: Scale, look: Look, title: str
) -> Figure:
    """
    Draw the losses over the epochs, and below them the accuracies where there are any.

    `kept` is the epoch whose weights early stopping kept; without it the lowest validation loss is
    marked.
    """
    with_accuracy = any(record.train_accuracy is not None for record in history)
    figure = Figure((6.4, 5.0 if with_accuracy else 4.0), layout="constrained")
    ratios = [2.2, 1] if with_accuracy else [1]
    panels = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)
    top, bottom = panels[0, 0], panels[-1, 0]
    top.set_title(title, fontsize=title_points(title))
    lines = _lines(top, history, "loss", look)
    _scale_losses(top, history, scale, look.words)
    if with_accuracy:
        _lines(bottom, history, "accuracy", look)
        bottom.set(ylabel=look.words.accuracy, ylim=(-0.05, 1.05))
    for panel in panels[:, 0]:
        panel.grid(visible=True)
    bottom.set_xlabel(look.words.epoch)
    epochs = sorted({record.epoch for record in history})
    if len(epochs) > 1:
        bottom.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    else:
        bottom.set_xticks(epochs)
    bottom.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    lines += _mark_best(list(panels[:, 0]), history, kept, look)
    add_legend(figure, lines)
    return figure


def _lines(panel: Axes, history: Sequence[EpochRecord], measure: str, look: Look) -> list[Line2D]:
    lines: list[Line2D] = []
    for prefix, name, colour, style in (
        ("train", look.words.parts["train"], look.positive, "-"),
        ("valid", look.words.parts["validation"], look.validation, "--"),
    ):
        values = [getattr(record, f"{prefix}_{measure}") for record in history]
        points = [(r.epoch, v) for r, v in zip(history, values, strict=True) if v is not None]
        if points:
            marker = "." if len(points) <= FEW_RECORDS else ""
            epochs, shown = zip(*points, strict=True)
            lines += panel.plot(
                epochs, shown, style, color=colour, label=name, marker=marker, linewidth=1.6
            )
    return lines


def _scale_losses(panel: Axes, history: Sequence[EpochRecord], scale: Scale, words: Words) -> None:
    losses = [
        found
        for record in history
        for found in (record.train_loss, record.valid_loss)
        if found is not None
    ]
    if scale == "log" and min(losses) > 0:
        limits = log_limits(min(losses), max(losses))
        ticks = log_ticks(*limits)
        panel.set(autoscaley_on=False, yscale="log", ylim=limits, ylabel=words.log_loss)
        panel.minorticks_off()
        panel.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    else:
        panel.set_ylabel(words.loss)
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _mark_best(
    panels: Sequence[Axes], history: Sequence[EpochRecord], kept: int | None, look: Look
) -> list[Line2D]:
    """Mark the epoch whose weights were kept, or else the lowest validation loss."""
    validated = [(r.valid_loss, r.epoch) for r in history if r.valid_loss is not None]
    if kept is None and not validated:
        return []
    epoch = min(validated)[1] if kept is None else kept
    words = look.words.lowest if kept is None else look.words.kept
    lines = [
        panel.axvline(epoch, color=look.validation, linestyle=":", label=words.format(epoch))
        for panel in panels
    ]
    return lines[:1]
