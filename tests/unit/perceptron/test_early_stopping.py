"""Early stopping: when it ends a training, and which weights it keeps."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from perceptron import engines
from perceptron.engines import Training
from schemas.network import NetworkConfig
from schemas.training import EarlyStopping, EngineName, TrainingConfig
from tests.unit.perceptron.data import noisy_rows

NETWORK = NetworkConfig(hidden_layers=(8,), activation="tanh")
ENGINES: tuple[EngineName, ...] = ("fused", "torch")


TRAIN, VALID = noisy_rows(40, 1), noisy_rows(40, 2)


def training(
    engine: EngineName, epochs: int, early_stopping: EarlyStopping | None
) -> TrainingConfig:
    """Take the rate that overfits these rows within a hundred epochs, recording every epoch."""
    return TrainingConfig(
        engine=engine,
        device="cpu",
        learning_rate=2.0,
        epochs=epochs,
        seed=5,
        record_every=1,
        validation_fraction=0.5,
        early_stopping=early_stopping,
    )


def losses_of(running: Training) -> list[float]:
    """Run to the end; the validation losses on the way."""
    records = [step.record for step in running.run() if step.record is not None]
    return [record.valid_loss for record in records if record.valid_loss is not None]


def expected_end(losses: Sequence[float], patience: int, improvement: float) -> tuple[int, int]:
    """Find the last epoch and the best one by going through all losses."""
    best = 0
    for epoch, loss in enumerate(losses):
        if epoch == 0 or loss < losses[best] - improvement:
            best = epoch
        elif epoch - best >= patience:
            return epoch, best
    return len(losses) - 1, best


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("patience", "improvement"), [(1, 0.0), (5, 0.0), (20, 0.01)])
def test_ends_after_its_patience(engine: EngineName, patience: int, improvement: float) -> None:
    """The training ends `patience` epochs after its best record, and says which that was."""
    whole = losses_of(engines.start(NETWORK, training(engine, 150, None), TRAIN, VALID))
    rule = EarlyStopping(patience=patience, minimum_improvement=improvement)
    stopped = engines.start(NETWORK, training(engine, 150, rule), TRAIN, VALID)
    losses = losses_of(stopped)
    last, best = expected_end(whole, patience, improvement)
    assert last < 149
    assert losses == whole[: last + 1]
    assert stopped.best_epoch == best


@pytest.mark.parametrize("engine", ENGINES)
def test_keeps_the_best_weights(engine: EngineName) -> None:
    """The layers are those of the best epoch: PyTorch finds that epoch's loss with them."""
    rule = EarlyStopping(patience=10)
    stopped = engines.start(NETWORK, training(engine, 150, rule), TRAIN, VALID)
    losses = losses_of(stopped)
    values = torch.tensor(VALID.features)
    *hidden, output = stopped.layers()
    for layer in hidden:
        values = torch.tanh(values @ torch.tensor(layer.weight).T + torch.tensor(layer.bias))
    logits = (values @ torch.tensor(output.weight).T + torch.tensor(output.bias)).squeeze(1)
    loss = float(binary_cross_entropy_with_logits(logits, torch.tensor(VALID.targets)))
    assert loss == pytest.approx(min(losses), rel=1e-5)
    assert loss < losses[-1]


@pytest.mark.parametrize("engine", ENGINES)
def test_resumes_as_if_never_interrupted(engine: EngineName) -> None:
    """From a state at any record it ends at the same epoch with the same weights, bit for bit."""
    config = training(engine, 150, EarlyStopping(patience=10))
    whole = engines.start(NETWORK, config, TRAIN, VALID)
    losses = losses_of(whole)
    for cut in (1, len(losses) // 2, len(losses)):
        first = engines.start(NETWORK, config, TRAIN, VALID)
        seen = 0
        state = None
        for step in first.run():
            seen += step.record is not None
            if seen == cut:
                state = first.state()
                break
        assert state is not None
        second = engines.start(NETWORK, config, TRAIN, VALID, state)
        assert losses_of(second) == losses[cut:]
        assert second.best_epoch == whole.best_epoch
        for kept, found in zip(whole.layers(), second.layers(), strict=True):
            np.testing.assert_array_equal(kept.weight, found.weight)
            np.testing.assert_array_equal(kept.bias, found.bias)


def test_a_training_that_gets_ever_better_runs_to_its_end() -> None:
    """A validation loss that always falls ends nothing: all epochs are trained."""
    rule = EarlyStopping(patience=1)
    config = training("fused", 30, rule).model_copy(update={"learning_rate": 0.01})
    running = engines.start(NetworkConfig(), config, TRAIN, TRAIN)
    losses = losses_of(running)
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 30
    assert running.best_epoch == 29
