"""Trained models: versions that never change, and aliases that point at them."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.base import MAX_INTEGER, Body, Record
from schemas.network import LayerActivation, NetworkConfig
from schemas.page import Page, PageLimit
from schemas.preprocessing import Preprocessing, numbers_as_they_are
from schemas.training import Diagnosis, EpochRecord, Importance, Metrics, TrainingConfig

ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
AliasName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
"""An alias begins with a letter, so it is never mistaken for a version."""
VersionNumber = Annotated[int, Field(ge=1, le=MAX_INTEGER)]


class ModelReference(Record):
    """One version of a model."""

    name: str
    version: int


class Hyperparameters(Record):
    """What the user set."""

    network: NetworkConfig
    training: TrainingConfig


class ParameterCounts(Record):
    """What training found, counted; the values are at `/parameters`."""

    weights: int
    biases: int
    total: int


class ModelCard(Record):
    """Everything needed to judge a version and to train it again."""

    hyperparameters: Hyperparameters | None
    """Null for the built-in models, whose weights were set by hand."""
    parameters: ParameterCounts
    feature_names: tuple[str, ...]
    """In the order of a row's values."""
    preprocessing: Preprocessing | None = None
    """How a row becomes the network's input; null: as it is, with classes 0 and 1."""
    dataset: str
    dataset_sha256: str | None
    """SHA-256 of the whole table in its stored form."""
    job_id: str | None
    engine: str | None
    device: str | None
    library_versions: dict[str, str]
    history: tuple[EpochRecord, ...] = ()
    """The curves."""
    best_epoch: int | None = None
    """Epoch whose weights early stopping kept; null: the last one's."""
    importance: tuple[Importance, ...] = ()
    """Permutation importance of the features on the validation rows, or else the training rows."""
    metrics: Metrics | None
    diagnosis: Diagnosis | None

    @property
    def row_preprocessing(self) -> Preprocessing:
        """How a row becomes the network's input, also where `preprocessing` is null."""
        return self.preprocessing or numbers_as_they_are(self.feature_names)


class ModelVersion(Record):
    """One immutable version of a model."""

    object: str = "model_version"
    name: str
    version: int
    aliases: tuple[str, ...]
    created_at: datetime
    size_bytes: int
    """Size of the weights in safetensors form."""
    sha256: str
    """SHA-256 of the weights in safetensors form."""
    card: ModelCard


class ModelSummary(Record):
    """A model: a name with versions."""

    object: str = "model"
    name: str
    built_in: bool
    """Built-in models answer from the first second and cannot be changed."""
    latest_version: int
    versions: tuple[int, ...]
    aliases: dict[str, int]
    """Alias to version. `latest` always exists and cannot be set."""


class ModelPage(Page[ModelSummary, str]):
    """One page of models; the identifiers are names."""


class VersionPage(Page[ModelVersion, str]):
    """One page of a model's versions; the identifiers are their numbers."""


class VersionQuery(Record):
    """Which page of a model's versions to answer with."""

    limit: PageLimit = 20
    """Items of one page."""
    after: VersionNumber | None = None
    """The last version of the page before; absent: the first page."""


class LayerParameters(Record):
    """The values of one layer."""

    weight: tuple[tuple[float, ...], ...]
    """Shape (outputs, inputs)."""
    bias: tuple[float, ...]
    """Shape (outputs,)."""
    activation: LayerActivation


class ModelParameters(Record):
    """What training found: every weight and bias of a version."""

    object: str = "model_parameters"
    name: str
    version: int
    layers: tuple[LayerParameters, ...]


class AliasUpdate(Body):
    """Where an alias is to point."""

    version: VersionNumber


class Alias(Record):
    """A name for a version, which can be moved to another."""

    object: str = "alias"
    model: str
    alias: str
    version: int
