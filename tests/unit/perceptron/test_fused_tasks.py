"""The compiled engines learn every task as a plain PyTorch loop does, and go on bit for bit."""

from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, mse_loss, nll_loss

from perceptron import inference
from perceptron.engines.fleet import Fleet
from perceptron.engines.fused_engine import FusedTraining
from perceptron.engines.simd import LANES
from perceptron.layers import Layers
from perceptron.tables import Table
from schemas.network import NetworkConfig, Task
from schemas.training import (
    ConstantSchedule,
    CosineSchedule,
    EarlyStopping,
    EpochRecord,
    Optimizer,
    Schedule,
    StepSchedule,
    TrainingConfig,
)
from tests.unit.perceptron.data import rows_of
from tests.unit.perceptron.pytorch import PlainTraining, train_plainly

TASKS: tuple[Task, ...] = get_args(Task)
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
SCHEDULES: tuple[Schedule, ...] = (
    ConstantSchedule(),
    StepSchedule(kind="step", every_epochs=7, factor=0.5),
    CosineSchedule(kind="cosine", minimum=0.001),
)
RATES: dict[Optimizer, float] = {"sgd": 0.2, "momentum": 0.05, "nesterov": 0.05}
LOSSES: dict[Task, Callable[[Tensor, Tensor], Tensor]] = {
    "binary": binary_cross_entropy,
    "multiclass": lambda outputs, targets: nll_loss(outputs.log(), targets.long()),
    "regression": mse_loss,
}
UNIT = NetworkConfig()
NETWORK = NetworkConfig(hidden_layers=(6,), activation="tanh")


def config(optimizer: Optimizer, **options: Any) -> TrainingConfig:
    """Train for twenty epochs in shuffled batches, recording each."""
    usual = {
        "learning_rate": RATES.get(optimizer, 0.01),
        "batch_size": 8,
        "epochs": 20,
        "record_every": 1,
        "weight_decay": 0.01,
        "l1_penalty": 0.003,
        "seed": 3,
    }
    return TrainingConfig(optimizer=optimizer, **(usual | options))


def assert_learned(
    history: Sequence[EpochRecord], layers: Layers, expected: PlainTraining, task: Task
) -> None:
    """Every epoch's loss and accuracy, and the final weights, are those of the plain loop."""
    losses = [record.train_loss for record in history]
    np.testing.assert_allclose(losses, expected.losses, rtol=5e-5, atol=1e-6)
    accuracies = [record.train_accuracy for record in history]
    if task == "regression":
        assert set(accuracies) == {None}
    else:
        assert accuracies == pytest.approx(expected.accuracies)
    values = [part.detach().numpy() for part in expected.model.parameters()]
    for index, layer in enumerate(layers):
        np.testing.assert_allclose(layer.weight, values[2 * index], rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(layer.bias, values[2 * index + 1], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: str(schedule.kind))
@pytest.mark.parametrize("batch_size", [8, None])
def test_one_network(
    task: Task, optimizer: Optimizer, schedule: Schedule, batch_size: int | None
) -> None:
    """Weighted rows, every rule, every schedule: the trajectory is PyTorch's."""
    rows = rows_of(task, 25, weighted=True)
    training = config(optimizer, schedule=schedule, batch_size=batch_size)
    running = FusedTraining(NETWORK, training, rows, None)
    history = [step.record for step in running.run() if step.record is not None]
    assert_learned(history, running.layers(), train_plainly(NETWORK, training, rows), task)


@given(
    rows=st.integers(1, 90),
    features=st.integers(1, 40),
    task=st.sampled_from(("binary", "regression")),
    optimizer=st.sampled_from(OPTIMIZERS),
    batch_size=st.sampled_from([None, 1, 7, 16, 33]),
    is_weighted=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=40, derandomize=True)
def test_a_single_unit(
    *,
    rows: int,
    features: int,
    task: Task,
    optimizer: Optimizer,
    batch_size: int | None,
    is_weighted: bool,
    seed: int,
) -> None:
    """Its rows fill the lanes, and it learns as in PyTorch; validation agrees with its answers."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, features)).astype(np.float32)
    sums = values.sum(1) / features
    targets = (sums > 0 if task == "binary" else sums).astype(np.float32)
    weights = random.uniform(0.2, 1.8, size=rows).astype(np.float32) if is_weighted else None
    names = tuple(map(str, range(features)))
    table = Table("any", names, values, targets, task, 2, weights)
    rate = RATES.get(optimizer, 0.01) / features
    training = config(optimizer, batch_size=batch_size, epochs=6, seed=seed, learning_rate=rate)
    running = FusedTraining(UNIT, training, table, table)
    history = [step.record for step in running.run() if step.record is not None]
    assert_learned(history, running.layers(), train_plainly(UNIT, training, table), task)
    assert (running.state() or {})["weights"].size < features + 1 + LANES
    outputs = inference.forward(running.layers(), values).astype(np.float64).reshape(rows)
    counts = np.ones(rows) if weights is None else weights
    if task == "binary":
        losses = -np.log(np.where(targets == 1, outputs, 1 - outputs))
    else:
        losses = (outputs - targets) ** 2
    assert history[-1].valid_loss == pytest.approx((losses * counts).mean(), rel=1e-4, abs=1e-6)
    if task == "binary":
        right = ((outputs > 0.5) == targets).mean()
        assert history[-1].valid_accuracy == pytest.approx(right)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: str(schedule.kind))
def test_a_fleet(task: Task, schedule: Schedule) -> None:
    """Each of a fleet's networks goes its own way, with its own rate, as PyTorch takes it."""
    rows = rows_of(task, 25, weighted=True)
    trainings = [
        config("adam", schedule=schedule, seed=seed, learning_rate=0.002 * (1 + seed))
        for seed in range(18)
    ]
    for member in Fleet(NETWORK, trainings, rows, None).run():
        if member is not None and member.number % 5 == 2:
            expected = train_plainly(NETWORK, trainings[member.number], rows)
            assert_learned(member.history, member.layers, expected, task)


@given(
    classes=st.integers(3, 40),
    rows=st.integers(40, 90),
    hidden=st.lists(st.integers(1, 40), max_size=3),
    batch_size=st.sampled_from([None, 7, 32, 64]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=25, derandomize=True)
def test_any_number_of_classes(
    *, classes: int, rows: int, hidden: list[int], batch_size: int | None, seed: int
) -> None:
    """More classes than lanes, any shape: the losses are PyTorch's, and validation agrees."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, 5)).astype(np.float32)
    targets = random.integers(0, classes, rows).astype(np.float32)
    table = Table("any", tuple("abcde"), features, targets, "multiclass", classes)
    network = NetworkConfig(hidden_layers=tuple(hidden), activation="relu")
    training = config("momentum", batch_size=batch_size, epochs=5, seed=seed)
    running = FusedTraining(network, training, table, table)
    history = [step.record for step in running.run() if step.record is not None]
    expected = train_plainly(network, training, table)
    np.testing.assert_allclose(
        [record.train_loss for record in history], expected.losses, rtol=2e-4
    )
    probabilities = inference.forward(running.layers(), features)
    chosen = probabilities[np.arange(rows), targets.astype(int)].astype(np.float64)
    assert history[-1].valid_loss == pytest.approx(-np.log(chosen).mean(), rel=1e-4)
    right = (probabilities.argmax(1) == targets).mean()
    assert history[-1].valid_accuracy == pytest.approx(right)


@pytest.mark.parametrize("task", TASKS)
def test_large_outputs_stay_finite(task: Task) -> None:
    """Features of some thousands give losses without overflow, as PyTorch's are."""
    rows = rows_of(task, 25)
    rows = rows._replace(features=rows.features * 5_000)
    training = config("sgd", learning_rate=1e-9, epochs=3, weight_decay=0.0)
    network = NetworkConfig()
    running = FusedTraining(network, training, rows, None)
    history = [step.record for step in running.run() if step.record is not None]
    expected = train_plainly(network, training, rows)
    np.testing.assert_allclose(
        [record.train_loss for record in history], expected.losses, rtol=1e-4
    )


@pytest.mark.parametrize("network", [NETWORK, UNIT], ids=["hidden", "unit"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("batch_size", [8, None])
def test_goes_on_from_a_state_bit_for_bit(
    network: NetworkConfig, task: Task, optimizer: Optimizer, batch_size: int | None
) -> None:
    """From wherever a state can be had, the same records and the same weights follow."""
    rows = rows_of(task, 25, weighted=True)
    training = config(optimizer, batch_size=batch_size, schedule=SCHEDULES[2], epochs=60)
    whole = FusedTraining(network, training, rows, rows)
    history = [step.record for step in whole.run()]
    resumed = 0
    first = FusedTraining(network, training, rows, rows)
    for step in first.run():
        state = first.state()
        if state is None:
            continue
        assert state["epochs"] == step.epochs
        second = FusedTraining(network, training, rows, rows, state)
        assert [later.record for later in second.run()] == history[step.epochs :]
        for kept, found in zip(whole.layers(), second.layers(), strict=True):
            np.testing.assert_array_equal(kept.weight, found.weight)
            np.testing.assert_array_equal(kept.bias, found.bias)
        resumed += 1
    assert resumed > 0


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("interval", [1, 7])
def test_a_record_ends_a_chunk_for_early_stopping(task: Task, interval: int) -> None:
    """With early stopping, weights and state at a record are those its validation loss judged."""
    rows, valid = rows_of(task, 25, weighted=True), rows_of(task, 40, seed=1)
    options: dict[str, Any] = {"epochs": 50, "record_every": interval, "validation_fraction": 0.5}
    rule = EarlyStopping(patience=100)
    training = config("adam", early_stopping=rule, **options)
    running = FusedTraining(NETWORK, training, rows, valid)
    seen = []
    for step in running.run():
        if step.record is None:
            continue
        outputs = torch.tensor(inference.forward(running.layers(), valid.features))
        targets = torch.tensor(valid.targets)
        assert step.record.valid_loss == pytest.approx(
            LOSSES[task](outputs, targets).item(), rel=2e-5
        )
        state = running.state()
        assert state is not None
        assert state["epochs"] == step.epochs == step.record.epoch + 1
        seen.append(step.record.epoch)
    assert seen == sorted({*range(0, 50, interval), 49})
    alone = FusedTraining(NETWORK, config("adam", **options), rows, valid)
    assert len([step for step in alone.run() if step.record is not None]) == len(seen)
    for kept, found in zip(alone.layers(), running.layers(), strict=True):
        np.testing.assert_array_equal(kept.weight, found.weight)


@pytest.mark.parametrize("task", TASKS)
def test_weights_of_one_are_no_weights(task: Task) -> None:
    """Rows that all count 1 give the very records and weights of rows without weights."""
    plain = rows_of(task, 70)
    ones = plain._replace(weights=np.ones(70, np.float32))
    found = []
    for rows in (plain, ones):
        running = FusedTraining(NETWORK, config("adam"), rows, rows)
        steps = list(running.run())
        found.append((steps, [layer.weight.tolist() for layer in running.layers()]))
    assert found[0] == found[1]


@pytest.mark.parametrize("batch_size", [8, None])
def test_a_state_survives_safetensors(batch_size: int | None) -> None:
    """What is stored of a state is what is read: the training goes on from the bytes."""
    rows = rows_of("multiclass", 25)
    training = config("adam", batch_size=batch_size, epochs=40)
    first = FusedTraining(NETWORK, training, rows, None)
    for _ in first.run():
        pass
    state = first.state()
    assert state is not None
    read = load(save(state))
    assert read.keys() == state.keys()
    for name, value in state.items():
        assert value.flags.c_contiguous
        assert read[name].dtype == value.dtype
        np.testing.assert_array_equal(read[name], value)
    second = FusedTraining(NETWORK, training, rows, None, read)
    assert list(second.run()) == []
    for kept, found in zip(first.layers(), second.layers(), strict=True):
        np.testing.assert_array_equal(kept.weight, found.weight)


def test_a_state_of_another_shape_is_refused() -> None:
    """A state of a network with other layers never reaches the kernels."""
    rows, training = rows_of("binary", 25), config("sgd")
    state = FusedTraining(NETWORK, training, rows, None).state()
    with pytest.raises(ValueError, match="broadcast"):
        FusedTraining(NetworkConfig(hidden_layers=(40,)), training, rows, None, state)


def test_a_state_in_the_middle() -> None:
    """A long training hands back control with a state on its way, not at its end only."""
    rows = rows_of("multiclass", 300)
    training = config("adam", epochs=3_000, record_every=1_000)
    running = FusedTraining(NetworkConfig(hidden_layers=(64, 64)), training, rows, None)
    for step in running.run():
        state = running.state()
        if state is not None:
            assert 0 < step.epochs < 3_000
            assert state["epochs"] == step.epochs
            return
    raise AssertionError("no state on the way")
