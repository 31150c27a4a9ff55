"""Gates, their perceptrons, and their truth tables."""

import operator
from collections.abc import Callable

import numpy as np
import pytest

from perceptron.gates import BUILT_IN_MODELS, gate, gate_summaries
from perceptron.inference import forward
from perceptron.layers import Layer
from schemas.errors import NotFound

BITWISE: dict[str, Callable[[int, int], int]] = {
    "and": operator.and_,
    "or": operator.or_,
    "nand": lambda a, b: 1 - (a & b),
    "nor": lambda a, b: 1 - (a | b),
    "xor": operator.xor,
    "xnor": lambda a, b: 1 - (a ^ b),
}


@pytest.mark.parametrize("name", BITWISE)
def test_two_input_gates_compute_their_operator(name: str) -> None:
    """Each row's output is that of Python's operator, in counting order."""
    table = gate(name).truth_table
    assert [row.inputs for row in table] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [row.output for row in table] == [BITWISE[name](*row.inputs) for row in table]


@pytest.mark.parametrize("inputs", [3, 4])
def test_parity_is_1_for_an_odd_sum(inputs: int) -> None:
    """Parity is the sum of the inputs modulo 2, and no line separates it."""
    parity = gate(f"parity-{inputs}")
    assert parity.inputs == inputs
    assert len(parity.truth_table) == 2**inputs
    assert all(row.output == sum(row.inputs) % 2 for row in parity.truth_table)
    assert not parity.separability.linearly_separable


def test_every_named_gate_is_listed_and_described() -> None:
    """The list holds the eight gates, each with its own page."""
    names = [summary.name for summary in gate_summaries()]
    assert set(names) == {*BITWISE, "parity-3", "parity-4"}
    for summary in gate_summaries():
        assert gate(summary.name).description == summary.description
        assert gate(summary.name).inputs == summary.inputs


@pytest.mark.parametrize(
    ("name", "weights", "bias"),
    [("and", (0.5, 0.5), -0.7), ("nand", (-0.5, -0.5), 0.7), ("or", (0.6, 0.6), -0.5)],
)
def test_slides_perceptrons_have_the_slides_numbers(
    name: str, weights: tuple[float, ...], bias: float
) -> None:
    """AND, NAND and OR have the slides' weights, bias and line."""
    found = gate(name)
    assert found.perceptron is not None
    (layer,) = found.perceptron
    assert (layer.weight, layer.bias, layer.activation) == ((weights,), (bias,), "step")
    line = found.separability.line
    assert line is not None
    assert (line.weights, line.bias) == (weights, bias)


@pytest.mark.parametrize("name", ["and", "nand", "or", "xor"])
def test_hand_set_layers_compute_the_gate(name: str) -> None:
    """The layers shown for a gate give its truth table."""
    found = gate(name)
    assert found.perceptron is not None
    layers = tuple(
        Layer(np.array(layer.weight), np.array(layer.bias), layer.activation)
        for layer in found.perceptron
    )
    outputs = forward(layers, [row.inputs for row in found.truth_table])
    assert outputs.tolist() == [row.output for row in found.truth_table]


def test_xor_is_and_of_nand_and_or() -> None:
    """XOR's hidden units are NAND and OR, its output unit is AND; no line separates it."""
    hidden, output = BUILT_IN_MODELS["xor"]
    for unit, name in enumerate(["nand", "or"]):
        (layer,) = BUILT_IN_MODELS[name]
        np.testing.assert_array_equal(hidden.weight[unit], layer.weight[0])
        assert hidden.bias[unit] == layer.bias[0]
    np.testing.assert_array_equal(output.weight, BUILT_IN_MODELS["and"][0].weight)
    separability = gate("xor").separability
    assert separability.proof is not None
    assert separability.proof.point == (0.5, 0.5)


def test_built_in_models_cannot_be_written_to() -> None:
    """Their arrays are read-only float64."""
    for layers in BUILT_IN_MODELS.values():
        for layer in layers:
            assert layer.weight.dtype == layer.bias.dtype == np.float64
            with pytest.raises(ValueError, match="read-only"):
                layer.weight[0] = 1


@pytest.mark.parametrize("inputs", range(1, 9))
def test_a_truth_table_is_a_gate(inputs: int) -> None:
    """Digits of length 2, 4, … 256 are outputs in counting order."""
    digits = ("0110" * 64)[: 2**inputs]
    found = gate(digits)
    assert found.inputs == inputs
    assert "".join(str(row.output) for row in found.truth_table) == digits
    values = [int("".join(map(str, row.inputs)), 2) for row in found.truth_table]
    assert values == list(range(2**inputs))


@pytest.mark.parametrize("name", ["", "0", "011", "01101", "01" * 256, "0120", "AND", "parity-5"])
def test_other_names_are_not_found(name: str) -> None:
    """A name that is neither a gate's nor a truth table raises NotFound."""
    with pytest.raises(NotFound):
        gate(name)
