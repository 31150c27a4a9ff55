"""Rows to train on, and what a training says of them."""

from collections.abc import Iterator

import numpy as np

from perceptron.datasets import in_request
from perceptron.engines import Training
from perceptron.gates import NAMED_TABLES
from perceptron.layers import Layers
from perceptron.preparation import prepare
from perceptron.tables import Table
from schemas.job import JobRequest
from schemas.network import Task
from schemas.training import EpochRecord

XOR = Table("xor", ("x1", "x2"), NAMED_TABLES["xor"].features, NAMED_TABLES["xor"].targets)
"""The slides' table."""


def table(name: str) -> Table:
    """Give a truth table as engines take it."""
    source = in_request(name)
    assert source is not None
    return prepare(JobRequest(dataset=name), source).train


def cloud(rows: int, seed: int = 0, features: int = 3) -> Table:
    """Draw points around the origin; the class is the sign of their coordinates' sum."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, features)).astype(np.float32)
    names = tuple(f"x{number}" for number in range(features))
    return Table("cloud", names, values, (values.sum(1) > 0).astype(np.float32))


def rows_of(task: Task, rows: int, seed: int = 0, *, weighted: bool = False) -> Table:
    """Draw points with a target for the task: a half-plane, one of three clouds, or a sum."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, 3)).astype(np.float32)
    targets = {
        "binary": values.sum(1) > 0,
        "multiclass": values.argmax(1),
        "regression": values.sum(1) + 0.1 * random.normal(size=rows),
    }[task]
    weights = random.uniform(0.2, 1.8, size=rows).astype(np.float32) if weighted else None
    classes = 3 if task == "multiclass" else 2
    names = ("x0", "x1", "x2")
    return Table(task, names, values, targets.astype(np.float32), task, classes, weights)


def noisy_rows(rows: int, seed: int) -> Table:
    """Rows whose classes are half noise: a network soon learns the noise."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, 3)).astype(np.float32)
    targets = (features[:, 0] + random.normal(size=rows) > 0).astype(np.float32)
    return Table("noisy", ("a", "b", "c"), features, targets)


def records(training: Training) -> Iterator[EpochRecord]:
    """Train, and give the points of the curves."""
    return (step.record for step in training.run() if step.record is not None)


def assert_close(found: Layers, expected: Layers, tolerance: float) -> None:
    """The same activations, and every weight and bias within the tolerance."""
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.activation == theirs.activation
        np.testing.assert_allclose(ours.weight, theirs.weight, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(ours.bias, theirs.bias, rtol=tolerance, atol=tolerance)
