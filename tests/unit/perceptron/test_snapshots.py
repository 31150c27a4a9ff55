"""Weights that are recorded along the epochs."""

from base64 import b64decode

import numpy as np
import pytest

from perceptron import layers
from perceptron.engines import Step, start
from schemas.network import NetworkConfig
from schemas.training import EarlyStopping, EngineName, TrainingConfig
from tests.unit.perceptron.data import assert_close, cloud

NETWORK = NetworkConfig(hidden_layers=(3, 2), activation="tanh")


def _steps(engine: EngineName, epochs: int, **options: object) -> list[Step]:
    fields = {"engine": engine, "device": "cpu", "epochs": epochs, "learning_rate": 0.1, **options}
    config = TrainingConfig.model_validate({"record_every": 5, "batch_size": 7, **fields})
    valid = cloud(13, 2) if config.validation_fraction else None
    return [step for step in start(NETWORK, config, cloud(30, 1), valid).run() if step.record]


@pytest.mark.parametrize("engine", ["fused", "torch"])
def test_each_record_comes_with_its_weights(engine: EngineName) -> None:
    """The weights at a record are those of a training that ends with that epoch."""
    found = {step.epochs: step.layers for step in _steps(engine, 12, record_weights=True)}
    assert list(found) == [1, 6, 11, 12]
    for epochs, recorded in found.items():
        config = TrainingConfig(
            engine=engine, device="cpu", epochs=epochs, learning_rate=0.1, batch_size=7
        )
        training = start(NETWORK, config, cloud(30, 1), None)
        assert [*training.run()]
        assert recorded is not None
        assert_close(recorded, training.layers(), 1e-6)


@pytest.mark.parametrize("engine", ["fused", "torch"])
def test_early_stopping_does_not_stand_in_for_them(engine: EngineName) -> None:
    """With early stopping too they are the record's own, not the best so far."""
    rule = EarlyStopping(patience=1_000)
    kept = _steps(engine, 40, record_weights=True, early_stopping=rule, validation_fraction=0.3)
    plain = _steps(engine, 40, record_weights=True)
    for mine, other in zip(kept, plain, strict=True):
        assert mine.layers is not None
        assert other.layers is not None
        assert_close(mine.layers, other.layers, 1e-6)


def test_nothing_is_kept_unless_asked_for() -> None:
    """Without the flag records are alone."""
    assert {step.layers for step in _steps("fused", 12)} == {None}


def test_a_snapshot_is_the_layers_flat() -> None:
    """Weights by row, then biases, layer by layer, in little-endian float32."""
    first = layers.Layer(np.array([[1, 2], [3, 4]], np.float32), np.array([5, 6], "f4"), "tanh")
    last = layers.Layer(np.array([[7, 8]], np.float32), np.array([9], "f4"), "sigmoid")
    told = layers.snapshot((first, last), 3)
    assert told.epoch == 3
    assert np.frombuffer(b64decode(told.parameters), "<f4").tolist() == [*range(1, 10)]
