"""Many networks of one shape, trained together by PyTorch: as many at a time as memory allows."""

from collections.abc import Iterator, Sequence

import numpy as np

from perceptron.engines import State
from perceptron.engines.early_stopping import Patience, Standing
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
        """Train one stack; where half of its networks have stopped, the others go on without."""
        rule = None if self._valid is None else trainings[0].early_stopping
        counted = Counted.of(self._train, self._valid)
        numbers = np.arange(len(trainings))
        sums = np.zeros((len(trainings), 0, 4))
        patience = Patience(rule, [Standing()] * len(trainings))
        networks = self._stack(trainings)
        epochs: list[int] = []
        while len(numbers):
            points = []
            for done, found in networks.run():
                if found is not None:
                    epochs.append(done - 1)
                    points.append(found)
                    if rule is not None:
                        networks.keep(patience.look_at(done - 1, counted.valid_losses(found)))
                yield None
                if 2 * np.count_nonzero(patience.have_ended) >= len(numbers):
                    break
            sums = np.concatenate((sums, np.stack(points, 1)), 1)  # (networks, epochs, 4)
            is_over = epochs[-1] == trainings[0].epochs - 1
            values, kept = networks.parameters(), networks.kept()
            standings = patience.standings()
            for place in np.flatnonzero(patience.have_ended | is_over):
                own = values if standings[place].best_epoch is None else kept
                yield counted.member(
                    start + int(numbers[place]),
                    np.array(epochs),
                    sums[place],
                    standings[place],
                    layers_of(own[place], self._network, self._train),
                    ends_well=bool(np.isfinite(values[place]).all()),
                )
            left = np.flatnonzero(~(patience.have_ended | is_over))
            numbers, sums = numbers[left], sums[left]
            patience = Patience(rule, [standings[place] for place in left])
            if len(left):
                state = {**networks.state(), "kept": kept}
                networks = self._stack(
                    [trainings[number] for number in numbers.tolist()],
                    {name: part[left] if part.ndim else part for name, part in state.items()},
                )

    def _stack(
        self, trainings: Sequence[TrainingConfig], state: State | None = None
    ) -> StackedNetworks:
        return StackedNetworks(
            self._network, trainings, self._train, self._valid, device=self.device, state=state
        )

    def _numbers(self) -> int:
        """Estimate how many numbers one network takes: parameters, values of units, order."""
        training, rows = self._trainings[0], len(self._train.targets)
        blocks = blocks_of(self._network, self._train)
        kept = training.early_stopping is not None
        parameters = blocks[-1].end * (3 + kept + len(SLOTS[training.optimizer]))
        units = blocks[0].inputs + 3 * sum(block.outputs for block in blocks)
        return parameters + units * batch_sizes(training, rows)[0] + 4 * rows
