"""Predicting a stored dataset: what a job of the kind `predict` is asked, and what it leaves."""

from typing import Literal

from schemas.base import Body, Record
from schemas.dataset import DatasetName
from schemas.model import AliasName, ModelName, VersionNumber
from schemas.preprocessing import Target
from schemas.training import Evaluation


class PredictionRequest(Body):
    """Rows of a dataset to predict with a model."""

    kind: Literal["predict"]
    model: ModelName
    version: VersionNumber | AliasName | None = None
    """A version's number or an alias; null: the latest. What it stands for when the job is
    accepted is what predicts."""
    dataset: DatasetName
    """Name of a dataset (`GET /datasets`) that has the model's features among its columns."""


class RowProgress(Record):
    """How far a prediction is."""

    rows_done: int
    rows: int
    """Rows of the dataset."""


class PredictionReport(Record):
    """What a prediction leaves beside its outputs."""

    target: Target
    """What the outputs mean; the model may be deleted."""
    dtype: Literal["float32", "float64"]
    """Of the outputs, as they are stored."""
    evaluation: Evaluation | None
    """Null where the dataset does not have the target."""
