"""
About how long trainings take: what decides which are trained in lanes, and how large shards are.

The numbers are nanoseconds on one core with AVX-512, fitted to measurements; elsewhere only their
ratios matter. Nothing depends on them but the time that is taken.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Self

from perceptron.engines.simd import LANES
from schemas.network import count_parameters
from schemas.training import TrainingConfig

SET_UP = 3e5
"""Memory and records of a network, or of a group of them, in Python."""
IN_LANES = 15e4
"""Initial weights and results of each network in the lanes, in Python."""
LOOK_ALONE = 4e4
"""Early stopping's look at one network: back from the kernel, a record, the best weights."""
LOOK_IN_LANES = 3e4
"""Its look at all networks in the lanes."""
STACKED_STEP = 2e5
"""One step of PyTorch's stacked tensors, however few networks."""
STACKED_PRODUCT = {"cpu": 0.1, "cuda": 0.001}


class Work(NamedTuple):
    """What is trained."""

    widths: Sequence[int]
    rows: int
    batch_rows: int
    epochs: int
    looks: int = 0
    """How often early stopping looks at the validation rows, at most."""

    @classmethod
    def of(cls, training: TrainingConfig, widths: Sequence[int], rows: int) -> Self:
        """Describe a training on so many rows."""
        looks = 0 if training.early_stopping is None else training.records
        return cls(widths, rows, min(training.batch_size or rows, rows), training.epochs, looks)

    @property
    def lanes_are_worth(self) -> float:
        """How many networks, trained one after the other, take as long as sixteen in a fleet."""
        return self.lanes / self.alone

    @property
    def _steps(self) -> int:
        return math.ceil(self.rows / self.batch_rows)

    @property
    def _is_shuffled(self) -> bool:
        return self.batch_rows < self.rows

    @property
    def alone(self) -> float:
        """Seconds of one network in the fused engine: its units, or one unit's inputs, in lanes."""
        layers, inputs = len(self.widths) - 1, self.widths[0]
        if self.widths[1:] == (1,):
            row = 0.4 + 0.08 * inputs + (6.6 + 0.37 * inputs) * self._is_shuffled
            step = 60 + 1.8 * inputs
        else:
            row = 3.4 * layers + 0.5 * self._vectors + 7 * self._is_shuffled
            step = 77 * layers + 0.7 * count_parameters(self.widths)
        return self._seconds(row, step) + 1e-9 * LOOK_ALONE * self.looks

    @property
    def _vectors(self) -> int:
        """Vectors that hold the weights of a network alone."""
        return sum((inputs + 1) * -(-units // LANES) for inputs, units in pairwise(self.widths))

    @property
    def lanes(self) -> float:
        """Seconds of up to sixteen networks in a fleet: each has a lane."""
        parameters = count_parameters(self.widths)
        gathering = (4.4 * self.widths[0] + 220) * self._is_shuffled
        row = 1.3 * parameters + 3.7 * sum(self.widths[1:]) + gathering
        seconds = self._seconds(row, 130 + 7.6 * parameters)
        return seconds + 1e-9 * (LANES * IN_LANES + LOOK_IN_LANES * self.looks)

    def stacked(self, networks: int, device: str) -> float:
        """Seconds of networks in PyTorch's stacked tensors."""
        products = 6 * networks * count_parameters(self.widths)
        return self._seconds(products * STACKED_PRODUCT[device], STACKED_STEP)

    def _seconds(self, row: float, step: float) -> float:
        return 1e-9 * (SET_UP + self.epochs * (self.rows * row + self._steps * step))
