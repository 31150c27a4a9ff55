"""Many networks of one shape, trained together: sixteen to a group, one in each lane."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perceptron.engines import State, early_stopping, fleet_kernels, kernels, start
from perceptron.engines.costs import Work
from perceptron.engines.early_stopping import Patience, Standing
from perceptron.engines.fused_engine import flat, laid_out, rates, state_of, zeros
from perceptron.engines.pacing import chunks
from perceptron.engines.reports import Counted, Member, check_alike
from perceptron.engines.simd import LANES
from perceptron.initialisation import initial_values
from perceptron.layers import Layer, Layers
from perceptron.tables import Table
from schemas.errors import Diverged
from schemas.network import OUTPUT_ACTIVATIONS, NetworkConfig
from schemas.training import CURVES, TrainingConfig

SIDE_BY_SIDE_NUMBERS = 2**25
"""About how many numbers of 32 bits the groups that can exchange networks may take: 128 MiB."""


class Fleet:
    """
    Trainings that differ in seed, learning rate and weight decay alone, on one core.

    Each follows the trajectory that it has when it is trained by itself, and stops where it does.
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
        self._trainings = trainings
        self._common = _Common(network, trainings[0], train, valid)
        self._network = network
        self._train = train
        self._valid = valid

    def run(self) -> Iterator[Member | None]:
        """Train group after group; gives each network that ends, and None in between."""
        size = LANES * self._common.groups_at_a_time
        for first in range(0, len(self._trainings), size):
            numbered = enumerate(self._trainings[first : first + size], first)
            yield from self._run([self._common.lane(*one) for one in numbered])

    def _run(self, lanes: "list[_Lane]") -> Iterator[Member | None]:
        """
        Train groups side by side, some epochs of each in turn.

        Where networks have stopped and fewer groups hold those that are left, they move together;
        the few that are left at last go on by themselves.
        """
        common, epochs = self._common, self._common.training.epochs
        groups: list[_Group] = []
        first = 0
        while lanes or groups:
            if lanes:
                full = common.filled(len(lanes))
                groups = common.groups(lanes[:full])
                for lane in lanes[full:]:
                    yield from self._run_alone(lane, first)
                lanes = []
            end = min(first + common.epochs_in_turn, epochs)
            for group in groups:
                for part in chunks(
                    end, common.operations, common.words, first=first, stop_at=common.stop_at
                ):
                    group.run(*part)
                    yield None
                    if not group.going:
                        break
            first = end
            going = sum(group.going for group in groups)
            if end == epochs or common.filled(going) <= LANES * (len(groups) - 1):
                for lane in (lane for group in groups for lane in group.lanes()):
                    if end == epochs or lane.standing.ended_at is not None:
                        yield common.member(lane)
                    else:
                        lanes.append(lane)
                groups = []

    def _run_alone(self, lane: "_Lane", epochs: int) -> Iterator[Member | None]:
        """Train a network on by itself, from the state that it would have had there."""
        training = lane.training.model_copy(update={"engine": "fused"})
        state = self._common.state(lane, epochs) if epochs else None
        running = start(self._network, training, self._train, self._valid, state)
        records = []
        diverged_at = None
        try:
            for step in running.run():
                if step.record is not None:
                    records.append(step.record)
                yield None
        except Diverged as error:
            diverged_at = error.epoch
        past = self._common.member(lane)
        curves = np.array([[getattr(record, name) for name in CURVES] for record in records], float)
        yield past._replace(
            epochs=np.append(past.epochs, np.array([record.epoch for record in records], np.int64)),
            curves=np.concatenate((past.curves, curves.reshape(-1, len(CURVES)))),
            diverged_at=diverged_at,
            layers=running.layers(),
            best_epoch=running.best_epoch,
        )


class _Lane(NamedTuple):
    """One network, as far as it is trained."""

    number: int
    training: TrainingConfig
    random: np.random.RandomState | None
    """Draws the order of the rows; none where the batch is full."""
    values: tuple[npt.NDArray[np.float32], ...]
    """Its weights, in the kernels' order, momenta, squares and best weights; at least the first."""
    standing: Standing = Standing()
    sums: npt.NDArray[np.float64] = np.zeros((0, 4))
    """Those of its records. Shape (records, 4)."""


class _Common:
    """What the networks have in common."""

    def __init__(
        self, network: NetworkConfig, training: TrainingConfig, train: Table, valid: Table | None
    ) -> None:
        self.training = training
        self.train = flat(train)
        self.valid = flat(valid)
        self.counted = Counted.of(train, valid)
        self.widths = network.widths(train.features.shape[1], train.outputs)
        self.plan, self.size = _plan(self.widths)
        self._order_of_values = _order_of_values(self.widths)
        self._random = np.random.RandomState()
        self.activation = kernels.ACTIVATIONS[network.activation]
        self.task = kernels.TASKS[train.task]
        self.rule = kernels.RULES[training.optimizer]
        hidden = [network.activation] * (len(self.plan) - 1)
        self._activations = (*hidden, OUTPUT_ACTIVATIONS[train.task])
        rows = len(train.targets)
        self.batch_rows = min(training.batch_size or rows, rows)
        self.is_shuffled = self.batch_rows < rows
        self.steps = -(-rows // self.batch_rows)
        """Steps of an epoch."""
        self.early_stopping = None if valid is None else training.early_stopping
        self.stop_at = None if self.early_stopping is None else training.record_interval
        self.epochs_in_turn = training.epochs
        self.groups_at_a_time = 1
        self._least = 0.0
        if self.early_stopping is not None:
            self._least = Work.of(training, self.widths, rows).lanes_are_worth
            self.epochs_in_turn = max(self.early_stopping.patience, training.record_interval)
            self.groups_at_a_time = max(1, SIDE_BY_SIDE_NUMBERS // (8 * self.size))

    @property
    def operations(self) -> int:
        """Multiplications of one epoch's forward pass."""
        return self.train.size * self.size

    @property
    def words(self) -> int:
        """Numbers that the order of rows takes in one epoch."""
        return LANES * self.train.size

    def lane(self, number: int, training: TrainingConfig) -> _Lane:
        """Begin with a network: draw its initial weights."""
        self._random.seed(training.seed)
        weights = initial_values(self.widths, self._random)[self._order_of_values]
        random = np.random.RandomState(training.seed) if self.is_shuffled else None
        return _Lane(number, training, random, (weights,))

    def groups(self, lanes: "Sequence[_Lane]") -> "list[_Group]":
        """Put networks into the lanes of as few groups as hold them."""
        return [_Group(self, lanes[first : first + LANES]) for first in range(0, len(lanes), LANES)]

    def filled(self, networks: int) -> int:
        """Say how many of some networks go into lanes; the others are trained faster alone."""
        left = networks % LANES
        return networks - left if left < self._least else networks

    def state(self, lane: _Lane, epochs: int) -> State:
        """Describe a network after some epochs as engines do."""
        *values, best = lane.values
        laid = [laid_out(self.widths, self._matrices(part)) for part in values]
        state = state_of(epochs, epochs * self.steps, laid, lane.random)
        return state | early_stopping.state_of(lane.standing, self._layers(best))

    def member(self, lane: _Lane) -> Member:
        """Describe a network at its end."""
        training = self.training
        epochs = np.minimum(
            np.arange(len(lane.sums)) * training.record_interval, training.epochs - 1
        )
        last, best = lane.values[0], lane.values[-1]
        layers = self._layers(last if lane.standing.best_epoch is None else best)
        ends_well = bool(np.isfinite(last).all())
        return self.counted.member(
            lane.number, epochs, lane.sums, lane.standing, layers, ends_well=ends_well
        )

    def _layers(self, values: npt.NDArray[np.float32]) -> Layers:
        return tuple(
            Layer(matrix[:, :-1].copy(), matrix[:, -1].copy(), activation)
            for matrix, activation in zip(self._matrices(values), self._activations, strict=True)
        )

    def _matrices(self, values: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """Cut a network's numbers into layers. Shapes: (outputs, inputs + 1), the biases last."""
        return [
            values[start // LANES :][: outputs * (inputs + 1)].reshape(outputs, inputs + 1)
            for inputs, outputs, _, start, *_ in self.plan.tolist()
        ]


class _Group:
    """Up to sixteen networks in the lanes, all after the same epoch; other lanes hold zeros."""

    def __init__(self, common: _Common, lanes: Sequence[_Lane]) -> None:
        self._common = common
        self._lanes = lanes
        self._values = tuple(zeros(common.size) for _ in range(4))
        for place, lane in enumerate(lanes):
            for values, own in zip(self._values, lane.values, strict=False):
                values[place::LANES] = own
        self._memory = zeros(fleet_kernels.memory_size(common.plan, common.size))
        self._decays = np.zeros(LANES, np.float32)
        self._decays[: len(lanes)] = [lane.training.weight_decay for lane in lanes]
        self._learning_rates = [lane.training.learning_rate for lane in lanes]
        self._records: list[npt.NDArray[np.float64]] = []
        self._patience = Patience(common.early_stopping, [lane.standing for lane in lanes])

    @property
    def going(self) -> int:
        """Number of networks that early stopping has not ended."""
        return len(self._lanes) - int(np.count_nonzero(self._patience.have_ended))

    def run(self, first: int, end: int) -> None:
        """Train some epochs; with early stopping, up to the next record at most."""
        common, training = self._common, self._common.training
        last, interval = training.epochs - 1, training.record_interval
        due = len(range(-(-first // interval) * interval, end, interval))
        due += end > last and last % interval > 0
        records = np.zeros((due, 4, LANES))
        fleet_kernels.train(
            first, end, last, interval, common.batch_rows, common.activation, common.task,
            common.rule, self._rates(first, end), self._decays, training.l1_penalty, common.plan,
            *common.train, self._order(end - first), *common.valid, *self._values[:3],
            self._memory, first * common.steps, records,
        )  # fmt: skip
        self._records += list(records)
        if due and common.early_stopping is not None:
            self._look_at(end - 1, records[-1, :, : len(self._lanes)].T)

    def lanes(self) -> "list[_Lane]":
        """Take the networks out of the lanes, as they are by now."""
        records = np.array(self._records).reshape(-1, 4, LANES)
        return [
            lane._replace(
                values=tuple(values[place::LANES] for values in self._values),
                standing=standing,
                sums=np.concatenate((lane.sums, records[:, :, place])),
            )
            for place, (lane, standing) in enumerate(
                zip(self._lanes, self._patience.standings(), strict=True)
            )
        ]

    def _look_at(self, epoch: int, sums: npt.NDArray[np.float64]) -> None:
        """Keep the weights that are the best of a network. Shape of the sums: (lanes, 4)."""
        are_better = self._patience.look_at(epoch, self._common.counted.valid_losses(sums))
        weights, *_, best = (values.reshape(-1, LANES) for values in self._values)
        np.copyto(best[:, : len(are_better)], weights[:, : len(are_better)], where=are_better)

    def _rates(self, first: int, end: int) -> npt.NDArray[np.float32]:
        """Give each network's learning rates of some epochs. Shape (epochs, LANES)."""
        found = np.zeros((end - first, LANES), np.float32)
        if self._common.training.schedule.kind == "constant":
            found[:, : len(self._lanes)] = self._learning_rates
            return found
        for place, lane in enumerate(self._lanes):
            found[:, place] = rates(lane.training, first, end)
        return found

    def _order(self, epochs: int) -> npt.NDArray[np.int64]:
        """Draw each network's order of the rows for some epochs; empty where the batch is full."""
        common = self._common
        found = np.zeros(
            (epochs, common.train.size, LANES) if common.is_shuffled else (1, 1, LANES), np.int64
        )
        for place, lane in enumerate(self._lanes):
            if lane.random is not None:
                found[:, :, place] = kernels.draw_order(lane.random, epochs, common.train.size)
        return found


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
