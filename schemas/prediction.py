"""Asking a model for predictions."""

from typing import Annotated

from pydantic import Discriminator, Field, Tag

from schemas.base import Body, Record
from schemas.dataset import Cell
from schemas.model import AliasName, ModelName, VersionNumber, VersionText
from schemas.preprocessing import FeatureName, Label

FeatureValues = Annotated[tuple[Cell, ...], Field(min_length=1, fail_fast=True)]
FeatureMap = Annotated[dict[str, Cell], Field(min_length=1, fail_fast=True)]


def _input_form(value: object) -> str:
    first = value[0] if isinstance(value, list | tuple) and value else None
    return "records" if isinstance(first, dict) else "rows"


Inputs = Annotated[
    Annotated[tuple[FeatureValues, ...], Field(min_length=1, fail_fast=True), Tag("rows")]
    | Annotated[tuple[FeatureMap, ...], Field(min_length=1, fail_fast=True), Tag("records")],
    Discriminator(_input_form),
]


class ModelReference(Body):
    """Which model predicts."""

    model: ModelName
    version: VersionNumber | AliasName | None = None
    """A version's number or an alias; null: the latest."""


class PredictRequest(ModelReference):
    """Rows to predict, in the order of the model's features or by the features' names."""

    inputs: Inputs
    """Rows of values in the order of the features, or records `{feature: value}`; null: missing."""


class PredictQuery(Record):
    """Which model predicts the rows of a body that is a table, and what is answered."""

    model: ModelName | None = None
    """Required where the body is a table: CSV, Parquet, NDJSON, or a JSON list of records."""
    version: VersionText | None = None
    """A version's number or an alias; absent: the latest."""
    keep: tuple[FeatureName, ...] = ()
    """Column of the table to repeat before the answers, such as an identifier; once for each."""


class PredictResponse(Record):
    """One prediction per row."""

    model: str
    version: int
    predictions: tuple[Label, ...]
    """Shape (rows,): the class, in binary problems the second where its probability is over 0.5;
    a number for regression."""
    probabilities: tuple[float, ...] | tuple[tuple[float, ...], ...] | None
    """Of the second class, shape (rows,), in binary problems; of every class, shape (rows,
    classes), with several; null for regression."""
    classes: tuple[Label, ...] | None
    """The classes, in the order of their probabilities; null for regression."""
