"""Backpropagation by hand: every number of one forward and one backward pass."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from schemas.base import Body, Record, invalid
from schemas.network import Activation

Number = Annotated[float, Field(ge=-1e6, le=1e6)]
Vector = Annotated[tuple[Number, ...], Field(min_length=1, max_length=64)]


MAX_WEIGHTS = 4_096


class BackpropLayer(Body):
    """One fully connected layer."""

    weights: Annotated[tuple[Vector, ...], Field(min_length=1, max_length=64)]
    """Shape (outputs, inputs)."""
    biases: Vector | None = None
    """Shape (outputs,); null: none, as in the slides."""
    activation: Activation = "sigmoid"


class BackpropRequest(Body):
    """A network, one row and a learning rate; the defaults are the slides' example."""

    inputs: Vector = (0.1, 0.2)
    """Shape (inputs,)."""
    targets: Vector = (0.4, 0.6)
    """Shape (outputs,)."""
    layers: Annotated[tuple[BackpropLayer, ...], Field(min_length=1, max_length=16)] = (
        BackpropLayer(weights=((0.3, 0.25), (0.4, 0.35))),
        BackpropLayer(weights=((0.45, 0.4), (0.7, 0.6))),
    )
    """Layers from the input to the output."""
    learning_rate: Annotated[float, Field(gt=0, le=1_000)] = 0.5

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        size = sum(len(layer.weights) * len(layer.weights[0]) for layer in self.layers)
        if size > MAX_WEIGHTS:
            raise invalid(
                f"{size} weights; every number is shown, so at most {MAX_WEIGHTS}", "layers"
            )
        width = len(self.inputs)
        for index, layer in enumerate(self.layers):
            for row, weights in enumerate(layer.weights):
                if len(weights) != width:
                    raise invalid(
                        f"{len(weights)} weights for {width} inputs",
                        "layers",
                        index,
                        "weights",
                        row,
                    )
            width = len(layer.weights)
            if layer.biases is not None and len(layer.biases) != width:
                raise invalid(
                    f"{len(layer.biases)} biases for {width} outputs", "layers", index, "biases"
                )
        if len(self.targets) != width:
            raise invalid(f"{len(self.targets)} targets for {width} outputs", "targets")
        return self


class NamedValue(Record):
    """A number and what the slides call it."""

    name: str
    """Such as `z1`, `h1`, `o1`, `E_o1`, `∂E/∂o1`."""
    value: float


class ForwardLayer(Record):
    """What one layer computes."""

    z: tuple[NamedValue, ...]
    """Weighted sums, shape (outputs,)."""
    outputs: tuple[NamedValue, ...]
    """Activations of `z`: `h…` in hidden layers, `o…` in the last; shape (outputs,)."""


class Loss(Record):
    """E = Σ ½ (target − output)², and its terms."""

    total: float
    terms: tuple[NamedValue, ...]
    """`E_o1`, `E_o2`, …; shape (outputs,)."""


class ParameterStep(Record):
    """One weight or bias: its gradient by the chain rule, and its next value."""

    name: str
    """`W5` or `b2`, counted row by row through the layers as in the slides."""
    layer: int
    """Zero-based layer."""
    value: float
    """The value before the step."""
    factors: tuple[NamedValue, ...]
    """Their product is the gradient: `∂E/∂o1`, `∂o1/∂z3`, `∂z3/∂W5`."""
    gradient: float
    """∂E/∂W at the old values."""
    updated: float
    """value − learning_rate · gradient."""


class HiddenGradient(Record):
    """∂E/∂h of one hidden unit: a sum over the units that it feeds."""

    name: str
    value: float
    terms: tuple[NamedValue, ...]
    """One term per unit of the next layer: `∂E/∂z3·∂z3/∂h1`, …"""


class BackpropTrace(Record):
    """One whole step of gradient descent, every number by name."""

    object: str = "backprop"
    learning_rate: float
    inputs: tuple[NamedValue, ...]
    forward: tuple[ForwardLayer, ...]
    """Layers from the input to the output."""
    loss: Loss
    hidden_gradients: tuple[HiddenGradient, ...]
    parameters: tuple[ParameterStep, ...]
    """Every weight, then bias, of each layer from the input to the output."""
    after: Loss
    """The loss with every parameter updated from its old value."""
    after_layers: tuple[BackpropLayer, ...]
    """The layers with the updated values: send them to take the next step."""
