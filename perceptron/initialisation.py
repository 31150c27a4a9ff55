"""The weights that a network starts from: those of PyTorch's `nn.Linear`, without PyTorch."""

import math
import threading
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from perceptron.layers import Layer, Layers
from schemas.network import LayerActivation


class _Generator(threading.local):
    """A thread's own generator: to seed one anew takes a fiftieth of the time to make one."""

    def __init__(self) -> None:
        self.random = np.random.RandomState(0)


_generator = _Generator()

RANDOM_BITS = 24
"""Bits of a uniform number: a float32's precision."""


def initial_layers(
    widths: Sequence[int],
    activation: LayerActivation,
    seed: int,
    output: LayerActivation = "sigmoid",
) -> Layers:
    """
    Draw float32 layers, bit for bit as `torch.manual_seed(seed)` and `nn.Linear`s in order do.

    Hidden layers get `activation`, the last one `output`. `widths` goes from the input to the
    output; `seed` is in 0 … 2³² − 1.
    """
    random = _generator.random
    random.seed(seed)
    values = initial_values(widths, random)
    last = len(widths) - 2
    layers = []
    start = 0
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        bias = start + inputs * outputs
        weight = values[start:bias].reshape(outputs, inputs)
        start = bias + outputs
        layers.append(Layer(weight, values[bias:start], output if index == last else activation))
    return tuple(layers)


def initial_values(widths: Sequence[int], random: np.random.RandomState) -> npt.NDArray[np.float32]:
    """
    Draw the numbers of `initial_layers` flat: each layer's weights (outputs, inputs), its biases.

    `random` is seeded with the network's seed.

    A number is U(−bound, bound), bound = 1/√inputs, from the low bits of one 32-bit number of the
    Mersenne Twister.

    Source: PyTorch, `nn.Linear.reset_parameters` and `at::transformation::uniform_real`.
    """
    low, width = _bounds(tuple(widths))
    words = random.randint(0, 2**32, size=len(low), dtype=np.uint32)
    unit = (words & np.uint32(2**RANDOM_BITS - 1)) * 2.0**-RANDOM_BITS
    # PyTorch's machine code multiplies and adds with one rounding; so does this, because float64
    # holds the product and the sum exactly.
    return (unit * width + low).astype(np.float32)


@lru_cache(maxsize=1)
def _bounds(
    widths: tuple[int, ...],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Give each number's lower bound and the width of its range, as PyTorch rounds them."""
    low = np.concatenate(
        [
            np.full((inputs + 1) * outputs, np.float32(-1 / math.sqrt(inputs)))
            for inputs, outputs in pairwise(widths)
        ]
    )
    return low.astype(np.float64), (-low - low).astype(np.float64)
