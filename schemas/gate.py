"""Logic gates: truth tables, hand-set perceptrons, and whether a line separates them."""

from typing import Annotated

from pydantic import StringConstraints

from schemas.base import Record
from schemas.model import LayerParameters
from schemas.page import Page

GateName = Annotated[str, StringConstraints(pattern=r"^([a-z]+(-[0-9])?|[01]{2,256})$")]


class TruthTableRow(Record):
    """One input of a gate and its output."""

    inputs: tuple[int, ...]
    output: int


class Hyperplane(Record):
    """The set w·x + b = 0 (a line for two inputs); w·x + b > 0 is class 1."""

    weights: tuple[float, ...]
    bias: float
    equation: str
    """Readable form, such as `0.5·x1 + 0.5·x2 − 0.7 = 0`."""


class HullPoint(Record):
    """A row's share of a point that lies in the hulls of both classes."""

    inputs: tuple[float, ...]
    weight: float


class InseparabilityProof(Record):
    """One point that is a weighted mean of class-0 rows and also of class-1 rows."""

    point: tuple[float, ...]
    zeros: tuple[HullPoint, ...]
    """Class-0 rows whose weighted mean is the point."""
    ones: tuple[HullPoint, ...]
    """Class-1 rows whose weighted mean is the point."""


class Separability(Record):
    """Whether one hyperplane has every row of class 1 on one side, and no other row there."""

    linearly_separable: bool
    line: Hyperplane | None
    """A separating hyperplane, where there is one."""
    proof: InseparabilityProof | None
    """Why there is none, where there is none."""


class GateSummary(Record):
    """A gate by name."""

    object: str = "gate"
    name: str
    inputs: int
    """Number of input bits."""
    description: str


class Gate(GateSummary):
    """A gate with its table and what a perceptron can make of it."""

    truth_table: tuple[TruthTableRow, ...]
    separability: Separability
    perceptron: tuple[LayerParameters, ...] | None
    """The slides' hand-set layers with step activation, where they give any."""


class GatePage(Page[GateSummary, str]):
    """One page of the gates that have names; the identifiers are the names."""
