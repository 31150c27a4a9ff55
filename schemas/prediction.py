"""Asking a model for predictions."""

from typing import Annotated

from pydantic import Discriminator, Field, Tag

from schemas.base import Body, Record
from schemas.model import AliasName, ModelName, VersionNumber

FeatureValues = Annotated[tuple[float, ...], Field(min_length=1, fail_fast=True)]
FeatureMap = Annotated[dict[str, float], Field(min_length=1, fail_fast=True)]


def _input_form(value: object) -> str:
    first = value[0] if isinstance(value, list | tuple) and value else None
    return "records" if isinstance(first, dict) else "rows"


Inputs = Annotated[
    Annotated[tuple[FeatureValues, ...], Field(min_length=1, fail_fast=True), Tag("rows")]
    | Annotated[tuple[FeatureMap, ...], Field(min_length=1, fail_fast=True), Tag("records")],
    Discriminator(_input_form),
]


class PredictRequest(Body):
    """Rows to predict, in the order of the model's features or by the features' names."""

    model: ModelName
    version: VersionNumber | AliasName | None = None
    """A version's number or an alias; null: the latest."""
    inputs: Inputs
    """Rows of numbers, or records `{feature name: number}`."""


class PredictResponse(Record):
    """One prediction per row."""

    model: str
    version: int
    predictions: tuple[int, ...]
    """Shape (rows,): 1 where the probability is over 0.5."""
    probabilities: tuple[float, ...]
    """Shape (rows,): probability of class 1."""
