"""Early stopping: a training that ends when it gets no better, and keeps its best weights."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from perceptron.engines import State, Step, Training
from perceptron.layers import Layer, Layers
from schemas.training import EarlyStopping

_OWN = "early_stopping."
"""Prefix of the names that this module adds to a state."""


class StoppedEarly:
    """
    Ends another training; the interface is `perceptron.engines.Training`.

    A record is looked at before its step is yielded, so that a state holds what it taught.
    """

    def __init__(self, training: Training, rule: EarlyStopping, state: State | None) -> None:
        self._training = training
        self.engine = training.engine
        self.device = training.device
        self._rule = rule
        self._best_loss = math.inf
        self._best: Layers | None = None
        self._has_ended = False
        self.best_epoch: int | None = None
        if state is not None and f"{_OWN}epoch" in state:
            self._restore(state)

    def run(self) -> Iterator[Step]:
        """Train; see `Training.run`."""
        steps = iter(()) if self._has_ended else self._training.run()
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
        if state is None or self.best_epoch is None or self._best is None:
            return state
        own: dict[str, npt.NDArray[Any]] = {
            "epoch": np.array(self.best_epoch),
            "loss": np.array(self._best_loss),
            "has_ended": np.array(self._has_ended),
        }
        for index, layer in enumerate(self._best):
            own |= {f"weight.{index}": layer.weight, f"bias.{index}": layer.bias}
        return {**state, **{f"{_OWN}{name}": value for name, value in own.items()}}

    def _look_at(self, step: Step) -> bool:
        """Keep the weights where they are the best; returns whether patience has run out."""
        record = step.record
        if record is None or record.valid_loss is None:
            return False
        if record.valid_loss < self._best_loss - self._rule.minimum_improvement:
            self._best_loss = record.valid_loss
            self._best = self._training.layers()
            self.best_epoch = record.epoch
        elif self.best_epoch is not None:
            self._has_ended = record.epoch - self.best_epoch >= self._rule.patience
        return self._has_ended

    def _restore(self, state: State) -> None:
        self.best_epoch = int(state[f"{_OWN}epoch"])
        self._best_loss = float(state[f"{_OWN}loss"])
        self._has_ended = bool(state[f"{_OWN}has_ended"])
        self._best = tuple(
            Layer(
                np.asarray(state[f"{_OWN}weight.{index}"]),
                np.asarray(state[f"{_OWN}bias.{index}"]),
                layer.activation,
            )
            for index, layer in enumerate(self._training.layers())
        )
