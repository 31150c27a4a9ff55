"""Early stopping in fleets: each network stops where it stops alone, and keeps the same weights."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptron import engines
from perceptron.engines import fleet_kernels, torch_fleet
from perceptron.engines.costs import Work
from perceptron.engines.fleet import Fleet
from perceptron.engines.reports import Member
from perceptron.engines.torch_fleet import TorchFleet
from perceptron.engines.torch_stack import StackedNetworks
from perceptron.layers import Layers
from perceptron.tables import Table
from schemas.errors import Diverged
from schemas.network import NetworkConfig, Task
from schemas.training import (
    CURVES,
    CosineSchedule,
    EarlyStopping,
    EngineName,
    EpochRecord,
    Optimizer,
    TrainingConfig,
)
from tests.unit.perceptron.data import assert_close, noisy_rows, rows_of

FLEETS: dict[EngineName, Any] = {"fused": Fleet, "torch": TorchFleet}
TOLERANCE = 2e-5
"""Relative and absolute, as for fleets that run to their last epoch."""
NETWORK = NetworkConfig(hidden_layers=(4,), activation="tanh")


@pytest.fixture(autouse=True)
def _keep_thread_count() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


class Alone(NamedTuple):
    """What came of one network by itself."""

    epochs: list[int]
    curves: npt.NDArray[np.float64]
    best_epoch: int | None
    diverged_at: int | None
    layers: Layers


def _alone(network: NetworkConfig, config: TrainingConfig, train: Table, valid: Table) -> Alone:
    running = engines.start(network, config, train, valid)
    records: list[EpochRecord] = []
    diverged_at = None
    try:
        records.extend(step.record for step in running.run() if step.record is not None)
    except Diverged as error:
        diverged_at = error.epoch
    points = [[getattr(record, name) for name in CURVES] for record in records]
    return Alone(
        [record.epoch for record in records],
        np.array(points, np.float64).reshape(-1, len(CURVES)),
        running.best_epoch,
        diverged_at,
        running.layers(),
    )


def _trainings(
    count: int, engine: EngineName = "fused", *, rate: float = 0.02, **options: Any
) -> list[TrainingConfig]:
    """Trainings with a seed, a rate and a weight decay of their own."""
    return [
        TrainingConfig(
            engine=engine,
            seed=1000 + number,
            learning_rate=rate * (1 + number % 9),
            weight_decay=0.001 * (number % 3),
            validation_fraction=0.5,
            **{"device": "cpu", **options},
        )
        for number in range(count)
    ]


def _end(
    epochs: Sequence[int], losses: Sequence[float], rule: EarlyStopping
) -> tuple[int, int, float]:
    """Find the last epoch, the best one and the least that a decision was clear by."""
    best, least = 0, np.inf
    for place, loss in enumerate(losses):
        if place > 0:
            gain = losses[best] - rule.minimum_improvement - loss
            least = min(least, abs(gain) / (1 + loss))
            if gain <= 0 and epochs[place] - epochs[best] >= rule.patience:
                return epochs[place], epochs[best], least
            best = place if gain > 0 else best
    return epochs[-1], epochs[best], least


def _assert_as_alone(
    network: NetworkConfig, trainings: Sequence[TrainingConfig], train: Table, valid: Table
) -> list[Member]:
    """
    Compare each member of the fleet with its training alone.

    All follow the rule by their own curves. Where both are equally good but for rounding, the
    rule may go either way; then only the records that both have are compared.
    """
    fleet = FLEETS["torch" if trainings[0].engine == "torch" else "fused"]
    found = [member for member in fleet(network, trainings, train, valid).run() if member]
    members = sorted(found, key=lambda member: member.number)
    assert [member.number for member in members] == list(range(len(trainings)))
    for member, config in zip(members, trainings, strict=True):
        rule = config.early_stopping
        assert rule is not None
        alone = _alone(network, config.model_copy(update={"device": "cpu"}), train, valid)
        assert member.diverged_at == alone.diverged_at
        if member.diverged_at is not None:
            assert member.epochs.tolist() == alone.epochs
            continue
        epochs = member.epochs.tolist()
        last, best, _ = _end(epochs, member.curves[:, 2].tolist(), rule)
        assert (epochs[-1], member.best_epoch) == (last, best)
        *_, least = _end(alone.epochs, alone.curves[:, 2].tolist(), rule)
        both = min(len(epochs), len(alone.epochs))
        assert epochs[:both] == alone.epochs[:both]
        losses, right = slice(None, None, 2), slice(1, None, 2)  # a row may be at one half
        for part, slack in ((losses, TOLERANCE), (right, 1.01 / len(valid.targets))):
            ours, theirs = member.curves[:both, part], alone.curves[:both, part]
            np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE, atol=slack)
        if least > 2 * TOLERANCE:
            assert (epochs, member.best_epoch) == (alone.epochs, alone.best_epoch)
            assert_close(member.layers, alone.layers, 1e-4)
    return members


@settings(deadline=None, max_examples=15, derandomize=True)
@given(
    count=st.integers(1, 40),
    rows=st.integers(3, 50),
    hidden=st.lists(st.integers(1, 6), max_size=2),
    batch_size=st.one_of(st.none(), st.integers(1, 30)),
    optimizer=st.sampled_from(get_args(Optimizer)),
    activation=st.sampled_from(["sigmoid", "tanh", "gelu"]),
    task=st.sampled_from(get_args(Task)),
    rule=st.builds(EarlyStopping, patience=st.integers(1, 9)),
    improvement=st.sampled_from([0.0, 0.01]),
    interval=st.one_of(st.none(), st.integers(1, 4)),
)
def test_any_shape(
    *,
    count: int,
    rows: int,
    hidden: list[int],
    batch_size: int | None,
    optimizer: Optimizer,
    activation: Any,
    task: Task,
    rule: EarlyStopping,
    improvement: float,
    interval: int | None,
) -> None:
    """Any number of networks of any shape, task, rule and batch size, and any patience."""
    trainings = _trainings(
        count,
        optimizer=optimizer,
        batch_size=batch_size,
        epochs=25,
        record_every=interval,
        early_stopping=rule.model_copy(update={"minimum_improvement": improvement}),
    )
    network = NetworkConfig(hidden_layers=tuple(hidden), activation=activation)
    train = rows_of(task, rows, rows, weighted=rows % 2 == 0)
    _assert_as_alone(network, trainings, train, rows_of(task, 9, 1))


@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize("least", [0.0, 5.0, 17.0])
@pytest.mark.parametrize("hidden", [(), (4,)])
def test_however_those_that_are_left_are_trained(
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int | None,
    least: float,
    hidden: tuple[int, ...],
) -> None:
    """They move into fewer groups, go on by themselves, or never were in a group."""
    monkeypatch.setattr(Work, "lanes_are_worth", property(lambda _: least))
    trainings = _trainings(
        40,
        optimizer="adam",
        batch_size=batch_size,
        epochs=120,
        record_every=2,
        schedule=CosineSchedule(kind="cosine"),
        early_stopping=EarlyStopping(patience=6),
    )
    network = NETWORK.model_copy(update={"hidden_layers": hidden})
    members = _assert_as_alone(network, trainings, rows_of("binary", 24), rows_of("binary", 12, 1))
    ends = sorted({int(member.epochs[-1]) for member in members})
    assert len(ends) > 5
    assert ends[0] < 60 < ends[-1]


@pytest.mark.parametrize("optimizer", get_args(Optimizer))
@pytest.mark.parametrize(
    ("task", "batch_size"), [("binary", None), ("multiclass", 8), ("regression", None)]
)
def test_stacked_networks(task: Task, optimizer: Optimizer, batch_size: int | None) -> None:
    """PyTorch's stacks stop each network where it stops alone, with the optimizer's memory."""
    trainings = _trainings(
        6,
        "torch",
        rate=0.004,
        optimizer=optimizer,
        batch_size=batch_size,
        epochs=30,
        record_every=2,
        early_stopping=EarlyStopping(patience=4, minimum_improvement=0.01),
    )
    train, valid = rows_of(task, 18, weighted=True), rows_of(task, 9, 1)
    _assert_as_alone(NETWORK, trainings, train, valid)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("batch_size", [None, 8])
def test_stacked_networks_on_cuda(batch_size: int | None) -> None:
    """A GPU's graphs, recorded anew for those that are left, give the CPU's trajectories."""
    trainings = _trainings(
        9,
        "torch",
        device="cuda",
        optimizer="adam",
        batch_size=batch_size,
        epochs=60,
        record_every=3,
        early_stopping=EarlyStopping(patience=6),
    )
    _assert_as_alone(NETWORK, trainings, rows_of("binary", 18), rows_of("binary", 9, 1))


@pytest.mark.parametrize("engine", get_args(EngineName))
def test_one_that_diverges_ends_there(engine: EngineName) -> None:
    """A network whose loss is no number neither stops its neighbours nor goes on."""
    trainings = _trainings(4, engine, epochs=80, early_stopping=EarlyStopping(patience=50))
    trainings[2] = trainings[2].model_copy(update={"learning_rate": 900.0})
    network = NETWORK.model_copy(update={"activation": "identity"})
    train, valid = rows_of("regression", 18), rows_of("regression", 9, 1)
    members = _assert_as_alone(network, trainings, train, valid)
    assert [member.diverged_at is not None for member in members] == [False, False, True, False]


def test_groups_are_left_when_all_have_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """No group is trained beyond the record that ends its last network."""
    monkeypatch.setattr(Work, "lanes_are_worth", property(lambda _: 0.0))
    ends = []
    train = fleet_kernels.train

    def seen(first: int, end: int, *rest: Any) -> Any:
        ends.append(end)
        return train(first, end, *rest)

    monkeypatch.setattr(fleet_kernels, "train", seen)
    trainings = _trainings(
        20,
        optimizer="adam",
        epochs=5_000,
        record_every=1,
        early_stopping=EarlyStopping(patience=3, minimum_improvement=0.001),
    )
    fleet = Fleet(NETWORK, trainings, noisy_rows(40, 1), noisy_rows(40, 2))
    members = [member for member in fleet.run() if member]
    assert max(ends) == max(member.epochs[-1] for member in members) + 1 < 5_000


def test_stacks_shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where half of a stack has stopped, the others go on in a smaller one, and end with it."""
    sizes = []
    made = StackedNetworks

    def seen(network: Any, trainings: Any, *rest: Any, **named: Any) -> Any:
        sizes.append(len(trainings))
        return made(network, trainings, *rest, **named)

    monkeypatch.setattr(torch_fleet, "StackedNetworks", seen)
    trainings = _trainings(
        8,
        "torch",
        optimizer="adam",
        epochs=300,
        record_every=1,
        early_stopping=EarlyStopping(patience=3, minimum_improvement=0.001),
    )
    _assert_as_alone(NETWORK, trainings, noisy_rows(40, 1), noisy_rows(40, 2))
    assert sizes[0] == 8
    assert len(sizes) > 1
    assert all(2 * after <= before for before, after in pairwise(sizes))
