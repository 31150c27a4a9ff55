"""Many networks of one shape, trained together: sixteen to a group, one in each lane."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from perceptron.datasets import Table
from perceptron.engines import fleet_kernels, kernels
from perceptron.engines.pacing import chunks
from perceptron.engines.simd import LANES
from perceptron.initialisation import initial_layers
from perceptron.layers import Layer, Layers
from schemas.network import Activation, NetworkConfig
from schemas.training import EpochRecord, Optimizer, TrainingConfig


class Member(NamedTuple):
    """A network of the fleet that has ended."""

    number: int
    """Which of the trainings, from 0."""
    history: Sequence[EpochRecord]
    """The points of its curves, up to the epoch before it diverged."""
    diverged_at: int | None
    """The recorded epoch whose loss, or whose weights at the end, are not finite."""
    layers: Layers


class Fleet:
    """
    Trainings that differ in seed, learning rate and weight decay alone, on one core.

    Each follows the trajectory that it has when it is trained by itself.
    """

    def __init__(
        self,
        network: NetworkConfig,
        trainings: Sequence[TrainingConfig],
        train: Table,
        valid: Table | None,
    ) -> None:
        """Raises: ValueError for trainings that differ in more."""
        if len({_common(training) for training in trainings}) != 1:
            raise ValueError("a fleet's trainings differ in seed, rate and weight decay alone")
        self._network = network
        self._trainings = trainings
        self._train = train
        self._valid = valid

    def run(self) -> Iterator[Member | None]:
        """Train group after group; gives each network that ends, and None in between."""
        for start in range(0, len(self._trainings), LANES):
            trainings = self._trainings[start : start + LANES]
            group = _Group(self._network, trainings, self._train, self._valid)
            for first, end in chunks(trainings[0].epochs, group.operations, group.words):
                group.run(first, end)
                yield None
            for lane in range(len(trainings)):
                yield group.member(lane, start + lane)


class _Group:
    """Up to sixteen networks in the lanes; lanes without one repeat the first."""

    def __init__(
        self,
        network: NetworkConfig,
        trainings: Sequence[TrainingConfig],
        train: Table,
        valid: Table | None,
    ) -> None:
        lanes = [*trainings, *[trainings[0]] * (LANES - len(trainings))]
        self._training = trainings[0]
        widths = network.widths(train.features.shape[1])
        self._plan, size = _plan(widths)
        self._train = (train.features.ravel(), train.targets)
        nothing = np.zeros(0, np.float32)
        self._valid = (
            (nothing, nothing) if valid is None else (valid.features.ravel(), valid.targets)
        )
        self._hidden = network.activation
        self._activation = get_args(Activation).index(network.activation)
        self._rule = get_args(Optimizer).index(self._training.optimizer)
        self._rates = np.array([training.learning_rate for training in lanes], np.float32)
        self._decays = np.array([training.weight_decay for training in lanes], np.float32)
        self._weights = np.empty(size, np.float32)
        for lane, training in enumerate(lanes):
            layers = initial_layers(widths, network.activation, training.seed)
            parts = [np.column_stack((layer.weight, layer.bias)).ravel() for layer in layers]
            self._weights[lane::LANES] = np.concatenate(parts)
        self._momenta = np.zeros(size, np.float32)
        self._squares = np.zeros(size, np.float32)
        rows = len(train.targets)
        self._batch_rows = min(self._training.batch_size or rows, rows)
        self._random = [np.random.RandomState(training.seed) for training in lanes]
        self._steps = 0
        self._epochs: list[int] = []
        self._records: list[npt.NDArray[np.float64]] = []

    @property
    def operations(self) -> int:
        """Multiplications of one epoch's forward pass."""
        return len(self._train[1]) * len(self._weights)

    @property
    def words(self) -> int:
        """Numbers that the order of rows takes in one epoch."""
        return LANES * len(self._train[1])

    def run(self, first: int, end: int) -> None:
        """Train some epochs."""
        training = self._training
        last, interval = training.epochs - 1, training.record_interval
        due = [epoch for epoch in range(first, end) if epoch % interval == 0 or epoch == last]
        records = np.zeros((len(due) + 1, 4, LANES))
        self._steps, _ = fleet_kernels.train(
            first, end, last, interval, self._batch_rows, self._activation, self._rule,
            self._rates, self._decays, self._plan, *self._train, self._order(end - first),
            *self._valid, self._weights, self._momenta, self._squares, self._steps, records,
        )  # fmt: skip
        self._epochs += due
        self._records += list(records[: len(due)])

    def member(self, lane: int, number: int) -> Member:
        """Describe one network after the last epoch."""
        history = []
        diverged_at = None
        for epoch, record in zip(self._epochs, self._records, strict=True):
            if not math.isfinite(record[:, lane].sum()):
                diverged_at = epoch
                break
            history.append(self._record(epoch, *record[:, lane].tolist()))
        layers = self._layers(lane)
        if diverged_at is None and not all(np.isfinite(layer.weight).all() for layer in layers):
            diverged_at = self._training.epochs - 1
        return Member(number, history, diverged_at, layers)

    def _record(
        self, epoch: int, loss: float, correct: float, valid_loss: float, valid_correct: float
    ) -> EpochRecord:
        rows, valid_rows = len(self._train[1]), len(self._valid[1])
        return EpochRecord(
            epoch=epoch,
            train_loss=loss / rows,
            train_accuracy=correct / rows,
            valid_loss=valid_loss / valid_rows if valid_rows else None,
            valid_accuracy=valid_correct / valid_rows if valid_rows else None,
        )

    def _layers(self, lane: int) -> Layers:
        found = []
        last = len(self._plan) - 1
        for index, (inputs, outputs, _, start, *_) in enumerate(self._plan.tolist()):
            part = self._weights[start : start + outputs * (inputs + 1) * LANES]
            values = part.reshape(outputs, inputs + 1, LANES)[:, :, lane]
            activation = "sigmoid" if index == last else self._hidden
            found.append(Layer(values[:, :-1].copy(), values[:, -1].copy(), activation))
        return tuple(found)

    def _order(self, epochs: int) -> npt.NDArray[np.int64]:
        """Draw each network's order of the rows for some epochs; empty where the batch is full."""
        rows = len(self._train[1])
        if self._batch_rows == rows:
            return np.zeros((1, 1, LANES), np.int64)
        orders = np.empty((LANES, epochs, rows), np.int64)
        for random, order in zip(self._random, orders, strict=True):
            words = random.randint(0, 2**32, size=(epochs, rows - 1), dtype=np.uint32)
            kernels.shuffle(words, order)
        return np.ascontiguousarray(orders.transpose(1, 2, 0))


def _common(training: TrainingConfig) -> TrainingConfig:
    return training.model_copy(update={"seed": 0, "learning_rate": 1.0, "weight_decay": 0.0})


def _plan(widths: Sequence[int]) -> tuple[npt.NDArray[np.int64], int]:
    """Say where each layer's parts begin, and how long the weights are."""
    plan = []
    weights = values = 0
    for inputs, outputs in pairwise(widths):
        plan.append((inputs, outputs, outputs, weights, 0, values))
        weights += (inputs + 1) * outputs * LANES
        values += kernels.TILE_ROWS * outputs * LANES
    return np.array(plan, np.int64), weights
