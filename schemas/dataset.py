"""Tables of numbers to train on."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from schemas.base import Body, Record, invalid
from schemas.page import Page

DatasetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
FeatureName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
FeatureRow = Annotated[tuple[float, ...], Field(min_length=1, max_length=4_096, fail_fast=True)]


class InlineDataset(Body):
    """A table in the job's body: rows of numbers, and a 0 or 1 for each row."""

    features: Annotated[tuple[FeatureRow, ...], Field(min_length=1, fail_fast=True)]
    """Shape (rows, features)."""

    targets: Annotated[tuple[float, ...], Field(min_length=1, fail_fast=True)]
    """Shape (rows,): the class of each row, 0 or 1."""

    feature_names: tuple[FeatureName, ...] | None = None
    """One name per feature; null: x1, x2, …"""

    @model_validator(mode="after")
    def _rectangular_and_binary(self) -> Self:
        width = len(self.features[0])
        for row, values in enumerate(self.features):
            if len(values) != width:
                raise invalid(f"has {len(values)} values, the first row {width}", "features", row)
        if len(self.targets) != len(self.features):
            raise invalid(
                f"{len(self.targets)} targets for {len(self.features)} rows of features", "targets"
            )
        for row, target in enumerate(self.targets):
            if target not in (0, 1):
                raise invalid("a binary target is 0 or 1", "targets", row)
        self._check_names(width)
        return self

    def _check_names(self, width: int) -> None:
        if self.feature_names is None:
            return
        if len(self.feature_names) != width:
            raise invalid(f"{len(self.feature_names)} names for {width} features", "feature_names")
        if len(set(self.feature_names)) != width:
            raise invalid("names repeat", "feature_names")


class DatasetSummary(Record):
    """What is known of a dataset without its rows."""

    object: str = "dataset"
    name: str
    description: str
    rows: int
    feature_names: tuple[str, ...]
    positives: int
    """Rows of class 1."""


class DatasetPage(Page[DatasetSummary, str]):
    """One page of datasets; the identifiers are names."""


class Dataset(DatasetSummary):
    """A dataset with its rows."""

    features: tuple[tuple[float, ...], ...]
    """Shape (rows, features)."""
    targets: tuple[int, ...]
    """Shape (rows,)."""
