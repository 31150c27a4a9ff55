"""The fused engine follows the torch engine, and its kernels the functions that they stand for."""

import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from perceptron.engines import kernels, start
from perceptron.engines.fused_engine import FusedTraining, zeros
from perceptron.engines.simd import LANES, load, pointer, store
from perceptron.tables import Table
from schemas.errors import Diverged
from schemas.network import Activation, NetworkConfig
from schemas.training import Optimizer, TrainingConfig
from tests.unit.perceptron.data import assert_close, cloud, records, table

RATES: dict[str, float] = {"sgd": 0.3, "momentum": 0.05, "nesterov": 0.05}


def _both(
    network: NetworkConfig, train: Table, valid: Table | None, **options: Any
) -> tuple[list[Any], list[Any]]:
    """Train with each engine; records as rows of numbers, then the layers."""
    found = []
    for engine in ("torch", "fused"):
        config = TrainingConfig(engine=engine, device="cpu", **options)
        training = start(network, config, train, valid)
        curves = [tuple(record.model_dump().values()) for record in records(training)]
        found.append([curves, training.layers()])
    return found[0], found[1]


def _assert_same(torch_found: list[Any], fused_found: list[Any], tolerance: float) -> None:
    for ours, theirs in zip(fused_found[0], torch_found[0], strict=True):
        assert ours[0] == theirs[0]
        np.testing.assert_allclose(
            np.array(ours[1:], float), np.array(theirs[1:], float), rtol=tolerance, atol=tolerance
        )
    assert_close(fused_found[1], torch_found[1], 10 * tolerance)


@pytest.mark.parametrize("optimizer", get_args(Optimizer))
@pytest.mark.parametrize("activation", get_args(Activation))
def test_it_follows_the_torch_engine(optimizer: Optimizer, activation: Activation) -> None:
    """Curves and weights are PyTorch's for every optimizer and activation, batches shuffled."""
    train, valid = cloud(45, 1), cloud(13, 2)
    network = NetworkConfig(hidden_layers=(5, 18), activation=activation)
    found = _both(
        network,
        train,
        valid,
        optimizer=optimizer,
        learning_rate=RATES.get(optimizer, 0.003),
        weight_decay=0.01,
        epochs=12,
        batch_size=8,
        record_every=1,
    )
    _assert_same(*found, 2e-5)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(
    rows=st.integers(1, 80),
    features=st.integers(1, 20),
    hidden=st.lists(st.integers(1, 40), max_size=4),
    batch_size=st.one_of(st.none(), st.integers(1, 90)),
    optimizer=st.sampled_from(get_args(Optimizer)),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_follows_for_any_shape(
    *,
    rows: int,
    features: int,
    hidden: list[int],
    batch_size: int | None,
    optimizer: Optimizer,
    seed: int,
) -> None:
    """Any rows, features, layers, batch size and seed give PyTorch's curves and weights."""
    found = _both(
        NetworkConfig(hidden_layers=tuple(hidden), activation="tanh"),
        cloud(rows, seed % 1000, features),
        None,
        optimizer=optimizer,
        learning_rate=RATES.get(optimizer, 0.003) / 3,
        epochs=5,
        batch_size=batch_size,
        record_every=2,
        seed=seed,
    )
    _assert_same(*found, 5e-5)


def test_the_slides_deep_network() -> None:
    """10,001 epochs of XOR on 2-10-10-10-1 end at PyTorch's loss."""
    config = TrainingConfig(epochs=10_001, engine="fused")
    network = NetworkConfig(hidden_layers=(10, 10, 10))
    *_, last = start(network, config, table("xor"), None).run()
    assert last.record is not None
    assert last.record.train_loss == pytest.approx(0.0001567, abs=5e-7)
    assert last.record.train_accuracy == 1


def test_the_order_of_rows_is_pytorchs() -> None:
    """Shuffling with the Mersenne Twister's words is `torch.randperm`, epoch after epoch."""
    for seed, rows in ((0, 1), (777, 2), (1, 150), (2**32 - 1, 1797)):
        generator = torch.Generator().manual_seed(seed)
        random = np.random.RandomState(seed)
        order = np.empty((3, rows), np.int64)
        kernels.shuffle(random.randint(0, 2**32, size=(3, rows - 1), dtype=np.uint32), order)
        for epoch in order:
            np.testing.assert_array_equal(epoch, torch.randperm(rows, generator=generator))


@pytest.mark.parametrize(
    ("ours", "exact", "low", "high", "tolerance"),
    [
        (kernels.exponential, math.exp, -86.0, 87.0, 2.5e-7),
        (kernels.logarithm, math.log, 2e-38, 1e-3, 3e-7),
        (kernels.logarithm, math.log, 1e-3, 0.9, 3e-7),
        (kernels.logarithm, math.log, 1.1, 4e4, 3e-7),
        (kernels.logarithm_of_1_plus, math.log1p, 0.0, 1e-6, 3e-7),
        (kernels.logarithm_of_1_plus, math.log1p, 1e-6, 1.0, 4e-7),
        (kernels.sigmoid, lambda z: 1 / (1 + math.exp(-z)), -80.0, 80.0, 4e-7),
        (kernels.tanh, math.tanh, -20.0, 20.0, 4e-7),
        (kernels.tanh, math.tanh, -1e-3, 1e-3, 4e-7),
        (kernels.normal_distribution, lambda z: math.erfc(-z / math.sqrt(2)) / 2, -5.0, 5.0, 4e-6),
    ],
)
def test_functions_are_exact_to_float32(
    ours: Any, exact: Any, low: float, high: float, tolerance: float
) -> None:
    """Every function of the kernels is within a few units in the last place of the true value."""

    @njit
    def apply(x: Any, y: Any) -> None:
        for i in range(0, len(x), LANES):
            store(pointer(y), i, ours(load(pointer(x), i)))

    x = np.linspace(low, high, 16_000).astype(np.float32)
    y = np.empty_like(x)
    apply(x, y)
    np.testing.assert_allclose(y, [exact(value) for value in x.tolist()], rtol=tolerance, atol=0)


def test_control_comes_back_between_records() -> None:
    """However far records are apart, control comes back, and the steps count up to the end."""
    config = TrainingConfig(epochs=1_000_000, record_every=900_000)
    steps = list(FusedTraining(NetworkConfig(), config, table("xor"), None).run())
    assert [step.record.epoch for step in steps if step.record] == [0, 900_000, 999_999]
    assert [step.epochs for step in steps] == sorted({step.epochs for step in steps})
    assert steps[-1].epochs == 1_000_000
    assert len(steps) > 3


@pytest.mark.parametrize("width", [300, 4_096, 65_536])
def test_wide_layers(width: int) -> None:
    """Layers of any width train as in the torch engine, with other memory in use beside them."""
    network = NetworkConfig(hidden_layers=(width,))
    found = _both(network, table("xor"), None, epochs=5, record_every=1, learning_rate=0.001)
    beside = [np.ones(width) for _ in range(100)]
    again = _both(network, table("xor"), None, epochs=5, record_every=1, learning_rate=0.001)
    assert all((values == 1).all() for values in beside)
    assert found[1][0] == again[1][0]
    _assert_same(*found, 5e-5)


def test_a_lost_hidden_unit_is_noticed() -> None:
    """A NaN inside a hidden layer reaches the loss: no activation hides it."""
    for activation in get_args(Activation):
        config = TrainingConfig(engine="fused", epochs=2, record_every=1)
        training = FusedTraining(
            NetworkConfig(hidden_layers=(3,), activation=activation), config, table("xor"), None
        )
        training._weights[:] = np.nan  # noqa: SLF001
        with pytest.raises(Diverged):
            list(training.run())


@pytest.mark.parametrize("hidden", [(), (3,)])
def test_momenta_end_at_zero(hidden: tuple[int, ...]) -> None:
    """Momenta that nothing renews become zero, not subnormal; Python's numbers still can be."""
    config = TrainingConfig(engine="fused", optimizer="adam", epochs=1_200, record_every=1_200)
    rows = table("xor")._replace(features=np.zeros((4, 2), np.float32))  # no weight learns
    training = FusedTraining(NetworkConfig(hidden_layers=hidden), config, rows, None)
    training._momenta[:] = 1e-3  # noqa: SLF001
    list(training.run())
    left = np.abs(training._momenta)  # noqa: SLF001
    smallest = float(np.finfo(np.float32).tiny)
    assert not ((left > 0) & (left < smallest)).any()
    assert (left == 0).any()
    assert np.float32(smallest) * np.float32(0.5) > 0


def test_vectors_lie_in_one_line_of_the_cache() -> None:
    """Arrays for the kernels begin at multiples of 64 bytes, however large they are."""
    for size in (1, 7, 64, 1_000, 100_000):
        found = zeros(size)
        assert (found.size, found.ctypes.data % 64) == (size, 0)
        assert not found.any()
