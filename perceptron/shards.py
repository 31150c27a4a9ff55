"""A shard's members: how they are trained together, and judged."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perceptron import engines
from perceptron.engines.reports import Member
from perceptron.preparation import Prepared
from perceptron.search import network_of, training_of
from perceptron.tables import Table
from schemas.errors import Diverged
from schemas.network import NetworkConfig
from schemas.sweep import Score, ShardGroup, SweepMember, TrainedMember
from schemas.training import CURVES, TrainingConfig


def train(
    group: ShardGroup, training: TrainingConfig, prepared: Prepared, score: Score
) -> Iterator[TrainedMember | None]:
    """
    Train a group; gives each member that ends, and None at least each `engines.YIELD_SECONDS`.

    Only the last epoch is recorded, but for early stopping. Raises: DeviceUnavailable.
    """
    network = network_of(group.members[0])
    judge = _Judge(score, prepared.train, prepared.valid, group.fold or 0)
    trainings = [_unrecorded(training_of(member, training)) for member in group.members]
    if group.way == "alone":
        for member, config in zip(group.members, trainings, strict=True):
            yield from _train_alone(network, config, judge, member)
        return
    for ended in _fleet(group.way)(network, trainings, prepared.train, prepared.valid).run():
        if ended is None:
            yield None
        else:
            yield judge.ended(group.members[ended.number], ended)


def _unrecorded(training: TrainingConfig) -> TrainingConfig:
    if training.early_stopping is not None:
        return training
    return training.model_copy(update={"record_every": training.epochs})


def _fleet(way: str) -> Any:
    """Load the engine of many networks; each is big, and no other way needs it."""
    if way == "stack":
        from perceptron.engines.torch_fleet import TorchFleet  # noqa: PLC0415

        return TorchFleet
    from perceptron.engines.fleet import Fleet  # noqa: PLC0415

    return Fleet


class _Judge(NamedTuple):
    """Makes results of the last point of the curves."""

    score: Score
    train: Table
    valid: Table | None
    fold: int

    def __call__(
        self,
        member: SweepMember,
        point: npt.NDArray[np.float64],
        trained_epochs: int,
        best_epoch: int | None,
    ) -> TrainedMember:
        """Judge by training loss and accuracy, and those of validation; NaN where there is none."""
        named = zip(CURVES, point.tolist(), strict=True)
        numbers = {name: None if math.isnan(value) else value for name, value in named}
        part = "train" if self.valid is None else "valid"
        score = numbers.get(f"{part}_{self.score}")
        if self.score == "r2":
            score = self._r2(numbers[f"{part}_loss"])
        return TrainedMember(
            member=member,
            fold=self.fold,
            trained_epochs=trained_epochs,
            best_epoch=best_epoch,
            score=score,
            **numbers,
        )

    def ended(self, member: SweepMember, found: Member) -> TrainedMember:
        """Judge a network of a fleet by its last epoch, or by the best that was kept."""
        if found.diverged_at is not None:
            return self.diverged(member, found.diverged_at)
        last = int(found.epochs[-1])
        judged = last if found.best_epoch is None else found.best_epoch
        point = found.curves[np.searchsorted(found.epochs, judged)]
        return self(member, point, last + 1, found.best_epoch)

    def diverged(self, member: SweepMember, epoch: int) -> TrainedMember:
        """Say that a network's loss is no number."""
        return TrainedMember(member=member, fold=self.fold, diverged_at=epoch)

    def _r2(self, loss: float | None) -> float | None:
        judging = self.train if self.valid is None else self.valid
        variance = float(judging.targets.astype(np.float64).var())
        return None if loss is None or variance == 0 else 1 - loss / variance


def _train_alone(
    network: NetworkConfig, training: TrainingConfig, judge: _Judge, member: SweepMember
) -> Iterator[TrainedMember | None]:
    running = engines.start(network, training, judge.train, judge.valid)
    points = {}
    epochs = 0
    try:
        for step in running.run():
            epochs = step.epochs
            if step.record is not None:
                points[step.record.epoch] = step.record
            yield None
    except Diverged as error:
        yield judge.diverged(member, error.epoch or 0)
        return
    best = points[max(points) if running.best_epoch is None else running.best_epoch]
    numbers = [getattr(best, name) for name in CURVES]
    point = np.array([math.nan if x is None else x for x in numbers])
    yield judge(member, point, epochs, running.best_epoch)
