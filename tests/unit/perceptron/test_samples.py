"""Tables that are drawn: points lie where the shapes' formulas say."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptron.datasets import describe
from perceptron.samples import GAP, INNER_RADIUS, TURNS, sample
from schemas.dataset import DatasetOptions, SampleConfig

KINDS = ["moons", "circles", "spirals", "gaussians", "quadrants"]


def _points(**fields: Any) -> tuple[Any, Any, Any]:
    frame = sample(SampleConfig.model_validate({"rows": 600, **fields}))
    assert frame.names == ("x1", "x2", "label")
    x1, x2, labels = (column.values for column in frame.columns)
    return x1, x2, labels.astype(int)


@given(
    kind=st.sampled_from(KINDS),
    rows=st.integers(2, 50),
    classes=st.integers(2, 5),
    noise=st.sampled_from([0.0, 0.1, 10.0]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_samples_are_as_asked_for(
    kind: Any, rows: int, classes: int, noise: float, seed: int
) -> None:
    """As many rows as asked for, classes equally frequent, and the same for the same seed."""
    classes = min(classes, rows) if kind in ("spirals", "gaussians") else 2
    config = SampleConfig(kind=kind, rows=rows, classes=classes, noise=noise, seed=seed)
    frame = sample(config)
    counts = np.bincount(frame.column("label").values.astype(int), minlength=classes)
    assert frame.rows == counts.sum() == rows
    assert len(counts) == classes
    assert counts.max() - counts.min() <= 1
    assert sample(config).sha256 == frame.sha256
    if noise:
        assert sample(config.model_copy(update={"seed": seed ^ 1})).sha256 != frame.sha256


def test_moons() -> None:
    """Each moon is half of a circle of radius 1, as scikit-learn's `make_moons` draws it."""
    x1, x2, labels = _points(kind="moons", noise=0)
    upper, lower = labels == 0, labels == 1
    np.testing.assert_allclose(np.hypot(x1[upper], x2[upper]), 1)
    assert (x2[upper] >= 0).all()
    np.testing.assert_allclose(np.hypot(x1[lower] - 1, x2[lower] - 0.5), 1)
    assert (x2[lower] <= 0.5).all()
    assert (np.ptp(x1[upper]), np.ptp(x1[lower])) == pytest.approx((2, 2), abs=0.05)


def test_circles() -> None:
    """Class 0 is the circle of radius 1, class 1 that of half of it, all the way round."""
    x1, x2, labels = _points(kind="circles", noise=0)
    np.testing.assert_allclose(np.hypot(x1, x2), np.where(labels == 0, 1, INNER_RADIUS))
    for label in (0, 1):
        angles = np.sort(np.arctan2(x2[labels == label], x1[labels == label]))
        assert np.diff(angles).max() < 0.3


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_spirals(classes: int) -> None:
    """On each arm the angle grows with the radius; the arms are turned by equal angles."""
    x1, x2, labels = _points(kind="spirals", classes=classes, noise=0)
    radii = np.hypot(x1, x2)
    angles = 2 * np.pi * (TURNS * radii + labels / classes)
    np.testing.assert_allclose(np.exp(1j * angles) * radii, x1 + 1j * x2, atol=1e-12)
    assert 0.95 < radii.max() <= 1


@pytest.mark.parametrize("classes", [2, 5])
def test_gaussians(classes: int) -> None:
    """Each cloud has its centre on the circle of radius 1, and the noise as its deviation."""
    x1, x2, labels = _points(kind="gaussians", classes=classes, noise=0.25, rows=20_000)
    for label in range(classes):
        centre = np.exp(2j * np.pi * label / classes)
        for values, mean in ((x1, centre.real), (x2, centre.imag)):
            assert values[labels == label].mean() == pytest.approx(mean, abs=0.02)
            assert values[labels == label].std() == pytest.approx(0.25, abs=0.01)


def test_quadrants() -> None:
    """All four quadrants have as many points, and a class is the XOR of the signs."""
    x1, x2, labels = _points(kind="quadrants", noise=0, rows=20_000)
    assert ((x1 > 0) ^ (x2 > 0)).astype(int).tolist() == labels.tolist()
    for values in (x1, x2):
        assert GAP <= np.abs(values).min() < np.abs(values).max() <= 1
        assert values.mean() == pytest.approx(0, abs=0.02)
    assert np.mean(x1 > 0) == pytest.approx(0.5, abs=0.02)


def test_noise_is_gaussian_around_the_shape() -> None:
    """The radius of a noisy circle varies as the noise does."""
    x1, x2, labels = _points(kind="circles", noise=0.05, rows=20_000)
    radii = np.hypot(x1, x2)[labels == 0]
    assert radii.std() == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize(
    ("kind", "classes", "task"), [("moons", 2, "binary"), ("spirals", 3, "multiclass")]
)
def test_samples_are_classes_to_learn(kind: Any, classes: int, task: str) -> None:
    """A drawn table is described as what it is: two features, and numbered classes."""
    frame = sample(SampleConfig(kind=kind, classes=classes))
    found = describe(frame, DatasetOptions(name="drawn"), frame.to_bytes())
    assert (found.target, found.task, found.feature_names) == ("label", task, ("x1", "x2"))


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("plane", {(1, 1): 1.0, (-1, -1): -1.0, (1, -1): 0.0, (0.5, 0): 0.25}),
        ("hills", {(-0.65, -0.4): 1.0, (-0.65, 0.4): -1.0, (0, 0.4): 1.0, (0.65, -0.4): 1.0}),
    ],
)
def test_surfaces(kind: Any, known: dict[tuple[float, float], float]) -> None:
    """Their heights are numbers over a square; noise is on the height alone."""
    config = SampleConfig(kind=kind, rows=100_000, noise=0)
    x1, x2, value = (column.values for column in sample(config).columns)
    for (x, y), height in known.items():
        nearest = np.hypot(x1 - x, x2 - y).argmin()
        assert value[nearest] == pytest.approx(height, abs=0.05)
    noisy = sample(config.model_copy(update={"noise": 0.3}))
    np.testing.assert_array_equal(noisy.column("x1").values, x1)
    assert (noisy.column("value").values - value).std() == pytest.approx(0.3, rel=0.02)
    told = describe(noisy, DatasetOptions(name="drawn"), b"")
    assert (told.target, told.task, told.feature_names) == ("value", "regression", ("x1", "x2"))
