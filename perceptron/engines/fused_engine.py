"""The fused engine: whole epochs in compiled kernels, with no Python and no PyTorch per step."""

import math
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from perceptron.datasets import Table
from perceptron.engines import Step, kernels
from perceptron.engines.pacing import chunks
from perceptron.engines.simd import LANES
from perceptron.initialisation import initial_layers
from perceptron.layers import Layer, Layers
from schemas.errors import Diverged
from schemas.network import NetworkConfig
from schemas.training import EpochRecord, TrainingConfig


class FusedTraining:
    """One network on one core; the interface is `perceptron.engines.Training`."""

    engine: str = "fused"
    device: str = "cpu"

    def __init__(
        self, network: NetworkConfig, training: TrainingConfig, train: Table, valid: Table | None
    ) -> None:
        self._training = training
        self._train = _rows(train)
        self._targets = train.targets
        self._valid = _NO_ROWS if valid is None else _rows(valid)
        self._valid_targets = _NO_ROWS if valid is None else valid.targets
        widths = network.widths(train.features.shape[1])
        self._plan, weights, transposed = _plan(widths)
        self._weights = np.zeros(weights, np.float32)
        self._transposed = np.zeros(transposed, np.float32)
        self._initial = initial_layers(widths, network.activation, training.seed)
        self._place(self._initial)
        self._memory = np.zeros(kernels.memory_size(self._plan, weights), np.float32)
        self._momenta = np.zeros(weights, np.float32)
        self._squares = np.zeros(weights, np.float32)
        self._activation = kernels.ACTIVATIONS[network.activation]
        self._rule = kernels.RULES[training.optimizer]
        rows = len(train.targets)
        self._batch_rows = min(training.batch_size or rows, rows)
        self._steps = 0

    def run(self) -> Iterator[Step]:
        """Train; see `Training.run`."""
        epochs, rows = self._training.epochs, len(self._targets)
        for first, end in chunks(epochs, rows * len(self._weights), rows):
            done = first
            for row in self._run(first, end):
                record = self._record(row)
                done = record.epoch + 1
                yield Step(done, record)
            if done < end:
                yield Step(end, None)
        if not np.isfinite(self._weights).all():
            raise Diverged(epochs - 1)

    def layers(self) -> Layers:
        """Copy the weights; see `Training.layers`."""
        found = []
        for index, layer in enumerate(self._initial):
            rows = self._panels(index).swapaxes(0, 1).reshape(layer.weight.shape[1] + 1, -1)
            values = rows[:, : len(layer.bias)].copy()
            weight = np.ascontiguousarray(values[:-1].T)
            found.append(Layer(weight, values[-1].copy(), layer.activation))
        return tuple(found)

    def _run(self, first: int, end: int) -> npt.NDArray[np.float64]:
        """Train some epochs; the records that they made, as the kernel writes them."""
        training = self._training
        records = np.zeros(((end - first) // training.record_interval + 2, 5))
        self._steps, made = kernels.train(
            first, end, training.epochs - 1, training.record_interval, self._batch_rows,
            self._activation, self._rule, training.learning_rate, training.weight_decay,
            self._plan, self._train, self._targets, self._order(end - first),
            self._valid, self._valid_targets, self._weights, self._transposed,
            self._momenta, self._squares, self._memory, self._steps, records,
        )  # fmt: skip
        return records[:made]

    def _record(self, row: npt.NDArray[np.float64]) -> EpochRecord:
        """Make the record of one row. Raises: Diverged."""
        epoch, train_loss, train_correct, valid_loss, valid_correct = row.tolist()
        if not math.isfinite(train_loss + valid_loss):
            raise Diverged(int(epoch))
        rows, valid_rows = len(self._targets), len(self._valid_targets)
        return EpochRecord(
            epoch=int(epoch),
            train_loss=train_loss / rows,
            train_accuracy=train_correct / rows,
            valid_loss=valid_loss / valid_rows if valid_rows else None,
            valid_accuracy=valid_correct / valid_rows if valid_rows else None,
        )

    @cached_property
    def _random(self) -> np.random.RandomState:
        return np.random.RandomState(self._training.seed)

    def _order(self, epochs: int) -> npt.NDArray[np.int64]:
        """Draw the order of the rows for some epochs; empty where the batch is full."""
        rows = len(self._targets)
        if self._batch_rows == rows:
            return np.zeros((1, 1), np.int64)
        return kernels.draw_order(self._random, epochs, rows)

    def _place(self, layers: Layers) -> None:
        for index, layer in enumerate(layers):
            outputs, inputs = layer.weight.shape
            padded = int(self._plan[index, kernels.PADDED])
            rows = np.zeros((inputs + 1, padded), np.float32)
            rows[:-1, :outputs] = layer.weight.T
            rows[-1, :outputs] = layer.bias
            self._panels(index)[:] = rows.reshape(inputs + 1, -1, LANES).swapaxes(0, 1)
        kernels.transpose(self._plan, self._weights, self._transposed)

    def _panels(self, index: int) -> npt.NDArray[np.float32]:
        """View a layer's weights. Shape (panels, inputs + 1, LANES), the biases in the last row."""
        inputs, _, padded, start, *_ = self._plan[index].tolist()
        part = self._weights[start : start + (inputs + 1) * padded]
        return part.reshape(-1, inputs + 1, LANES)


_NO_ROWS = np.zeros(0, np.float32)


def _rows(table: Table) -> npt.NDArray[np.float32]:
    """Lay the features out flat, with room behind them for a kernel that reads on."""
    room = np.zeros((kernels.ROWS_AT_ONCE, table.features.shape[1]), np.float32)
    return np.concatenate((table.features, room)).ravel()


def _plan(widths: tuple[int, ...]) -> tuple[npt.NDArray[np.int64], int, int]:
    """Say where each layer's parts begin, and how long weights and transposed weights are."""
    plan = []
    weights = transposed = values = 0
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        padded = -(-outputs // LANES) * LANES
        plan.append((inputs, outputs, padded, weights, transposed, values))
        weights += (inputs + 1) * padded
        values += kernels.TILE_ROWS * padded
        if index > 0:
            transposed += outputs * plan[-2][kernels.PADDED]
    return np.array(plan, np.int64), weights, max(transposed, 1)
