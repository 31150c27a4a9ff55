"""What computes a training. Importing this package imports no engine."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from perceptron.datasets import Table
from perceptron.layers import Layers
from schemas.network import NetworkConfig
from schemas.training import EpochRecord, TrainingConfig

YIELD_SECONDS = 0.1
"""Longest time, one epoch apart, that a training runs without handing back control."""


class Step(NamedTuple):
    """A moment at which a training hands back control."""

    epochs: int
    """Epochs done."""
    record: EpochRecord | None
    """The point of the curves that the last of them added, if it did."""


class Training(Protocol):
    """A training that has its initial weights and is ready to run, once."""

    engine: str
    """Name of the engine."""
    device: str
    """`cpu` or `cuda`."""

    def run(self) -> Iterator[Step]:
        """
        Train, handing back control at every record and at least each `YIELD_SECONDS`.

        Records are made at epoch 0, each record interval after it, and the last epoch.
        Raises: Diverged when a recorded loss or, at the end, a weight is not finite.
        """

    def layers(self) -> Layers:
        """Copy the weights as they are now, in float32."""


def start(
    network: NetworkConfig, training: TrainingConfig, train: Table, valid: Table | None
) -> Training:
    """
    Choose the engine and prepare it.

    Raises: DeviceUnavailable when the device that `training` asks for is not here.
    """
    from perceptron.engines.torch_engine import TorchTraining  # noqa: PLC0415

    return TorchTraining(network, training, train, valid)
