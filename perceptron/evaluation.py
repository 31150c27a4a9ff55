"""How good predictions are: the loss and the ratios of the confusion matrix."""

from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.training import ConfusionMatrix, Evaluation

LOG_FLOOR = -100.0
"""No logarithm of the loss is taken to be less, as in PyTorch's `BCELoss`."""


def evaluate(
    probabilities: npt.NDArray[np.floating[Any]], targets: npt.NDArray[np.floating[Any]]
) -> Evaluation:
    """
    Compare probabilities of class 1 with the classes.

    Shapes: both (rows,), at least one row.
    Source: slides, 1 (5), confusion matrix.
    """
    matrix = _confusion_matrix(probabilities > 0.5, targets > 0.5)
    hits, misses = matrix.true_positive, matrix.false_negative
    false_alarms = matrix.false_positive
    return Evaluation(
        loss=binary_cross_entropy(probabilities, targets),
        accuracy=(hits + matrix.true_negative) / len(targets),
        precision=_ratio(hits, hits + false_alarms),
        recall=_ratio(hits, hits + misses),
        f1=_ratio(2 * hits, 2 * hits + false_alarms + misses),
        confusion_matrix=matrix,
    )


def binary_cross_entropy(
    probabilities: npt.NDArray[np.floating[Any]], targets: npt.NDArray[np.floating[Any]]
) -> float:
    """Compute the mean of −t·log p − (1 − t)·log(1 − p), logarithms floored, in float64."""
    p = probabilities.astype(np.float64)
    t = targets.astype(np.float64)
    with np.errstate(divide="ignore"):
        log_p = np.maximum(np.log(p), LOG_FLOOR)
        log_q = np.maximum(np.log1p(-p), LOG_FLOOR)
    # 0 − … : never −0.0
    return float(0.0 - np.mean(t * log_p + (1.0 - t) * log_q))


def _confusion_matrix(
    predicted: npt.NDArray[np.bool_], actual: npt.NDArray[np.bool_]
) -> ConfusionMatrix:
    return ConfusionMatrix(
        true_positive=int(np.sum(predicted & actual)),
        false_negative=int(np.sum(~predicted & actual)),
        false_positive=int(np.sum(predicted & ~actual)),
        true_negative=int(np.sum(~predicted & ~actual)),
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
