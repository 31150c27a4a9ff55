"""The forward pass, against PyTorch."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptron.gates import BUILT_IN_MODELS
from perceptron.inference import ACTIVATIONS, BLOCK_VALUES, forward
from perceptron.initialisation import initial_layers
from perceptron.layers import Layer, Layers
from tests.unit.perceptron.pytorch import MODULES

TORCH: dict[str, Any] = {**MODULES, "step": lambda z: (z > 0).to(z.dtype)}
"""The activations of hidden layers."""
OUTPUTS: dict[str, Any] = {**TORCH, "softmax": torch.nn.Softmax(dim=-1)}
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def _torch_forward(layers: Layers, features: Any, dtype: torch.dtype) -> torch.Tensor:
    values = torch.tensor(features, dtype=dtype)
    for layer in layers:
        z = values @ torch.tensor(layer.weight, dtype=dtype).T + torch.tensor(layer.bias).to(dtype)
        values = OUTPUTS[layer.activation](z)
    return values[:, 0] if values.shape[1] == 1 else values


def _several(layers: Layers) -> Layers:
    """Make the last layer's outputs the probabilities of classes."""
    return (*layers[:-1], layers[-1]._replace(activation="softmax"))


@pytest.mark.parametrize("activation", OUTPUTS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_activations_are_those_of_pytorch(activation: Any, dtype: Any, tolerance: float) -> None:
    """Every activation agrees with PyTorch's from −30 to 30 and keeps the dtype and shape."""
    z = np.linspace(-30, 30, 60_000).astype(dtype).reshape(-1, 3)
    ours = ACTIVATIONS[activation](z)
    assert ours.dtype == dtype
    theirs = OUTPUTS[activation](torch.tensor(z)).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_activations_are_known() -> None:
    """Each activation that a layer may name has a function."""
    assert set(ACTIVATIONS) == set(OUTPUTS)


@given(
    widths=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    activation=st.sampled_from(sorted(TORCH)),
    rows=st.integers(1, 7),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=80)
def test_forward_is_that_of_pytorch(
    widths: list[int], activation: Any, rows: int, seed: int
) -> None:
    """A network of any shape answers with PyTorch's probabilities, one per row, in float32."""
    layers = initial_layers((*widths, 1), activation, seed)
    features = np.random.default_rng(seed).normal(size=(rows, widths[0])).astype(np.float32)
    ours = forward(layers, features)
    assert ours.dtype == np.float32
    assert ours.shape == (rows,)
    np.testing.assert_allclose(ours, _torch_forward(layers, features, torch.float32), atol=1e-6)


@given(
    widths=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    classes=st.integers(2, 12),
    activation=st.sampled_from(sorted(TORCH)),
    rows=st.integers(1, 7),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=60)
def test_forward_of_several_classes_is_that_of_pytorch(
    widths: list[int], classes: int, activation: Any, rows: int, seed: int
) -> None:
    """Every row gets PyTorch's probability of every class; they add up to 1."""
    layers = _several(initial_layers((*widths, classes), activation, seed))
    features = np.random.default_rng(seed).normal(size=(rows, widths[0])).astype(np.float32)
    ours = forward(layers, features)
    assert ours.dtype == np.float32
    assert ours.shape == (rows, classes)
    np.testing.assert_allclose(ours, _torch_forward(layers, features, torch.float32), atol=1e-6)
    np.testing.assert_allclose(ours.sum(1), 1, rtol=1e-6)


def test_a_regression_gives_its_numbers_as_they_are() -> None:
    """An identity at the end bounds nothing; one output unit gives one number per row."""
    layer = Layer(np.array([[2.0, -1.0]], np.float32), np.array([0.5], np.float32), "identity")
    np.testing.assert_array_equal(forward((layer,), [[3, 1], [-100, 0]]), [5.5, -199.5])


@given(
    row=st.lists(FLOATS, min_size=2, max_size=2),
    scale=st.sampled_from([1.0, 1e10, 1e38]),
    seed=st.integers(0, 100),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(deadline=None, max_examples=200)
def test_no_number_spoils_the_probabilities(
    row: list[float], scale: float, seed: int, dtype: Any
) -> None:
    """Any finite input, with huge weights too, gives probabilities that add up to 1."""
    layers = tuple(
        Layer((layer.weight * scale).astype(dtype), layer.bias.astype(dtype), layer.activation)
        for layer in _several(initial_layers((2, 4, 3), "relu", seed))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probabilities = forward(layers, [row])[0]
    assert (probabilities >= 0).all()
    assert probabilities.sum() == pytest.approx(1)


@given(
    row=st.lists(FLOATS, min_size=2, max_size=2),
    activation=st.sampled_from(sorted(TORCH)),
    scale=st.sampled_from([1.0, 1e10, 1e38]),
    seed=st.integers(0, 100),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(deadline=None, max_examples=300)
def test_no_number_warns_or_gives_nan(
    row: list[float], activation: Any, scale: float, seed: int, dtype: Any
) -> None:
    """Any finite float64 input, with huge weights too, gives a probability without a warning."""
    layers = tuple(
        Layer((layer.weight * scale).astype(dtype), layer.bias.astype(dtype), layer.activation)
        for layer in initial_layers((2, 4, 4, 1), activation, seed)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probability = forward(layers, [row])[0]
    assert 0 <= probability <= 1


def test_too_large_inputs_count_as_the_largest() -> None:
    """1e300 in float32 is the largest float32: a weight of 1e-38 still decides by how much."""
    layer = Layer(np.array([[1e-38]], np.float32), np.zeros(1, np.float32), "sigmoid")
    expected = 1 / (1 + np.exp(-3.4028234663852886e38 * float(np.float32(1e-38))))
    assert forward((layer,), [[1e300]])[0] == pytest.approx(expected, abs=1e-6)
    assert forward((layer,), [[-1e300]])[0] == pytest.approx(1 - expected, abs=1e-6)


def test_overflow_inside_the_network_keeps_the_right_answer() -> None:
    """Where float32 would give ∞ − ∞ the answer is that of wider floats."""
    weight = np.array([[3.0, -2.0]], np.float32)
    layer = Layer(weight, np.zeros(1, np.float32), "sigmoid")
    assert _torch_forward((layer,), [[3e38, 3e38]], torch.float32).isnan().all()
    np.testing.assert_array_equal(forward((layer,), [[3e38, 3e38], [2e38, 3.3e38]]), [1, 0])


def test_sigmoid_is_exact_in_both_tails() -> None:
    """The probability of a very negative z keeps its relative accuracy."""
    layer = Layer(np.array([[1.0]]), np.zeros(1), "sigmoid")
    np.testing.assert_allclose(
        forward((layer,), [[-40.0], [-700.0], [40.0]]), [np.exp(-40.0), np.exp(-700.0), 1.0]
    )


@pytest.mark.parametrize(
    ("name", "outputs"),
    [("and", [0, 0, 0, 1]), ("nand", [1, 1, 1, 0]), ("or", [0, 1, 1, 1]), ("xor", [0, 1, 1, 0])],
)
def test_built_in_models_compute_their_gates(name: str, outputs: list[int]) -> None:
    """The slides' weights give the slides' outputs, as 0.0 and 1.0."""
    answers = forward(BUILT_IN_MODELS[name], [[0, 0], [0, 1], [1, 0], [1, 1]])
    np.testing.assert_array_equal(answers, np.array(outputs, np.float64))


def test_step_of_zero_is_zero() -> None:
    """A perceptron fires only over its threshold, as the slides' code does."""
    layer = Layer(np.array([[1.0]]), np.array([-1.0]), "step")
    np.testing.assert_array_equal(forward((layer,), [[1.0], [np.nextafter(1.0, 2)]]), [0, 1])


def test_rows_beyond_a_block_give_the_same() -> None:
    """Many rows through a wide layer, taken in blocks, give what few at a time give."""
    random = np.random.default_rng(0)
    wide = BLOCK_VALUES // 4
    layers = (
        Layer(random.normal(size=(wide, 1)).astype(np.float32), np.zeros(wide, np.float32), "tanh"),
        Layer(
            (random.normal(size=(1, wide)) / wide).astype(np.float32),
            np.zeros(1, np.float32),
            "sigmoid",
        ),
    )
    rows = random.normal(size=(11, 1)).astype(np.float32)
    outputs = forward(layers, rows)
    assert outputs.shape == (11,)
    for index in range(11):
        np.testing.assert_allclose(
            outputs[index], forward(layers, rows[index : index + 1])[0], 1e-5
        )
