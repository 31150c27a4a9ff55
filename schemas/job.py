"""A job: a training, a sweep or a prediction, from its acceptance to its end."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, RootModel, Tag, model_validator

from schemas.base import MAX_INTEGER, Body, Identifier, Record, invalid
from schemas.batch import PredictionRequest, RowProgress
from schemas.dataset import DatasetName, InlineDataset, ToldCell
from schemas.model import ModelName, ModelReference
from schemas.network import NetworkConfig, Task
from schemas.page import Page, PageQuery
from schemas.preprocessing import DerivedInput, FeatureName, Preprocessing, PreprocessingConfig
from schemas.sweep import MAX_TRAININGS, Search, SweepReport
from schemas.training import (
    MAX_RECORDS,
    Diagnosis,
    EpochRecord,
    Evaluation,
    Metrics,
    Part,
    TrainingConfig,
)


class JobStatus(StrEnum):
    """Where a job stands. `succeeded`, `failed` and `cancelled` never change again."""

    QUEUED = "queued"  #: accepted, waits for a worker
    RUNNING = "running"  #: a worker holds its lease; or those of its shards, in a sweep
    PAUSED = "paused"  #: it goes on, from its checkpoint, when the client asks for that
    SUCCEEDED = "succeeded"  #: it did all that was asked; its model, or predictions, are there
    FAILED = "failed"  #: see `error`
    CANCELLED = "cancelled"  #: the client asked for its end

    @property
    def is_final(self) -> bool:
        """Whether the status never changes again."""
        return self in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


def _dataset_form(value: object) -> str:
    return "name" if isinstance(value, str) else "inline"


DatasetReference = Annotated[
    Annotated[DatasetName, Tag("name")] | Annotated[InlineDataset, Tag("inline")],
    Discriminator(_dataset_form),
]


class _Work(Body):
    """What every kind of job is asked with."""

    kind: str
    """What the job does."""
    dataset: DatasetReference
    """Name of a stored dataset (`GET /datasets`), or the rows themselves."""
    target: FeatureName | None = None
    """Column to predict; null: the dataset's own target."""
    features: Annotated[tuple[FeatureName, ...], Field(min_length=1, max_length=4_096)] | None = (
        None
    )
    """Columns to predict it from, in this order; null: all others but text."""
    task: Task | None = None
    """What to learn; null: `binary` for two different values, `multiclass` for categories and few
    whole numbers, `regression` for other numbers."""
    preprocessing: PreprocessingConfig = PreprocessingConfig()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    model: ModelName | None = None
    """Name to publish the trained model under, as its next version; null: the job's id."""

    @property
    def keeps_rows_out(self) -> bool:
        """Whether there are rows to validate with."""
        return self.training.validation_fraction > 0

    @model_validator(mode="after")
    def _early_stopping_has_rows(self) -> Self:
        if self.training.early_stopping is not None and not self.keeps_rows_out:
            raise invalid("needs a validation_fraction over 0", "training", "early_stopping")
        return self


class JobPath(Record):
    """Which job."""

    job_id: Identifier


class JobRequest(_Work):
    """A training to run: the data, the network's shape, and how to train it."""

    kind: Literal["train"] = "train"


class SweepRequest(_Work):
    """Many trainings to run: one that is described as a training is, and how to vary it."""

    kind: Literal["sweep"]
    search: Search = Search()
    refit: bool = True
    """Whether to train the best member once more, on all rows but those of the test, and publish
    it; with `training.validation_fraction`, on the rows that it had. What the folds stopped early
    is trained for as many epochs as were best in them, on average."""

    @property
    def keeps_rows_out(self) -> bool:
        """Whether there are rows to validate with: those of a fold, too."""
        return self.search.folds is not None or super().keeps_rows_out

    @property
    def training_request(self) -> JobRequest:
        """The training that is varied."""
        fields = {name: getattr(self, name) for name in JobRequest.model_fields if name != "kind"}
        return JobRequest.model_construct(kind="train", **fields)

    @model_validator(mode="after")
    def _folds_judge_alone(self) -> Self:
        if self.search.folds is not None and self.training.validation_fraction:
            raise invalid("the folds judge: keep no other rows out for it", *_VALIDATION)
        return self

    @model_validator(mode="after")
    def _weights_are_recorded_of_one(self) -> Self:
        if self.training.record_weights:
            raise invalid("a sweep records no weights", "training", "record_weights")
        return self

    @model_validator(mode="after")
    def _rates_suit_their_optimizers(self) -> Self:
        space = self.search.space
        is_given = "learning_rate" in self.training.model_fields_set
        if space.optimizer is not None and space.learning_rate is None and not is_given:
            message = "say the rates to try: each optimizer has a default of its own"
            raise invalid(message, "search", "space", "learning_rate")
        return self

    @model_validator(mode="after")
    def _epochs_are_bounded(self) -> Self:
        search, training = self.search, self.training
        if search.minimum_epochs is not None and search.minimum_epochs > training.epochs:
            message = f"training.epochs is {training.epochs}"
            raise invalid(message, "search", "minimum_epochs")
        for place, epochs in enumerate(search.space.epochs or ()):
            longer = training.model_copy(update={"epochs": epochs})
            if epochs // longer.record_interval > MAX_RECORDS:
                message = f"makes more than {MAX_RECORDS} records"
                raise invalid(message, "search", "space", "epochs", place)
        return self

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        count = self.search.trainings(self.training.epochs)
        if count > MAX_TRAININGS:
            message = f"{count} trainings; at most {MAX_TRAININGS} are allowed"
            raise invalid(message, "search", "space")
        return self


_VALIDATION = ("training", "validation_fraction")


def _kind(value: object) -> str | None:
    kind = value.get("kind", "train") if isinstance(value, Mapping) else "train"
    kind = getattr(value, "kind", kind)
    return kind if kind in ("train", "sweep", "predict") else None


class JobSubmission(
    RootModel[
        Annotated[
            Annotated[JobRequest, Tag("train")]
            | Annotated[SweepRequest, Tag("sweep")]
            | Annotated[PredictionRequest, Tag("predict")],
            Discriminator(
                _kind,
                custom_error_type="invalid_value",
                custom_error_message="Input should be 'train', 'sweep' or 'predict'",
                custom_error_context={"at": ("kind",)},
            ),
        ]
    ]
):
    """What `POST /jobs` takes: a training, a sweep of many, or a dataset to predict."""


class Progress(Record):
    """How far a training is; of a sweep, the last one: that of the best member."""

    epoch: int
    """Epochs done; early stopping ends with fewer than were asked for."""
    epochs: int
    """Epochs asked for."""


class JobError(Record):
    """Why a job failed."""

    code: Literal[
        "deadline_exceeded",
        "diverged",
        "worker_lost",
        "internal_error",
        "device_unavailable",
        "invalid_data",
    ]
    message: str


class JobLinks(Record):
    """Where a client can go on from here."""

    self: str
    events: str
    cancel: str
    pause: str | None = None
    """Of a training, as is the next."""
    resume: str | None = None
    model: str | None = None
    """The published model; null until there is one."""
    results: str | None = None
    """A sweep's table of results."""
    predictions: str | None = None
    """A prediction's answers, once it succeeded."""


class Waiting(Record):
    """What a queued job lacks."""

    code: Literal["no_worker"]
    """No worker that serves its queue runs."""
    queue: str
    message: str


class JobSummary(Record):
    """A job without its curves."""

    object: str = "job"
    id: str
    kind: Literal["train", "sweep", "predict"]
    status: JobStatus
    cancel_requested: bool
    """True while a running job is being cancelled."""
    pause_requested: bool
    """True while a running training is being paused."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int
    """
    How often a worker started it; more than 1 after a worker was lost or the job paused, and in
    sweeps, which are taken up again for each rung and for the last training.
    """
    progress: Progress | RowProgress
    engine: str | None
    """The engine that computes it; null until it runs."""
    device: str | None
    """The device that it runs on; null until it runs."""
    dataset: str
    """The dataset's name, or `inline`."""
    network: NetworkConfig | None
    """Null for a prediction, as is the next."""
    training: TrainingConfig | None
    metrics: Metrics | None
    evaluation: Evaluation | None = None
    """Of a prediction whose dataset has the model's target: how good the answers are."""
    diagnosis: Diagnosis | None
    model: ModelReference | None
    """The published version; null until the job succeeded. Of a prediction: what predicts."""
    error: JobError | None
    request_id: str | None = None
    """`X-Request-Id` of the request that made the job; log lines of its attempts repeat it."""
    waiting_for: Waiting | None = None
    """
    What a queued job lacks; null where it will be taken up, or nobody knows. Told by `GET`, and
    after `Prefer: wait`; null elsewhere.
    """
    links: JobLinks


class JobColumns(Record):
    """What a training predicts, and from what."""

    target: str
    task: Task
    features: tuple[str, ...]
    """In the order of a row's values."""
    derived: tuple[DerivedInput, ...] = ()
    """Inputs of the network beside those of the features."""


class Job(JobSummary):
    """A job with its curves."""

    columns: JobColumns | None = None
    """
    As they were chosen when the job was accepted; null for a prediction, and for jobs from before
    they were kept.
    """
    history: tuple[EpochRecord, ...]
    sweep: SweepReport | None = None
    """How far a sweep is, and what it has found; null for a training."""


class JobRow(Record):
    """A row of the table, as a training takes it."""

    part: Part
    inputs: tuple[ToldCell, ...]
    """In the order of the features, as the table spells them; null: missing."""
    target: ToldCell
    """The class, or the number."""


class JobRows(Record):
    """The rows of a training, and what turns them into the network's input."""

    object: str = "job_rows"
    preprocessing: Preprocessing
    """As it is learned from the training rows, and published with the model."""
    target_mean: float
    target_scale: float
    """A regression trains on (target − mean) / scale; its snapshots answer with that."""
    rows: int
    """Rows that have a target."""
    data: tuple[JobRow, ...]
    """The first of them, in the table's order."""


class RowQuery(Record):
    """How many rows to answer with."""

    limit: Annotated[int, Field(ge=1, le=2_000)] = 1_000


class JobQuery(PageQuery):
    """Which jobs to answer with."""

    status: JobStatus | None = None
    """Only jobs that stand there; absent: all."""


class JobPage(Page[JobSummary, str]):
    """One page of jobs, newest first."""


EventType = Literal[
    "queued",
    "started",
    "planned",
    "progress",
    "epochs",
    "requeued",
    "pausing",
    "paused",
    "resumed",
    "cancelling",
    "succeeded",
    "failed",
    "cancelled",
]


EventId = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class JobEvent(Record):
    """One thing that happened to a job."""

    object: str = "event"
    id: int
    """Counts up from 1 within the job; resume a stream after it with `Last-Event-ID`."""
    type: EventType
    created_at: datetime
    data: dict[str, Any]
    """
    By type: `started`: `{"worker"}`; `planned`: `{"rung", "trainings", "shards"}`; `progress`:
    `{"rung", "trainings"}`, or `{"rows"}` in a prediction; `epochs`: `{"attempt", "records"}`, and
    `snapshots` with `training.record_weights`;
    `requeued`: `{"attempt", "reason"}`; `succeeded`: `{"model": {"name", "version"}}`, or null for
    the model of a sweep without a refit, or `{"rows"}` for a prediction; `failed`:
    `{"code", "message"}`; all others: `{}`.
    """


class EventPage(Page[JobEvent, int]):
    """One page of a job's events, oldest first."""


class EventQuery(Record):
    """Which events to answer with."""

    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    after: EventId = 0
    """Only events with a greater id."""
