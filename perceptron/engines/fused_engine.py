"""The fused engine: whole epochs in compiled kernels, with no Python and no PyTorch per step."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perceptron.engines import State, Step, kernels, unit_kernels
from perceptron.engines.pacing import chunks
from perceptron.engines.reports import Counted
from perceptron.engines.simd import LANES
from perceptron.initialisation import initial_layers
from perceptron.layers import FloatArray, Layer, Layers
from perceptron.tables import Table
from schemas.errors import Diverged
from schemas.network import OUTPUT_ACTIVATIONS, NetworkConfig
from schemas.training import TrainingConfig


class FusedTraining:
    """One network on one core; the interface is `perceptron.engines.Training`."""

    engine: str = "fused"
    device: str = "cpu"
    best_epoch: int | None = None

    def __init__(
        self,
        network: NetworkConfig,
        training: TrainingConfig,
        train: Table,
        valid: Table | None,
        state: State | None = None,
    ) -> None:
        self._training = training
        self._train = flat(train)
        self._valid = flat(valid)
        self._counted = Counted.of(train, valid)
        widths = network.widths(train.features.shape[1], train.outputs)
        self._is_unit = _is_unit(widths)
        self._lanes = _lanes(widths)
        self._plan, weights, transposed = _plan(widths, self._lanes)
        self._weights = zeros(weights)
        self._transposed = zeros(transposed)
        output = OUTPUT_ACTIVATIONS[train.task]
        self._initial = initial_layers(widths, network.activation, training.seed, output)
        self._weights[:] = laid_out(
            widths, [np.column_stack((layer.weight, layer.bias)) for layer in self._initial]
        )
        kernels.transpose(self._plan, self._weights, self._transposed)
        self._momenta = zeros(weights)
        self._squares = zeros(weights)
        self._activation = kernels.ACTIVATIONS[network.activation]
        self._task = kernels.TASKS[train.task]
        self._rule = kernels.RULES[training.optimizer]
        rows = len(train.targets)
        self._batch_rows = min(training.batch_size or rows, rows)
        self._is_shuffled = self._batch_rows < rows
        memory = (
            unit_kernels.memory_size(widths[0], weights, 0 if self._is_shuffled else rows)
            if self._is_unit
            else kernels.memory_size(self._plan, weights)
        )
        self._memory = zeros(memory)
        self._steps = 0
        self._trained = self._yielded = 0
        if state is not None:
            self._restore(state)

    def run(self) -> Iterator[Step]:
        """Train; see `Training.run`."""
        training, rows = self._training, self._train.size
        is_looked_at = training.early_stopping is not None or training.record_weights
        stop_at = training.record_interval if is_looked_at else None
        work = rows * len(self._weights)
        for first, end in chunks(training.epochs, work, rows, first=self._trained, stop_at=stop_at):
            self._trained = end
            for record in self._counted.records(self._run(first, end)):
                self._yielded = record.epoch + 1
                yield Step(
                    self._yielded, record, self.layers() if training.record_weights else None
                )
            if self._yielded < end:
                self._yielded = end
                yield Step(end, None)
        if not np.isfinite(self._weights).all():
            raise Diverged(training.epochs - 1)

    def layers(self) -> Layers:
        """Copy the weights; see `Training.layers`."""
        found = []
        for index, layer in enumerate(self._initial):
            rows = self._panels(index).swapaxes(0, 1).reshape(layer.weight.shape[1] + 1, -1)
            values = rows[:, : len(layer.bias)].copy()
            weight = np.ascontiguousarray(values[:-1].T)
            found.append(Layer(weight, values[-1].copy(), layer.activation))
        return tuple(found)

    def state(self) -> dict[str, npt.NDArray[Any]] | None:
        """Copy what the training needs to go on, at a chunk's end; see `Training.state`."""
        if self._yielded < self._trained:
            return None
        values = (self._weights, self._momenta, self._squares)
        random = self._random if self._is_shuffled else None
        return state_of(self._trained, self._steps, values, random)

    def _restore(self, state: State) -> None:
        self._trained = self._yielded = int(state["epochs"])
        self._steps = int(state["steps"])
        self._weights[:] = state["weights"]
        self._momenta[:] = state["momenta"]
        self._squares[:] = state["squares"]
        if self._is_shuffled:
            words, position = np.array(state["random_words"]), int(state["random_position"])
            self._random.set_state(("MT19937", words, position, 0, 0.0))
        kernels.transpose(self._plan, self._weights, self._transposed)

    def _run(self, first: int, end: int) -> npt.NDArray[np.float64]:
        """Train some epochs; the records that they made, as the kernel writes them."""
        training = self._training
        records = np.zeros(((end - first) // training.record_interval + 2, 5))
        train = unit_kernels.train if self._is_unit else kernels.train
        self._steps, made = train(
            first, end, training.epochs - 1, training.record_interval, self._batch_rows,
            self._activation, self._task, self._rule, rates(training, first, end),
            training.weight_decay, training.l1_penalty, self._plan, *self._train,
            self._order(end - first), *self._valid, self._weights, self._transposed, self._momenta,
            self._squares, self._memory, self._steps, records,
        )  # fmt: skip
        return records[:made]

    def _order(self, epochs: int) -> npt.NDArray[np.int64]:
        """Draw the order of the rows for some epochs; empty where the batch is full."""
        if not self._is_shuffled:
            return np.zeros((1, 1), np.int64)
        return kernels.draw_order(self._random, epochs, self._train.size)

    @cached_property
    def _random(self) -> np.random.RandomState:
        return np.random.RandomState(self._training.seed)

    def _panels(self, index: int) -> npt.NDArray[np.float32]:
        """View a layer's weights. Shape (panels, inputs + 1, lanes), the biases in the last row."""
        return _panels(self._weights, self._plan[index].tolist(), self._lanes)


def state_of(
    epochs: int,
    steps: int,
    values: Sequence[npt.NDArray[np.float32]],
    random: np.random.RandomState | None,
) -> dict[str, npt.NDArray[Any]]:
    """
    Copy what a `FusedTraining` goes on from; see `Training.state`.

    `values` are weights, momenta and squares as `laid_out` lays them out; `random` has drawn the
    orders of rows so far, where there are any.
    """
    weights, momenta, squares = (part.copy() for part in values)
    found = {
        "epochs": np.array(epochs),
        "steps": np.array(steps),
        "weights": weights,
        "momenta": momenta,
        "squares": squares,
    }
    if random is not None:
        _, words, position, *_ = random.get_state(legacy=True)
        found |= {"random_words": np.array(words), "random_position": np.array(position)}
    return found


def laid_out(
    widths: Sequence[int], layers: Sequence[npt.NDArray[np.float32]]
) -> npt.NDArray[np.float32]:
    """
    Lay a number for each weight and bias out as `FusedTraining.state` has them.

    Shapes of the layers: (outputs, inputs + 1), the biases in the last column.
    """
    lanes = _lanes(widths)
    plan, size, _ = _plan(widths, lanes)
    found = zeros(size)
    for layer, values in zip(plan.tolist(), layers, strict=True):
        outputs, numbers = values.shape
        rows = np.zeros((numbers, layer[kernels.PADDED]), np.float32)
        rows[:, :outputs] = values.T
        _panels(found, layer, lanes)[:] = rows.reshape(numbers, -1, lanes).swapaxes(0, 1)
    return found


def _panels(
    values: npt.NDArray[np.float32], layer: Sequence[int], lanes: int
) -> npt.NDArray[np.float32]:
    inputs, _, padded, start, *_ = layer
    return values[start : start + (inputs + 1) * padded].reshape(-1, inputs + 1, lanes)


def _is_unit(widths: Sequence[int]) -> bool:
    """Whether the network is a single unit, whose inputs lie in the lanes."""
    return len(widths) == 2 and widths[-1] == 1


def _lanes(widths: Sequence[int]) -> int:
    """Say to a multiple of what layers are padded."""
    return 1 if _is_unit(widths) else LANES


class Rows(NamedTuple):
    """A table as the kernels take it: flat, with room behind it for kernels that read on."""

    features: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]
    """Shape (rows + LANES,)."""
    weights: npt.NDArray[np.float32]
    """Shape (rows + LANES,), or empty where all rows count the same."""

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.targets) - LANES


def flat(table: Table | None) -> Rows:
    """Lay a table out; none is one without rows."""
    nothing = zeros(LANES)
    if table is None:
        return Rows(nothing, nothing, nothing[:0])
    return Rows(
        _with_room(table.features, kernels.ROWS_AT_ONCE * table.features.shape[1]),
        _with_room(table.targets),
        nothing[:0] if table.weights is None else _with_room(table.weights),
    )


def _with_room(values: FloatArray, room: int = 0) -> npt.NDArray[np.float32]:
    """Copy values with zeros behind them: `LANES` at least."""
    found = zeros(values.size + max(LANES, room))
    found[: values.size] = values.ravel()
    return found


def zeros(size: int) -> npt.NDArray[np.float32]:
    """Make zeros that begin where a line of the cache does: no vector lies across two lines."""
    found = np.zeros(size + LANES, np.float32)
    start = -found.ctypes.data // found.itemsize % LANES
    return found[start : start + size]


def rates(training: TrainingConfig, first: int, end: int) -> npt.NDArray[np.float64]:
    """Give the learning rates of the epochs `first` … `end` − 1."""
    if training.schedule.kind == "constant":
        return np.full(end - first, training.learning_rate)
    rate, epochs = training.learning_rate, training.epochs
    return np.array([training.schedule.rate(rate, epoch, epochs) for epoch in range(first, end)])


def _plan(widths: Sequence[int], lanes: int) -> tuple[npt.NDArray[np.int64], int, int]:
    """Say where each layer's parts begin, and how long weights and transposed weights are."""
    plan = []
    weights = transposed = values = 0
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        padded = -(-outputs // lanes) * lanes
        plan.append((inputs, outputs, padded, weights, transposed, values))
        weights += (inputs + 1) * padded
        values += kernels.TILE_ROWS * padded
        if index > 0:
            transposed += outputs * plan[-2][kernels.PADDED]
    return np.array(plan, np.int64), -(-weights // LANES) * LANES, max(transposed, 1)
