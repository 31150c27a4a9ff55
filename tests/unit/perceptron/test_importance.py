"""Permutation importance, against scikit-learn and networks whose features are known to matter."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.inspection import permutation_importance as their_importance

from perceptron.frames import Frame, categories, numbers
from perceptron.importance import MOST_ROWS, permutation_importance
from perceptron.inference import forward
from perceptron.initialisation import initial_layers
from perceptron.layers import Layer, Layers
from perceptron.preparation import Prepared, Source, finish, prepare
from schemas.job import JobRequest

RANDOM = np.random.default_rng(5)


def _prepared(
    frame: Frame, target: str = "y", preprocessing: Any = None, **training: Any
) -> Prepared:
    asked = {"dataset": "mine", "training": training, "preprocessing": preprocessing or {}}
    request = JobRequest.model_validate(asked)
    return prepare(request, Source(frame, "mine", target, is_standardised=True))


def _regression(rows: int, **training: Any) -> Prepared:
    values = RANDOM.normal(size=(rows, 3))
    goal = 3 * values[:, 0] + values[:, 1]
    named = [numbers(f"x{index}", values[:, index]) for index in range(3)]
    return _prepared(Frame((*named, numbers("y", goal))), **training)


def _layer(weight: Any, activation: Any = "identity") -> Layer:
    weights = np.array(weight, np.float32)
    return Layer(weights, np.zeros(len(weights), np.float32), activation)


class _Network(BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """What scikit-learn judges: layers that are trained."""

    def __init__(self, layers: Layers | None = None) -> None:
        self.layers = layers

    def fit(self, _features: Any, _targets: Any) -> "_Network":
        """Do nothing."""
        return self

    def predict(self, features: Any) -> Any:
        """Give the outputs."""
        assert self.layers is not None
        return forward(self.layers, features)


@pytest.mark.parametrize("hidden", [(), (6,)])
def test_importance_is_that_of_scikit_learn(hidden: tuple[int, ...]) -> None:
    """The mean rise of the squared error is scikit-learn's, up to the chance of the shuffles."""
    prepared = _regression(2_000)
    *first, last = initial_layers((3, *hidden, 1), "tanh", 2)
    layers = (*first, last._replace(activation="identity"))
    theirs = their_importance(
        _Network(layers),
        prepared.train.features,
        prepared.train.targets,
        scoring="neg_mean_squared_error",
        n_repeats=20,
        random_state=0,
    )
    ours = permutation_importance(finish(prepared, layers), prepared)
    assert [item.feature for item in ours] == ["x0", "x1", "x2"]
    for item, mean in zip(ours, theirs.importances_mean, strict=True):
        assert item.mean == pytest.approx(mean, abs=0.05 * abs(theirs.importances_mean).max())


def test_importance_by_closed_form() -> None:
    """Shuffling x in w·x raises the squared error by 2·w²·Var x; what has no weight, by nothing."""
    prepared = _regression(5_000)
    exact = _layer([[3 / 10**0.5, 1 / 10**0.5, 0]])
    found = permutation_importance(finish(prepared, (exact,)), prepared)
    shares = 2 * exact.weight[0].astype(float) ** 2
    for item, share in zip(found, shares, strict=True):
        assert item.mean == pytest.approx(share, rel=0.1, abs=1e-9)
        assert item.standard_deviation < 0.1
    assert found[2].mean == found[2].standard_deviation == 0


def test_a_category_moves_with_all_of_its_places() -> None:
    """The one feature that decides among three classes is the one that matters."""
    texts = ["a", "b", "c"] * 40
    frame = Frame(
        (numbers("n", RANDOM.normal(size=120)), categories("c", texts), categories("y", texts))
    )
    prepared = _prepared(frame)
    layer = _layer(np.hstack([np.zeros((3, 1)), 8 * np.eye(3)]), "softmax")
    noise, decisive = permutation_importance((layer,), prepared)
    assert (noise.feature, noise.mean) == ("n", 0)
    # Two thirds of the shuffled rows have another category: their loss rises by 8.
    assert decisive.mean == pytest.approx(8 * 2 / 3, rel=0.1)


def test_binary_networks() -> None:
    """With two classes the rise is that of the cross-entropy."""
    values = RANDOM.normal(size=(3_000, 2))
    texts = np.where(values[:, 0] > 0, "yes", "no").tolist()
    frame = Frame((*(numbers(f"x{i}", values[:, i]) for i in (0, 1)), categories("y", texts)))
    prepared = _prepared(frame, validation_fraction=0.5)
    decisive, noise = permutation_importance((_layer([[4, 0]], "sigmoid"),), prepared)
    assert noise.mean == 0
    assert prepared.valid is not None
    z = 4 * prepared.valid.features[:, 0].astype(float)
    # A shuffled row keeps its class and gets any z: E[−t·z] rises by Cov(t, z).
    t = prepared.valid.targets.astype(float)
    assert decisive.mean == pytest.approx(float(np.mean(t * z) - t.mean() * z.mean()), rel=0.1)


def test_the_same_model_gives_the_same_numbers() -> None:
    """The shuffles are drawn from a seed of their own."""
    prepared = _regression(50)
    layers = (_layer([[1, 1, 1]]),)
    assert permutation_importance(layers, prepared) == permutation_importance(layers, prepared)


def test_many_rows_are_drawn_from() -> None:
    """Of a long table that is sorted by class, some rows of every class are taken."""
    rows = 3 * MOST_ROWS
    goal = np.arange(rows) >= rows // 2
    texts = np.where(goal, "yes", "no").tolist()
    frame = Frame(
        (numbers("x", goal), numbers("n", RANDOM.normal(size=rows)), categories("y", texts))
    )
    decisive, _ = permutation_importance((_layer([[4, 0]], "sigmoid"),), _prepared(frame))
    assert decisive.mean == pytest.approx(2, rel=0.1)  # half of the rows lose by 4


def test_nothing_is_told_of_networks_that_are_too_large() -> None:
    """Where not even a few rows can be afforded, and of a single feature, nothing is told."""
    prepared = _regression(50)
    size = 100_000
    square = np.broadcast_to(np.float32(1), (size, size))  # takes no memory
    bias = np.zeros(size, np.float32)
    narrow, last = initial_layers((3, size, 1), "relu", 0)
    wide = (narrow, Layer(square, bias, "relu"), last)
    assert permutation_importance(wide, prepared) == ()
    alone = _prepared(Frame((numbers("x", [1, 2, 3]), numbers("y", [1, 2.5, 3]))))
    assert permutation_importance((_layer([[1]]),), alone) == ()


def test_huge_outputs_give_finite_numbers() -> None:
    """Weights near the range's end give no infinite rise."""
    prepared = _regression(50)
    for item in permutation_importance((_layer([[3e38, -3e38, 1]]),), prepared):
        assert np.isfinite([item.mean, item.standard_deviation]).all()


def test_what_is_derived_moves_with_its_feature() -> None:
    """Shuffling x raises the squared error of x² by 2·Var x², though x itself has no weight."""
    values = RANDOM.normal(size=(5_000, 2))
    frame = Frame((*(numbers(f"x{i}", values[:, i]) for i in (0, 1)), numbers("y", values[:, 0])))
    prepared = _prepared(frame, preprocessing={"derived": ({"function": "square", "of": ("x0",)},)})
    goals = prepared.train.features[:, 0].astype(float) ** 2
    prepared = prepared._replace(train=prepared.train._replace(targets=goals))
    squared, noise = permutation_importance(finish(prepared, (_layer([[0, 0, 1]]),)), prepared)
    assert noise.mean == pytest.approx(0, abs=1e-9)
    assert squared.mean == pytest.approx(2 * float(goals.var()), rel=0.1)
