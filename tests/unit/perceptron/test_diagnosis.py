"""Diagnoses of trainings that are known to go well or badly."""

import re
from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest

from perceptron.diagnosis import diagnose, explain
from perceptron.evaluation import binary, multiclass, regression
from perceptron.tables import Table
from schemas.network import NetworkConfig
from schemas.training import DiagnosisCode, EpochRecord, Metrics
from tests.unit.perceptron.data import table

SINGLE = NetworkConfig()
DEEP = NetworkConfig(hidden_layers=(10,))


def _history(
    train: Sequence[float], valid: Sequence[float] | None = None
) -> tuple[EpochRecord, ...]:
    return tuple(
        EpochRecord(
            epoch=epoch,
            train_loss=loss,
            train_accuracy=0.5,
            valid_loss=None if valid is None else valid[epoch],
            valid_accuracy=None if valid is None else 0.5,
        )
        for epoch, loss in enumerate(train)
    )


def _metrics(
    train: Sequence[float], targets: Sequence[float], valid: Sequence[float] | None = None
) -> Metrics:
    return Metrics(
        train=binary(np.array(train), np.array(targets, np.float32), 0.5),
        validation=None if valid is None else binary(np.array(valid), np.ones(len(valid)), 0.5),
    )


def _rows(targets: Sequence[float]) -> Table:
    features = np.arange(len(targets), dtype=np.float32)[:, None]
    return Table("t", ("x1",), features, np.array(targets, np.float32))


FALLING = [0.7, 0.4, 0.2, 0.1]
XOR = [0, 1, 1, 0]


def test_a_single_layer_cannot_learn_xor() -> None:
    """XOR without a hidden layer is not linearly separable."""
    metrics = _metrics([0.5] * 4, XOR)
    history = _history([0.7] * 3)
    assert diagnose(SINGLE, table("xor"), history, metrics) == "not_linearly_separable"
    found = diagnose(SINGLE, table("xor"), history, metrics, has_derived=True)
    assert found == "underfitting"


def test_a_hidden_layer_that_is_stuck_underfits() -> None:
    """XOR with a hidden layer that has not learned it is underfitting."""
    metrics = _metrics([0.5] * 4, XOR)
    assert diagnose(DEEP, table("xor"), _history([0.7] * 3), metrics) == "underfitting"


def test_a_separable_table_that_is_not_learned_underfits() -> None:
    """AND can be learned by a single layer: predicting 0 throughout is underfitting."""
    metrics = _metrics([0.2] * 4, [0, 0, 0, 1])
    assert diagnose(SINGLE, table("and"), _history([0.7, 0.6]), metrics) == "underfitting"


def test_what_is_learned_is_a_good_fit() -> None:
    """Every row right, no validation rows: good fit, whatever the network."""
    metrics = _metrics([0.1, 0.9, 0.9, 0.1], XOR)
    assert diagnose(DEEP, table("xor"), _history(FALLING), metrics) == "good_fit"
    metrics = _metrics([0.1, 0.1, 0.1, 0.9], [0, 0, 0, 1])
    assert diagnose(SINGLE, table("and"), _history(FALLING), metrics) == "good_fit"


def test_a_validation_loss_that_turns_up_is_overfitting() -> None:
    """The validation loss rises from its lowest while the training loss still falls."""
    metrics = _metrics([0.1, 0.9], [0, 1], [0.9, 0.9])
    history = _history(FALLING, [0.7, 0.4, 0.5, 0.8])
    assert diagnose(DEEP, _rows([0, 1]), history, metrics) == "overfitting"


def test_a_validation_loss_that_follows_is_a_good_fit() -> None:
    """A validation loss that falls, or wavers by a hundredth, is no overfitting."""
    metrics = _metrics([0.1, 0.9], [0, 1], [0.9, 0.9])
    for valid in ([0.7, 0.5, 0.3, 0.2], [0.7, 0.5, 0.3, 0.31]):
        assert diagnose(DEEP, _rows([0, 1]), _history(FALLING, valid), metrics) == "good_fit"


def test_both_losses_rising_is_no_overfitting() -> None:
    """A training loss that rises too points at the learning rate, not at overfitting."""
    metrics = _metrics([0.1, 0.9], [0, 1], [0.9, 0.9])
    history = _history([0.3, 0.2, 0.4, 0.5], [0.4, 0.3, 0.6, 0.8])
    assert diagnose(DEEP, _rows([0, 1]), history, metrics) == "good_fit"


def test_a_clear_gap_is_overfitting() -> None:
    """All training rows right and half of the validation rows wrong is overfitting."""
    metrics = _metrics([0.1, 0.9], [0, 1], [0.9, 0.1])
    history = _history(FALLING, [1.5, 1.4, 1.3, 1.2])
    assert diagnose(DEEP, _rows([0, 1]), history, metrics) == "overfitting"


def test_the_majority_class_alone_is_underfitting() -> None:
    """95 % accuracy by always answering 0 has learned nothing; finding the rare rows has."""
    targets = [0.0] * 19 + [1.0]
    nothing = _metrics([0.1] * 20, targets)
    assert diagnose(DEEP, _rows(targets), _history(FALLING), nothing) == "underfitting"
    found = _metrics([0.1] * 19 + [0.9], targets)
    assert diagnose(DEEP, _rows(targets), _history(FALLING), found) == "good_fit"


def test_one_class_learned_is_a_good_fit() -> None:
    """A table of one class has no minority to get wrong."""
    metrics = _metrics([0.9] * 3, [1, 1, 1])
    assert diagnose(SINGLE, _rows([1, 1, 1]), _history(FALLING), metrics) == "good_fit"


def test_large_tables_are_not_tested_for_separability() -> None:
    """A table too large for the exact test is judged by its curves."""
    targets = [0.0, 1.0] * 10_000
    rows = _rows(targets)
    wide = rows._replace(features=np.tile(rows.features, (1, 20)))
    metrics = _metrics([0.5] * 20_000, targets)
    assert diagnose(SINGLE, wide, _history([0.7] * 3), metrics) == "underfitting"


@pytest.mark.parametrize("code", get_args(DiagnosisCode))
def test_explanations_are_sentences_in_both_languages(code: DiagnosisCode) -> None:
    """Every code has its own text; the Korean one is written in Hangul."""
    english, korean = explain(code, "en"), explain(code, "ko")
    assert english.code == korean.code == code
    assert english.message.isascii()
    assert english.message.endswith(".")
    hangul = re.findall(r"[가-힣]", korean.message)
    assert len(hangul) > len(korean.message) / 2
    assert korean.message.endswith(".")


@pytest.mark.parametrize(
    ("code", "english", "korean"),
    [
        ("not_linearly_separable", ["single straight line", "hidden layer is needed"],
         ["선형", "직선 하나", "단층 퍼셉트론", "은닉층"]),
        ("overfitting", ["validation"], ["과적합", "검증"]),
        ("underfitting", ["more epochs"], ["과소적합", "에포크"]),
    ],
)  # fmt: skip
def test_explanations_name_reason_and_remedy(
    code: DiagnosisCode, english: list[str], korean: list[str]
) -> None:
    """The texts use the slides' terms for what is wrong and for what helps."""
    assert all(term in explain(code, "en").message for term in english)
    assert all(term in explain(code, "ko").message for term in korean)


def test_linear_hidden_layers_cannot_learn_xor_either() -> None:
    """Hidden layers with the identity leave the network linear: that is the reason named."""
    linear = NetworkConfig(hidden_layers=(8, 8), activation="identity")
    metrics = _metrics([0.5] * 4, XOR)
    assert diagnose(linear, table("xor"), _history([0.7] * 3), metrics) == "not_linearly_separable"


def _several(targets: Sequence[int], predicted: Sequence[int]) -> Metrics:
    """Judge certain predictions of three classes."""
    probabilities = np.eye(3)[list(predicted)]
    shares = np.bincount(targets, minlength=3) / len(targets)
    return Metrics(train=multiclass(probabilities, np.array(targets), shares, ("a", "b", "c")))


def _three(targets: Sequence[int]) -> Table:
    return _rows(targets)._replace(task="multiclass", classes=3)


@pytest.mark.parametrize(
    ("predicted", "code"),
    [
        ([0, 1, 2] * 4, "good_fit"),
        ([0, 1, 0] * 4, "good_fit"),
        ([0] * 12, "underfitting"),
        ([0, 0, 0] * 3 + [0, 1, 2], "underfitting"),
    ],
)
def test_several_classes(predicted: list[int], code: DiagnosisCode) -> None:
    """Always answering one of three classes has learned nothing; finding two of them has."""
    targets = [0, 1, 2] * 4
    metrics = _several(targets, predicted)
    assert diagnose(SINGLE, _three(targets), _history(FALLING), metrics) == code


def _regressed(train: Sequence[float], valid: Sequence[float] | None = None) -> Metrics:
    """Judge predictions of 0, 1, 2, 3."""
    actual = np.arange(4.0)
    return Metrics(
        train=regression(np.array(train), actual, 1.5),
        validation=None if valid is None else regression(np.array(valid), actual, 1.5),
    )


@pytest.mark.parametrize(
    ("train", "valid", "code"),
    [
        ([0, 1, 2, 3], None, "good_fit"),
        ([1.5, 1.5, 1.5, 1.5], None, "underfitting"),
        ([1.4, 1.5, 1.5, 1.6], None, "underfitting"),
        ([0, 1, 2, 3], [0, 1, 2, 2.5], "good_fit"),
        ([0, 1, 2, 3], [1, 1, 1, 1], "overfitting"),
    ],
)
def test_regressions(train: list[float], valid: list[float] | None, code: DiagnosisCode) -> None:
    """The share of the variance that is explained tells, in training and in validation."""
    rows = _rows([0, 1, 2, 3])._replace(task="regression")
    assert diagnose(SINGLE, rows, _history(FALLING), _regressed(train, valid)) == code


def test_a_constant_target_that_is_learned_is_a_good_fit() -> None:
    """Where there is no variance to explain, nothing is poor about explaining none."""
    found = Metrics(train=regression(np.ones(3), np.ones(3), 1.0))
    rows = _rows([1, 1, 1])._replace(task="regression")
    assert diagnose(SINGLE, rows, _history(FALLING), found) == "good_fit"
