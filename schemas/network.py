"""What a network looks like: the hyperparameters of its shape."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Body

Activation = Literal["sigmoid", "tanh", "relu", "leaky_relu", "gelu", "identity"]
"""Activations that can be trained. `step` is for inference only."""

LayerActivation = Literal["sigmoid", "tanh", "relu", "leaky_relu", "gelu", "identity", "step"]

Units = Annotated[int, Field(ge=1, le=65_536)]


class NetworkConfig(Body):
    """A fully connected network between the dataset's features and one sigmoid output."""

    hidden_layers: Annotated[tuple[Units, ...], Field(max_length=32)] = ()
    """Units of each hidden layer, first to last. Empty: a single-layer perceptron."""

    activation: Activation = "sigmoid"
    """Activation of every hidden layer."""

    def widths(self, features: int) -> tuple[int, ...]:
        """Units of every layer from the input (`features`) to the single output."""
        return (features, *self.hidden_layers, 1)

    def parameter_count(self, features: int) -> int:
        """Number of weights and biases for an input of `features` values."""
        return count_parameters(self.widths(features))


def count_parameters(widths: Iterable[int]) -> int:
    """Number of weights and biases of fully connected layers of these widths."""
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))
