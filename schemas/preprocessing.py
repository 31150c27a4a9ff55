"""What turns a row of a table into numbers, and numbers into answers: part of every model."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, StringConstraints, model_validator

from schemas.base import Body, Record, invalid
from schemas.network import Task

FeatureName = Annotated[str, StringConstraints(min_length=1, max_length=128)]

Label = bool | int | float | str
"""A class as the table spells it."""

NumericMissing = Literal["mean", "median", "zero", "error"]
CategoricalMissing = Literal["category", "most_frequent", "error"]


MAX_DERIVED = 256


class DerivedInput(Body):
    """
    An input of the network that is computed from features.

    They count as the network is given them: filled, and standardised where they are.
    """

    function: Literal["square", "product", "sine"]
    """`square`: x²; `product`: x₁ · x₂; `sine`: sin(π x), some two periods of a standardised x."""
    of: Annotated[tuple[FeatureName, ...], Field(min_length=1, max_length=2)]
    """One feature that is a number or a boolean; of a product, two different ones."""

    @model_validator(mode="after")
    def _as_many_as_it_takes(self) -> Self:
        needed = 2 if self.function == "product" else 1
        if len(self.of) != needed:
            raise invalid(f"a {self.function} is of {needed}, not {len(self.of)}", "of")
        if len(set(self.of)) != needed:
            raise invalid("a product is of two different features: of one it is a square", "of")
        return self

    def is_same(self, other: Self) -> bool:
        """Say whether two are equal for every row: a product is, either way round."""
        return self.function == other.function and set(self.of) == set(other.of)

    @property
    def name(self) -> str:
        """Write it as formulas do."""
        first = self.of[0]
        if self.function == "product":
            return f"{first} · {self.of[1]}"
        return f"{first}²" if self.function == "square" else f"sin(π {first})"


class PreprocessingConfig(Body):
    """How columns become numbers; what it needs to know is fitted on the training rows only."""

    standardise: bool | None = None
    """
    Scale numeric features, and the target of a regression, to mean 0 and standard deviation 1.
    Null: tables are, truth tables and inline rows are not.
    """
    numeric_missing: NumericMissing = "mean"
    """What stands in for a missing number; `error`: rows without one are refused."""
    categorical_missing: CategoricalMissing = "category"
    """
    What stands in for a missing category or boolean; `category`: missing is a category of its own,
    and a missing boolean halfway between false and true.
    """
    missing: Mapping[FeatureName, NumericMissing | CategoricalMissing] = {}
    """The same for single columns, by their names."""
    unknown_categories: Literal["ignore", "error"] = "ignore"
    """A category that training has not seen counts as none of them, or is refused."""
    derived: Annotated[tuple[DerivedInput, ...], Field(max_length=MAX_DERIVED)] = ()
    """Inputs beside the features: their squares, products and sines."""


class NumericFeature(Record):
    """A number x that becomes (x − mean) / scale."""

    kind: Literal["numeric"] = "numeric"
    name: str
    mean: float = 0.0
    scale: float = 1.0
    fill: float | None = None
    """Stands in for a missing x; null: a missing one is refused."""


class BooleanFeature(Record):
    """True becomes 1, false 0."""

    kind: Literal["boolean"] = "boolean"
    name: str
    fill: float | None = None
    """The number for a missing value; null: a missing one is refused."""


class CategoricalFeature(Record):
    """A category that becomes a 1 in its place and 0 elsewhere (one-hot)."""

    kind: Literal["categorical"] = "categorical"
    name: str
    categories: tuple[str, ...]
    """In the order of their places."""
    missing: Literal["place", "zeros", "fill", "error"]
    """
    A missing value has a place of its own behind the others (`place`), is none of them (`zeros`),
    is taken for `fill`, or is refused (`error`).
    """
    fill: str | None = None
    unknown: Literal["ignore", "error"]
    """An unseen category is none of them, or is refused."""


Feature = Annotated[NumericFeature | BooleanFeature | CategoricalFeature, Discriminator("kind")]


class Target(Record):
    """What is predicted."""

    name: str
    task: Task
    classes: tuple[Label, ...] | None
    """By the number that the network knows them as; null for regression."""

    @property
    def outputs(self) -> int:
        """Units of the output layer."""
        return len(self.classes) if self.task == "multiclass" and self.classes else 1


class Preprocessing(Record):
    """The one path from a row to the network's input, for training, prediction and export."""

    features: tuple[Feature, ...]
    """In the order of a row's values."""
    derived: tuple[DerivedInput, ...] = ()
    """Inputs of the network behind those of the features: rows have no values for them."""
    target: Target

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def scaling(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Means and scales of the features; None where not all of them are numbers."""
        numeric = [feature for feature in self.features if isinstance(feature, NumericFeature)]
        if len(numeric) < len(self.features):
            return None
        return tuple(f.mean for f in numeric), tuple(f.scale for f in numeric)

    @property
    def width(self) -> int:
        """Numbers that a row becomes: inputs of the network."""
        return sum(map(feature_width, self.features)) + len(self.derived)


def feature_width(feature: NumericFeature | BooleanFeature | CategoricalFeature) -> int:
    """Count the numbers that a feature's value becomes."""
    if feature.kind != "categorical":
        return 1
    return len(feature.categories) + (feature.missing == "place")


def numbers_as_they_are(feature_names: tuple[str, ...]) -> Preprocessing:
    """Give the preprocessing of a network that takes its rows as they are, with classes 0 and 1."""
    return Preprocessing(
        features=tuple(NumericFeature(name=name) for name in feature_names),
        target=Target(name="y", task="binary", classes=(0, 1)),
    )
