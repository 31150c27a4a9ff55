"""What computes a training. Importing this package imports no engine."""

from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple, Protocol

from perceptron.datasets import Table, table
from perceptron.layers import Layers
from schemas.network import NetworkConfig
from schemas.training import EngineName, EpochRecord, TrainingConfig

YIELD_SECONDS = 0.1
"""Longest time, one epoch apart, that a training runs without handing back control."""

FUSED_PARAMETERS = 200_000
"""Most weights and biases of a network that `auto` gives to the fused engine."""


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
        """Copy the weights, in float32; until the end, at least as far as the last step's."""


def start(
    network: NetworkConfig, training: TrainingConfig, train: Table, valid: Table | None
) -> Training:
    """
    Choose the engine and prepare it.

    Raises: DeviceUnavailable when the device that `training` asks for is not here.
    """
    if _chosen(network, training, train) == "fused":
        from perceptron.engines.fused_engine import FusedTraining  # noqa: PLC0415

        return FusedTraining(network, training, train, valid)
    from perceptron.engines.torch_engine import TorchTraining  # noqa: PLC0415

    return TorchTraining(network, training, train, valid)


def warm_up(engine: EngineName) -> None:
    """
    Load an engine, with its kernels compiled where no compiled ones are stored yet.

    For a process that forks others: they inherit it. Runs no operation of PyTorch.
    """
    if engine == "torch":
        import_module("perceptron.engines.torch_engine")
    else:
        config = TrainingConfig(engine=engine, epochs=1, batch_size=2)
        list(start(NetworkConfig(hidden_layers=(2,)), config, table("xor"), None).run())


def _chosen(network: NetworkConfig, training: TrainingConfig, train: Table) -> EngineName:
    """Take the fused engine where the weights fit a core's cache, unless CUDA is asked for."""
    if training.engine != "auto":
        return training.engine
    count = network.parameter_count(train.features.shape[1])
    return "fused" if training.device != "cuda" and count <= FUSED_PARAMETERS else "torch"
