"""Where a logarithmic axis ends and has its labels; the web pages choose theirs the same way."""

import math
from collections.abc import Sequence

FEWEST_TICKS, MOST_TICKS = 3, 6
DIGITS = ((1, 3), (1, 2, 5), (1, 2, 3, 5, 7), (1, 2, 3, 4, 5, 6, 7, 8, 9))
"""Of ticks between powers of ten: as few different ones as will do."""
STEPS = (5.0, 2.5, 2.0, 1.0, 0.5)
"""First digits of the distance between ticks on an axis that is too short for those."""
MARGIN, LEAST_MARGIN, MOST_MARGIN = 0.05, 0.02, 2.0
"""Room beyond the values, as a share of what they span, and in decades: a flat curve looks flat."""
LOWEST, HIGHEST = 1e-300, 1e300
"""Values beyond them lie beyond the axis, which has to end at a float."""


def log_limits(low: float, high: float) -> tuple[float, float]:
    """Give the ends of an axis for values over 0 from `low` to `high`."""
    first, last = (math.log10(min(max(end, LOWEST), HIGHEST)) for end in (low, high))
    margin = min(max(MARGIN * (last - first), LEAST_MARGIN), MOST_MARGIN)
    return 10 ** (first - margin), 10 ** (last + margin)


def log_ticks(low: float, high: float) -> Sequence[float]:
    """Choose three to six ticks over 0: at powers of ten, or between them on a short axis."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = max(1, math.ceil((last - first + 1) / MOST_TICKS))
    powers = [_decimal(1, power) for power in range(math.ceil(first / step) * step, last + 1, step)]
    if len(powers) >= FEWEST_TICKS:
        return powers
    for digits in DIGITS:
        ticks = [_decimal(digit, power) for power in range(first - 1, last + 1) for digit in digits]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= FEWEST_TICKS:
            return inside
    return _even_ticks(low, high)


def _even_ticks(low: float, high: float) -> Sequence[float]:
    """Choose round numbers at equal distances."""
    power = math.floor(math.log10((high - low) / FEWEST_TICKS))
    for digit in STEPS:
        step = _decimal(digit, power)
        first, last = math.ceil(low / step), math.floor(high / step)
        if last - first + 1 >= FEWEST_TICKS:
            return [float(f"{place * step:.12g}") for place in range(first, last + 1)]
    return low, high


def _decimal(digit: float, power: int) -> float:
    """Give the float that is nearest to a decimal number."""
    return float(f"{digit}e{power}")
