"""What computes a training. Importing this package imports no engine."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from perceptron.layers import Layers
from perceptron.tables import Table
from schemas.network import NetworkConfig
from schemas.training import EngineName, EpochRecord, TrainingConfig

YIELD_SECONDS = 0.1
"""Longest time, one epoch apart, that a training runs without handing back control."""

FUSED_PARAMETERS = 200_000
"""Most weights and biases of a network that `auto` gives to the fused engine."""


State: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""What a training needs to go on bit for bit; `epochs` are those done."""


class Step(NamedTuple):
    """A moment at which a training hands back control."""

    epochs: int
    """Epochs done."""
    record: EpochRecord | None
    """The point of the curves that the last of them added, if it did."""
    layers: Layers | None = None
    """With a record, where `training.record_weights` asks for it: the weights after the epochs."""


class Training(Protocol):
    """A training that has its initial weights and is ready to run, once."""

    engine: str
    """Name of the engine."""
    device: str
    """`cpu`, `cuda` or, where a number was asked for, `cuda:1`."""

    @property
    def best_epoch(self) -> int | None:
        """Epoch whose weights `layers` gives where early stopping kept some; else None."""

    def run(self) -> Iterator[Step]:
        """
        Train, handing back control at every record and at least each `YIELD_SECONDS`.

        Records are made at epoch 0, each record interval after it, and the last epoch. With early
        stopping, `layers` and `state` are those after the record's epoch whenever one is yielded.
        Raises: Diverged when a recorded loss or, at the end, a weight is not finite.
        """

    def layers(self) -> Layers:
        """Copy the weights, in float32; until the end, at least as far as the last step's."""

    def state(self) -> State | None:
        """Copy what the training needs to go on after the last step; None: ask at the next one."""


def start(
    network: NetworkConfig,
    training: TrainingConfig,
    train: Table,
    valid: Table | None,
    state: State | None = None,
) -> Training:
    """
    Choose the engine and prepare it, at the beginning or where a state of it was copied.

    Raises: DeviceUnavailable when the device that `training` asks for is not here.
    """
    found: Training = _engine(network, training, train)(network, training, train, valid, state)
    if training.early_stopping is None:
        return found
    from perceptron.engines.early_stopping import StoppedEarly  # noqa: PLC0415

    return StoppedEarly(found, training.early_stopping, state)


def _engine(network: NetworkConfig, training: TrainingConfig, train: Table) -> type[Any]:
    if _chosen(network, training, train) == "fused":
        from perceptron.engines.fused_engine import FusedTraining  # noqa: PLC0415

        return FusedTraining
    from perceptron.engines.torch_engine import TorchTraining  # noqa: PLC0415

    return TorchTraining


def warm_up(engine: EngineName) -> None:
    """
    Load an engine, with its kernels compiled where no compiled ones are stored yet.

    For a process that forks others: they inherit it. Runs no operation of PyTorch.
    """
    if engine == "torch":
        import_module("perceptron.engines.torch_engine")
        import_module("perceptron.engines.torch_lanes").load()
    else:
        config = TrainingConfig(engine=engine, epochs=1, batch_size=2)
        rows = Table("rows", ("x",), np.eye(4, 1, dtype=np.float32), np.ones(4, np.float32))
        network = NetworkConfig(hidden_layers=(2,))
        for one in (network, NetworkConfig()):
            list(start(one, config, rows, None).run())
        list(import_module("perceptron.engines.fleet").Fleet(network, [config], rows, None).run())


def _chosen(network: NetworkConfig, training: TrainingConfig, train: Table) -> EngineName:
    """Take the fused engine where the weights fit a core's cache, unless CUDA is asked for."""
    if training.engine != "auto":
        return training.engine
    count = network.parameter_count(train.features.shape[1], train.outputs)
    is_small = count <= FUSED_PARAMETERS
    return "fused" if is_small and not training.device.startswith("cuda") else "torch"
