"""Small networks on a GPU, many epochs in a kernel: the trajectories that they take on the CPU."""

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch

from perceptron.engines import torch_lanes
from perceptron.engines.torch_lanes import suit
from perceptron.engines.torch_stack import StackedNetworks
from perceptron.tables import Table
from schemas.network import Activation, NetworkConfig, Task
from schemas.training import CosineSchedule, Optimizer, TrainingConfig
from tests.unit.perceptron.data import XOR, rows_of

on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

TOLERANCE = 2e-5
"""Relative and absolute: sums are rounded in another order, and exponentials otherwise."""


def _trainings(count: int, **options: Any) -> list[TrainingConfig]:
    """Trainings with a seed, a rate and a weight decay of their own."""
    return [
        TrainingConfig(
            seed=seed,
            learning_rate=0.002 * (1 + seed),
            weight_decay=0.01 * (seed % 3),
            l1_penalty=0.001,
            **{"epochs": 31, "record_every": 10, **options},
        )
        for seed in range(count)
    ]


def _assert_as_on_the_cpu(
    network: NetworkConfig, trainings: list[TrainingConfig], train: Table, valid: Table | None
) -> None:
    """Compare all that is recorded, the weights and what the rule remembers."""
    cpu, cuda = (
        StackedNetworks(network, trainings, train, valid, device=device)
        for device in ("cpu", "cuda")
    )
    for (done, expected), (also, found) in zip(_records(cpu), _records(cuda), strict=True):
        assert also == done
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)
    states = cpu.state(), cuda.state()
    for name, expected in states[0].items():
        np.testing.assert_allclose(states[1][name], expected, rtol=1e-4, atol=TOLERANCE)


def _records(networks: StackedNetworks) -> list[tuple[int, Any]]:
    return [(done, sums) for done, sums in networks.run() if sums is not None]


@pytest.fixture(autouse=True)
def in_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make sure that what is tested is what runs."""
    made: Callable[..., None] = StackedNetworks.__init__

    def init(self: StackedNetworks, *arguments: Any, **options: Any) -> None:
        made(self, *arguments, **options)
        assert bool(self._lanes) == (options["device"] == "cuda")

    monkeypatch.setattr(StackedNetworks, "__init__", init)


@on_cuda
@pytest.mark.parametrize("task", get_args(Task))
@pytest.mark.parametrize("optimizer", get_args(Optimizer))
def test_every_task_and_rule(task: Task, optimizer: Optimizer) -> None:
    """Weighted rows, validation rows and a schedule; more networks than one block."""
    trainings = _trainings(37, optimizer=optimizer, schedule=CosineSchedule(kind="cosine"))
    network = NetworkConfig(hidden_layers=(2,), activation="tanh")
    train, valid = rows_of(task, 27, weighted=True), rows_of(task, 9, 1, weighted=True)
    _assert_as_on_the_cpu(network, trainings, train, valid)


@on_cuda
@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("hidden", [(), (2,), (2, 2, 2)])
def test_every_activation(activation: Activation, hidden: tuple[int, ...]) -> None:
    """Any activation of any number of hidden layers, without validation rows."""
    network = NetworkConfig(hidden_layers=hidden, activation=activation)
    _assert_as_on_the_cpu(network, _trainings(5), rows_of("binary", 20), None)


@on_cuda
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_goes_on_from_a_state_bit_for_bit(optimizer: Optimizer) -> None:
    """Cut where no record is, in launches of other lengths, as a yield or a crash may cut it."""
    network, rows = NetworkConfig(hidden_layers=(2,)), rows_of("binary", 20)
    trainings = _trainings(40, optimizer=optimizer)
    whole, first = (
        StackedNetworks(network, trainings, rows, None, device="cuda") for _ in range(2)
    )
    _records(whole)
    for epochs in (1, 4, 12):
        first.train(epochs, is_recorded=False)
    second = StackedNetworks(network, trainings, rows, None, device="cuda", state=first.state())
    _records(second)
    np.testing.assert_array_equal(second.parameters(), whole.parameters())


@on_cuda
def test_the_slides_xor_is_learned() -> None:
    """10,001 epochs of many seeds: as many networks as on the CPU end right, with their losses."""
    network = NetworkConfig(hidden_layers=(2,))
    trainings = [TrainingConfig(seed=seed, record_every=10_000) for seed in range(64)]
    ends = {}
    for device in ("cpu", "cuda"):
        stack = StackedNetworks(network, trainings, XOR, None, device=device)
        *_, (_, ends[device]) = _records(stack)
    np.testing.assert_array_equal(ends["cuda"][:, 1], ends["cpu"][:, 1])
    np.testing.assert_allclose(ends["cuda"][:, 0], ends["cpu"][:, 0], rtol=0.01)


@on_cuda
@pytest.mark.parametrize("activation", ["relu", "identity"])
def test_what_is_no_number_stays_none(activation: Activation) -> None:
    """Weights that grow beyond float32 give a loss that is no number."""
    features = np.array([[1e20, -1e20], [-1e20, 1e20]], np.float32)
    rows = Table("large", ("a", "b"), features, np.array([0, 1], np.float32))
    network = NetworkConfig(hidden_layers=(4,), activation=activation)
    trainings = [TrainingConfig(epochs=50, record_every=1, learning_rate=1000.0)]
    networks = StackedNetworks(network, trainings, rows, None, device="cuda")
    assert not np.isfinite([sums[0, 0] for _, sums in _records(networks)]).all()


@pytest.mark.parametrize(
    ("numbers", "training", "expected"),
    [
        ((1, 9, 4), {}, True),
        ((1, 32, 4), {"optimizer": "adam"}, True),
        ((1, 33, 4), {"optimizer": "adam"}, False),
        ((1, 65, 4), {}, False),
        ((1, 9, 150), {}, True),
        ((1, 9, 151), {}, False),
        ((151, 9, 151), {}, True),
        ((1, 9, 4), {"batch_size": 4}, True),
        ((1, 9, 4), {"batch_size": 3}, False),
    ],
)
def test_what_is_small(
    monkeypatch: pytest.MonkeyPatch,
    numbers: tuple[int, int, int],
    training: dict[str, Any],
    expected: bool,
) -> None:
    """Networks of so many parameters, on so many rows: in full batches, few for each network."""
    monkeypatch.setattr(torch_lanes, "_can_compile", lambda: True)
    networks, parameters, rows = numbers
    assert suit(networks, TrainingConfig(**training), parameters, rows) is expected


def test_nothing_is_in_lanes_where_it_cannot_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Triton, or a C compiler for it, graphs train small networks too."""
    monkeypatch.setenv("PATH", "")
    assert not suit(1, TrainingConfig(), 9, 4)
