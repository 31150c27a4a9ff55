"""A sweep: many networks that differ in what is searched, and what came of each."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from schemas.base import MAX_INTEGER, Body, Record, invalid
from schemas.network import Activation, Task, Units
from schemas.page import Page
from schemas.training import CURVES, Optimizer

MAX_TRAININGS = 100_000
"""Most trainings of one sweep: members × folds, in every rung."""
MAX_VALUES = 100
"""Most values of one list."""
MAX_SEEDS = 10_000

SearchMethod = Literal["grid", "random", "halving"]
Score = Literal["accuracy", "loss", "r2"]
DEFAULT_SCORES: Mapping[Task, Score] = {
    "binary": "accuracy",
    "multiclass": "accuracy",
    "regression": "r2",
}


class Range(Body):
    """Numbers from `low` to `high`, drawn so that each factor is as likely (log-uniform)."""

    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.low >= self.high:
            raise invalid(f"must be above low, {self.low:g}", "high")
        return self


class RateRange(Range):
    """Learning rates from `low` to `high`."""

    high: Annotated[float, Field(gt=0, le=1_000)]


class DecayRange(Range):
    """Weight decays from `low` to `high`."""

    high: Annotated[float, Field(gt=0, le=1)]


class SeedRange(Body):
    """Seeds that follow each other: from `first` on, `count` of them."""

    first: Annotated[int, Field(ge=0, lt=2**32)] = 0
    count: Annotated[int, Field(ge=1, le=MAX_SEEDS)]

    @model_validator(mode="after")
    def _are_seeds(self) -> Self:
        if self.first + self.count > 2**32:
            raise invalid("goes beyond the last seed, 4294967295", "count")
        return self


def _without_repeats(values: tuple[Any, ...]) -> tuple[Any, ...]:
    seen: set[Any] = set()
    for place, value in enumerate(values):
        if value in seen:
            raise invalid("repeats", place)
        seen.add(value)
    return values


def _form(value: object) -> str:
    return "range" if isinstance(value, Mapping | Body) else "values"


_Few = Field(min_length=1, max_length=MAX_VALUES)
_Once = AfterValidator(_without_repeats)
_Rate = Annotated[float, Field(gt=0, le=1_000)]
_Decay = Annotated[float, Field(ge=0, le=1)]
_Seed = Annotated[int, Field(ge=0, lt=2**32)]
_Rows = Annotated[int, Field(ge=1)] | None
_Epochs = Annotated[int, Field(ge=1, le=1_000_000)]
_Shape = Annotated[tuple[Units, ...], Field(max_length=32)]

Rates = Annotated[
    Annotated[tuple[_Rate, ...], _Few, _Once, Tag("values")] | Annotated[RateRange, Tag("range")],
    Discriminator(_form),
]
Decays = Annotated[
    Annotated[tuple[_Decay, ...], _Few, _Once, Tag("values")] | Annotated[DecayRange, Tag("range")],
    Discriminator(_form),
]
Seeds = Annotated[
    Annotated[tuple[_Seed, ...], Field(min_length=1, max_length=MAX_SEEDS), _Once, Tag("values")]
    | Annotated[SeedRange, Tag("range")],
    Discriminator(_form),
]


class Space(Body):
    """What is searched: the values of each dimension; null: as in `network` and `training`."""

    hidden_layers: Annotated[tuple[_Shape, ...], _Few, _Once] | None = None
    activation: Annotated[tuple[Activation, ...], _Few, _Once] | None = None
    optimizer: Annotated[tuple[Optimizer, ...], _Few, _Once] | None = None
    batch_size: Annotated[tuple[_Rows, ...], _Few, _Once] | None = None
    epochs: Annotated[tuple[_Epochs, ...], _Few, _Once] | None = None
    """Not for halving, whose rungs differ in their epochs."""
    weight_decay: Decays | None = None
    """A list, or `{"low", "high"}` for random search and halving."""
    learning_rate: Rates | None = None
    """A list, or `{"low", "high"}` for random search and halving."""
    seed: Seeds | None = None
    """A list, or `{"first", "count"}`: seeds of the initial weights and the shuffling."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of what is searched, in the order of the members: the last changes fastest."""
        return tuple(name for name in Space.model_fields if getattr(self, name) is not None)

    @property
    def ranges(self) -> tuple[str, ...]:
        """Names of the dimensions that are no lists of values."""
        return tuple(name for name in self.dimensions if isinstance(getattr(self, name), Range))

    def values(self, dimension: str) -> Sequence[Any]:
        """List the values of a dimension that is no range."""
        found = getattr(self, dimension)
        if isinstance(found, SeedRange):
            return range(found.first, found.first + found.count)
        return tuple(found)

    @property
    def points(self) -> int | None:
        """Points of the grid; null where a dimension is a range."""
        if self.ranges:
            return None
        return math.prod(len(self.values(name)) for name in self.dimensions)


class Search(Body):
    """How a sweep searches: which networks it trains, and how it judges them."""

    method: SearchMethod = "grid"
    """
    `grid`: every combination. `random`: `samples` points. `halving`: those points, or every
    combination, for few epochs; then the best ones again for `factor` times as many, and so on.
    """
    space: Space = Space()
    samples: Annotated[int, Field(ge=1, le=MAX_TRAININGS)] | None = None
    """Points to draw; without ranges no point is drawn twice, and no more than there are."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the draws."""
    folds: Annotated[int, Field(ge=2, le=20)] | None = None
    """Parts of a cross-validation: each judges networks trained on the others. `training.seed`
    divides the rows."""
    score: Score | None = None
    """
    What makes one network better than another, on the rows kept out (by `folds` or
    `training.validation_fraction`), or else on the training rows. Null: accuracy, or r2 in a
    regression. Equal ones are told apart by their loss.
    """
    factor: Annotated[int, Field(ge=2, le=10)] = 3
    """In halving, one of so many members goes on, with so many times the epochs."""
    minimum_epochs: Annotated[int, Field(ge=1)] | None = None
    """In halving, fewest epochs of the first rung; null: a hundredth of `training.epochs`."""

    @model_validator(mode="after")
    def _suits_its_method(self) -> Self:
        if self.method == "grid" and self.samples is not None:
            raise invalid("a grid draws no samples: it takes every combination", "samples")
        if self.method == "random" and self.samples is None:
            raise invalid("say how many points to draw", "samples")
        if self.samples is None and self.space.ranges:
            name = self.space.ranges[0]
            raise invalid("a range needs `samples`; a grid takes lists of values", "space", name)
        if self.method == "halving" and self.space.epochs is not None:
            raise invalid("the rungs of halving decide on the epochs", "space", "epochs")
        return self

    @property
    def members(self) -> int:
        """Networks that are tried: points of the space."""
        points = self.space.points
        if self.samples is None or (points is not None and points <= self.samples):
            return points or 1
        return self.samples

    def rungs(self, epochs: int) -> tuple["Rung", ...]:
        """
        Say how many members train for how long, one after the other; `epochs` is the last's.

        Source: Jamieson and Talwalkar (2016); the numbers of members are rounded up.
        """
        if self.method != "halving":
            return (Rung(members=self.members, epochs=None),)
        least = self.minimum_epochs or max(1, epochs // 100)
        count = 1
        while self.factor**count <= min(self.members, epochs // least):
            count += 1
        return tuple(
            Rung(
                members=-(-self.members // self.factor**rung),
                epochs=epochs // self.factor ** (count - 1 - rung),
            )
            for rung in range(count)
        )

    def trainings(self, epochs: int) -> int:
        """Count the trainings of all rungs and folds."""
        return sum(rung.members for rung in self.rungs(epochs)) * (self.folds or 1)


class Rung(Record):
    """A round of a search."""

    members: int
    epochs: int | None
    """Epochs of each; null: each member's own."""


class SweepMember(Record):
    """One point of the space, numbered from 0."""

    number: int
    hidden_layers: tuple[int, ...]
    activation: Activation
    optimizer: Optimizer
    batch_size: int | None
    epochs: int
    weight_decay: float
    learning_rate: float
    seed: int


NUMBERS = ("trained_epochs", "best_epoch", *CURVES)
"""What is measured of a training beside its score."""

DIMENSIONS = tuple(name for name in SweepMember.model_fields if name != "number")


class TrainedMember(Record):
    """What came of one member, on one fold."""

    member: SweepMember
    fold: int
    """Which fold judged it; 0 where there are none."""
    diverged_at: int | None = None
    """The epoch whose loss is no number."""
    trained_epochs: int | None = None
    """Epochs until its end; fewer than the member's where early stopping ended it."""
    best_epoch: int | None = None
    """The epoch that is judged, whose weights early stopping kept; null without it."""
    score: float | None = None
    train_loss: float | None = None
    train_accuracy: float | None = None
    valid_loss: float | None = None
    valid_accuracy: float | None = None


class ShardGroup(Record):
    """Members that are trained together."""

    way: Literal["lanes", "stack", "alone"]
    """In the lanes of a core's vectors, in PyTorch's stacked tensors, or one after the other."""
    fold: int | None
    members: tuple[SweepMember, ...]


class Shard(Record):
    """A part of a sweep's rung: what one worker trains at a time."""

    rung: int
    groups: tuple[ShardGroup, ...]


class SweepResult(SweepMember):
    """A row of the results: a member in a rung. Its numbers are means over the folds."""

    position: int
    """Place in the order that was asked for, from 1."""
    rung: int
    status: Literal["trained", "diverged"]
    converged: bool | None
    """
    Whether every training row is classified right in the last epoch (in each fold); null for
    regression.
    """
    score: float | None
    """Null where a network diverged."""
    score_deviation: float | None
    """Standard deviation of the folds' scores; null without folds."""
    fold_scores: tuple[float | None, ...] | None
    trained_epochs: float | None
    """Epochs until the end: fewer than `epochs` where early stopping ended it; null if diverged."""
    best_epoch: float | None
    """The epoch, from 0, that is judged, as early stopping kept its weights; null without it."""
    train_loss: float | None
    train_accuracy: float | None
    valid_loss: float | None
    valid_accuracy: float | None


class SweepMarginal(Record):
    """All members that share a value of one dimension, each in its last rung."""

    value: Any = None
    """The value; null where these are the members within a part of a range (or a full batch)."""
    low: float | None = None
    high: float | None = None
    members: int
    converged: float | None
    """Share of them that converged; null for regression."""
    mean_score: float | None
    """Mean over those that did not diverge."""
    best_score: float | None


class SweepReport(Record):
    """How far a sweep is, and what it has found."""

    search: Search
    members: int
    """Networks that are tried: points of the space."""
    rung: int
    """The rung whose results are coming in, from 0."""
    rungs: int
    trainings: int
    """Trainings of all rungs and folds, without the last one of the best member."""
    done: int
    diverged: int
    """Trainings whose loss became no number."""
    best: SweepResult | None
    """The best member of the last rung that has results."""
    by: dict[str, tuple[SweepMarginal, ...]]
    """For each dimension but the seed: how the members with each of its values did."""


class ResultPage(Page[SweepResult, int]):
    """One page of a sweep's results; the identifiers are positions in the order asked for."""


SORTABLE = (
    "score", "number", "rung", "hidden_layers", "activation", "optimizer", "batch_size", "epochs",
    "weight_decay", "learning_rate", "seed", "trained_epochs", "best_epoch", "train_loss",
    "train_accuracy", "valid_loss", "valid_accuracy",
)  # fmt: skip
"""Columns of the results that they can be sorted by."""


def _sortable(column: str) -> str:
    if column.removeprefix("-") not in SORTABLE:
        raise invalid(f"sort by one of {', '.join(SORTABLE)}; the largest first with `-`")
    return column


class ResultQuery(Record):
    """Which results, in which order."""

    sort: Annotated[str, AfterValidator(_sortable)] | None = None
    """Column to sort by, `-` before it for the largest first; absent: the best first."""
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    after: Annotated[int, Field(ge=0, le=MAX_INTEGER)] = 0
    """Position of the last row of the page before."""
