"""A fleet's networks take the trajectories that they take alone."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptron.engines import start
from perceptron.engines.fleet import Fleet
from perceptron.engines.reports import Member
from perceptron.tables import Table
from schemas.network import NetworkConfig
from schemas.training import TrainingConfig
from tests.unit.perceptron.data import assert_close, cloud, records, table

TOLERANCE = 2e-5


def _members(
    network: NetworkConfig,
    trainings: list[TrainingConfig],
    train: Table,
    valid: Table | None = None,
) -> list[Member]:
    return [member for member in Fleet(network, trainings, train, valid).run() if member]


def _assert_as_alone(
    network: NetworkConfig,
    trainings: list[TrainingConfig],
    train: Table,
    valid: Table | None = None,
) -> None:
    members = _members(network, trainings, train, valid)
    assert [member.number for member in members] == list(range(len(trainings)))
    for member, config in zip(members, trainings, strict=True):
        alone = start(network, config.model_copy(update={"engine": "fused"}), train, valid)
        curves = [list(record.model_dump(exclude_none=True).values()) for record in records(alone)]
        found = [list(record.model_dump(exclude_none=True).values()) for record in member.history]
        np.testing.assert_allclose(found, curves, rtol=TOLERANCE, atol=TOLERANCE)
        assert_close(member.layers, alone.layers(), 1e-4)


def test_seeds_and_rates_of_their_own() -> None:
    """Twenty networks, full batch, each with a seed and a rate of its own."""
    trainings = [
        TrainingConfig(seed=number, learning_rate=0.1 * (1 + number), epochs=300, record_every=50)
        for number in range(20)
    ]
    _assert_as_alone(NetworkConfig(hidden_layers=(2,)), trainings, table("xor"))


@settings(deadline=None, max_examples=12, derandomize=True)
@given(
    count=st.integers(1, 18),
    rows=st.integers(1, 70),
    hidden=st.lists(st.integers(1, 9), max_size=3),
    batch_size=st.one_of(st.none(), st.integers(1, 40)),
    optimizer=st.sampled_from(["sgd", "nesterov", "adam", "adamw", "rmsprop"]),
    activation=st.sampled_from(["sigmoid", "tanh", "gelu"]),
)
def test_any_shape(
    *,
    count: int,
    rows: int,
    hidden: list[int],
    batch_size: int | None,
    optimizer: Any,
    activation: Any,
) -> None:
    """Any number of networks, rows, layers and batch sizes, shuffled by each one's seed."""
    trainings = [
        TrainingConfig(
            seed=1000 + number,
            optimizer=optimizer,
            learning_rate=0.002 * (1 + number % 3),
            weight_decay=0.01 * (number % 2),
            l1_penalty=0.002,
            batch_size=batch_size,
            epochs=4,
            record_every=1,
        )
        for number in range(count)
    ]
    network = NetworkConfig(hidden_layers=tuple(hidden), activation=activation)
    _assert_as_alone(network, trainings, cloud(rows, rows), cloud(9, 1))


def test_wide_layers() -> None:
    """Layers of some hundred units, with other memory in use beside them."""
    trainings = [TrainingConfig(seed=seed, epochs=20, learning_rate=0.01) for seed in range(3)]
    beside = [np.ones(300) for _ in range(100)]
    _assert_as_alone(NetworkConfig(hidden_layers=(300, 40)), trainings, table("xor"))
    assert all((values == 1).all() for values in beside)


def test_one_that_diverges_leaves_the_others_alone() -> None:
    """A network whose loss is no number ends there; its neighbours go on."""
    features = np.array([[1e20, -1e20], [-1e20, 1e20]], np.float32)
    rows = Table("large", ("a", "b"), features, np.array([0, 1], np.float32))
    network = NetworkConfig(hidden_layers=(4,), activation="identity")
    trainings = [
        TrainingConfig(seed=1, epochs=50, record_every=1, learning_rate=rate)
        for rate in (1e-42, 1000.0)
    ]
    calm, wild = _members(network, trainings, rows)
    assert calm.diverged_at is None
    assert len(calm.history) == 50
    assert wild.diverged_at is not None
    assert len(wild.history) == wild.diverged_at < 50


def test_trainings_of_another_kind_are_refused() -> None:
    """A fleet shares everything but seed, rate and weight decay."""
    with pytest.raises(ValueError, match="fleet"):
        Fleet(
            NetworkConfig(),
            [TrainingConfig(epochs=5), TrainingConfig(epochs=6)],
            table("xor"),
            None,
        )
