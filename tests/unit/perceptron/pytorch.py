"""PyTorch's own activations, by our names: what ours are checked against."""

from collections.abc import Mapping

from torch import nn

MODULES: Mapping[str, nn.Module] = {
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(),
    "gelu": nn.GELU(),
    "identity": nn.Identity(),
}
"""Every activation that can be trained."""
