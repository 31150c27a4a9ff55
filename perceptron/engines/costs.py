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
        """Seconds of one network in the fused engine: its units lie in the lanes."""
        layers = len(self.widths) - 1
        vectors = sum((inputs + 1) * -(-units // LANES) for inputs, units in pairwise(self.widths))
        row = 5 * layers + vectors + 13 * self._is_shuffled
        step = 80 * layers + 0.2 * count_parameters(self.widths)
        return self._seconds(row, step)

    @property
    def lanes(self) -> float:
        """Seconds of up to sixteen networks in a fleet: each has a lane."""
        parameters = count_parameters(self.widths)
        gathering = (15 * self.widths[0] + 200) * self._is_shuffled
        row = 1.6 * parameters + 6 * sum(self.widths[1:]) + gathering
        return self._seconds(row, 100 + 2 * parameters) + 1e-9 * LANES * IN_LANES

    def stacked(self, networks: int, device: str) -> float:
        """Seconds of networks in PyTorch's stacked tensors."""
        products = 6 * networks * count_parameters(self.widths)
        return self._seconds(products * STACKED_PRODUCT[device], STACKED_STEP)

    def _seconds(self, row: float, step: float) -> float:
        return 1e-9 * (SET_UP + self.epochs * (self.rows * row + self._steps * step))
