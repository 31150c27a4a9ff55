"""What is the torch engine's alone: the device, the threads, the weights at every step."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from perceptron.datasets import Table, table
from perceptron.engines import YIELD_SECONDS, start
from perceptron.inference import forward
from schemas.errors import DeviceUnavailable, Diverged
from schemas.network import NetworkConfig
from schemas.training import TrainingConfig
from tests.unit.perceptron.data import cloud, records

XOR = table("xor")


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


def test_control_comes_back_betweenrecords(monkeypatch: pytest.MonkeyPatch) -> None:
    """However far records are apart, each epoch hands back control once the time is up."""
    moments = iter(np.arange(0.0, 1e6, YIELD_SECONDS / 2))
    monkeypatch.setattr("perceptron.engines.torch_engine.time.monotonic", lambda: next(moments))
    training = start(NetworkConfig(), _config(epochs=100, record_every=90), XOR, None)
    steps = list(training.run())
    assert [step.epochs for step in steps if step.record is not None] == [1, 91, 100]
    assert [step.epochs for step in steps] == sorted({step.epochs for step in steps})
    assert len(steps) > 30


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
    with pytest.raises(Diverged) as caught:
        list(start(NetworkConfig(), _config(epochs=1), XOR, valid).run())
    assert caught.value.epoch == 0


def test_auto_without_cuda_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no CUDA, `auto` trains on the CPU and says so."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    training = start(NetworkConfig(), TrainingConfig(engine="torch", epochs=1), XOR, None)
    assert (training.engine, training.device) == ("torch", "cpu")
    assert len(list(records(training))) == 1


def test_cuda_where_there_is_none_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for CUDA on a worker without it raises DeviceUnavailable."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceUnavailable):
        start(NetworkConfig(), TrainingConfig(device="cuda"), XOR, None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_trains_as_the_cpu_does() -> None:
    """A GPU gives the CPU's losses, within float32's rounding."""
    network = NetworkConfig(hidden_layers=(10, 10))
    losses = [
        [record.train_loss for record in records(start(network, config, cloud(20), None))]
        for config in (
            TrainingConfig(engine="torch", epochs=50, device=device) for device in ("cpu", "cuda")
        )
    ]
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)


def test_small_work_runs_on_one_thread() -> None:
    """A small network does not wake a second thread."""
    torch.set_num_threads(2)
    next(start(NetworkConfig(), _config(), XOR, None).run())
    assert torch.get_num_threads() == 1
