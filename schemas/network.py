"""What a network looks like: the hyperparameters of its shape, and what its output means."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Body

Task = Literal["binary", "multiclass", "regression"]
"""What is learned: one of two classes, one of several, or a number."""

Activation = Literal["sigmoid", "tanh", "relu", "leaky_relu", "gelu", "identity"]
"""Activations that can be trained. `step` is for inference only, `softmax` for outputs."""

LayerActivation = Literal[
    "sigmoid", "tanh", "relu", "leaky_relu", "gelu", "identity", "step", "softmax"
]

OUTPUT_ACTIVATIONS: Mapping[Task, LayerActivation] = {
    "binary": "sigmoid",
    "multiclass": "softmax",
    "regression": "identity",
}
"""Activation of the last layer, by what is learned."""

Units = Annotated[int, Field(ge=1, le=65_536)]


class NetworkConfig(Body):
    """A fully connected network between the dataset's features and its output."""

    hidden_layers: Annotated[tuple[Units, ...], Field(max_length=32)] = ()
    """Units of each hidden layer, first to last. Empty: a single-layer perceptron."""

    activation: Activation = "sigmoid"
    """Activation of every hidden layer."""

    def widths(self, features: int, outputs: int = 1) -> tuple[int, ...]:
        """Units of every layer from the input (`features`) to the output."""
        return (features, *self.hidden_layers, outputs)

    def parameter_count(self, features: int, outputs: int = 1) -> int:
        """Number of weights and biases for an input of `features` values."""
        return count_parameters(self.widths(features, outputs))


def count_parameters(widths: Iterable[int]) -> int:
    """Number of weights and biases of fully connected layers of these widths."""
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))
