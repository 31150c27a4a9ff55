"""Rows to train on, and what a training says of them."""

from collections.abc import Iterator

import numpy as np

from perceptron.datasets import Table
from perceptron.engines import Training
from perceptron.layers import Layers
from schemas.training import EpochRecord


def cloud(rows: int, seed: int = 0, features: int = 3) -> Table:
    """Draw points around the origin; the class is the sign of their coordinates' sum."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, features)).astype(np.float32)
    names = tuple(f"x{number}" for number in range(features))
    return Table("cloud", names, values, (values.sum(1) > 0).astype(np.float32))


def records(training: Training) -> Iterator[EpochRecord]:
    """Train, and give the points of the curves."""
    return (step.record for step in training.run() if step.record is not None)


def assert_close(found: Layers, expected: Layers, tolerance: float) -> None:
    """The same activations, and every weight and bias within the tolerance."""
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.activation == theirs.activation
        np.testing.assert_allclose(ours.weight, theirs.weight, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(ours.bias, theirs.bias, rtol=tolerance, atol=tolerance)
