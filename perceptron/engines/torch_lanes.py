"""Small networks on a GPU: each in a thread of its own, many epochs in one kernel of Triton."""

import shutil
import sysconfig
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perceptron.engines.torch_layout import Block, Rows
from perceptron.engines.torch_rules import FIRST_DECAY, SECOND_DECAY, SLOTS, Updates, rate_line
from perceptron.inference import LEAKY_SLOPE
from schemas.network import NetworkConfig, Task
from schemas.training import TrainingConfig

MOST_NUMBERS = 128
"""Parameters, their gradients and what the optimizer remembers of them: a thread's registers."""
MOST_ROWS = 150
"""Rows of an epoch up to which a single network takes less time in one thread than in a stack."""
MOST_EPOCHS = 1_000
"""Epochs of one launch: about two milliseconds of the slides' XOR, on an H100."""
THREADS = 32
"""Networks of one block: a warp, so that few networks spread over the whole GPU."""


def suit(count: int, training: TrainingConfig, parameters: int, rows: int) -> bool:
    """Say whether so many networks on a GPU train faster each in a thread of its own."""
    numbers = parameters * (2 + len(SLOTS[training.optimizer]))
    is_full = training.batch_size is None or training.batch_size >= rows
    return is_full and numbers <= MOST_NUMBERS and rows <= max(MOST_ROWS, count) and _can_compile()


def load() -> None:
    """Import Triton where it is of use: it takes longer than the training of many networks."""
    if _can_compile():
        import_module("perceptron.engines.torch_lane_kernels")


def _can_compile() -> bool:
    """Say whether Triton is here, which comes with PyTorch for CUDA, and the compiler it calls."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    compilers = ("cc", "gcc", "clang")
    return bool(find_spec("triton") and header.exists() and any(map(shutil.which, compilers)))


class Lanes:
    """Full-batch epochs of networks of one shape, on tensors that the caller keeps."""

    def __init__(
        self,
        network: NetworkConfig,
        training: TrainingConfig,
        task: Task,
        blocks: Sequence[Block],
        rows: Rows,
    ) -> None:
        """Take what all networks share; nothing is computed yet."""
        self._training = training
        self._rows = rows
        widths = [blocks[0].inputs, *(block.outputs for block in blocks)]
        layers = range(len(blocks))
        self._constants: dict[str, Any] = {
            "WIDTHS": _constants(widths),
            "STARTS": _constants([block.start for block in blocks]),
            "UNITS": _constants([sum(widths[:layer]) for layer in (*layers, len(blocks))]),
            "DELTAS": _constants([sum(widths[layer + 2 :]) for layer in layers]),
            "LAYERS": len(blocks),
            "COUNT": blocks[-1].end,
            "ACTIVATION": network.activation,
            "SLOPE": LEAKY_SLOPE,
            "TASK": task,
            "OPTIMIZER": training.optimizer,
            "WEIGHTED": rows.weights is not None,
            "PENALISED": training.l1_penalty > 0,
            "BLOCK": THREADS,
        }

    def train(
        self,
        values: Tensor,
        updates: Updates,
        rates: Tensor,
        sums: Tensor,
        epochs: range,
        *,
        is_recorded: bool,
    ) -> None:
        """
        Queue some epochs; where they are recorded, with the first one's loss and right rows.

        Shapes: values (networks, parameters); rates (networks, 1), of float64, before the
        schedule; sums (networks, 4), of float64, whose first two columns are written.
        """
        from perceptron.engines.torch_lane_kernels import train  # noqa: PLC0415

        networks = len(values)
        slots = [*updates.slots.values(), values, values]  # the kernel reads those of its rule
        weights = self._rows.features if self._rows.weights is None else self._rows.weights
        with torch.cuda.device(values.device):
            train[(-(-networks // THREADS),)](
                values,
                *slots[:2],
                sums,
                *self._rows[:2],
                weights,
                rates,
                updates.decays,
                torch.tensor(self._table(epochs), device=values.device),
                networks,
                len(epochs),
                len(self._rows.targets),
                is_recorded,
                self._training.l1_penalty,
                **self._constants,
                DECAYS=updates.decays_weights,
                num_warps=1,
            )
        updates.count(len(epochs))

    def _table(self, epochs: range) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """
        Compute what an epoch's step has in common for all networks. Shape (epochs, 4).

        The schedule is a straight line over the rates, its offset and slope; then Adam's
        corrections, of the means, and of the squares' root.
        """
        lines = np.array([rate_line(self._training, epoch) for epoch in epochs])
        steps = np.array(epochs) + 1.0
        corrections = 1.0 - FIRST_DECAY**steps, np.sqrt(1.0 - SECOND_DECAY**steps)
        return np.column_stack([lines, *corrections])


def _constants(numbers: Sequence[int]) -> tuple[Any, ...]:
    from triton.language import constexpr  # noqa: PLC0415

    return tuple(map(constexpr, numbers))
