"""How a network is trained, and what training reports."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.base import Body, Record, invalid

MAX_RECORDS = 20_000
"""Most epoch records that one job may ask for."""

Optimizer = Literal["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop"]
DEFAULT_LEARNING_RATES: Mapping[Optimizer | None, float] = {
    "sgd": 1.0,
    "momentum": 0.1,
    "nesterov": 0.1,
    "adam": 0.01,
    "adamw": 0.01,
    "rmsprop": 0.01,
}
"""Step sizes that small tables are learned with."""

EngineName = Literal["fused", "torch"]
Device = Literal["auto", "cpu", "cuda"]


class TrainingConfig(Body):
    """The hyperparameters of a training: what the user sets before it starts."""

    optimizer: Optimizer = "sgd"
    """Update rule, with PyTorch's defaults (momentum and nesterov: 0.9)."""

    learning_rate: Annotated[float, Field(gt=0, le=1_000)] = Field(
        default_factory=lambda given: DEFAULT_LEARNING_RATES.get(given.get("optimizer"), 1.0)
    )
    """Step size; by default 1 for `sgd`, 0.1 with momentum, 0.01 for the adaptive rules."""

    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """L2 penalty, as PyTorch's optimizers apply it."""

    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 10_001
    """Passes over the training rows."""

    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Rows of one step; null: all of them (full batch). Batches are shuffled each epoch."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 777
    """Seed of the initial weights, the split and the shuffling."""

    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the rows kept out of training to compute the validation curve."""

    record_every: Annotated[int, Field(ge=1)] | None = None
    """Epochs between two records of the history; null: about a hundred records in all."""

    engine: Literal["auto"] | EngineName = "auto"
    """What computes the training; `auto` chooses."""

    device: Device = "auto"
    """Where it runs. `cuda` is served by workers of the `gpu` queue only."""

    @property
    def record_interval(self) -> int:
        """Epochs between two records, with the default filled in."""
        return self.record_every or max(1, self.epochs // 100)

    @model_validator(mode="after")
    def _bounded_history(self) -> Self:
        if self.epochs // self.record_interval > MAX_RECORDS:
            raise invalid(
                f"{self.epochs} epochs recorded every {self.record_interval} make more than "
                f"{MAX_RECORDS} records",
                "record_every",
            )
        return self


class EpochRecord(Record):
    """One point of the training curves."""

    epoch: int
    """Zero-based epoch."""

    train_loss: float
    """Mean binary cross-entropy of the epoch's batches, each before its update."""

    train_accuracy: float
    """Share of the training rows classified right by those same forward passes."""

    valid_loss: float | None = None
    """Mean binary cross-entropy of the validation rows after the epoch's updates."""

    valid_accuracy: float | None = None
    """Share of the validation rows classified right after the epoch's updates."""


class ConfusionMatrix(Record):
    """Counts of a binary classification; positive is class 1."""

    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int


class Evaluation(Record):
    """How good the predictions for one set of rows are. Undefined ratios are null."""

    loss: float
    """Mean binary cross-entropy."""
    accuracy: float
    """(TP + TN) / all."""
    precision: float | None
    """TP / (TP + FP); null when nothing was predicted positive."""
    recall: float | None
    """TP / (TP + FN); null when nothing is positive."""
    f1: float | None
    """Harmonic mean of precision and recall; null when both counts are empty."""
    confusion_matrix: ConfusionMatrix


class Metrics(Record):
    """The final evaluation, on the training rows and on the validation rows."""

    train: Evaluation
    validation: Evaluation | None = None


DiagnosisCode = Literal["not_linearly_separable", "overfitting", "underfitting", "good_fit"]


class Diagnosis(Record):
    """What the curves and the data say about the training, in words."""

    code: DiagnosisCode
    message: str
    """In the language that the client asked for (`Accept-Language`: en or ko)."""
