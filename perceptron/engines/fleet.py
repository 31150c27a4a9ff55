"""Many networks of one shape, trained together: sixteen to a group, one in each lane."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from perceptron.engines import fleet_kernels, kernels
from perceptron.engines.fused_engine import flat, rates, zeros
from perceptron.engines.pacing import chunks
from perceptron.engines.reports import Counted, Member, check_alike
from perceptron.engines.simd import LANES
from perceptron.initialisation import initial_values
from perceptron.layers import Layer, Layers
from perceptron.tables import Table
from schemas.network import OUTPUT_ACTIVATIONS, NetworkConfig
from schemas.training import TrainingConfig


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
        check_alike(trainings)
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
        widths = network.widths(train.features.shape[1], train.outputs)
        self._plan, size = _plan(widths)
        self._train = flat(train)
        self._valid = flat(valid)
        self._counted = Counted.of(train, valid)
        self._hidden = network.activation
        self._output = OUTPUT_ACTIVATIONS[train.task]
        self._task = kernels.TASKS[train.task]
        self._lanes = lanes
        self._activation = kernels.ACTIVATIONS[network.activation]
        self._rule = kernels.RULES[self._training.optimizer]
        self._decays = np.array([training.weight_decay for training in lanes], np.float32)
        self._weights = zeros(size)
        order = _order_of_values(widths)
        random = np.random.RandomState()
        for lane, training in enumerate(lanes):
            random.seed(training.seed)
            self._weights[lane::LANES] = initial_values(widths, random)[order]
        self._memory = zeros(fleet_kernels.memory_size(self._plan, size))
        self._momenta = zeros(size)
        self._squares = zeros(size)
        rows = len(train.targets)
        self._batch_rows = min(self._training.batch_size or rows, rows)
        self._is_shuffled = self._batch_rows < rows
        seeds = [training.seed for training in lanes] if self._is_shuffled else []
        self._random = [np.random.RandomState(seed) for seed in seeds]
        self._steps = 0
        self._epochs: list[int] = []
        self._records: list[npt.NDArray[np.float64]] = []

    @property
    def operations(self) -> int:
        """Multiplications of one epoch's forward pass."""
        return self._train.size * len(self._weights)

    @property
    def words(self) -> int:
        """Numbers that the order of rows takes in one epoch."""
        return LANES * self._train.size

    def run(self, first: int, end: int) -> None:
        """Train some epochs."""
        training = self._training
        last, interval = training.epochs - 1, training.record_interval
        due = list(range(-(-first // interval) * interval, end, interval))
        if end > last and last % interval:
            due.append(last)
        records = np.zeros((len(due), 4, LANES))
        self._steps, _ = fleet_kernels.train(
            first, end, last, interval, self._batch_rows, self._activation, self._task, self._rule,
            self._rates(first, end), self._decays, training.l1_penalty, self._plan, *self._train,
            self._order(end - first), *self._valid, self._weights, self._momenta, self._squares,
            self._memory, self._steps, records,
        )  # fmt: skip
        self._epochs += due
        self._records += list(records)

    def member(self, lane: int, number: int) -> Member:
        """Describe one network after the last epoch."""
        sums = np.array(self._records)[:, :, lane]
        return self._counted.member(number, np.array(self._epochs), sums, self._layers(lane))

    def _layers(self, lane: int) -> Layers:
        found = []
        last = len(self._plan) - 1
        for index, (inputs, outputs, _, start, *_) in enumerate(self._plan.tolist()):
            part = self._weights[start : start + outputs * (inputs + 1) * LANES]
            values = part.reshape(outputs, inputs + 1, LANES)[:, :, lane]
            activation = self._output if index == last else self._hidden
            found.append(Layer(values[:, :-1].copy(), values[:, -1].copy(), activation))
        return tuple(found)

    def _rates(self, first: int, end: int) -> npt.NDArray[np.float32]:
        """Give each network's learning rates of some epochs. Shape (epochs, LANES)."""
        found = np.empty((end - first, LANES), np.float32)
        for lane, training in enumerate(self._lanes):
            found[:, lane] = rates(training, first, end)
        return found

    def _order(self, epochs: int) -> npt.NDArray[np.int64]:
        """Draw each network's order of the rows for some epochs; empty where the batch is full."""
        rows = self._train.size
        if not self._is_shuffled:
            return np.zeros((1, 1, LANES), np.int64)
        orders = [kernels.draw_order(random, epochs, rows) for random in self._random]
        return np.stack(orders, axis=2)


def _plan(widths: Sequence[int]) -> tuple[npt.NDArray[np.int64], int]:
    """Say where each layer's parts begin, and how long the weights are."""
    plan = []
    weights = values = 0
    for inputs, outputs in pairwise(widths):
        plan.append((inputs, outputs, outputs, weights, 0, values))
        weights += (inputs + 1) * outputs * LANES
        values += kernels.TILE_ROWS * outputs * LANES
    return np.array(plan, np.int64), weights


def _order_of_values(widths: Sequence[int]) -> npt.NDArray[np.int64]:
    """Say where each number of the kernels' layout stands among the initial values."""
    order = []
    start = 0
    for inputs, outputs in pairwise(widths):
        weight = start + np.arange(outputs * inputs).reshape(outputs, inputs)
        start += (inputs + 1) * outputs
        bias = np.arange(start - outputs, start)
        order.append(np.column_stack((weight, bias)).ravel())
    return np.concatenate(order)
