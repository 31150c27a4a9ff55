"""Comparing what two versions of a model say of the same rows."""

import numpy as np

from perceptron.layers import FloatArray
from perceptron.preprocessing import chosen
from schemas.preprocessing import Target

TOLERANCE = 1e-5
"""Largest difference, absolute or relative, of two numbers that count as the same."""


def agreed_rows(
    target: Target, outputs: FloatArray, shadow_target: Target, shadow_outputs: FloatArray
) -> int:
    """
    Count the rows of which both say the same: the same class, or a number within `TOLERANCE`.

    Shapes: outputs (rows,) for one output unit, (rows, classes) for several.
    """
    if (target.classes is None) != (shadow_target.classes is None):
        return 0
    if target.classes is None or shadow_target.classes is None:
        close = np.isclose(outputs, shadow_outputs, rtol=TOLERANCE, atol=TOLERANCE)
        return int(close.sum())
    numbers, shadow_numbers = chosen(target, outputs), chosen(shadow_target, shadow_outputs)
    same = [[one == other for other in shadow_target.classes] for one in target.classes]
    return int(np.array(same)[numbers, shadow_numbers].sum())
