"""What is the torch engine's alone: the device, the threads, the weights at every step."""

from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from perceptron.engines import YIELD_SECONDS, start
from perceptron.engines.torch_engine import TorchTraining
from perceptron.inference import forward
from perceptron.tables import Table
from schemas.errors import DeviceUnavailable, Diverged
from schemas.network import NetworkConfig
from schemas.training import Optimizer, TrainingConfig
from tests.unit.perceptron.data import XOR, cloud, records


@pytest.fixture(autouse=True)
def _keep_thread_count() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def _config(**options: Any) -> TrainingConfig:
    return TrainingConfig(engine="torch", device="cpu", **options)


def test_validation_is_after_the_epochs_updates() -> None:
    """Validation loss and accuracy are those of the weights at the end of the epoch."""
    train, valid = cloud(30, 1), cloud(11, 2)
    training = start(NetworkConfig(), _config(epochs=7, record_every=3), train, valid)
    seen = []
    for record in records(training):
        outputs = torch.tensor(forward(training.layers(), valid.features))
        loss = torch.nn.BCELoss()(outputs, torch.tensor(valid.targets)).item()
        assert record.valid_loss == pytest.approx(loss, abs=1e-6)
        assert record.valid_accuracy == np.mean((outputs.numpy() > 0.5) == valid.targets)
        seen.append(record.epoch)
    assert seen == [0, 3, 6]


def test_control_comes_back_between_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """However far records are apart, each epoch hands back control once the time is up."""
    moments = iter(np.arange(0.0, 1e6, YIELD_SECONDS / 2))
    monkeypatch.setattr("perceptron.engines.torch_stack.time.monotonic", lambda: next(moments))
    training = start(NetworkConfig(), _config(epochs=100, record_every=90), XOR, None)
    steps = list(training.run())
    assert [step.epochs for step in steps if step.record is not None] == [1, 91, 100]
    assert [step.epochs for step in steps] == sorted({step.epochs for step in steps})
    assert len(steps) > 30


def test_a_state_is_that_of_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """At steps without a record too, a state has the step's epochs and goes on from there."""
    moments = iter(np.arange(0.0, 1e6, 2 * YIELD_SECONDS))
    monkeypatch.setattr("perceptron.engines.torch_stack.time.monotonic", lambda: next(moments))
    config = _config(epochs=20, record_every=19, batch_size=2, optimizer="adam")
    network = NetworkConfig(hidden_layers=(3,))
    whole = TorchTraining(network, config, cloud(7), None)
    states = {step.epochs: whole.state() for step in whole.run()}
    assert list(states) == list(range(1, 21))
    for epochs, state in states.items():
        assert int(state["epochs"]) == epochs
        assert int(state["steps"]) == 4 * epochs
        second = TorchTraining(network, config, cloud(7), None, state)
        assert [step.epochs for step in second.run()] == list(range(epochs + 1, 21))
        for name, values in second.state().items():
            np.testing.assert_array_equal(values, states[20][name])


def test_a_state_is_bytes() -> None:
    """A state becomes safetensors and comes back as it was."""
    training = TorchTraining(NetworkConfig(), _config(epochs=3, optimizer="adamw"), XOR, None)
    list(training.run())
    state = training.state()
    found = load(save(state))
    assert found.keys() == state.keys()
    for name, values in state.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype


def test_layers_are_float32_copies() -> None:
    """The weights handed out do not change with further epochs."""
    training = start(NetworkConfig(hidden_layers=(3,), activation="relu"), _config(), XOR, None)
    epochs = records(training)
    next(epochs)
    first = training.layers()
    kept = first[0].weight.copy()
    next(epochs)
    np.testing.assert_array_equal(first[0].weight, kept)
    assert (training.layers()[0].weight != kept).any()
    assert [layer.activation for layer in first] == ["relu", "sigmoid"]
    assert all(layer.weight.dtype == layer.bias.dtype == np.float32 for layer in first)


def test_a_diverged_validation_loss_diverges() -> None:
    """A validation loss that is not finite raises Diverged, though the training loss is."""
    features = np.array([[3e38, -3e38], [-3e38, 3e38]] * 100, np.float32)
    valid = Table("huge", ("a", "b"), features, np.ones(200, np.float32))
    network = NetworkConfig(hidden_layers=(50,), activation="identity")
    with pytest.raises(Diverged) as caught:
        list(start(network, _config(epochs=1), XOR, valid).run())
    assert caught.value.epoch == 0
    assert len(list(start(network, _config(epochs=1), XOR, None).run())) == 1


def test_auto_without_cuda_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no CUDA, `auto` trains on the CPU and says so."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    training = start(NetworkConfig(), TrainingConfig(engine="torch", epochs=1), XOR, None)
    assert (training.engine, training.device) == ("torch", "cpu")
    assert len(list(records(training))) == 1


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:5"])
def test_cuda_where_there_is_none_is_unavailable(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking for CUDA on a worker without it raises DeviceUnavailable, whatever the network."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceUnavailable, match="no CUDA device"):
        start(NetworkConfig(), TrainingConfig(device=device), XOR, None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("batch_size", [None, 6])
@pytest.mark.parametrize("optimizer", get_args(Optimizer))
def test_cuda_trains_as_the_cpu_does(optimizer: Optimizer, batch_size: int | None) -> None:
    """A GPU's graphs give the CPU's losses, within float32's rounding, and go on from states."""
    network = NetworkConfig(hidden_layers=(10, 10))
    configs = [
        TrainingConfig(
            engine="torch",
            device=device,
            optimizer=optimizer,
            learning_rate=0.01,
            batch_size=batch_size,
            epochs=50,
            record_every=1,
        )
        for device in ("cpu", "cuda:0")
    ]
    cpu, cuda = (
        [record.train_loss for record in records(start(network, config, cloud(20), None))]
        for config in configs
    )
    np.testing.assert_allclose(cuda, cpu, rtol=2e-5, atol=2e-5)
    first = TorchTraining(network, configs[1], cloud(20), None)
    steps = records(first)
    for _ in range(20):
        next(steps)
    second = TorchTraining(network, configs[1], cloud(20), None, first.state())
    assert [record.train_loss for record in records(second)] == cuda[20:]


def test_small_work_runs_on_one_thread() -> None:
    """A small network does not wake a second thread."""
    torch.set_num_threads(2)
    next(start(NetworkConfig(), _config(), XOR, None).run())
    assert torch.get_num_threads() == 1
