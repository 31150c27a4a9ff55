"""Many networks of one shape, trained together by PyTorch: as many at a time as memory allows."""

from collections.abc import Iterator, Sequence

import numpy as np

from perceptron.engines.reports import Counted, Member, check_alike
from perceptron.engines.torch_devices import chosen_device
from perceptron.engines.torch_layout import batch_sizes, blocks_of, layers_of
from perceptron.engines.torch_rules import SLOTS
from perceptron.engines.torch_stack import StackedNetworks
from perceptron.tables import Table
from schemas.network import NetworkConfig
from schemas.training import TrainingConfig

GROUP_NUMBERS = 2**29
"""About how many numbers of 32 bits the networks that are trained at a time may take: 2 GiB."""


class TorchFleet:
    """
    Trainings that differ in seed, learning rate and weight decay alone.

    Each follows the trajectory that it has when it is trained by itself, as nearly as sums
    rounded in another order allow. The interface is that of `fleet.Fleet`.
    """

    def __init__(
        self,
        network: NetworkConfig,
        trainings: Sequence[TrainingConfig],
        train: Table,
        valid: Table | None,
    ) -> None:
        """
        Take the trainings; nothing is computed yet.

        Raises: ValueError for trainings that differ in more; DeviceUnavailable.
        """
        check_alike(trainings)
        self.device: str = chosen_device(trainings[0].device)
        self._network = network
        self._trainings = trainings
        self._train = train
        self._valid = valid

    def run(self) -> Iterator[Member | None]:
        """Train group after group; gives each network that ends, and None in between."""
        size = max(1, GROUP_NUMBERS // self._numbers())
        for start in range(0, len(self._trainings), size):
            yield from self._run(start, self._trainings[start : start + size])

    def _run(self, start: int, trainings: Sequence[TrainingConfig]) -> Iterator[Member | None]:
        networks = StackedNetworks(
            self._network, trainings, self._train, self._valid, device=self.device
        )
        counted = Counted.of(self._train, self._valid)
        epochs, points = [], []
        for done, sums in networks.run():
            if sums is not None:
                epochs.append(done - 1)
                points.append(sums)
            yield None
        curves = np.stack(points, 1)  # (networks, epochs, 4)
        for number, values in enumerate(networks.parameters()):
            layers = layers_of(values, self._network, self._train)
            yield counted.member(start + number, np.array(epochs), curves[number], layers)

    def _numbers(self) -> int:
        """Estimate how many numbers one network takes: parameters, values of units, order."""
        training, rows = self._trainings[0], len(self._train.targets)
        blocks = blocks_of(self._network, self._train)
        parameters = blocks[-1].end * (3 + len(SLOTS[training.optimizer]))
        units = blocks[0].inputs + 3 * sum(block.outputs for block in blocks)
        return parameters + units * batch_sizes(training, rows)[0] + 4 * rows
