"""What engines report: the points of a network's curves, and the networks of a fleet that end."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from perceptron.engines.early_stopping import Standing
from perceptron.layers import Layers
from perceptron.tables import Table
from schemas.errors import Diverged
from schemas.training import EpochRecord, TrainingConfig

OWN = frozenset({"seed", "learning_rate", "weight_decay"})
"""What the trainings of a fleet may differ in."""

_RECORDS = TypeAdapter(list[EpochRecord])


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
    best_epoch: int | None = None
    """Epoch whose weights `layers` gives where early stopping kept some; else None."""

    @property
    def history(self) -> Sequence[EpochRecord]:
        """The curves as records."""
        return _records(self.epochs, self.curves)


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

    def records(self, rows: npt.NDArray[np.float64]) -> Iterator[EpochRecord]:
        """
        Make records of epochs and their sums. Shape (records, 5). Raises: Diverged.

        Records before the one that diverged are given first.
        """
        curves = self.curves(rows[:, 1:])
        is_finite = np.isfinite(rows).all(1)
        end = len(rows) if is_finite.all() else int(is_finite.argmin())
        epochs = rows[:, 0].astype(int)
        yield from _records(epochs[:end], curves[:end])
        if end < len(rows):
            raise Diverged(int(epochs[end]))

    def member(
        self,
        number: int,
        epochs: npt.NDArray[np.int64],
        sums: npt.NDArray[np.float64],
        standing: Standing,
        layers: Layers,
        *,
        ends_well: bool,
    ) -> Member:
        """
        Describe a network by the records up to its end. Shape of the sums: (epochs, 4).

        `ends_well` says whether its weights after the last epoch are finite.
        """
        if standing.ended_at is not None:
            own = epochs <= standing.ended_at
            epochs, sums = epochs[own], sums[own]
        lost = np.flatnonzero(~np.isfinite(sums).all(1))
        diverged_at = None
        if len(lost):
            diverged_at = int(epochs[lost[0]])
            epochs, sums = epochs[: lost[0]], sums[: lost[0]]
        elif standing.ended_at is None and not ends_well:
            diverged_at = int(epochs[-1])
        curves = self.curves(sums)
        return Member(number, epochs, curves, diverged_at, layers, standing.best_epoch)

    def valid_losses(self, sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Give validation losses, NaN where any sum is not finite. Shape (networks, 4)."""
        return np.where(np.isfinite(sums).all(1), sums[:, 2] / self.valid_rows, np.nan)

    def curves(self, sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Give the means over rows, and NaN where there are none. Shape (epochs, 4)."""
        valid_rows = self.valid_rows or math.nan
        curves = sums / (self.rows, self.rows, valid_rows, valid_rows)
        if not self.is_classified:
            curves[:, [1, 3]] = math.nan
        return curves


def check_alike(trainings: Sequence[TrainingConfig]) -> None:
    """See that the trainings can be a fleet. Raises: ValueError where they differ in more."""
    first, *others = ({k: v for k, v in training if k not in OWN} for training in trainings)
    if any(other != first for other in others):
        raise ValueError("a fleet's trainings differ in seed, rate and weight decay alone")


def _records(epochs: npt.NDArray[np.int64], curves: npt.NDArray[np.float64]) -> list[EpochRecord]:
    """Make records of a chunk at once: in half the time that one after the other takes."""
    points = np.where(np.isnan(curves), None, curves).tolist()  # type: ignore[call-overload]
    fields = [
        {
            "epoch": epoch,
            "train_loss": loss,
            "train_accuracy": accuracy,
            "valid_loss": valid_loss,
            "valid_accuracy": valid_accuracy,
        }
        for epoch, (loss, accuracy, valid_loss, valid_accuracy) in zip(
            epochs.tolist(), points, strict=True
        )
    ]
    return _RECORDS.validate_python(fields)
