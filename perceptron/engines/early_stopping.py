"""Early stopping: a training that ends when it gets no better, and keeps its best weights."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perceptron.engines import State, Step, Training
from perceptron.layers import Layer, Layers
from schemas.training import EarlyStopping

_OWN = "early_stopping."
"""Prefix of the names that this module adds to a state."""
_NONE = -1
"""In place of an epoch."""


class Standing(NamedTuple):
    """What the rule knows of a network."""

    best_epoch: int | None = None
    best_loss: float = math.inf
    ended_at: int | None = None
    """The epoch at which it was ended, or diverged."""


class Patience:
    """The rule for networks that are trained together: each goes by its own losses."""

    def __init__(self, rule: EarlyStopping | None, standings: Sequence[Standing]) -> None:
        """Take up networks where they stand; without a rule, nothing ends or is the best."""
        self._rule = rule
        self._best_epochs = _epochs(standing.best_epoch for standing in standings)
        self._best_losses = np.array([standing.best_loss for standing in standings])
        self._ended_at = _epochs(standing.ended_at for standing in standings)

    @property
    def have_ended(self) -> npt.NDArray[np.bool_]:
        """Whether each network has ended."""
        return np.not_equal(self._ended_at, _NONE)

    def look_at(self, epoch: int, losses: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """
        Take the validation losses after an epoch; says whose weights are the best so far.

        A loss that is not finite ends its network.
        """
        if self._rule is None:
            return np.zeros(len(losses), np.bool_)
        go_on = ~self.have_ended
        least = self._best_losses - self._rule.minimum_improvement
        are_better: npt.NDArray[np.bool_] = go_on & (losses < least)
        self._best_losses[are_better] = losses[are_better]
        self._best_epochs[are_better] = epoch
        have_waited = epoch - self._best_epochs >= self._rule.patience
        have_waited &= self._best_epochs != _NONE
        self._ended_at[go_on & (have_waited | ~np.isfinite(losses))] = epoch
        return are_better

    def standings(self) -> list[Standing]:
        """Say how each network stands."""
        columns = (self._best_epochs, self._best_losses, self._ended_at)
        return [
            Standing(None if best == _NONE else best, loss, None if end == _NONE else end)
            for best, loss, end in zip(*(column.tolist() for column in columns), strict=True)
        ]


def _epochs(found: Iterable[int | None]) -> npt.NDArray[np.int64]:
    return np.array([_NONE if epoch is None else epoch for epoch in found], np.int64)


class StoppedEarly:
    """
    Ends another training; the interface is `perceptron.engines.Training`.

    A record is looked at before its step is yielded, so that a state holds what it taught.
    """

    def __init__(self, training: Training, rule: EarlyStopping, state: State | None) -> None:
        self._training = training
        self.engine = training.engine
        self.device = training.device
        self._patience = Patience(rule, [Standing()])
        self._rule = rule
        self._best: Layers | None = None
        if state is not None and f"{_OWN}epoch" in state:
            self._restore(state)

    @property
    def best_epoch(self) -> int | None:
        """Give the epoch of the weights that are kept; see `Training.best_epoch`."""
        return self._standing.best_epoch

    @property
    def _standing(self) -> Standing:
        return self._patience.standings()[0]

    def run(self) -> Iterator[Step]:
        """Train; see `Training.run`."""
        steps = iter(()) if self._patience.have_ended.all() else self._training.run()
        for step in steps:
            has_ended = self._look_at(step)
            yield step
            if has_ended:
                return

    def layers(self) -> Layers:
        """Copy the best weights, or the last ones while no record is better than none."""
        return self._best or self._training.layers()

    def state(self) -> State | None:
        """Give what it needs to go on; see `Training.state`."""
        state = self._training.state()
        if state is None or self._best is None:
            return state
        return {**state, **state_of(self._standing, self._best)}

    def _look_at(self, step: Step) -> bool:
        """Keep the weights where they are the best; returns whether patience has run out."""
        record = step.record
        if record is None or record.valid_loss is None:
            return False
        (is_better,) = self._patience.look_at(record.epoch, np.array([record.valid_loss]))
        if is_better:
            self._best = self._training.layers()
        return bool(self._patience.have_ended.all())

    def _restore(self, state: State) -> None:
        standing = Standing(
            int(state[f"{_OWN}epoch"]),
            float(state[f"{_OWN}loss"]),
            int(state["epochs"]) - 1 if state[f"{_OWN}has_ended"] else None,
        )
        self._patience = Patience(self._rule, [standing])
        self._best = tuple(
            Layer(
                np.asarray(state[f"{_OWN}weight.{index}"]),
                np.asarray(state[f"{_OWN}bias.{index}"]),
                layer.activation,
            )
            for index, layer in enumerate(self._training.layers())
        )


def state_of(standing: Standing, best: Layers) -> dict[str, npt.NDArray[Any]]:
    """Say what `StoppedEarly` adds to the state of a training that has been looked at."""
    own: dict[str, npt.NDArray[Any]] = {
        "epoch": np.array(standing.best_epoch),
        "loss": np.array(standing.best_loss),
        "has_ended": np.array(standing.ended_at is not None),
    }
    for index, layer in enumerate(best):
        own |= {f"weight.{index}": layer.weight, f"bias.{index}": layer.bias}
    return {f"{_OWN}{name}": value for name, value in own.items()}
