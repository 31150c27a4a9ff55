"""Rows of numbers that a network trains on: what preparation gives, and engines take."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.network import Task

INLINE_NAME = "inline"
"""Name of a table that came in a request."""


class Table(NamedTuple):
    """Rows of numbers with a target each."""

    name: str
    feature_names: tuple[str, ...]
    """Names of the features, in order; a categorical one takes several columns."""
    features: npt.NDArray[np.float32]
    """Shape (rows, inputs)."""
    targets: npt.NDArray[np.float32]
    """Shape (rows,): the number of the class (0, 1, …), or the value of a regression."""
    task: Task = "binary"
    classes: int = 2
    """Number of classes, in classification."""
    weights: npt.NDArray[np.float32] | None = None
    """Shape (rows,): how much each row's loss counts; None: all the same."""

    @property
    def outputs(self) -> int:
        """Units of the output layer."""
        return self.classes if self.task == "multiclass" else 1

    def take(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "Table":
        """Choose rows, by a mask or by their numbers."""
        weights = None if self.weights is None else self.weights[chosen]
        return self._replace(
            features=self.features[chosen], targets=self.targets[chosen], weights=weights
        )
