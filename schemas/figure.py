"""Figures of jobs and models: what is drawn, and how."""

from collections.abc import Mapping
from typing import Literal

from schemas.base import Identifier, Record
from schemas.preprocessing import FeatureName
from schemas.training import Language, Part

FigureFormat = Literal["svg", "png"]
Theme = Literal["light", "dark"]
Scale = Literal["log", "linear"]

JobFigure = Literal["loss", "confusion"]
ModelFigure = Literal["loss", "confusion", "network", "boundary"]


class JobFigurePath(Record):
    """Which figure of a job."""

    job_id: Identifier
    figure: JobFigure


class FigureQuery(Record):
    """How to draw a figure."""

    format: FigureFormat | None = None
    """Absent: what `Accept` asks for, SVG where it does not say."""
    theme: Theme = "light"
    """Dark on light, or light on dark."""
    language: Language | None = None
    """Of the words; absent: what `Accept-Language` asks for. A PNG is in English where the server
    has no font for Korean."""
    scale: Scale = "log"
    """Of `loss`: scale of the loss."""
    part: Part | None = None
    """Of `confusion`: rows to judge by; absent: each part that there is, side by side."""
    x: FeatureName | None = None
    """Of `boundary`: feature along the horizontal axis; absent: the most important one."""
    y: FeatureName | None = None
    """Of `boundary`: feature along the vertical axis; absent: the most important other one."""


SUITED: Mapping[str, ModelFigure] = {
    "scale": "loss",
    "part": "confusion",
    "x": "boundary",
    "y": "boundary",
}
"""Parameters that one figure alone has."""
