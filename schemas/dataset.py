"""Tables to train on."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from schemas.base import Body, Record, invalid
from schemas.network import Task
from schemas.page import Page
from schemas.preprocessing import FeatureName

DatasetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
FeatureRow = Annotated[tuple[float, ...], Field(min_length=1, max_length=4_096, fail_fast=True)]

Cell = Annotated[float | str | bool | None, Field(union_mode="left_to_right")]
"""One value of a table; null: missing."""

ToldCell = bool | int | float | str | None
"""One value of a table as answers tell it: what is a whole number there stays one."""

ColumnKind = Literal["numeric", "categorical", "boolean", "text"]
"""`text` is kept and described, and is no feature: free text, identifiers, dates."""

MAX_INLINE_COLUMNS = 4_096


class InlineDataset(Body):
    """A table in the job's body: rows of numbers, and a target for each row."""

    features: Annotated[tuple[FeatureRow, ...], Field(min_length=1, fail_fast=True)]
    """Shape (rows, features)."""

    targets: Annotated[tuple[float, ...], Field(min_length=1, fail_fast=True)]
    """Shape (rows,): the class of each row, or its number (`task: regression`)."""

    feature_names: tuple[FeatureName, ...] | None = None
    """One name per feature; null: x1, x2, …"""

    @model_validator(mode="after")
    def _rectangular(self) -> Self:
        width = len(self.features[0])
        for row, values in enumerate(self.features):
            if len(values) != width:
                raise invalid(f"has {len(values)} values, the first row {width}", "features", row)
        if len(self.targets) != len(self.features):
            raise invalid(
                f"{len(self.targets)} targets for {len(self.features)} rows of features", "targets"
            )
        self._check_names(width)
        return self

    def _check_names(self, width: int) -> None:
        if self.feature_names is None:
            return
        if len(self.feature_names) != width:
            raise invalid(f"{len(self.feature_names)} names for {width} features", "feature_names")
        if len(set(self.feature_names)) != width:
            raise invalid("names repeat", "feature_names")


class SampleConfig(Body):
    """
    Rows to draw: two features, and a class or a number over them.

    No straight line separates the classes, but perhaps those of gaussians. The surfaces, whose
    target is a number, are plane and hills.
    """

    kind: Literal["moons", "circles", "spirals", "gaussians", "quadrants", "plane", "hills"]
    rows: Annotated[int, Field(ge=2, le=100_000)] = 200
    noise: Annotated[float, Field(ge=0, le=10)] = 0.1
    """Standard deviation of the Gaussian noise on each feature, or on a surface's number."""
    classes: Annotated[int, Field(ge=2, le=20)] = 2
    """Arms of the spirals, or clouds of the gaussians; left at 2 for the others."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @model_validator(mode="after")
    def _two_classes(self) -> Self:
        if self.kind in ("moons", "circles", "quadrants") and self.classes != 2:
            raise invalid(f"{self.kind} have 2 classes", "classes")
        if self.kind in ("plane", "hills") and self.classes != 2:
            raise invalid("a surface has no classes", "classes")
        if self.rows < self.classes:
            raise invalid("has fewer rows than classes", "rows")
        return self


class DatasetOptions(Body):
    """What to know of a table that is uploaded."""

    name: DatasetName
    target: FeatureName | None = None
    """Column to predict, unless a job names another; null: the last one."""
    columns: Mapping[FeatureName, ColumnKind] = {}
    """Kinds of columns, where the inferred one is not meant."""
    description: Annotated[str, StringConstraints(max_length=1_000)] = ""


class DatasetRequest(DatasetOptions):
    """A table in a JSON body: its records, or how to draw them."""

    records: Annotated[tuple[dict[FeatureName, Cell], ...], Field(min_length=1)] | None = None
    """Rows as `{column: value}`; a value that is left out or null is missing."""
    sample: SampleConfig | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.records is None) == (self.sample is None):
            raise invalid("send either `records` or `sample`", "records")
        return self


class CategoryCount(Record):
    """A category and its rows."""

    value: str
    rows: int


class ColumnSummary(Record):
    """What is known of one column."""

    name: str
    kind: ColumnKind
    missing: int
    """Rows without a value."""
    distinct: int
    """Different values, not counting missing ones."""
    minimum: float | None = None
    """Of a numeric column's values, as are the next three."""
    maximum: float | None = None
    mean: float | None = None
    standard_deviation: float | None = None
    """Over all values (not n − 1)."""
    categories: tuple[CategoryCount, ...] | None = None
    """
    A categorical or boolean column's values, and those of a numeric one with few, most frequent
    first; at most 100.
    """
    note: str | None = None
    """What may not be meant: texts among numbers, numbers too large to tell apart."""


class DatasetSummary(Record):
    """What is known of a dataset without its rows."""

    object: str = "dataset"
    name: str
    description: str
    built_in: bool
    """Built-in datasets are always there and cannot be deleted."""
    rows: int
    feature_names: tuple[str, ...]
    """Columns that a job trains on unless it chooses: all but the target and text."""
    target: str
    """Column that a job predicts unless it chooses another."""
    task: Task | None
    """What a job learns from that column unless it says otherwise; null where it cannot."""
    sha256: str
    """SHA-256 of the table in its stored form."""
    size_bytes: int
    created_at: datetime | None
    """Null for truth tables, which are part of the program."""


class DatasetPage(Page[DatasetSummary, str]):
    """One page of datasets; the identifiers are names."""


class Dataset(DatasetSummary):
    """A dataset with its columns and its first rows."""

    columns: tuple[ColumnSummary, ...]
    """In the order of the table."""
    records: tuple[dict[str, ToldCell], ...]
    """The first rows, at most 100."""
