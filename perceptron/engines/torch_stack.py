"""
N networks of one shape as one batched program: a GPU repeats its steps as CUDA graphs.

Small ones take whole runs of epochs there in one kernel: see `torch_lanes`.
"""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from perceptron.engines import YIELD_SECONDS, State
from perceptron.engines.torch_devices import Replayed, set_threads
from perceptron.engines.torch_functions import (
    ACTIVATIONS,
    DERIVATIVES,
    are_right,
    output_gradients,
    row_losses,
)
from perceptron.engines.torch_lanes import MOST_EPOCHS, Lanes, suit
from perceptron.engines.torch_layout import Block, Rows, batch_sizes, blocks_of, copied, rows_on
from perceptron.engines.torch_rules import Updates, rate_line
from perceptron.initialisation import initial_values
from perceptron.tables import Table
from schemas.network import NetworkConfig
from schemas.training import TrainingConfig

VALIDATION_ROWS = 4_096
"""Fewest rows that validation takes at a time, over all networks; more only where a step does."""


class StackedNetworks:
    """
    Trainings that differ in seed, learning rate and weight decay alone, on one device.

    Everything that a step reads or writes is a tensor that stays where it is; nothing waits for
    the device but what copies from it.
    """

    def __init__(
        self,
        network: NetworkConfig,
        trainings: Sequence[TrainingConfig],
        train: Table,
        valid: Table | None,
        *,
        device: str,
        state: State | None = None,
    ) -> None:
        self._training = trainings[0]
        self._task = train.task
        self._hidden = network.activation
        self._device = device
        self._count = len(trainings)
        self._train = rows_on(device, train)
        self._sizes = batch_sizes(self._training, len(train.targets))
        self._blocks = blocks_of(network, train)
        self._values = torch.tensor(_initial(self._blocks, trainings), device=device)
        self._gradients = torch.zeros_like(self._values)
        self._kept = self._values
        self._sums = torch.zeros(self._count, 4, dtype=torch.float64, device=device)
        self._make_rule(trainings)
        self._make_order(trainings)
        self._make_programs(valid)
        self._make_lanes(network)
        self._epochs = 0
        if state is not None:
            self._restore(state)

    def run(self) -> Iterator[tuple[int, npt.NDArray[np.float64] | None]]:
        """
        Train the epochs that are left; gives those done, and the sums of a recorded one.

        The sums are over its rows: the training loss, the training rows that are right, and both
        for validation. Shape (networks, 4). Hands back control at every record and at least each
        `YIELD_SECONDS`.
        """
        last, interval = self._training.epochs - 1, self._training.record_interval
        yield_at = time.monotonic() + YIELD_SECONDS
        while self._epochs <= last:
            epoch = self._epochs
            is_recorded = epoch % interval == 0 or epoch == last
            until_next = min(last - epoch, interval - epoch % interval)
            count = 1 if is_recorded or not self._lanes else min(until_next, MOST_EPOCHS)
            self.train(count, is_recorded=is_recorded)
            if is_recorded or time.monotonic() >= yield_at:
                yield self._epochs, copied(self._sums) if is_recorded else None
                yield_at = time.monotonic() + YIELD_SECONDS

    def train(self, epochs: int, *, is_recorded: bool) -> None:
        """Queue the next epochs; where it is recorded, one, with the sums of its point."""
        if is_recorded:
            self._sums.zero_()
        span = range(self._epochs, self._epochs + epochs)
        if self._lanes:
            tensors = self._values, self._updates, self._initial_rates, self._sums
            self._lanes.train(*tensors, span, is_recorded=is_recorded)
        else:
            for epoch in span:
                self._train_epoch(epoch, is_recorded=is_recorded)
        if is_recorded and self._valid:
            self._validation(self._validate)
        self._epochs += epochs

    def _train_epoch(self, epoch: int, *, is_recorded: bool) -> None:
        if self._device == "cpu":
            set_threads(self._sizes[0] * self._values.numel())
        self._set_rates(epoch)
        self._shuffle()
        for size in self._sizes:
            self._steps[size, is_recorded](partial(self._step, size, is_recorded))

    def parameters(self) -> npt.NDArray[np.float32]:
        """
        Copy each layer's weights (outputs, inputs) and its biases, in turn.

        Shape (networks, parameters).
        """
        return copied(self._values)

    def keep(self, chosen: npt.NDArray[np.bool_]) -> None:
        """Remember the parameters of some networks as they are, and of others as they were."""
        mask = torch.from_numpy(chosen).to(self._device)[:, None]
        self._kept = torch.where(mask, self._values, self._kept)

    def kept(self) -> npt.NDArray[np.float32]:
        """Copy what is remembered; else the parameters. Shape (networks, parameters)."""
        return copied(self._kept)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """
        Copy what the networks need to go on.

        The names are `epochs` and `steps` done, `parameters`, the optimizer's slots as in
        `torch.optim`, and the generator's `shuffle`. Shapes: (), (), and (networks, …).
        """
        return {
            "epochs": np.array(self._epochs),
            "steps": np.array(self._epochs * len(self._sizes)),
            "parameters": self.parameters(),
            "shuffle": np.stack([copied(random.get_state()) for random in self._random]),
            **{name: copied(slot) for name, slot in self._updates.slots.items()},
        }

    def _restore(self, state: State) -> None:
        self._epochs = int(state["epochs"])
        self._values.copy_(torch.tensor(state["parameters"]))
        if "kept" in state:
            self._kept = torch.tensor(state["kept"], device=self._device)
        slots = {name: torch.tensor(state[name]) for name in self._updates.slots}
        self._updates.restore(slots, int(state["steps"]))
        for random, found in zip(self._random, state["shuffle"], strict=True):
            random.set_state(torch.tensor(found))

    def _make_rule(self, trainings: Sequence[TrainingConfig]) -> None:
        rates = [training.learning_rate for training in trainings]
        decays = [training.weight_decay for training in trainings]
        self._rates = torch.zeros(self._count, 1, device=self._device)
        self._initial_rates = torch.tensor(rates, dtype=torch.float64, device=self._device)[:, None]
        self._line = (0.0, 0.0)
        self._updates = Updates(
            self._training.optimizer,
            self._values,
            self._rates,
            torch.tensor(decays, device=self._device)[:, None],
            self._training.l1_penalty,
        )

    def _make_order(self, trainings: Sequence[TrainingConfig]) -> None:
        rows = len(self._train.targets)
        self._is_shuffled = len(self._sizes) > 1
        self._random = [torch.Generator().manual_seed(training.seed) for training in trainings]
        shape = (self._count, rows if self._is_shuffled else 0)
        self._order = torch.zeros(shape, dtype=torch.int64, device=self._device)
        self._position = torch.zeros((), dtype=torch.int64, device=self._device)
        self._range = torch.arange(self._sizes[0], device=self._device)

    def _make_programs(self, valid: Table | None) -> None:
        self._steps = {
            (size, is_recorded): Replayed(self._device)
            for size in set(self._sizes)
            for is_recorded in (False, True)
        }
        size = max(self._sizes[0], -(-VALIDATION_ROWS // self._count))
        self._valid = [] if valid is None else rows_on(self._device, valid).split(size)
        self._validation = Replayed(self._device)

    def _make_lanes(self, network: NetworkConfig) -> None:
        """Have small networks on a GPU trained many epochs at a time."""
        numbers = self._blocks[-1].end, len(self._train.targets)
        is_small = self._device != "cpu" and suit(self._count, self._training, *numbers)
        shared = network, self._training, self._task, self._blocks, self._train
        self._lanes = Lanes(*shared) if is_small else None

    def _set_rates(self, epoch: int) -> None:
        """Follow the schedule."""
        line = rate_line(self._training, epoch)
        if line != self._line:
            self._line = line
            self._rates.copy_(self._initial_rates * line[1] + line[0])

    def _shuffle(self) -> None:
        """Draw each network's order of the rows, and send it to the device without waiting."""
        if not self._is_shuffled:
            return
        rows = len(self._train.targets)
        orders = torch.empty(self._count, rows, dtype=torch.int64, pin_memory=self._device != "cpu")
        for order, random in zip(orders, self._random, strict=True):
            torch.randperm(rows, generator=random, out=order)
        self._order.copy_(orders, non_blocking=True)
        self._position.zero_()

    def _step(self, size: int, is_recorded: bool) -> None:  # noqa: FBT001
        """Update once; where the epoch is recorded, add what was so before the update."""
        batch = self._batch(size)
        inputs, sums, outputs = self._forward(batch.features)
        gradient = output_gradients(self._task, outputs, batch.targets).div_(size)
        if batch.weights is not None:
            gradient.mul_(batch.weights.unsqueeze(-1))
        if is_recorded:
            self._score(batch, outputs, 0)
        self._backward(inputs, sums, gradient)
        self._updates.step(self._gradients)

    def _batch(self, size: int) -> Rows:
        """Gather each network's next rows, (networks, size, …); with a full batch, all."""
        if not self._is_shuffled:
            return self._for_all(self._train)
        chosen = self._order.index_select(1, self._range[:size] + self._position)
        self._position.add_(size)
        return self._train.each(itemgetter(chosen))

    def _for_all(self, rows: Rows) -> Rows:
        """Give every network the same rows, without a copy. Shapes (networks, rows, …)."""
        return rows.each(lambda values: values.expand(self._count, *values.shape))

    def _weight(self, values: Tensor, block: Block) -> Tensor:
        """View a layer's weights. Shape (networks, outputs, inputs)."""
        flat = values[:, block.start : block.bias]
        return flat.view(self._count, block.outputs, block.inputs)

    def _forward(self, values: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """
        Compute every layer's inputs, its z = weight · input + bias, and the outputs.

        Shapes: (networks, rows, units) each.
        """
        inputs, sums = [], []
        for block in self._blocks:
            inputs.append(values)
            bias = self._values[:, None, block.bias : block.end]
            sums.append(torch.baddbmm(bias, values, self._weight(self._values, block).mT))
            values = sums[-1] if block is self._blocks[-1] else ACTIVATIONS[self._hidden](sums[-1])
        return inputs, sums, values

    def _backward(self, inputs: list[Tensor], sums: list[Tensor], gradient: Tensor) -> None:
        """Fill the gradients, from ∂L/∂z of the output layer, (networks, rows, units), down."""
        for index in reversed(range(len(self._blocks))):
            block = self._blocks[index]
            torch.bmm(gradient.mT, inputs[index], out=self._weight(self._gradients, block))
            torch.sum(gradient, 1, out=self._gradients[:, block.bias : block.end])
            if index > 0:
                below = torch.bmm(gradient, self._weight(self._values, block))
                derivative = DERIVATIVES[self._hidden]
                gradient = derivative(below, sums[index - 1], inputs[index])

    def _score(self, rows: Rows, outputs: Tensor, column: int) -> None:
        """Add each network's loss and its right rows to two columns of the sums."""
        losses = row_losses(self._task, outputs, rows.targets)  # (networks, rows)
        if rows.weights is not None:
            losses = losses * rows.weights
        self._sums[:, column].add_(losses.sum(1, dtype=torch.float64))
        right = are_right(self._task, outputs, rows.targets)
        if right is not None:
            self._sums[:, column + 1].add_(right.sum(1))

    def _validate(self) -> None:
        for part in self._valid:
            rows = self._for_all(part)
            *_, outputs = self._forward(rows.features)
            self._score(rows, outputs, 2)


def _initial(
    blocks: Sequence[Block], trainings: Sequence[TrainingConfig]
) -> npt.NDArray[np.float32]:
    """Draw each network's parameters from its seed. Shape (networks, parameters)."""
    widths = [blocks[0].inputs, *(block.outputs for block in blocks)]
    values = np.empty((len(trainings), blocks[-1].end), np.float32)
    random = np.random.RandomState()
    for row, training in zip(values, trainings, strict=True):
        random.seed(training.seed)
        row[:] = initial_values(widths, random)
    return values
