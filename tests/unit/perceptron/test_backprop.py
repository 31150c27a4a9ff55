"""The backpropagation trace, against the slides and PyTorch's autograd."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from perceptron.backprop import trace
from schemas.backprop import BackpropLayer, BackpropRequest, BackpropTrace, NamedValue
from schemas.errors import InvalidField
from tests.unit.perceptron.pytorch import MODULES

SLIDES = trace(BackpropRequest())
NUMBERS = st.floats(-3, 3)


def _values(named: tuple[NamedValue, ...]) -> dict[str, float]:
    return {value.name: value.value for value in named}


def _forward_values(found: BackpropTrace) -> dict[str, float]:
    return {
        name: value
        for layer in found.forward
        for name, value in (_values(layer.z) | _values(layer.outputs)).items()
    }


def test_forward_pass_is_the_slides() -> None:
    """Every z, h and o has the slides' name and number."""
    expected = {
        "z1": 0.08, "z2": 0.11, "h1": 0.51998934, "h2": 0.52747230,
        "z3": 0.44498412, "z4": 0.68047592, "o1": 0.60944600, "o2": 0.66384491,
    }  # fmt: skip
    assert _forward_values(SLIDES) == pytest.approx(expected, abs=5e-9)
    assert _values(SLIDES.inputs) == {"x1": 0.1, "x2": 0.2}


def test_loss_is_the_slides() -> None:
    """E before and after the step are the slides' numbers, the terms named by output."""
    expected = {"E_o1": 0.02193381, "E_o2": 0.00203809}
    assert _values(SLIDES.loss.terms) == pytest.approx(expected, abs=5e-9)
    assert SLIDES.loss.total == pytest.approx(0.02397190, abs=5e-9)
    assert SLIDES.after.total == pytest.approx(0.02323634, abs=5e-9)


def test_updated_weights_are_the_slides() -> None:
    """W1 … W8, counted row by row, take the slides' next values, all from the old ones."""
    expected = {
        "W1": 0.29959556, "W2": 0.24919112, "W3": 0.39964496, "W4": 0.34928991,
        "W5": 0.43703857, "W6": 0.38685205, "W7": 0.69629578, "W8": 0.59624247,
    }  # fmt: skip
    updated = {step.name: step.updated for step in SLIDES.parameters}
    assert list(updated) == list(expected)
    assert updated == pytest.approx(expected, abs=5e-9)
    assert [step.layer for step in SLIDES.parameters] == [0] * 4 + [1] * 4


def test_chain_rule_of_w5_is_the_slides() -> None:
    """∂E/∂W5 is the product of the slides' three factors."""
    w5 = SLIDES.parameters[4]
    expected = {"∂E/∂o1": 0.20944600, "∂o1/∂z3": 0.23802157, "∂z3/∂W5": 0.51998934}
    assert _values(w5.factors) == pytest.approx(expected, abs=5e-9)
    assert list(_values(w5.factors)) == list(expected)
    assert w5.gradient == pytest.approx(0.02592286, abs=5e-9)


def test_chain_rule_of_w1_goes_through_the_hidden_unit() -> None:
    """∂E/∂W1 has the factors ∂E/∂h1, ∂h1/∂z1, ∂z1/∂W1, and ∂E/∂h1 is the sum over o1 and o2."""
    w1 = SLIDES.parameters[0]
    assert list(_values(w1.factors)) == ["∂E/∂h1", "∂h1/∂z1", "∂z1/∂W1"]
    assert w1.gradient == pytest.approx(0.00080888, abs=5e-9)
    h1, h2 = SLIDES.hidden_gradients
    assert (h1.name, h2.name) == ("∂E/∂h1", "∂E/∂h2")
    expected = {"∂E/∂z3·∂z3/∂h1": 0.02243370, "∂E/∂z4·∂z4/∂h1": 0.00997311}
    assert _values(h1.terms) == pytest.approx(expected, abs=5e-9)
    assert h1.value == pytest.approx(0.03240681, abs=5e-9)


def test_the_next_step_starts_from_the_updated_layers() -> None:
    """Sending `after_layers` back gives the loss that was announced, and so on downhill."""
    request = BackpropRequest()
    losses = [SLIDES.loss.total]
    for _ in range(5):
        found = trace(request)
        assert found.loss.total == losses[-1]
        losses.append(found.after.total)
        request = BackpropRequest(layers=found.after_layers)
    assert losses == sorted(losses, reverse=True)


def test_a_trace_survives_json() -> None:
    """The record is valid, finite JSON."""
    assert BackpropTrace.model_validate_json(SLIDES.model_dump_json()) == SLIDES


@st.composite
def _requests(draw: st.DrawFn) -> BackpropRequest:
    widths = draw(st.lists(st.integers(1, 4), min_size=2, max_size=5))
    vector = [st.lists(NUMBERS, min_size=n, max_size=n).map(tuple) for n in range(5)]
    layers = tuple(
        BackpropLayer(
            weights=tuple(draw(vector[inputs]) for _ in range(outputs)),
            biases=draw(st.none() | vector[outputs]),
            activation=draw(st.sampled_from(sorted(MODULES))),
        )
        for inputs, outputs in pairwise(widths)
    )
    inputs, targets = draw(vector[widths[0]]), draw(vector[widths[-1]])
    return BackpropRequest(inputs=inputs, targets=targets, layers=layers, learning_rate=0.1)


def _autograd(request: BackpropRequest) -> tuple[float, list[float]]:
    """Compute the loss and every gradient, weights before biases in each layer, row by row."""
    parameters, values = [], torch.tensor(request.inputs, dtype=torch.float64)
    for layer in request.layers:
        weight = torch.tensor(layer.weights, dtype=torch.float64, requires_grad=True)
        parameters.append(weight)
        z = weight @ values
        if layer.biases is not None:
            bias = torch.tensor(layer.biases, dtype=torch.float64, requires_grad=True)
            parameters.append(bias)
            z = z + bias
        values = MODULES[layer.activation](z)
    loss = (0.5 * (torch.tensor(request.targets, dtype=torch.float64) - values) ** 2).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad.flatten() for p in parameters if p.grad is not None]
    return loss.item(), torch.cat(gradients).tolist()


def _near_a_kink(request: BackpropRequest, found: BackpropTrace) -> bool:
    """Whether rounding decides on which side of 0 the sum of a (leaky) ReLU unit is."""
    return any(
        layer.activation in ("relu", "leaky_relu") and abs(z.value) < 1e-9
        for layer, forward in zip(request.layers, found.forward, strict=True)
        for z in forward.z
    )


@pytest.mark.parametrize("activation", MODULES)
def test_slopes_at_zero_are_those_of_pytorch(activation: Any) -> None:
    """A sum of exactly 0 has PyTorch's slope, for the activations with a kink there too."""
    layer = BackpropLayer(weights=((0.0, 0.0),), biases=(0.0,), activation=activation)
    request = BackpropRequest(targets=(2.0,), layers=(layer,))
    gradients = [step.gradient for step in trace(request).parameters]
    np.testing.assert_allclose(gradients, _autograd(request)[1], rtol=1e-12)


@given(request=_requests())
@settings(deadline=None, max_examples=150)
def test_gradients_are_those_of_autograd(request: BackpropRequest) -> None:
    """Networks of any depth, activation and bias have PyTorch's loss and gradients."""
    found = trace(request)
    assume(not _near_a_kink(request, found))
    loss, gradients = _autograd(request)
    assert found.loss.total == pytest.approx(loss, rel=1e-9, abs=1e-12)
    ours = [step.gradient for step in found.parameters]
    np.testing.assert_allclose(ours, gradients, rtol=1e-8, atol=1e-10)
    for step in found.parameters:
        assert step.updated == pytest.approx(step.value - 0.1 * step.gradient)
        assert math.prod(factor.value for factor in step.factors) == step.gradient
    for hidden in found.hidden_gradients:
        assert hidden.value == pytest.approx(sum(t.value for t in hidden.terms), abs=1e-9)


@given(request=_requests())
@settings(deadline=None, max_examples=50)
def test_the_loss_after_is_that_of_the_updated_layers(request: BackpropRequest) -> None:
    """`after` is the loss of `after_layers`, computed anew by PyTorch."""
    found = trace(request)
    again = request.model_copy(update={"layers": found.after_layers})
    assert found.after.total == pytest.approx(_autograd(again)[0], rel=1e-9, abs=1e-12)


def test_names_count_through_the_layers() -> None:
    """z, h, W and b keep counting through a deep network; o begins at 1."""
    layer = BackpropLayer(weights=((0.1, 0.2), (0.3, 0.4)), biases=(0.5, 0.6))
    found = trace(BackpropRequest(layers=(layer,) * 3))
    assert list(_forward_values(found)) == [
        "z1", "z2", "h1", "h2", "z3", "z4", "h3", "h4", "z5", "z6", "o1", "o2"
    ]  # fmt: skip
    assert [step.name for step in found.parameters] == [
        "W1", "W2", "W3", "W4", "b1", "b2", "W5", "W6", "W7", "W8", "b3", "b4",
        "W9", "W10", "W11", "W12", "b5", "b6",
    ]  # fmt: skip
    assert [factor.name for factor in found.parameters[-1].factors] == [
        "∂E/∂o2", "∂o2/∂z6", "∂z6/∂b6"
    ]  # fmt: skip


@pytest.mark.parametrize("activation", ["relu", "identity", "gelu", "leaky_relu"])
def test_a_step_out_of_range_is_refused(activation: Any) -> None:
    """The largest network with the largest numbers gives an error that names the remedy, no NaN."""
    row = (1e6,) * 16
    layer = BackpropLayer(weights=(row,) * 16, biases=row, activation=activation)
    request = BackpropRequest(inputs=row, targets=row, layers=(layer,) * 16, learning_rate=1000.0)
    with pytest.raises(InvalidField, match="lower the learning rate") as caught:
        trace(request)
    assert caught.value.at == ("learning_rate",)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize("sign", [1, -1])
def test_saturated_units_are_finite(activation: Any, sign: int) -> None:
    """Huge sums saturate a unit: its slope is 0 and nothing moves."""
    layer = BackpropLayer(weights=((1e6 * sign,),), activation=activation)
    found = trace(BackpropRequest(inputs=(1e6,), targets=(0.5,), layers=(layer,)))
    assert found.parameters[0].gradient == 0
    assert found.after == found.loss
