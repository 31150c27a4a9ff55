"""How a network is trained, and what training reports."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, model_validator

from schemas.base import Body, Record, invalid
from schemas.preprocessing import Label

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
Device = Annotated[
    str,
    Field(
        pattern=r"^(auto|cpu|cuda(:([0-9]|[1-5][0-9]|6[0-3]))?)$",
        examples=["auto", "cpu", "cuda", "cuda:0"],
    ),
]
"""`auto`, `cpu`, `cuda`, or one GPU of several by its number: `cuda:0` to `cuda:63`."""


class ConstantSchedule(Body):
    """The learning rate stays as it is."""

    kind: Literal["constant"] = "constant"

    def rate(self, learning_rate: float, epoch: int, epochs: int) -> float:  # noqa: ARG002
        """Give the learning rate of an epoch (from 0) of `epochs`."""
        return learning_rate


class StepSchedule(Body):
    """The learning rate is multiplied every so many epochs, as by PyTorch's `StepLR`."""

    kind: Literal["step"]
    every_epochs: Annotated[int, Field(ge=1)]
    factor: Annotated[float, Field(gt=0, le=1)] = 0.1

    def rate(self, learning_rate: float, epoch: int, epochs: int) -> float:  # noqa: ARG002
        """Give the learning rate of an epoch (from 0) of `epochs`."""
        return learning_rate * self.factor ** (epoch // self.every_epochs)


class CosineSchedule(Body):
    """The learning rate falls along half a cosine, as by PyTorch's `CosineAnnealingLR`."""

    kind: Literal["cosine"]
    minimum: Annotated[float, Field(ge=0)] = 0.0
    """Learning rate that it falls towards."""

    def rate(self, learning_rate: float, epoch: int, epochs: int) -> float:
        """Give the learning rate of an epoch (from 0) of `epochs`."""
        height = (1 + math.cos(math.pi * epoch / epochs)) / 2
        return self.minimum + (learning_rate - self.minimum) * height


Schedule = Annotated[ConstantSchedule | StepSchedule | CosineSchedule, Discriminator("kind")]


class EarlyStopping(Body):
    """Stop when the validation loss gets no better, and keep the best weights."""

    patience: Annotated[int, Field(ge=1)]
    """Epochs without a better validation loss after which training stops."""
    minimum_improvement: Annotated[float, Field(ge=0)] = 0.0
    """How much lower than the best so far a validation loss must be to count as better."""


class TrainingConfig(Body):
    """The hyperparameters of a training: what the user sets before it starts."""

    optimizer: Optimizer = "sgd"
    """Update rule, with PyTorch's defaults (momentum and nesterov: 0.9)."""

    learning_rate: Annotated[float, Field(gt=0, le=1_000)] = Field(
        default_factory=lambda given: DEFAULT_LEARNING_RATES.get(given.get("optimizer"), 1.0)
    )
    """Step size; by default 1 for `sgd`, 0.1 with momentum, 0.01 for the adaptive rules."""

    schedule: Schedule = ConstantSchedule()
    """How the learning rate changes from epoch to epoch."""

    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """L2 penalty, as PyTorch's optimizers apply it."""

    l1_penalty: Annotated[float, Field(ge=0, le=1)] = 0.0
    """
    L1 penalty: it pulls every weight and bias to 0 as if this times the sum of their sizes were
    part of the loss. Losses are told without it.
    """

    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 10_001
    """Passes over the training rows."""

    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Rows of one step; null: all of them (full batch). Batches are shuffled each epoch."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 777
    """Seed of the initial weights, the split and the shuffling."""

    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the rows kept out of training to compute the validation curve."""

    test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the rows kept out of everything, to judge the finished model."""

    early_stopping: EarlyStopping | None = None
    """
    When to stop before the last epoch; looked at in each record. Needs validation rows, or a
    sweep's folds.
    """

    class_weights: Literal["balanced"] | dict[str, Annotated[float, Field(gt=0)]] | None = None
    """
    How much a row of each class counts: by the class as text, or `balanced`: as if all classes
    had as many rows. Scaled so that the training rows' mean is 1; null: all count the same.
    """

    record_every: Annotated[int, Field(ge=1)] | None = None
    """
    Epochs between two records of the history; null: about a hundred records in all, and at least
    five within the patience of early stopping.
    """

    record_weights: bool = False
    """Whether each record comes with the weights after its epoch, as a snapshot in the events."""

    engine: Literal["auto"] | EngineName = "auto"
    """What computes the training; `auto` chooses."""

    device: Device = "auto"
    """
    Where it runs: `auto`, `cpu`, `cuda`, or one GPU of several by its number as its worker counts
    them, `cuda:0` to `cuda:63`. `cuda` is served by workers of the `gpu` queue only.
    """

    @property
    def record_interval(self) -> int:
        """Epochs between two records, with the default filled in."""
        if self.record_every is not None:
            return self.record_every
        usual = max(1, self.epochs // 100)
        if self.early_stopping is None:
            return usual
        return min(usual, max(1, self.early_stopping.patience // 5, self.epochs // MAX_RECORDS + 1))

    @property
    def records(self) -> int:
        """Most records that the training makes."""
        return (self.epochs - 1) // self.record_interval + 2

    @model_validator(mode="after")
    def _parts_leave_rows(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            raise invalid("validation and test together leave no row to train on", "test_fraction")
        return self

    @model_validator(mode="after")
    def _bounded_history(self) -> Self:
        if self.epochs // self.record_interval > MAX_RECORDS:
            raise invalid(
                f"{self.epochs} epochs recorded every {self.record_interval} make more than "
                f"{MAX_RECORDS} records",
                "record_every",
            )
        return self


CURVES = ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy")
"""What a point of the training curves holds."""


class EpochRecord(Record):
    """One point of the training curves. The loss is what training minimises."""

    epoch: int
    """Zero-based epoch."""

    train_loss: float
    """
    Mean loss of the epoch's batches, each before its update: binary or categorical cross-entropy,
    or the squared error of the standardised target; rows count by their class's weight.
    """

    train_accuracy: float | None = None
    """Share of the training rows classified right by those same passes; null for regression."""

    valid_loss: float | None = None
    """Mean loss of the validation rows after the epoch's updates."""

    valid_accuracy: float | None = None
    """Share of the validation rows classified right after the epoch's updates."""


class Snapshot(Record):
    """The weights and biases after an epoch."""

    epoch: int
    """Zero-based epoch."""
    parameters: str
    """
    Base64 of little-endian float32: of each layer from the input to the output, the weights (one
    row per unit), then the biases.
    """


class ConfusionMatrix(Record):
    """Counts of a binary classification; positive is class 1."""

    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int


class ClassificationBaseline(Record):
    """How good it is to always answer with the classes' shares among the training rows."""

    loss: float
    accuracy: float


class RegressionBaseline(Record):
    """How good it is to always answer with the mean of the training rows."""

    mae: float
    rmse: float


class BinaryEvaluation(Record):
    """How good the predictions for one set of rows are. Undefined ratios are null."""

    task: Literal["binary"] = "binary"
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
    roc_auc: float | None
    """Area under the receiver operating characteristic; null when there is one class only."""
    pr_auc: float | None
    """Average precision: area under precision over recall; null when nothing is positive."""
    confusion_matrix: ConfusionMatrix
    baseline: ClassificationBaseline


class Averages(Record):
    """Ratios averaged over the classes; an undefined one counts as 0."""

    precision: float
    recall: float
    f1: float


class MulticlassEvaluation(Record):
    """How good the predictions for one set of rows are, with several classes."""

    task: Literal["multiclass"] = "multiclass"
    loss: float
    """Mean categorical cross-entropy."""
    accuracy: float
    macro: Averages
    """Every class counts the same."""
    weighted: Averages
    """A class counts by its rows."""
    classes: tuple[Label, ...]
    """In the order of the matrix."""
    confusion_matrix: tuple[tuple[int, ...], ...]
    """Rows: the actual class; columns: the predicted one. Shape (classes, classes)."""
    baseline: ClassificationBaseline


class RegressionEvaluation(Record):
    """How good the predicted numbers for one set of rows are, in the target's unit."""

    task: Literal["regression"] = "regression"
    loss: float
    """Mean squared error."""
    mae: float
    """Mean absolute error."""
    rmse: float
    """Root of the mean squared error."""
    r2: float | None
    """Share of the variance that is explained; null where the target is constant."""
    baseline: RegressionBaseline


Evaluation = Annotated[
    BinaryEvaluation | MulticlassEvaluation | RegressionEvaluation, Discriminator("task")
]


class Importance(Record):
    """How much worse the model gets when a feature's values are shuffled among the rows."""

    feature: str
    mean: float
    """Mean rise of the loss over the repeats."""
    standard_deviation: float


Part = Literal["train", "validation", "test"]
"""Rows of a table, by what a training does with them."""


class RowCounts(Record):
    """How many rows of the dataset went where."""

    train: int
    validation: int
    test: int
    without_target: int
    """Left out, as they do not say what is to be learned."""


class Metrics(Record):
    """The final evaluation, on the rows of each part that there is."""

    train: Evaluation
    validation: Evaluation | None = None
    test: Evaluation | None = None
    rows: RowCounts | None = None
    """Null where they were not counted."""


Language = Literal["en", "ko"]
"""Of what is said to people."""

DiagnosisCode = Literal["not_linearly_separable", "overfitting", "underfitting", "good_fit"]


class Diagnosis(Record):
    """What the curves and the data say about the training, in words."""

    code: DiagnosisCode
    message: str
    """In the language that the client asked for (`Accept-Language`: en or ko)."""
