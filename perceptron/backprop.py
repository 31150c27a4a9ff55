"""Backpropagation by hand: one forward and one backward pass, every number by name."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perceptron.inference import ACTIVATIONS, LEAKY_SLOPE
from schemas.backprop import (
    BackpropLayer,
    BackpropRequest,
    BackpropTrace,
    ForwardLayer,
    HiddenGradient,
    Loss,
    NamedValue,
    ParameterStep,
)
from schemas.errors import InvalidField
from schemas.network import Activation

Values = npt.NDArray[np.float64]

MAX_PARAMETER = 1e6
"""Largest weight or bias that a request may hold: the updated ones must be a request again."""


class _Pass(NamedTuple):
    """One layer on the way: its names and its numbers."""

    layer: BackpropLayer
    inputs: Values
    """Shape (inputs,)."""
    input_names: tuple[str, ...]
    z: Values
    """Shape (outputs,)."""
    z_names: tuple[str, ...]
    outputs: Values
    """Shape (outputs,)."""
    output_names: tuple[str, ...]


class _Deltas(NamedTuple):
    """The gradients at one layer, each of shape (outputs,)."""

    outputs: Values
    """∂E/∂output."""
    slopes: Values
    """∂output/∂z."""

    @property
    def z(self) -> Values:
        """∂E/∂z."""
        return self.outputs * self.slopes


def trace(request: BackpropRequest) -> BackpropTrace:
    """
    Take one step of gradient descent on E = Σ ½ (target − output)², in float64.

    Every parameter is updated from the old values of all.

    Raises: InvalidField when a number leaves the range that a request may hold.
    Source: slides, 4, backpropagation.
    """
    targets = np.array(request.targets)
    passes = _forward(request.inputs, request.layers)
    deltas = _backward(passes, targets)
    _check_range(passes, deltas, request.learning_rate)
    steps = list(_steps(passes, deltas, request.learning_rate))
    after_layers = _updated(request.layers, (step.updated for step in steps))
    after = _forward(request.inputs, after_layers)
    return BackpropTrace(
        learning_rate=request.learning_rate,
        inputs=_named(passes[0].input_names, passes[0].inputs),
        forward=tuple(
            ForwardLayer(
                z=_named(step.z_names, step.z), outputs=_named(step.output_names, step.outputs)
            )
            for step in passes
        ),
        loss=_loss(passes[-1], targets),
        hidden_gradients=tuple(_hidden_gradients(passes, deltas)),
        parameters=tuple(steps),
        after=_loss(after[-1], targets),
        after_layers=after_layers,
    )


def _forward(inputs: Sequence[float], layers: Sequence[BackpropLayer]) -> list[_Pass]:
    values = np.array(inputs, np.float64)
    names = _names("x", count(1), len(inputs))
    sums, hidden = count(1), count(1)
    passes = []
    for index, layer in enumerate(layers):
        z = np.array(layer.weights) @ values
        if layer.biases is not None:
            z = z + np.array(layer.biases)
        with np.errstate(over="ignore"):
            outputs = ACTIVATIONS[layer.activation](z)
        letter, numbers = ("h", hidden) if index < len(layers) - 1 else ("o", count(1))
        output_names = _names(letter, numbers, len(z))
        passes.append(
            _Pass(layer, values, names, z, _names("z", sums, len(z)), outputs, output_names)
        )
        values, names = outputs, output_names
    return passes


def _backward(passes: Sequence[_Pass], targets: Values) -> list[_Deltas]:
    gradient = passes[-1].outputs - targets
    deltas: list[_Deltas] = []
    for step in reversed(passes):
        delta = _Deltas(gradient, _slopes(step))
        deltas.insert(0, delta)
        gradient = delta.z @ np.array(step.layer.weights)
    return deltas


def _slopes(step: _Pass) -> Values:
    slope = _SLOPES[step.layer.activation]
    return np.array(
        [slope(z, out) for z, out in zip(step.z.tolist(), step.outputs.tolist(), strict=True)]
    )


def _gelu_slope(z: float, _output: float) -> float:
    """Φ(z) + z·φ(z)."""
    density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return 0.5 * math.erfc(-z / math.sqrt(2)) + z * density


_SLOPES: Mapping[Activation, Callable[[float, float], float]] = {
    "sigmoid": lambda _, output: output * (1 - output),
    "tanh": lambda _, output: 1 - output * output,
    "relu": lambda z, _: 1.0 if z > 0 else 0.0,
    "leaky_relu": lambda z, _: 1.0 if z > 0 else LEAKY_SLOPE,
    "gelu": _gelu_slope,
    "identity": lambda _z, _output: 1.0,
}
"""Derivative of each activation, from z and the output."""


def _steps(
    passes: Sequence[_Pass], deltas: Sequence[_Deltas], learning_rate: float
) -> Iterator[ParameterStep]:
    """Every weight, then bias, of each layer."""
    weights, biases = count(1), count(1)
    for index, (step, delta) in enumerate(zip(passes, deltas, strict=True)):
        to_z = list(_factors_to_z(step, delta))
        for unit, row in enumerate(step.layer.weights):
            for value, source in zip(row, step.inputs.tolist(), strict=True):
                factors = (*to_z[unit], _last_factor(step, unit, f"W{next(weights)}", source))
                yield _step(factors, index, value, learning_rate)
        for unit, value in enumerate(step.layer.biases or ()):
            factors = (*to_z[unit], _last_factor(step, unit, f"b{next(biases)}", 1.0))
            yield _step(factors, index, value, learning_rate)


def _factors_to_z(step: _Pass, delta: _Deltas) -> Iterator[tuple[NamedValue, NamedValue]]:
    """∂E/∂o and ∂o/∂z of each unit: what its parameters have in common."""
    names = zip(step.output_names, step.z_names, strict=True)
    slopes = zip(delta.outputs.tolist(), delta.slopes.tolist(), strict=True)
    for (output, z), (gradient, slope) in zip(names, slopes, strict=True):
        yield (
            NamedValue(name=f"∂E/∂{output}", value=gradient),
            NamedValue(name=f"∂{output}/∂{z}", value=slope),
        )


def _last_factor(step: _Pass, unit: int, name: str, source: float) -> NamedValue:
    return NamedValue(name=f"∂{step.z_names[unit]}/∂{name}", value=source)


def _step(
    factors: tuple[NamedValue, ...], layer: int, value: float, learning_rate: float
) -> ParameterStep:
    gradient = math.prod(factor.value for factor in factors)
    return ParameterStep(
        name=factors[-1].name.rpartition("∂")[2],
        layer=layer,
        value=value,
        factors=factors,
        gradient=gradient,
        updated=value - learning_rate * gradient,
    )


def _check_range(passes: Sequence[_Pass], deltas: Sequence[_Deltas], learning_rate: float) -> None:
    """Compute every updated parameter, rounded as in `_step`, before any record is made."""
    for number, (step, delta) in enumerate(zip(passes, deltas, strict=True), start=1):
        old = np.column_stack(
            [np.array(step.layer.weights), step.layer.biases or np.zeros_like(step.z)]
        )
        sources = np.append(step.inputs, 0.0 if step.layer.biases is None else 1.0)
        updated = old - learning_rate * np.outer(delta.z, sources)
        if not (np.abs(updated) <= MAX_PARAMETER).all():
            raise InvalidField(
                f"the step takes a parameter of layer {number} beyond ±{MAX_PARAMETER:g}: lower "
                "the learning rate, or the size of the weights and inputs",
                "learning_rate",
            )


def _hidden_gradients(
    passes: Sequence[_Pass], deltas: Sequence[_Deltas]
) -> Iterator[HiddenGradient]:
    for index, step in enumerate(passes[:-1]):
        fed, fed_delta = passes[index + 1], deltas[index + 1].z.tolist()
        for unit, name in enumerate(step.output_names):
            terms = tuple(
                NamedValue(name=f"∂E/∂{z}·∂{z}/∂{name}", value=delta * row[unit])
                for z, delta, row in zip(fed.z_names, fed_delta, fed.layer.weights, strict=True)
            )
            value = float(deltas[index].outputs[unit])
            yield HiddenGradient(name=f"∂E/∂{name}", value=value, terms=terms)


def _updated(layers: Sequence[BackpropLayer], values: Iterator[float]) -> tuple[BackpropLayer, ...]:
    return tuple(
        BackpropLayer(
            weights=tuple(tuple(next(values) for _ in row) for row in layer.weights),
            biases=None if layer.biases is None else tuple(next(values) for _ in layer.biases),
            activation=layer.activation,
        )
        for layer in layers
    )


def _loss(last: _Pass, targets: Values) -> Loss:
    terms = 0.5 * (targets - last.outputs) ** 2
    names = tuple(f"E_{name}" for name in last.output_names)
    return Loss(total=float(terms.sum()), terms=_named(names, terms))


def _names(letter: str, numbers: Iterator[int], size: int) -> tuple[str, ...]:
    return tuple(f"{letter}{next(numbers)}" for _ in range(size))


def _named(names: Sequence[str], values: Values) -> tuple[NamedValue, ...]:
    return tuple(
        NamedValue(name=name, value=value)
        for name, value in zip(names, values.tolist(), strict=True)
    )
