"""What computes a training. Importing this package imports no engine."""

from collections.abc import Iterator
from typing import Protocol

from perceptron.datasets import Table
from perceptron.layers import Layers
from schemas.network import NetworkConfig
from schemas.training import EpochRecord, TrainingConfig


class Training(Protocol):
    """A training that has its initial weights and is ready to run, once."""

    engine: str
    """Name of the engine."""
    device: str
    """`cpu` or `cuda`."""

    def epochs(self) -> Iterator[EpochRecord]:
        """
        Train, yielding a record at epoch 0, each record interval after it, and the last epoch.

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
