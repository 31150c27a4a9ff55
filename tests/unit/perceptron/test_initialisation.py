"""The initial weights, against PyTorch."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perceptron.initialisation import initial_layers
from schemas.network import LayerActivation


def _assert_equal_to_torch(widths: tuple[int, ...], seed: int) -> None:
    torch.manual_seed(seed)
    linears = [torch.nn.Linear(inputs, outputs) for inputs, outputs in pairwise(widths)]
    for layer, linear in zip(initial_layers(widths, "tanh", seed), linears, strict=True):
        assert layer.weight.dtype == layer.bias.dtype == np.float32
        np.testing.assert_array_equal(layer.weight, linear.weight.detach().numpy())
        np.testing.assert_array_equal(layer.bias, linear.bias.detach().numpy())


@given(
    seed=st.integers(0, 2**32 - 1),
    widths=st.lists(st.integers(1, 70), min_size=2, max_size=6),
)
@example(seed=0, widths=[2, 1])
@example(seed=2**32 - 1, widths=[2, 1])
@example(seed=777, widths=[2, 10, 10, 10, 1])
@settings(deadline=None, max_examples=200)
def test_weights_are_those_of_pytorch_bit_for_bit(seed: int, widths: list[int]) -> None:
    """Any seed and shape gives exactly the weights and biases of `nn.Linear` after the seed."""
    _assert_equal_to_torch(tuple(widths), seed)


@pytest.mark.parametrize("inputs", range(1, 400))
def test_bounds_round_as_in_pytorch(inputs: int) -> None:
    """Every fan-in up to 400 has PyTorch's bound to the last bit."""
    _assert_equal_to_torch((inputs, 3), inputs)


def test_wide_layers_are_those_of_pytorch() -> None:
    """Layers of a hundred thousand weights and more stay exact."""
    _assert_equal_to_torch((784, 512, 65, 1), 42)


@pytest.mark.parametrize("output", ["sigmoid", "softmax", "identity"])
def test_hidden_layers_get_the_activation_and_the_last_one_the_outputs(
    output: LayerActivation,
) -> None:
    """The output's activation is the task's, whatever the hidden layers use."""
    layers = initial_layers((2, 3, 3, 4), "relu", 0, output)
    assert [layer.activation for layer in layers] == ["relu", "relu", output]
    (layer,) = initial_layers((2, 1), "relu", 0, output)
    assert layer.activation == output


def test_torch_keeps_its_own_random_state() -> None:
    """Drawing weights changes neither NumPy's nor PyTorch's global generator."""
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = torch.rand(1).item(), np.random.random()  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    initial_layers((5, 5, 1), "relu", 3)
    assert (torch.rand(1).item(), np.random.random()) == expected  # noqa: NPY002
