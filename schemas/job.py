"""A job: one training that was asked for, from its acceptance to its end."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from schemas.base import MAX_INTEGER, Body, Record
from schemas.dataset import DatasetName, InlineDataset
from schemas.model import ModelName, ModelReference
from schemas.network import NetworkConfig
from schemas.page import Page
from schemas.training import Diagnosis, EpochRecord, Metrics, TrainingConfig


class JobStatus(StrEnum):
    """Where a job stands. `succeeded`, `failed` and `cancelled` never change again."""

    QUEUED = "queued"  #: accepted, waits for a worker
    RUNNING = "running"  #: a worker holds its lease
    SUCCEEDED = "succeeded"  #: its model is published
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


class JobRequest(Body):
    """A training to run: the data, the network's shape, and how to train it."""

    kind: Literal["train"] = "train"
    """What the job does."""
    dataset: DatasetReference
    """Name of a stored dataset (`GET /datasets`), or the rows themselves."""
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    model: ModelName | None = None
    """Name to publish the trained model under, as its next version; null: the job's id."""


class Progress(Record):
    """How far a training is."""

    epoch: int
    """Epochs done."""
    epochs: int
    """Epochs asked for."""


class JobError(Record):
    """Why a job failed."""

    code: Literal[
        "deadline_exceeded", "diverged", "worker_lost", "internal_error", "device_unavailable"
    ]
    message: str


class JobLinks(Record):
    """Where a client can go on from here."""

    self: str
    events: str
    cancel: str
    model: str | None = None
    """The published model; null until there is one."""


class JobSummary(Record):
    """A job without its curves."""

    object: str = "job"
    id: str
    kind: Literal["train"]
    status: JobStatus
    cancel_requested: bool
    """True while a running job is being cancelled."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int
    """How often a worker started it; more than 1 after a worker was lost."""
    progress: Progress
    engine: str | None
    """The engine that computes it; null until it runs."""
    device: str | None
    """The device that it runs on; null until it runs."""
    dataset: str
    """The dataset's name, or `inline`."""
    network: NetworkConfig
    training: TrainingConfig
    metrics: Metrics | None
    diagnosis: Diagnosis | None
    model: ModelReference | None
    """The published version; null until the job succeeded."""
    error: JobError | None
    links: JobLinks


class Job(JobSummary):
    """A job with its curves."""

    waiting_for: str | None = None
    """
    What a queued job lacks: a worker that serves its queue. Told by `GET`, and after
    `Prefer: wait`; null elsewhere.
    """
    history: tuple[EpochRecord, ...]


class JobPage(Page[JobSummary, str]):
    """One page of jobs, newest first."""


EventType = Literal[
    "queued", "started", "epochs", "requeued", "cancelling", "succeeded", "failed", "cancelled"
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
    By type: `started`: `{"worker"}`; `epochs`: `{"attempt", "records"}`; `requeued`:
    `{"attempt", "reason"}`; `succeeded`: `{"model": {"name", "version"}}`; `failed`:
    `{"code", "message"}`; `queued`, `cancelling` and `cancelled`: `{}`.
    """


class EventPage(Page[JobEvent, int]):
    """One page of a job's events, oldest first."""


class EventQuery(Record):
    """Which events to answer with."""

    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    after: EventId = 0
    """Only events with a greater id."""
