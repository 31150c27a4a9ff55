"""How good a network's answers are, by task, with what knows only the training targets beside."""

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from perceptron import inference
from perceptron.frames import moments
from perceptron.layers import Layers
from perceptron.preparation import Prepared
from perceptron.tables import Table
from schemas.preprocessing import Label
from schemas.training import (
    Averages,
    BinaryEvaluation,
    ClassificationBaseline,
    ConfusionMatrix,
    Evaluation,
    MulticlassEvaluation,
    RegressionBaseline,
    RegressionEvaluation,
)

LOG_FLOOR = -100.0
"""No logarithm of the loss is taken to be less, as in PyTorch's `BCELoss`."""

LARGEST = sys.float_info.max

Floats = npt.NDArray[np.floating[Any]]


def evaluate(layers: Layers, table: Table, prepared: Prepared) -> Evaluation:
    """
    Judge finished layers on the rows of a part.

    The baseline always answers with the classes' shares, or the mean, of the training rows.
    """
    outputs = inference.forward(layers, table.features)
    train = prepared.train.targets
    if table.task == "regression":
        scale, mean = prepared.target_scale, prepared.target_mean
        actual = table.targets.astype(np.float64) * scale + mean
        guess = float(train.astype(np.float64).mean() * scale + mean)
        return regression(outputs, actual, guess)
    shares = np.bincount(train.astype(np.int64), minlength=table.classes) / len(train)
    if table.task == "binary":
        return binary(outputs, table.targets, float(shares[1]))
    classes = prepared.preprocessing.target.classes or ()
    return multiclass(outputs, table.targets.astype(np.int64), shares, classes)


def binary(probabilities: Floats, targets: Floats, share: float) -> BinaryEvaluation:
    """
    Compare probabilities of class 1 with the classes; `share` is class 1's in training.

    Shapes: both (rows,), at least one row.
    Source: slides, 1 (5), confusion matrix.
    """
    actual = targets > 0.5
    matrix = _confusion_matrix(probabilities > 0.5, actual)
    hits, misses = matrix.true_positive, matrix.false_negative
    false_alarms = matrix.false_positive
    always = np.full(len(targets), share)
    return BinaryEvaluation(
        loss=binary_cross_entropy(probabilities, targets),
        accuracy=(hits + matrix.true_negative) / len(targets),
        precision=_ratio(hits, hits + false_alarms),
        recall=_ratio(hits, hits + misses),
        f1=_ratio(2 * hits, 2 * hits + false_alarms + misses),
        roc_auc=roc_auc(probabilities, actual),
        pr_auc=average_precision(probabilities, actual),
        confusion_matrix=matrix,
        baseline=ClassificationBaseline(
            loss=binary_cross_entropy(always, targets),
            accuracy=float(np.mean(actual == (share > 0.5))),
        ),
    )


def multiclass(
    probabilities: Floats,
    targets: npt.NDArray[np.int64],
    shares: npt.NDArray[np.float64],
    classes: tuple[Label, ...],
) -> MulticlassEvaluation:
    """
    Compare probabilities of every class with the classes; `shares` are theirs in training.

    Shapes: probabilities (rows, classes); targets (rows,), the classes' numbers.
    """
    count = len(classes)
    predicted = probabilities.argmax(1)
    matrix = np.zeros((count, count), np.int64)
    np.add.at(matrix, (targets, predicted), 1)
    return MulticlassEvaluation(
        loss=cross_entropy(probabilities, targets),
        accuracy=float(np.mean(predicted == targets)),
        macro=_averages(matrix, np.ones(count)),
        weighted=_averages(matrix, matrix.sum(1)),
        classes=classes,
        confusion_matrix=tuple(map(tuple, matrix.tolist())),
        baseline=ClassificationBaseline(
            loss=_mean_surprise(shares[targets]),
            accuracy=float(np.mean(targets == shares.argmax())),
        ),
    )


def regression(
    outputs: Floats, actual: npt.NDArray[np.float64], guess: float
) -> RegressionEvaluation:
    """
    Compare numbers; the baseline is always `guess`. Squares beyond floats count as the largest.

    Shapes: outputs and actual (rows,).
    """
    loss, mae = _errors(outputs.astype(np.float64) - actual)
    guessed_loss, guessed_mae = _errors(guess - actual)
    deviation = moments(actual)[1]
    variance = min(deviation * deviation, LARGEST)
    return RegressionEvaluation(
        loss=loss,
        mae=mae,
        rmse=loss**0.5,
        r2=1 - loss / variance if variance else None,
        baseline=RegressionBaseline(mae=guessed_mae, rmse=guessed_loss**0.5),
    )


def _errors(errors: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Compute the mean of the squares and of the distances."""
    with np.errstate(over="ignore"):
        squares, distances = float(np.mean(errors**2)), float(np.mean(np.abs(errors)))
    return min(squares, LARGEST), min(distances, LARGEST)


def binary_cross_entropy(probabilities: Floats, targets: Floats) -> float:
    """Compute the mean of −t·log p − (1 − t)·log(1 − p), logarithms floored, in float64."""
    p = probabilities.astype(np.float64)
    t = targets.astype(np.float64)
    with np.errstate(divide="ignore"):
        log_p = np.maximum(np.log(p), LOG_FLOOR)
        log_q = np.maximum(np.log1p(-p), LOG_FLOOR)
    # 0 − … : never −0.0
    return float(0.0 - np.mean(t * log_p + (1.0 - t) * log_q))


def cross_entropy(probabilities: Floats, targets: npt.NDArray[np.int64]) -> float:
    """Compute the mean of −log p of each row's class, floored, in float64."""
    return _mean_surprise(probabilities[np.arange(len(targets)), targets])


def _mean_surprise(probabilities: Floats) -> float:
    """Compute the mean of −log p, floored, in float64. Shape (rows,)."""
    with np.errstate(divide="ignore"):
        logarithms = np.log(probabilities.astype(np.float64))
    return float(0.0 - np.mean(np.maximum(logarithms, LOG_FLOOR)))


def roc_auc(scores: Floats, actual: npt.NDArray[np.bool_]) -> float | None:
    """
    Compute the chance that a random positive row scores higher than a random negative one.

    Equal scores count half. None when there is one class only.
    Source: Hanley and McNeil (1982), by the ranks of the positive rows.
    """
    positives = int(actual.sum())
    negatives = len(actual) - positives
    if positives == 0 or negatives == 0:
        return None
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    ranks = (ends - (sizes - 1) / 2)[group]  # equal scores share the mean of their ranks
    above = float(ranks[actual].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def average_precision(scores: Floats, actual: npt.NDArray[np.bool_]) -> float | None:
    """Sum precision over the steps of recall, one for each score; None when nothing is positive."""
    positives = int(actual.sum())
    if positives == 0:
        return None
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(actual[order])
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    steps = np.diff(hits[last], prepend=0) / positives
    # The shares sum to 1, but for rounding.
    return min(1.0, float(np.sum(steps * hits[last] / (last + 1))))


def _averages(matrix: npt.NDArray[np.int64], weights: npt.NDArray[Any]) -> Averages:
    """Average the classes' ratios; 0 where one is undefined."""
    hits = np.diag(matrix).astype(np.float64)
    predicted, actual = matrix.sum(0), matrix.sum(1)
    named = {
        "precision": _divided(hits, predicted),
        "recall": _divided(hits, actual),
        "f1": _divided(2 * hits, predicted + actual),
    }
    share = weights / weights.sum()
    return Averages(**{name: float(ratios @ share) for name, ratios in named.items()})


def _divided(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0))


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
