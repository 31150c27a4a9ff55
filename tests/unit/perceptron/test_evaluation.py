"""Losses and ratios, against scikit-learn, PyTorch and arithmetic by hand."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from perceptron.evaluation import evaluate

PROBABILITIES = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))


def _sklearn(name: str, targets: Any, predicted: Any) -> float | None:
    value = getattr(metrics, name)(targets, predicted, zero_division=np.nan)
    return None if math.isnan(value) else float(value)


@given(data=st.data(), rows=st.integers(1, 30))
@settings(deadline=None, max_examples=200)
def test_evaluation_is_that_of_scikit_learn_and_pytorch(data: st.DataObject, rows: int) -> None:
    """Counts and ratios are scikit-learn's, the loss is PyTorch's BCELoss, for any predictions."""
    probabilities = data.draw(arrays(np.float64, rows, elements=PROBABILITIES))
    targets = data.draw(arrays(np.float32, rows, elements=st.integers(0, 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluate(probabilities, targets)
    predicted = (probabilities > 0.5).astype(int)
    matrix = metrics.confusion_matrix(targets, predicted, labels=[0, 1]).ravel().tolist()
    counts = found.confusion_matrix
    assert matrix == [
        counts.true_negative,
        counts.false_positive,
        counts.false_negative,
        counts.true_positive,
    ]
    assert found.accuracy == pytest.approx(metrics.accuracy_score(targets, predicted))
    assert found.precision == pytest.approx(_sklearn("precision_score", targets, predicted))
    assert found.recall == pytest.approx(_sklearn("recall_score", targets, predicted))
    assert found.f1 == pytest.approx(_sklearn("f1_score", targets, predicted))
    loss = torch.nn.BCELoss()(torch.tensor(probabilities), torch.tensor(targets).double())
    assert found.loss == pytest.approx(loss.item(), rel=1e-9, abs=1e-12)


def test_slides_numbers_of_a_stuck_perceptron() -> None:
    """Outputs of 0.5 for XOR: loss ln 2, accuracy 0.5, nothing predicted positive."""
    found = evaluate(np.full(4, 0.5, np.float32), np.array([0, 1, 1, 0], np.float32))
    assert found.loss == pytest.approx(math.log(2), abs=1e-15)
    assert found.accuracy == 0.5
    assert found.precision is None
    assert found.recall == 0.0
    assert found.f1 == 0.0


def test_ratios_by_hand() -> None:
    """3 hits, 1 miss, 2 false alarms and 4 rejections give the slides' fractions."""
    probabilities = np.array([0.9] * 3 + [0.1] + [0.8] * 2 + [0.2] * 4)
    found = evaluate(probabilities, np.array([1] * 4 + [0] * 6, np.float32))
    assert found.accuracy == pytest.approx(7 / 10)
    assert found.precision == pytest.approx(3 / 5)
    assert found.recall == pytest.approx(3 / 4)
    assert found.f1 == pytest.approx(2 / (5 / 3 + 4 / 3))
    closed_form = -(3 * math.log(0.9) + math.log(0.1) + 2 * math.log(0.2) + 4 * math.log(0.8)) / 10
    assert found.loss == pytest.approx(closed_form)


def test_a_certain_mistake_costs_100() -> None:
    """The logarithm of 0 counts as −100, as in PyTorch; certain truths cost nothing."""
    assert evaluate(np.array([0.0]), np.array([1.0])).loss == 100.0
    perfect = evaluate(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    assert math.copysign(1, perfect.loss) == 1
    assert perfect.loss == 0.0


def test_no_ratio_is_defined_without_positives() -> None:
    """All negative and predicted so: precision, recall and F1 are null, accuracy is 1."""
    found = evaluate(np.array([0.1, 0.2]), np.array([0.0, 0.0]))
    assert (found.precision, found.recall, found.f1, found.accuracy) == (None, None, None, 1.0)
