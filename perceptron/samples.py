"""Tables that are drawn: points of two features in shapes that show what a network can learn."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from perceptron.frames import Column, Frame
from schemas.dataset import SampleConfig

LABEL = "label"
"""Name of the target: the number of the shape that a point belongs to."""
VALUE = "value"
"""Name of the target of a surface: its height over the point."""

TURNS = 1.5
"""How often an arm of the spirals goes round."""
INNER_RADIUS = 0.5
"""Radius of the inner circle; the outer one's is 1."""

GAP = 0.05
"""Distance of the quadrants' points from the axes, at least, before the noise."""

HILLS = tuple(
    (x, y, (-1) ** (i + j))
    for i, x in enumerate((-0.65, 0, 0.65))
    for j, y in enumerate((-0.4, 0.4))
)
"""Tops of hills (1) and bottoms of hollows (−1)."""
HILL_WIDTH = 0.2
"""Standard deviation of the bell that a hill is."""

Points = npt.NDArray[np.float64]


def sample(config: SampleConfig) -> Frame:
    """
    Draw rows with the columns `x1` and `x2`, and `label` or `value`, the same for the same seed.

    Points of a surface lie anywhere in the square from −1 to 1, and the noise is on the value.
    """
    random = np.random.default_rng(config.seed)
    if config.kind in _SURFACES:
        points = random.uniform(-1, 1, (config.rows, 2))
        values = _SURFACES[config.kind](points)
        values += random.normal(scale=config.noise, size=config.rows) if config.noise else 0.0
        named = (("x1", points[:, 0]), ("x2", points[:, 1]), (VALUE, values))
        return Frame(tuple(Column(name, "numeric", column) for name, column in named))
    labels = np.arange(config.rows) % config.classes
    points = _SHAPES[config.kind](labels, config, random)
    points += random.normal(scale=config.noise, size=points.shape) if config.noise else 0.0
    order = random.permutation(config.rows)
    named = (("x1", points[:, 0]), ("x2", points[:, 1]), (LABEL, labels.astype(np.float64)))
    return Frame(tuple(Column(name, "numeric", values[order]) for name, values in named))


def _moons(
    labels: npt.NDArray[np.int64], _config: SampleConfig, random: np.random.Generator
) -> Points:
    """Draw half circles of radius 1: the upper one around (0, 0), the lower one around (1, ½)."""
    angles = random.uniform(0, np.pi, len(labels))
    upper = np.column_stack((np.cos(angles), np.sin(angles)))
    lower = np.column_stack((1 - np.cos(angles), 0.5 - np.sin(angles)))
    return np.where(labels[:, None] == 0, upper, lower)


def _circles(
    labels: npt.NDArray[np.int64], _config: SampleConfig, random: np.random.Generator
) -> Points:
    """Draw two circles around (0, 0); class 1 is the inner one."""
    angles = random.uniform(0, 2 * np.pi, len(labels))
    radii = np.where(labels == 0, 1.0, INNER_RADIUS)
    return np.column_stack((np.cos(angles), np.sin(angles))) * radii[:, None]


def _spirals(
    labels: npt.NDArray[np.int64], config: SampleConfig, random: np.random.Generator
) -> Points:
    """Draw arms that start at (0, 0) in equal angles, their radius growing with the turn to 1."""
    radii = np.sqrt(random.uniform(0, 1, len(labels)))
    angles = 2 * np.pi * (TURNS * radii + labels / config.classes)
    return np.column_stack((np.cos(angles), np.sin(angles))) * radii[:, None]


def _gaussians(
    labels: npt.NDArray[np.int64], config: SampleConfig, _random: np.random.Generator
) -> Points:
    """Place one cloud for each class on a circle of radius 1; the noise makes it a cloud."""
    angles = 2 * np.pi * labels / config.classes
    return np.column_stack((np.cos(angles), np.sin(angles)))


def _quadrants(
    labels: npt.NDArray[np.int64], _config: SampleConfig, random: np.random.Generator
) -> Points:
    """Draw points in the square from −1 to 1; in class 1 the features' signs differ: XOR."""
    points: Points = random.uniform(GAP, 1, (len(labels), 2))
    points *= random.choice((-1, 1), (len(labels), 1))
    points[labels == 1, 1] *= -1
    return points


def _plane(points: Points) -> npt.NDArray[np.float64]:
    """Rise from −1 at (−1, −1) to 1 at (1, 1)."""
    return np.asarray(points.mean(axis=1))


def _hills(points: Points) -> npt.NDArray[np.float64]:
    """Rise to bells of height 1, and fall to hollows of depth 1."""
    found = np.zeros(len(points))
    for x, y, height in HILLS:
        squares = ((points - (x, y)) ** 2).sum(axis=1)
        found += height * np.exp(-squares / (2 * HILL_WIDTH**2))
    return found


_SURFACES: Mapping[str, Callable[[Points], npt.NDArray[np.float64]]] = {
    "plane": _plane,
    "hills": _hills,
}
_SHAPES: Mapping[
    str, Callable[[npt.NDArray[np.int64], SampleConfig, np.random.Generator], Points]
] = {
    "moons": _moons,
    "circles": _circles,
    "spirals": _spirals,
    "gaussians": _gaussians,
    "quadrants": _quadrants,
}
