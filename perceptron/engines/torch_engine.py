"""The torch engine: one network, by the program that trains any number of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from perceptron.engines import State, Step
from perceptron.engines.reports import Counted
from perceptron.engines.torch_devices import chosen_device
from perceptron.engines.torch_layout import layers_of
from perceptron.engines.torch_stack import StackedNetworks
from perceptron.layers import Layers
from perceptron.tables import Table
from schemas.errors import Diverged
from schemas.network import NetworkConfig
from schemas.training import EpochRecord, TrainingConfig


class TorchTraining:
    """One network and its optimizer; the interface is `perceptron.engines.Training`."""

    engine: str = "torch"
    best_epoch: int | None = None

    def __init__(
        self,
        network: NetworkConfig,
        training: TrainingConfig,
        train: Table,
        valid: Table | None,
        state: State | None = None,
    ) -> None:
        self.device: str = chosen_device(training.device)
        self._network = network
        self._training = training
        self._train = train
        self._counted = Counted.of(train, valid)
        self._networks = StackedNetworks(
            network, [training], train, valid, device=self.device, state=state
        )

    def run(self) -> Iterator[Step]:
        """Train; see `Training.run`."""
        for epochs, sums in self._networks.run():
            if sums is None:
                yield Step(epochs, None)
            else:
                record = self._record(epochs - 1, sums[0].tolist())
                kept = self.layers() if self._training.record_weights else None
                yield Step(epochs, record, kept)
        if not np.isfinite(self._networks.parameters()).all():
            raise Diverged(self._training.epochs - 1)

    def layers(self) -> Layers:
        """Copy the weights; see `Training.layers`."""
        return layers_of(self._networks.parameters()[0], self._network, self._train)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Copy what the training needs to go on; see `Training.state`."""
        return self._networks.state()

    def _record(self, epoch: int, sums: list[float]) -> EpochRecord:
        """Make an epoch's record. Raises: Diverged."""
        (record,) = self._counted.records(np.array([[epoch, *sums]]))
        return record
