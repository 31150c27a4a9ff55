"""The logarithmic axis of learning curves: its labels, over any range of losses."""

import itertools

import pytest
from matplotlib.axes import Axes

from perceptron.figures.curves import curves
from perceptron.figures.scales import log_limits, log_ticks
from perceptron.figures.style import drawing
from schemas.training import EpochRecord


def losses_axis(low: float, high: float) -> Axes:
    """Draw the curve of a loss that falls from `high` to `low`."""
    losses = [high, low**0.5 * high**0.5, low]
    history = [EpochRecord(epoch=epoch, train_loss=loss) for epoch, loss in enumerate(losses)]
    with drawing("light") as look:
        figure = curves(history, None, "log", look, "title")
        figure.draw_without_rendering()
    return figure.axes[0]


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (0.3, 0.6, ["0.3", "0.4", "0.5", "0.6"]),
        (0.2, 3, ["0.3", "1", "3"]),
        (0.01, 0.5, ["0.01", "0.03", "0.1", "0.3"]),
        (0.64, 0.7, ["0.625", "0.65", "0.675", "0.7", "0.725"]),
        (0.6931, 0.6931, ["0.675", "0.7", "0.725"]),
        (1e-4, 0.7, ["0.0001", "0.001", "0.01", "0.1", "1"]),
        (1e-30, 1, ["1e-30", "1e-24", "1e-18", "1e-12", "1e-06", "1"]),
    ],
)
def test_labels_of_a_figure(low: float, high: float, told: list[str]) -> None:
    """They are the only ones, and none lies on another."""
    axis = losses_axis(low, high).yaxis
    shown = [
        label
        for is_minor in (False, True)
        for label in axis.get_ticklabels(minor=is_minor)
        if label.get_text()
    ]
    assert [label.get_text() for label in shown] == told
    places = [label.get_window_extent() for label in shown]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(places, 2))


@pytest.mark.parametrize(("low", "high"), [(5e-324, 1.7e308), (5e-324, 5e-324), (1e308, 1.7e308)])
def test_the_ends_of_floats(low: float, high: float) -> None:
    """There is an axis with labels whatever the losses are."""
    axes = losses_axis(low, high)
    assert 0 < axes.get_ylim()[0] < axes.get_ylim()[1]
    assert 3 <= len(axes.get_yticks()) <= 6


def test_three_to_six_ticks_over_any_range() -> None:
    """They lie between the ends, apart from each other."""
    for at in range(3_000):
        low = 10 ** (at * 0.618034 % 1 * 12 - 8)
        ends = log_limits(low, low * 10 ** (at * 0.414214 % 1) ** 3)
        ticks = log_ticks(*ends)
        assert 3 <= len({f"{tick:g}" for tick in ticks}) == len(ticks) <= 6, ends
        assert ends[0] * (1 - 1e-9) <= min(ticks) < max(ticks) <= ends[1] * (1 + 1e-9)
    for low_power, decades in itertools.product(range(-300, 10, 3), range(2, 290, 3)):
        ends = float(f"1e{low_power}"), float(f"1e{low_power + decades}")
        assert 3 <= len(log_ticks(*ends)) <= 6, ends
