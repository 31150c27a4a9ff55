"""The weights that a network starts from: those of PyTorch's `nn.Linear`, without PyTorch."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from perceptron.layers import Layer, Layers
from schemas.network import LayerActivation

RANDOM_BITS = 24
"""Bits of a uniform number: a float32's precision."""


def initial_layers(widths: Sequence[int], activation: LayerActivation, seed: int) -> Layers:
    """
    Draw float32 layers, bit for bit as `torch.manual_seed(seed)` and `nn.Linear`s in order do.

    Hidden layers get `activation`, the last one `sigmoid`. `widths` goes from the input to the
    output; `seed` is in 0 … 2³² − 1.

    Source: PyTorch, `nn.Linear.reset_parameters` and `at::transformation::uniform_real`.
    """
    random = np.random.RandomState(seed)
    last = len(widths) - 2
    return tuple(
        Layer(
            _uniform(random, (outputs, inputs), 1 / math.sqrt(inputs)),
            _uniform(random, (outputs,), 1 / math.sqrt(inputs)),
            "sigmoid" if index == last else activation,
        )
        for index, (inputs, outputs) in enumerate(pairwise(widths))
    )


def _uniform(
    random: np.random.RandomState, shape: tuple[int, ...], bound: float
) -> npt.NDArray[np.float32]:
    """Draw U(−bound, bound) from the low bits of one 32-bit Mersenne Twister number per value."""
    words = random.randint(0, 2**32, size=shape, dtype=np.uint32)
    unit = (words & np.uint32(2**RANDOM_BITS - 1)) * 2.0**-RANDOM_BITS
    low, high = np.float32(-bound), np.float32(bound)
    # PyTorch's machine code multiplies and adds with one rounding; so does this, because float64
    # holds the product and the sum exactly.
    return (unit * np.float64(high - low) + np.float64(low)).astype(np.float32)
