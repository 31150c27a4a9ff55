"""Losses and ratios, against scikit-learn, PyTorch and arithmetic by hand."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics
from sklearn.dummy import DummyClassifier, DummyRegressor

from perceptron.evaluation import (
    average_precision,
    binary,
    evaluate,
    multiclass,
    regression,
    roc_auc,
)
from perceptron.frames import Frame, categories, numbers
from perceptron.layers import Layer
from perceptron.preparation import Prepared, Source, finish, prepare
from schemas.job import JobRequest
from schemas.training import BinaryEvaluation, MulticlassEvaluation, RegressionEvaluation

PROBABILITIES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1))


def _sklearn(name: str, targets: Any, predicted: Any) -> float | None:
    value = getattr(metrics, name)(targets, predicted, zero_division=np.nan)
    return None if math.isnan(value) else float(value)


@given(data=st.data(), rows=st.integers(1, 30))
@settings(deadline=None, max_examples=200)
def test_binary_evaluation_is_that_of_scikit_learn_and_pytorch(
    data: st.DataObject, rows: int
) -> None:
    """Counts and ratios are scikit-learn's, the loss is PyTorch's BCELoss, for any predictions."""
    probabilities = data.draw(arrays(np.float64, rows, elements=PROBABILITIES))
    targets = data.draw(arrays(np.float32, rows, elements=st.integers(0, 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = binary(probabilities, targets, 0.5)
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


@given(data=st.data(), rows=st.integers(2, 40), dtype=st.sampled_from([np.float32, np.float64]))
@settings(deadline=None, max_examples=150)
def test_areas_are_those_of_scikit_learn(data: st.DataObject, rows: int, dtype: Any) -> None:
    """Both areas are scikit-learn's, many scores being equal."""
    some = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]) | st.floats(0, 1, width=32)
    scores = data.draw(arrays(np.float64, rows, elements=some)).astype(dtype)
    actual = data.draw(arrays(np.bool_, rows))
    assume(0 < actual.sum() < rows)
    assert roc_auc(scores, actual) == pytest.approx(metrics.roc_auc_score(actual, scores))
    expected = metrics.average_precision_score(actual, scores)
    assert average_precision(scores, actual) == pytest.approx(expected)


def test_areas_that_are_not_defined() -> None:
    """One class alone has no order to be right about, and no positive row no precision."""
    scores = np.array([0.2, 0.8])
    assert roc_auc(scores, np.array([True, True])) is None
    assert roc_auc(scores, np.array([False, False])) is None
    assert average_precision(scores, np.array([False, False])) is None
    assert average_precision(scores, np.array([True, True])) == 1


@given(data=st.data(), rows=st.integers(1, 30), classes=st.integers(2, 5))
@settings(deadline=None, max_examples=60)
def test_multiclass_evaluation_is_that_of_scikit_learn_and_pytorch(
    data: st.DataObject, rows: int, classes: int
) -> None:
    """Matrix and averages are scikit-learn's, the loss is PyTorch's, classes may be absent."""
    logits = data.draw(arrays(np.float32, (rows, classes), elements=st.floats(-5, 5, width=32)))
    targets = data.draw(arrays(np.int64, rows, elements=st.integers(0, classes - 1)))
    probabilities = torch.softmax(torch.tensor(logits), 1).numpy()
    labels = tuple(f"class {number}" for number in range(classes))
    found = multiclass(probabilities, targets, np.full(classes, 1 / classes), labels)
    predicted = probabilities.argmax(1)
    every = list(range(classes))
    matrix = metrics.confusion_matrix(targets, predicted, labels=every)
    assert [list(row) for row in found.confusion_matrix] == matrix.tolist()
    assert found.classes == labels
    assert found.accuracy == pytest.approx(metrics.accuracy_score(targets, predicted))
    for averages, name in ((found.macro, "macro"), (found.weighted, "weighted")):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            targets, predicted, labels=every, average=name, zero_division=0
        )
        assert averages.precision == pytest.approx(precision)
        assert averages.recall == pytest.approx(recall)
        assert averages.f1 == pytest.approx(f1)
    loss = torch.nn.CrossEntropyLoss()(torch.tensor(logits), torch.tensor(targets))
    assert found.loss == pytest.approx(loss.item(), rel=1e-4, abs=1e-6)


@given(data=st.data(), rows=st.integers(1, 30))
@settings(deadline=None, max_examples=200)
def test_regression_evaluation_is_that_of_scikit_learn(data: st.DataObject, rows: int) -> None:
    """Errors and r² are scikit-learn's."""
    some = st.floats(-1e6, 1e6, width=32)
    outputs = data.draw(arrays(np.float32, rows, elements=some))
    actual = data.draw(arrays(np.float64, rows, elements=some))
    found = regression(outputs, actual, 0.0)
    assert found.loss == pytest.approx(metrics.mean_squared_error(actual, outputs))
    assert found.mae == pytest.approx(metrics.mean_absolute_error(actual, outputs))
    assert found.rmse == pytest.approx(metrics.root_mean_squared_error(actual, outputs))
    if len(set(actual.tolist())) == 1:
        assert found.r2 is None
    elif actual.std() > 1e-3:
        assert found.r2 == pytest.approx(metrics.r2_score(actual, outputs), rel=1e-6, abs=1e-6)


def test_errors_beyond_floats_count_as_the_largest() -> None:
    """No square is infinite, and no number of an evaluation is."""
    found = regression(np.array([-1e300, 0.0]), np.array([1e300, 0.0]), 0.0)
    assert found.loss == np.finfo(np.float64).max
    assert found.mae == 1e300
    assert math.isfinite(found.r2 or 0)


def test_equal_tenths_have_no_variance() -> None:
    """A constant target has no r², whatever rounding makes of its mean."""
    assert regression(np.full(10, 0.2), np.full(10, 0.1), 0.1).r2 is None


# On prepared rows


def _prepared(goal: Any, **fields: Any) -> Prepared:
    frame = Frame((numbers("x", np.arange(len(goal.values))), goal))
    request = JobRequest.model_validate({"dataset": "mine", **fields})
    return prepare(request, Source(frame, "mine", "y", is_standardised=True))


SPLIT = {"validation_fraction": 0.3, "test_fraction": 0.2}


def test_baselines_are_those_of_scikit_learns_dummies() -> None:
    """Always answering the training rows' shares, or their mean, is judged as scikit-learn does."""
    texts = ["a"] * 40 + ["b"] * 25 + ["c"] * 15
    for names in (texts, [text.replace("c", "b") for text in texts]):
        prepared = _prepared(categories("y", names), training=SPLIT)
        outputs = len(set(names)) if len(set(names)) > 2 else 1
        activation: Any = "softmax" if outputs > 1 else "sigmoid"
        layer = Layer(np.zeros((outputs, 1), np.float32), np.zeros(outputs, np.float32), activation)
        train = prepared.train
        dummy = DummyClassifier(strategy="prior").fit(train.features, train.targets)
        for part in (train, prepared.valid, prepared.test):
            assert part is not None
            found = evaluate((layer,), part, prepared)
            assert not isinstance(found, RegressionEvaluation)
            shares = dummy.predict_proba(part.features)
            loss = metrics.log_loss(part.targets, shares, labels=dummy.classes_)
            assert found.baseline.loss == pytest.approx(loss)
            accuracy = dummy.score(part.features, part.targets)
            assert found.baseline.accuracy == pytest.approx(accuracy)


def test_regressions_are_judged_in_the_targets_unit() -> None:
    """Scaled for training, the target is judged as it was: prices in thousands stay so."""
    random = np.random.default_rng(1)
    prices = random.normal(250_000, 40_000, 60)
    prepared = _prepared(numbers("y", prices), training=SPLIT)
    layer = Layer(np.array([[0.5]], np.float32), np.array([0.25], np.float32), "identity")
    (valid,) = [prepared.valid]
    assert valid is not None
    actual = valid.targets * prepared.target_scale + prepared.target_mean
    predicted = (0.5 * valid.features[:, 0] + 0.25) * prepared.target_scale + prepared.target_mean
    found = evaluate(finish(prepared, (layer,)), valid, prepared)
    assert isinstance(found, RegressionEvaluation)
    assert found.mae == pytest.approx(metrics.mean_absolute_error(actual, predicted), rel=1e-4)
    assert found.r2 == pytest.approx(metrics.r2_score(actual, predicted), rel=1e-4)
    dummy = DummyRegressor().fit(
        prepared.train.features,
        prepared.train.targets.astype(float) * prepared.target_scale + prepared.target_mean,
    )
    always = dummy.predict(valid.features)
    assert found.baseline.mae == pytest.approx(metrics.mean_absolute_error(actual, always))
    assert found.baseline.rmse == pytest.approx(metrics.root_mean_squared_error(actual, always))


def test_the_task_decides() -> None:
    """Each task has its own evaluation, with the classes by their labels."""
    layer = Layer(np.array([[1.0]], np.float32), np.zeros(1, np.float32), "sigmoid")
    two = _prepared(categories("y", ["no", "yes"] * 3))
    assert isinstance(evaluate((layer,), two.train, two), BinaryEvaluation)
    three = _prepared(numbers("y", [1, 2, 7] * 3))
    wide = Layer(np.ones((3, 1), np.float32), np.zeros(3, np.float32), "softmax")
    found = evaluate((wide,), three.train, three)
    assert isinstance(found, MulticlassEvaluation)
    assert found.classes == (1, 2, 7)


# By hand


def test_slides_numbers_of_a_stuck_perceptron() -> None:
    """Outputs of 0.5 for XOR: loss ln 2, accuracy 0.5, nothing predicted positive."""
    found = binary(np.full(4, 0.5, np.float32), np.array([0, 1, 1, 0], np.float32), 0.5)
    assert found.loss == pytest.approx(math.log(2), abs=1e-15)
    assert found.accuracy == 0.5
    assert found.precision is None
    assert found.recall == 0.0
    assert found.f1 == 0.0
    assert found.roc_auc == 0.5
    assert found.baseline.loss == pytest.approx(math.log(2), abs=1e-15)
    assert found.baseline.accuracy == 0.5


def test_ratios_by_hand() -> None:
    """3 hits, 1 miss, 2 false alarms and 4 rejections give the slides' fractions."""
    probabilities = np.array([0.9] * 3 + [0.1] + [0.8] * 2 + [0.2] * 4)
    found = binary(probabilities, np.array([1] * 4 + [0] * 6, np.float32), 0.4)
    assert found.accuracy == pytest.approx(7 / 10)
    assert found.precision == pytest.approx(3 / 5)
    assert found.recall == pytest.approx(3 / 4)
    assert found.f1 == pytest.approx(2 / (5 / 3 + 4 / 3))
    closed_form = -(3 * math.log(0.9) + math.log(0.1) + 2 * math.log(0.2) + 4 * math.log(0.8)) / 10
    assert found.loss == pytest.approx(closed_form)
    assert found.baseline.accuracy == pytest.approx(6 / 10)


def test_a_certain_mistake_costs_100() -> None:
    """The logarithm of 0 counts as −100, as in PyTorch; certain truths cost nothing."""
    assert binary(np.array([0.0]), np.array([1.0]), 0.0).loss == 100.0
    assert binary(np.array([0.0]), np.array([1.0]), 0.0).baseline.loss == 100.0
    perfect = binary(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.5)
    assert math.copysign(1, perfect.loss) == 1
    assert perfect.loss == 0.0


def test_no_ratio_is_defined_without_positives() -> None:
    """All negative and predicted so: precision, recall and F1 are null, accuracy is 1."""
    found = binary(np.array([0.1, 0.2]), np.array([0.0, 0.0]), 0.5)
    assert (found.precision, found.recall, found.f1, found.accuracy) == (None, None, None, 1.0)
    assert (found.roc_auc, found.pr_auc) == (None, None)
