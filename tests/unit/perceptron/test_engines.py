"""Both engines, against the slides' numbers and a copy of the slides' loop."""

from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
import torch

from perceptron.engines import State, start
from perceptron.inference import forward
from perceptron.initialisation import initial_layers
from perceptron.tables import Table
from schemas.errors import Diverged
from schemas.network import NetworkConfig, Task
from schemas.training import (
    ConstantSchedule,
    CosineSchedule,
    EarlyStopping,
    EngineName,
    Optimizer,
    Schedule,
    StepSchedule,
    TrainingConfig,
)
from tests.unit.perceptron.data import XOR, assert_close, cloud, records, rows_of
from tests.unit.perceptron.pytorch import MODULES, train_plainly

OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.0),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.05),
}


@pytest.fixture(autouse=True, params=get_args(EngineName))
def _engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test of this module is one of each engine."""
    monkeypatch.setitem(ENGINE, "engine", request.param)


ENGINE: dict[str, Any] = {}


def _config(**options: Any) -> TrainingConfig:
    return TrainingConfig(device="cpu", **ENGINE, **options)


def _slides_loop(
    train: Table, widths: tuple[int, ...], activation: str, make_optimizer: Any, epochs: int
) -> tuple[list[float], torch.nn.Sequential]:
    """Train as the slides write it, for any shape: seed, layers, BCELoss, step."""
    X = torch.FloatTensor(train.features)  # noqa: N806
    Y = torch.FloatTensor(train.targets)[:, None]  # noqa: N806
    torch.manual_seed(777)
    modules: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(widths):
        modules += [torch.nn.Linear(inputs, outputs, bias=True), MODULES[activation]]
    modules[-1] = torch.nn.Sigmoid()
    model = torch.nn.Sequential(*modules)
    criterion = torch.nn.BCELoss()
    optimizer = make_optimizer(model.parameters())
    costs = []
    for _ in range(epochs):
        optimizer.zero_grad()
        hypothesis = model(X)
        cost = criterion(hypothesis, Y)
        cost.backward()
        optimizer.step()
        costs.append(cost.item())
    return costs, model


def test_a_single_layer_stays_at_the_slides_loss() -> None:
    """XOR, 2-1, seed 777, lr 1: the slides' losses at 0, 100, 200 and 10,000; accuracy 0.5."""
    training = start(NetworkConfig(), _config(record_every=100), XOR, None)
    found = {record.epoch: record for record in records(training)}
    assert list(found) == list(range(0, 10_001, 100))
    assert found[0].train_loss == pytest.approx(0.7273974418640137, abs=1e-6)
    assert found[100].train_loss == pytest.approx(0.6931476593017578, abs=1e-6)
    assert found[200].train_loss == pytest.approx(0.6931471824645996, abs=1e-7)
    assert found[10_000].train_loss == pytest.approx(0.6931471824645996, abs=1e-7)
    assert found[10_000].train_accuracy == 0.5
    assert found[10_000].valid_loss is found[10_000].valid_accuracy is None


def test_three_hidden_layers_learn_xor() -> None:
    """2-10-10-10-1 on the slides' settings ends at their loss, and its layers answer XOR."""
    network = NetworkConfig(hidden_layers=(10, 10, 10))
    training = start(network, _config(record_every=5_000), XOR, None)
    *_, last = records(training)
    assert last.epoch == 10_000
    assert last.train_loss == pytest.approx(0.0001567, abs=3e-6)
    assert last.train_accuracy == 1.0
    assert (forward(training.layers(), XOR.features) > 0.5).tolist() == [False, True, True, False]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("hidden", "activation"), [((), "sigmoid"), ((4,), "tanh"), ((8, 5), "gelu")]
)
def test_losses_are_those_of_the_slides_loop(
    optimizer: Any, hidden: tuple[int, ...], activation: Any
) -> None:
    """Every epoch's loss and the final weights are those of the slides' own loop with BCELoss."""
    rows = cloud(20)
    expected, model = _slides_loop(rows, (3, *hidden, 1), activation, OPTIMIZERS[optimizer], 60)
    training = start(
        NetworkConfig(hidden_layers=hidden, activation=activation),
        _config(optimizer=optimizer, learning_rate=0.05, epochs=60, record_every=1),
        rows,
        None,
    )
    losses = [record.train_loss for record in records(training)]
    np.testing.assert_allclose(losses, expected, atol=1e-5)
    probabilities = model(torch.tensor(rows.features))[:, 0].detach().numpy()
    np.testing.assert_allclose(forward(training.layers(), rows.features), probabilities, atol=1e-4)


@pytest.mark.parametrize("activation", MODULES)
def test_activations_train_as_in_the_slides_loop(activation: Any) -> None:
    """Every activation gives the losses of PyTorch's module of that name."""
    rows = cloud(12)
    expected, _ = _slides_loop(rows, (3, 6, 1), activation, OPTIMIZERS["sgd"], 30)
    network = NetworkConfig(hidden_layers=(6,), activation=activation)
    config = _config(learning_rate=0.05, epochs=30, record_every=1)
    losses = [record.train_loss for record in records(start(network, config, rows, None))]
    np.testing.assert_allclose(losses, expected, atol=1e-6)


SCHEDULES: dict[str, Schedule] = {
    "constant": ConstantSchedule(),
    "step": StepSchedule(kind="step", every_epochs=7, factor=0.5),
    "cosine": CosineSchedule(kind="cosine", minimum=0.001),
}
RATES: dict[Optimizer, float] = {"sgd": 0.2, "momentum": 0.05, "nesterov": 0.05}


@pytest.mark.parametrize("task", get_args(Task))
@pytest.mark.parametrize("optimizer", get_args(Optimizer))
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_trains_as_a_plain_loop_does(task: Task, optimizer: Optimizer, schedule: str) -> None:
    """
    Weighted rows in shuffled batches: every epoch's loss and accuracy, and the final weights.

    They are those of nn.Linear, the task's criterion, torch.optim and its scheduler.
    """
    rows = rows_of(task, 25, weighted=True)
    network = NetworkConfig(hidden_layers=(6,), activation="tanh")
    config = _config(
        optimizer=optimizer,
        learning_rate=RATES.get(optimizer, 0.01),
        schedule=SCHEDULES[schedule],
        weight_decay=0.01,
        batch_size=8,
        epochs=20,
        record_every=1,
    )
    expected = train_plainly(network, config, rows)
    training = start(network, config, rows, None)
    found = list(records(training))
    np.testing.assert_allclose([r.train_loss for r in found], expected.losses, rtol=2e-5)
    accuracies = [record.train_accuracy for record in found]
    if task == "regression":
        assert accuracies == [None] * 20
    else:
        assert accuracies == pytest.approx(expected.accuracies)
    values = [part.detach().numpy() for part in expected.model.parameters()]
    for index, layer in enumerate(training.layers()):
        np.testing.assert_allclose(layer.weight, values[2 * index], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(layer.bias, values[2 * index + 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("task", get_args(Task))
def test_validation_is_weighted_and_judged_as_training_is(task: Task) -> None:
    """Validation rows that are the training rows have, after an epoch, the next one's point."""
    rows = rows_of(task, 30, weighted=True)
    network = NetworkConfig(hidden_layers=(4,), activation="gelu")
    config = _config(epochs=6, record_every=1, learning_rate=0.05)
    found = list(records(start(network, config, rows, rows)))
    for before, after in pairwise(found):
        assert before.valid_loss == pytest.approx(after.train_loss, rel=1e-5)
        assert before.valid_accuracy == after.train_accuracy


@pytest.mark.parametrize("task", get_args(Task))
def test_layers_answer_what_was_learned(task: Task) -> None:
    """The layers end in the task's activation: their answers have the loss of the last record."""
    rows = rows_of(task, 40)
    config = _config(epochs=30, record_every=1, learning_rate=0.1)
    training = start(NetworkConfig(hidden_layers=(8,), activation="relu"), config, rows, rows)
    *_, last = records(training)
    outputs = torch.tensor(forward(training.layers(), rows.features))
    targets = torch.tensor(rows.targets)
    loss = {
        "binary": lambda: torch.nn.functional.binary_cross_entropy(outputs, targets),
        "multiclass": lambda: -outputs[torch.arange(40), targets.long()].log().mean(),
        "regression": lambda: (outputs - targets).square().mean(),
    }[task]()
    assert last.valid_loss == pytest.approx(loss.item(), rel=1e-4)


@pytest.mark.parametrize("optimizer", get_args(Optimizer))
@pytest.mark.parametrize("batch_size", [None, 7])
def test_goes_on_from_a_state_bit_for_bit(optimizer: Optimizer, batch_size: int | None) -> None:
    """
    From the state at any record, all that follows is that of one run without a break.

    With early stopping, every record has a state of its own.
    """
    rows, valid = rows_of("multiclass", 20), rows_of("multiclass", 9, 1)
    network = NetworkConfig(hidden_layers=(5,))
    config = _config(
        optimizer=optimizer,
        learning_rate=0.02,
        schedule=SCHEDULES["cosine"],
        batch_size=batch_size,
        epochs=14,
        record_every=3,
        validation_fraction=0.3,
        early_stopping=EarlyStopping(patience=100),
    )
    whole = start(network, config, rows, valid)
    states = [whole.state()]
    found = []
    for record in records(whole):
        found.append(record)
        states.append(whole.state())
    for index, (done, state) in enumerate(zip((0, 1, 4, 7, 10, 13, 14), states, strict=True)):
        assert state is not None
        assert int(state["epochs"]) == done
        second = start(network, config, rows, valid, state)
        assert list(records(second)) == found[index:]
        assert_close(second.layers(), whole.layers(), 0.0)
        assert _bytes(second.state()) == _bytes(whole.state())


def _bytes(state: State | None) -> dict[str, bytes]:
    assert state is not None
    return {name: values.tobytes() for name, values in state.items()}


@pytest.mark.parametrize("optimizer", get_args(Optimizer))
@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize(("task", "hidden"), [("multiclass", (6,)), ("binary", ())])
def test_an_l1_penalty_is_part_of_the_loss(
    optimizer: Optimizer, batch_size: int | None, task: Task, hidden: tuple[int, ...]
) -> None:
    """The weights are those of a loss to which the sizes of all were added; losses lack it."""
    rows = rows_of(task, 25, weighted=True)
    network = NetworkConfig(hidden_layers=hidden, activation="tanh")
    config = _config(
        optimizer=optimizer,
        learning_rate=RATES.get(optimizer, 0.01),
        weight_decay=0.01,
        l1_penalty=0.02,
        batch_size=batch_size,
        epochs=20,
        record_every=1,
    )
    expected = train_plainly(network, config, rows)
    training = start(network, config, rows, None)
    losses = [record.train_loss for record in records(training)]
    np.testing.assert_allclose(losses, expected.losses, rtol=2e-5)
    values = [part.detach().numpy() for part in expected.model.parameters()]
    for index, layer in enumerate(training.layers()):
        np.testing.assert_allclose(layer.weight, values[2 * index], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(layer.bias, values[2 * index + 1], rtol=1e-4, atol=1e-5)


def test_weight_decay_is_the_optimizers() -> None:
    """L2 penalty goes to the optimizer: the losses are those of SGD with weight_decay."""
    rows = cloud(12)
    expected, _ = _slides_loop(
        rows, (3, 1), "sigmoid", lambda p: torch.optim.SGD(p, lr=0.5, weight_decay=0.1), 30
    )
    config = _config(learning_rate=0.5, weight_decay=0.1, epochs=30, record_every=1)
    losses = [record.train_loss for record in records(start(NetworkConfig(), config, rows, None))]
    np.testing.assert_allclose(losses, expected, atol=1e-6)


def test_the_first_record_is_before_any_update() -> None:
    """Epoch 0 holds the loss and accuracy of the initial weights."""
    rows = cloud(30)
    training = start(NetworkConfig(hidden_layers=(5,)), _config(epochs=1), rows, None)
    before = training.layers()
    for ours, initial in zip(before, initial_layers((3, 5, 1), "sigmoid", 777), strict=True):
        np.testing.assert_array_equal(ours.weight, initial.weight)
    (record,) = records(training)
    outputs = torch.tensor(forward(before, rows.features))
    assert record.train_loss == pytest.approx(
        torch.nn.BCELoss()(outputs, torch.tensor(rows.targets)).item(), abs=1e-6
    )
    assert record.train_accuracy == np.mean((outputs.numpy() > 0.5) == rows.targets)
    assert (training.layers()[0].weight != before[0].weight).any()


def test_the_last_epoch_is_recorded() -> None:
    """Records stand at multiples of the interval, and at the last epoch wherever it falls."""
    training = start(NetworkConfig(), _config(epochs=12, record_every=5), XOR, None)
    assert [record.epoch for record in records(training)] == [0, 5, 10, 11]


def test_minibatches_step_in_the_order_of_the_seed() -> None:
    """Each epoch steps through a new permutation, its loss the mean over rows before each step."""
    rows = cloud(10)
    config = _config(epochs=3, batch_size=4, record_every=1, learning_rate=0.5)
    losses = [record.train_loss for record in records(start(NetworkConfig(), config, rows, None))]
    (layer,) = initial_layers((3, 1), "sigmoid", 777)
    weight, bias = layer.weight[0].astype(float), float(layer.bias[0])
    generator = torch.Generator().manual_seed(777)
    for epoch in range(3):
        order = torch.randperm(10, generator=generator).tolist()
        total = 0.0
        for chosen in (order[:4], order[4:8], order[8:]):
            x, y = rows.features[chosen].astype(float), rows.targets[chosen]
            p = 1 / (1 + np.exp(-(x @ weight + bias)))
            total -= np.sum(y * np.log(p) + (1 - y) * np.log(1 - p))
            weight -= 0.5 * x.T @ (p - y) / len(y)
            bias -= 0.5 * np.mean(p - y)
        assert losses[epoch] == pytest.approx(total / 10, abs=1e-6)


@pytest.mark.parametrize("size", [10, 1_000])
def test_a_batch_of_all_rows_is_a_full_batch(size: int) -> None:
    """A batch size of at least the rows gives the very records of no batch size."""
    rows, network = cloud(10), NetworkConfig(hidden_layers=(3,))
    full = records(start(network, _config(epochs=5), rows, None))
    batched = records(start(network, _config(epochs=5, batch_size=size), rows, None))
    assert list(full) == list(batched)


def test_the_seed_decides_everything() -> None:
    """The same seed gives the same records, batches included; another seed gives others."""
    rows, network = cloud(40), NetworkConfig(hidden_layers=(6,))
    runs = [
        list(records(start(network, _config(epochs=4, batch_size=8, seed=seed), rows, None)))
        for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def _huge() -> Table:
    features = np.array([[1e38, -1e38], [-1e38, 1e38], [3e38, 3e38]], np.float32)
    return Table("huge", ("a", "b"), features, np.array([0, 1, 1], np.float32))


@pytest.mark.parametrize("batch_size", [None, 1])
def test_a_loss_that_is_no_number_diverges(batch_size: int | None) -> None:
    """A recorded loss of NaN or infinity raises Diverged at its epoch; no record holds it."""
    network = NetworkConfig(hidden_layers=(4,), activation="identity")
    config = _config(learning_rate=1000.0, epochs=50, record_every=10, batch_size=batch_size)
    with pytest.raises(Diverged) as caught:
        list(start(network, config, _huge(), None).run())
    assert caught.value.epoch in range(0, 50, 10)


def test_weights_that_are_no_numbers_diverge_at_the_end() -> None:
    """A finite last loss whose update makes the weights infinite raises Diverged."""
    features = np.array([[3e38], [-3e38]], np.float32)
    rows = Table("huge", ("a",), features, np.array([0, 1], np.float32))
    config = _config(learning_rate=1000.0, epochs=1, seed=1)
    training = start(NetworkConfig(), config, rows, None)
    with pytest.raises(Diverged) as caught:
        list(records(training))
    assert caught.value.epoch == 0
    assert not np.isfinite(training.layers()[0].weight).all()
