"""What engines report: the points of a network's curves, and the networks of a fleet that end."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from perceptron.layers import Layers
from perceptron.tables import Table
from schemas.errors import Diverged
from schemas.training import EpochRecord, TrainingConfig

OWN = frozenset({"seed", "learning_rate", "weight_decay"})
"""What the trainings of a fleet may differ in."""


class Member(NamedTuple):
    """A network of the fleet that has ended."""

    number: int
    """Which of the trainings, from 0."""
    epochs: npt.NDArray[np.int64]
    """The recorded epochs, up to the one before it diverged."""
    curves: npt.NDArray[np.float64]
    """
    Training loss, training accuracy, validation loss, validation accuracy at those epochs; NaN
    where there are no validation rows, or no classes. Shape (epochs, 4).
    """
    diverged_at: int | None
    """The recorded epoch whose loss, or whose weights at the end, are not finite."""
    layers: Layers

    @property
    def history(self) -> Sequence[EpochRecord]:
        """The curves as records."""
        return [
            EpochRecord(
                epoch=epoch,
                train_loss=point[0],
                train_accuracy=_known(point[1]),
                valid_loss=_known(point[2]),
                valid_accuracy=_known(point[3]),
            )
            for epoch, point in zip(self.epochs.tolist(), self.curves.tolist(), strict=True)
        ]


class Counted(NamedTuple):
    """
    The rows that an engine sums over.

    Its sums are the training loss, the training rows that are right, and both for validation.
    """

    rows: int
    valid_rows: int
    """0 where there are none."""
    is_classified: bool

    @classmethod
    def of(cls, train: Table, valid: Table | None) -> Self:
        """Count the rows of both tables."""
        valid_rows = 0 if valid is None else len(valid.targets)
        return cls(len(train.targets), valid_rows, train.task != "regression")

    def record(self, epoch: int, sums: Sequence[float]) -> EpochRecord:
        """Make an epoch's record of its sums. Raises: Diverged."""
        train_loss, train_right, valid_loss, valid_right = sums
        if not math.isfinite(train_loss + valid_loss):
            raise Diverged(epoch)
        rows, valid_rows = self.rows, self.valid_rows
        is_judged = valid_rows and self.is_classified
        return EpochRecord(
            epoch=epoch,
            train_loss=train_loss / rows,
            train_accuracy=train_right / rows if self.is_classified else None,
            valid_loss=valid_loss / valid_rows if valid_rows else None,
            valid_accuracy=valid_right / valid_rows if is_judged else None,
        )

    def member(
        self,
        number: int,
        epochs: npt.NDArray[np.int64],
        sums: npt.NDArray[np.float64],
        layers: Layers,
    ) -> Member:
        """Describe a network after its last epoch. Shape of the sums: (epochs, 4)."""
        lost = np.flatnonzero(~np.isfinite(sums).all(1))
        diverged_at = None
        if len(lost):
            diverged_at = int(epochs[lost[0]])
            epochs, sums = epochs[: lost[0]], sums[: lost[0]]
        elif not all(np.isfinite(part).all() for layer in layers for part in layer[:2]):
            diverged_at = int(epochs[-1])
        valid_rows = self.valid_rows or math.nan
        curves = sums / (self.rows, self.rows, valid_rows, valid_rows)
        if not self.is_classified:
            curves[:, [1, 3]] = math.nan
        return Member(number, epochs, curves, diverged_at, layers)


def check_alike(trainings: Sequence[TrainingConfig]) -> None:
    """See that the trainings can be a fleet. Raises: ValueError where they differ in more."""
    first, *others = ({k: v for k, v in training if k not in OWN} for training in trainings)
    if any(other != first for other in others):
        raise ValueError("a fleet's trainings differ in seed, rate and weight decay alone")


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
