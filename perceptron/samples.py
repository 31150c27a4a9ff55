"""Tables that are drawn: points of two features in shapes that show what a network can learn."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from perceptron.frames import Column, Frame
from schemas.dataset import SampleConfig

LABEL = "label"
"""Name of the target: the number of the shape that a point belongs to."""

TURNS = 1.5
"""How often an arm of the spirals goes round."""
INNER_RADIUS = 0.5
"""Radius of the inner circle; the outer one's is 1."""

Points = npt.NDArray[np.float64]


def sample(config: SampleConfig) -> Frame:
    """Draw rows with the columns `x1`, `x2` and `label`, the same for the same seed."""
    random = np.random.default_rng(config.seed)
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


_SHAPES: Mapping[
    str, Callable[[npt.NDArray[np.int64], SampleConfig, np.random.Generator], Points]
] = {"moons": _moons, "circles": _circles, "spirals": _spirals, "gaussians": _gaussians}
