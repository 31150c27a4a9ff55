"""Figures of jobs and models: what is drawn, and how."""

from typing import Literal

from schemas.base import Record
from schemas.preprocessing import FeatureName

FigureFormat = Literal["svg", "png"]
Theme = Literal["light", "dark"]
Scale = Literal["log", "linear"]
Part = Literal["train", "validation", "test"]


class FigureQuery(Record):
    """How to draw a figure."""

    format: FigureFormat | None = None
    """Absent: what `Accept` asks for, SVG where it does not say."""
    theme: Theme = "light"
    """Dark on light, or light on dark."""


class LossQuery(FigureQuery):
    """How to draw the learning curves."""

    scale: Scale = "log"
    """Scale of the loss."""


class ConfusionQuery(FigureQuery):
    """How to draw confusion matrices."""

    part: Part | None = None
    """Rows to judge by; absent: each part that there is, side by side."""


class BoundaryQuery(FigureQuery):
    """How to draw what a model answers over two of its features."""

    x: FeatureName | None = None
    """Feature along the horizontal axis; absent: the most important one."""
    y: FeatureName | None = None
    """Feature along the vertical axis; absent: the most important other one."""
