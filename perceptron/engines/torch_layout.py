"""How rows and parameters lie on a device."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from perceptron.layers import Layer, Layers
from perceptron.tables import Table
from schemas.network import OUTPUT_ACTIVATIONS, NetworkConfig, count_parameters
from schemas.training import TrainingConfig


class Rows(NamedTuple):
    """Rows on the device."""

    features: Tensor
    """Shape (rows, inputs)."""
    targets: Tensor
    """Shape (rows,): whole numbers where there are several classes."""
    weights: Tensor | None
    """Shape (rows,)."""

    def each(self, change: Callable[[Tensor], Tensor]) -> "Rows":
        """Change all three in the same way."""
        weights = None if self.weights is None else change(self.weights)
        return Rows(change(self.features), change(self.targets), weights)

    def split(self, size: int) -> "list[Rows]":
        """Cut into parts of some rows."""
        starts = range(0, len(self.targets), size)
        return [self.each(itemgetter(slice(start, start + size))) for start in starts]


class Block(NamedTuple):
    """Where a layer's numbers stand among a network's parameters."""

    start: int
    outputs: int
    inputs: int

    @property
    def bias(self) -> int:
        """Where the biases begin."""
        return self.start + self.outputs * self.inputs

    @property
    def end(self) -> int:
        """Where the next layer begins."""
        return self.bias + self.outputs


def rows_on(device: str, table: Table) -> Rows:
    """Copy a table to the device."""
    kind = torch.int64 if table.task == "multiclass" else torch.float32
    weights = None if table.weights is None else torch.tensor(table.weights, device=device)
    return Rows(
        torch.tensor(table.features, device=device),
        torch.tensor(table.targets, device=device).to(kind),
        weights,
    )


def blocks_of(network: NetworkConfig, table: Table) -> tuple[Block, ...]:
    """Say where each layer stands, from the input to the output."""
    widths = network.widths(table.features.shape[1], table.outputs)
    shapes = list(pairwise(widths))
    starts = [count_parameters(widths[: index + 1]) for index in range(len(shapes))]
    return tuple(
        Block(start, outputs, inputs)
        for start, (inputs, outputs) in zip(starts, shapes, strict=True)
    )


def layers_of(parameters: npt.NDArray[np.float32], network: NetworkConfig, table: Table) -> Layers:
    """Cut one network's parameters into its layers. Shape (parameters,)."""
    blocks = blocks_of(network, table)
    hidden = [network.activation] * (len(blocks) - 1)
    return tuple(
        Layer(
            parameters[block.start : block.bias].reshape(block.outputs, block.inputs).copy(),
            parameters[block.bias : block.end].copy(),
            activation,
        )
        for block, activation in zip(blocks, [*hidden, OUTPUT_ACTIVATIONS[table.task]], strict=True)
    )


def batch_sizes(training: TrainingConfig, rows: int) -> Sequence[int]:
    """Rows of each step of an epoch; all of them alone: the batch is full, and nothing shuffles."""
    size = min(training.batch_size or rows, rows)
    left = rows % size
    return [size] * (rows // size) + [left] * (left > 0)


def copied(values: Tensor) -> npt.NDArray[Any]:
    """Copy a tensor from the device; waits for it."""
    return np.array(values.detach().cpu().numpy())
