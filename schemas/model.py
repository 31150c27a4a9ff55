"""Trained models: versions that never change, and aliases that point at them."""

import re
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, Strict, StringConstraints, model_validator

from schemas.base import MAX_INTEGER, Body, Record, invalid
from schemas.network import LayerActivation, NetworkConfig, Task
from schemas.page import Page, PageLimit
from schemas.preprocessing import Preprocessing, numbers_as_they_are
from schemas.training import Diagnosis, EpochRecord, Importance, Metrics, Part, TrainingConfig

ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
AliasName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
"""An alias begins with a letter, so it is never mistaken for a version."""
VersionNumber = Annotated[int, Field(ge=1, le=MAX_INTEGER)]


def read_version(text: str) -> int | str:
    """Take a number as it is written by us for one, not 01, 1.0 or +1; anything else stays text."""
    return int(text) if _NUMBER.fullmatch(text) else text


_NUMBER = re.compile(r"[1-9][0-9]{0,19}")
_StrictNumber = Annotated[int, Strict(), Field(ge=1, le=MAX_INTEGER)]

VersionText = Annotated[
    _StrictNumber | AliasName,
    BeforeValidator(lambda value: read_version(value) if isinstance(value, str) else value),
]
"""A version's number or an alias, in a path or a query."""
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")]
"""A token by RFC 9110, 5.1."""


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


CHAMPION = "champion"
"""The alias of the version that stands for a model in lists, where there is one."""


class Score(Record):
    """How good a version is, in one number."""

    metric: Literal["accuracy", "r2"]
    """`r2` for a regression."""
    part: Part
    """Rows that it was measured on: those that training saw least of."""
    value: float | None
    """Null where it is not defined: R² of a target that is the same in all rows."""


class VersionSummary(Record):
    """What stands out of a version."""

    version: int
    dataset: str
    """Name of the table that it was trained on."""
    task: Task
    score: Score | None
    """Null for built-in models."""


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
    current: VersionSummary
    """The version that the alias `champion` stands for, or else the latest."""


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


class Share(Body):
    """A version's part of the traffic."""

    version: VersionNumber
    weight: Annotated[float, Field(gt=0, le=1_000_000)]
    """Its part is this over the sum of all weights."""


class AliasUpdate(Body):
    """Where an alias is to point: at a version, or at several that share the traffic."""

    version: VersionNumber | None = None
    split: Annotated[tuple[Share, ...], Field(min_length=1, max_length=16)] | None = None
    """Instead of `version`."""
    sticky_by: HeaderName | None = None
    """Header whose value decides on the version: who sends the same gets the same of the split."""
    shadows: Annotated[tuple[VersionNumber, ...], Field(max_length=4)] = ()
    """Versions that are asked, too; their answers are compared, and never returned."""

    @model_validator(mode="after")
    def _is_a_route(self) -> Self:
        if (self.version is None) == (self.split is None):
            raise invalid("give either `version` or `split`", "version")
        if self.sticky_by is not None and self.split is None:
            raise invalid("there is nothing to stick to without a `split`", "sticky_by")
        places: list[tuple[int, tuple[str | int, ...]]]
        places = [(share.version, ("split", i, "version")) for i, share in enumerate(self.shares)]
        places += [(version, ("shadows", i)) for i, version in enumerate(self.shadows)]
        for index, (version, at) in enumerate(places):
            if version in [other for other, _ in places[:index]]:
                raise invalid(f"version {version} is named twice", *at)
        return self

    @property
    def shares(self) -> tuple[Share, ...]:
        """The versions that answer."""
        return self.split or (Share(version=self.version or 1, weight=1),)

    @property
    def primary(self) -> int:
        """The version with the greatest weight, the first of equals: what the alias stands for."""
        return max(self.shares, key=lambda share: share.weight).version

    def without(self, version: int) -> "AliasUpdate | None":
        """Take a version out; None where no other answers."""
        shares = tuple(share for share in self.shares if share.version != version)
        shadows = tuple(shadow for shadow in self.shadows if shadow != version)
        if not shares:
            return None
        if self.split is None:
            return self.model_copy(update={"shadows": shadows})
        return self.model_copy(update={"split": shares, "shadows": shadows})


class Alias(Record):
    """A name for a version, or for several that share the traffic, which can be moved."""

    object: str = "alias"
    model: str
    alias: str
    version: int
    """The one with the greatest weight; where one version is needed, the alias stands for it."""
    split: tuple[Share, ...] | None
    sticky_by: str | None
    shadows: tuple[int, ...]


class AliasState(Record):
    """What an alias was before a move."""

    version: int
    split: tuple[Share, ...] | None
    sticky_by: str | None
    shadows: tuple[int, ...]
    ended_at: datetime
    """When it was moved away from this."""


class AliasHistory(Record):
    """The earlier states of an alias, the last one first: what rolling back leads to in turn."""

    object: str = "list"
    data: tuple[AliasState, ...]


class ShadowComparison(Record):
    """How often a shadow version said the same as a version that answered."""

    shadow: int
    requests: int
    rows: int
    agreed_rows: int
    """Rows of which both said the same: the same class, or a number within 1e-5."""
    failed_requests: int
    """Requests that the shadow could not answer."""


class ShadowComparisons(Record):
    """What came of asking shadow versions beside a version, since the API was started."""

    object: str = "list"
    data: tuple[ShadowComparison, ...]
