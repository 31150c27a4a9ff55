"""Networks in one batched program of PyTorch take the trajectories that they take alone."""

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch

from perceptron.engines import torch_fleet
from perceptron.engines.reports import Member
from perceptron.engines.torch_engine import TorchTraining
from perceptron.engines.torch_fleet import TorchFleet
from perceptron.tables import Table
from schemas.network import Activation, NetworkConfig, Task
from schemas.training import CosineSchedule, EpochRecord, Optimizer, StepSchedule, TrainingConfig
from tests.unit.perceptron.data import assert_close, cloud, records, rows_of
from tests.unit.perceptron.pytorch import train_plainly

TOLERANCE = 2e-5
"""Relative and absolute: sums are rounded in another order, and rates in float32."""


def _trainings(count: int, **options: Any) -> list[TrainingConfig]:
    """Trainings with a seed, a rate and a weight decay of their own."""
    return [
        TrainingConfig(
            seed=1000 + number,
            learning_rate=0.004 * (1 + number),
            weight_decay=0.01 * (number % 3),
            l1_penalty=0.002,
            engine="torch",
            **{"device": "cpu", **options},
        )
        for number in range(count)
    ]


def _members(
    network: NetworkConfig,
    trainings: Sequence[TrainingConfig],
    train: Table,
    valid: Table | None = None,
) -> list[Member]:
    return [member for member in TorchFleet(network, trainings, train, valid).run() if member]


def _curve(records: list[EpochRecord]) -> npt.NDArray[np.float64]:
    """Put records into rows of four numbers, NaN for null."""
    points = [list(record.model_dump(exclude={"epoch"}).values()) for record in records]
    return np.array(points, np.float64)


def _assert_as_alone(
    network: NetworkConfig,
    trainings: Sequence[TrainingConfig],
    train: Table,
    valid: Table | None = None,
) -> None:
    """Compare each network with its training alone on the CPU, and with a loop of nn.Linear."""
    members = _members(network, trainings, train, valid)
    assert [member.number for member in members] == list(range(len(trainings)))
    for member, config in zip(members, trainings, strict=True):
        alone = TorchTraining(network, config.model_copy(update={"device": "cpu"}), train, valid)
        found = list(records(alone))
        assert member.diverged_at is None
        assert member.epochs.tolist() == [record.epoch for record in found]
        np.testing.assert_allclose(member.curves, _curve(found), rtol=TOLERANCE, atol=TOLERANCE)
        assert_close(member.layers, alone.layers(), 1e-4)
        losses = np.array(train_plainly(network, config, train).losses)[member.epochs]
        np.testing.assert_allclose(member.curves[:, 0], losses, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("task", get_args(Task))
@pytest.mark.parametrize("optimizer", get_args(Optimizer))
@pytest.mark.parametrize("batch_size", [None, 8])
def test_every_task_and_rule(task: Task, optimizer: Optimizer, batch_size: int | None) -> None:
    """Weighted rows, in full or shuffled batches with a short last one, and validation rows."""
    trainings = _trainings(5, optimizer=optimizer, batch_size=batch_size, epochs=12, record_every=5)
    network = NetworkConfig(hidden_layers=(6, 4), activation="tanh")
    train, valid = rows_of(task, 27, weighted=True), rows_of(task, 9, 1, weighted=True)
    _assert_as_alone(network, trainings, train, valid)


@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("hidden", [(), (5,), (3, 7, 2)])
def test_every_activation(activation: Activation, hidden: tuple[int, ...]) -> None:
    """Any activation of any number of hidden layers, without validation rows."""
    network = NetworkConfig(hidden_layers=hidden, activation=activation)
    trainings = _trainings(3, epochs=30, record_every=10)
    _assert_as_alone(network, trainings, rows_of("binary", 20))


@pytest.mark.parametrize(
    "schedule",
    [
        StepSchedule(kind="step", every_epochs=4, factor=0.3),
        CosineSchedule(kind="cosine", minimum=0.001),
    ],
)
@pytest.mark.parametrize("optimizer", ["nesterov", "adamw"])
def test_every_schedule(schedule: Any, optimizer: Optimizer) -> None:
    """Each network's rate follows the schedule from where it starts."""
    trainings = _trainings(4, schedule=schedule, optimizer=optimizer, epochs=15, record_every=1)
    _assert_as_alone(NetworkConfig(hidden_layers=(4,)), trainings, rows_of("multiclass", 18))


@pytest.mark.parametrize("task", get_args(Task))
@pytest.mark.parametrize("is_validated", [False, True])
def test_a_history_is_the_records(task: Task, is_validated: bool) -> None:
    """A member's records are null where its training's alone are: no classes, no validation."""
    part = rows_of(task, 9, 1) if is_validated else None
    (config,) = _trainings(1, epochs=4, record_every=1)
    (member,) = _members(NetworkConfig(), [config], rows_of(task, 12), part)
    alone = list(records(TorchTraining(NetworkConfig(), config, rows_of(task, 12), part)))
    for ours, theirs in zip(member.history, alone, strict=True):
        expected = theirs.model_dump(exclude_none=True)
        assert ours.model_dump(exclude_none=True) == pytest.approx(expected, rel=TOLERANCE)


def test_groups_are_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that memory does not hold at a time are trained group after group."""
    trainings = _trainings(7, epochs=5)
    network = NetworkConfig(hidden_layers=(3,))
    together = _members(network, trainings, cloud(10))
    monkeypatch.setattr(torch_fleet, "GROUP_NUMBERS", 1_000)
    found = list(TorchFleet(network, trainings, cloud(10), None).run())
    assert found.index(None, 1) < len(found) - 1
    starts = [at for at, one in enumerate(found) if one is None and (at == 0 or found[at - 1])]
    assert len(starts) > 1
    for one, other in zip((member for member in found if member), together, strict=True):
        assert one.number == other.number
        assert_close(one.layers, other.layers, 1e-6)


def test_more_validation_rows_than_at_a_time() -> None:
    """Validation in parts, the last one short, is validation of all rows."""
    trainings = _trainings(2, epochs=3)
    _assert_as_alone(NetworkConfig(), trainings, rows_of("binary", 10), rows_of("binary", 5_001))


def test_one_that_diverges_leaves_the_others_alone() -> None:
    """A network whose loss is no number ends there; its neighbours go on."""
    features = np.array([[1e20, -1e20], [-1e20, 1e20]], np.float32)
    rows = Table("large", ("a", "b"), features, np.array([0, 1], np.float32))
    network = NetworkConfig(hidden_layers=(4,), activation="identity")
    trainings = [
        TrainingConfig(device="cpu", seed=1, epochs=50, record_every=1, learning_rate=rate)
        for rate in (1e-42, 1000.0)
    ]
    calm, wild = _members(network, trainings, rows)
    assert calm.diverged_at is None
    assert len(calm.epochs) == 50
    assert wild.diverged_at is not None
    assert len(wild.epochs) == wild.diverged_at < 50


def test_weights_that_are_no_numbers_diverge_at_the_end() -> None:
    """A finite last loss whose update makes the weights infinite is a divergence too."""
    features = np.array([[3e38], [-3e38]], np.float32)
    rows = Table("huge", ("a",), features, np.array([0, 1], np.float32))
    config = TrainingConfig(device="cpu", learning_rate=1000.0, epochs=1, seed=1)
    (member,) = _members(NetworkConfig(), [config], rows)
    assert member.diverged_at == 0
    assert len(member.epochs) == 1


@pytest.mark.parametrize(
    "other", [{"epochs": 6}, {"optimizer": "adam"}, {"batch_size": 2}, {"record_every": 2}]
)
def test_trainings_of_another_kind_are_refused(other: dict[str, Any]) -> None:
    """A fleet shares everything but seed, rate and weight decay."""
    config = TrainingConfig(device="cpu", epochs=5, learning_rate=0.1)
    with pytest.raises(ValueError, match="fleet"):
        TorchFleet(NetworkConfig(), [config, config.model_copy(update=other)], cloud(5), None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("task", get_args(Task))
@pytest.mark.parametrize("batch_size", [None, 8])
def test_cuda_trains_as_the_cpu_does(task: Task, batch_size: int | None) -> None:
    """Every rule: a GPU's graphs give the trajectories of the plain loop on the CPU."""
    network = NetworkConfig(hidden_layers=(6, 4), activation="gelu")
    train, valid = rows_of(task, 27, weighted=True), rows_of(task, 9, 1)
    for optimizer in get_args(Optimizer):
        trainings = _trainings(
            5,
            device="cuda",
            optimizer=optimizer,
            batch_size=batch_size,
            epochs=30,
            record_every=4,
            schedule=CosineSchedule(kind="cosine"),
        )
        _assert_as_alone(network, trainings, train, valid)
