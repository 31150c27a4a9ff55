"""The one task that a bell can call: run the job that has waited longest."""

import os
import signal
import time
from contextlib import suppress
from functools import cache, cached_property
from importlib.metadata import version
from types import FrameType
from typing import NamedTuple

import structlog
from rq.timeouts import JobTimeoutException
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from perceptron import datasets, engines, inference, layers
from perceptron.datasets import Table
from perceptron.diagnosis import diagnose, explain
from perceptron.evaluation import evaluate
from schemas.errors import DeviceUnavailable, Diverged, LeaseLost, PerceptronError, Unavailable
from schemas.job import JobError, JobRequest
from schemas.model import Hyperparameters, ModelCard
from schemas.settings import Settings
from schemas.training import EpochRecord, Evaluation, Metrics, TrainingConfig
from storage import Storage, open_storage
from storage.jobs import queue_of
from storage.leases import Claim, Outcome, Progress
from storage.models import Publication
from workers.lifeline import Lifeline
from workers.parent_death import die_with_parent

FLUSH_SECONDS = 0.1
"""Time between two writes of the curves' new points."""

PINNED_LIBRARIES = ("numba", "numpy", "torch")
"""Libraries whose versions decide the numbers; a model's card names them."""

log = structlog.get_logger(__name__)


class Prepared(NamedTuple):
    """What a worker makes once, and its work-horses inherit."""

    settings: Settings
    storage: Storage
    """Connected to nothing."""


@cache
def prepared() -> Prepared:
    """
    Read the settings, open the storage, and rehearse a job, so that nothing is slow at first use.

    For the worker, before it forks. A database that is away now costs only the rehearsal.
    """
    settings = Settings()
    storage = open_storage(settings)
    try:
        _rehearse(storage, settings)
    except Unavailable as error:
        log.warning("not rehearsed", error=error.detail)
    finally:
        storage.database.close()
    return Prepared(settings, storage)


def _rehearse(storage: Storage, settings: Settings) -> None:
    """Take a small job through every statement and every computation, and undo it all."""
    request = JobRequest(dataset="xor", training=TrainingConfig(engine="fused", epochs=1))
    with storage.database.rehearsal():
        storage.jobs.submit(request)
        claim = storage.leases.claim(queue_of(request.training), "rehearsal")
        if claim is None:
            return
        # Another job may wait longer: its row stands in, and is as it was when all is undone.
        own = claim._replace(request=request.model_dump_json(), model="rehearsal")
        attempt = Attempt(storage, own, settings)
        training, outcome = attempt.train()
        storage.leases.renew(own)
        storage.leases.succeed(own, attempt.progress(training), outcome)


def run_next(queue: str) -> None:
    """Claim the queue's oldest job and run it to its end; safe to run twice, or for nothing."""
    die_with_parent(int(os.environ["PERCEPTRON_WORKER_PID"]))
    settings, storage = prepared()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until the attempt listens
    claim = storage.leases.claim(queue, os.environ["RQ_WORKER_ID"])
    if claim is not None:
        Attempt(storage, claim, settings).run()


class Stopped(Exception):
    """The training loop was asked to stop."""


class Attempt:
    """One attempt at one job: trains, stores the curves as they grow, publishes the model."""

    def __init__(self, storage: Storage, claim: Claim, settings: Settings) -> None:
        self._storage = storage
        self._claim = claim
        self._lifeline = Lifeline(storage, claim, settings)
        self._retrying = Retrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_exponential(0.1, max=2),
            stop=stop_after_delay(settings.lease_seconds),
            reraise=True,
        )
        self._epochs = 0
        self._records: list[EpochRecord] = []
        self._flush_at = time.monotonic() + FLUSH_SECONDS

    def run(self) -> None:
        """Bring the job to its end, or leave it to another attempt."""
        signal.signal(signal.SIGTERM, self._shut_down)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        try:
            self._run()
        except LeaseLost:
            log.warning("job belongs to another attempt", job_id=self._claim.job_id)
        except Unavailable:
            log.exception("database away", job_id=self._claim.job_id)
            os._exit(1)  # the worker, or the lease's end, puts the job back
        finally:
            self._storage.notices.tell(self._claim.job_id)

    def _run(self) -> None:
        try:
            with self._lifeline:
                training, outcome = self.train()
            progress = self.progress(training)
            self._retrying(self._storage.leases.succeed, self._claim, progress, outcome)
        except Stopped:
            self._retrying(self._lifeline.end, self._lifeline.stop_reason)
        except (Diverged, DeviceUnavailable) as error:
            self._fail("diverged" if isinstance(error, Diverged) else "device_unavailable", error)
        except JobTimeoutException:
            self._retrying(self._lifeline.end, "deadline")  # RQ's own limit, behind the lifeline's
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:
            self._fail("internal_error", error)
            raise  # RQ logs the traceback

    def train(self) -> tuple[engines.Training, Outcome]:
        """Train to the last epoch and evaluate. Raises: Stopped, Diverged, DeviceUnavailable."""
        request = self._request
        table = datasets.table(request.dataset)
        train, valid = datasets.split(
            table, request.training.validation_fraction, request.training.seed
        )
        training = engines.start(request.network, request.training, train, valid)
        history: list[EpochRecord] = []
        try:
            for step in training.run():
                if step.record is not None:
                    history.append(step.record)
                self._keep(step, training)
        except (Stopped, Diverged):
            self._retrying(self._flush, training)  # the curves stay, to their last point
            raise
        return training, self._outcome(training, table, train, valid, history)

    @cached_property
    def _request(self) -> JobRequest:
        return JobRequest.model_validate_json(self._claim.request)

    def _keep(self, step: engines.Step, training: engines.Training) -> None:
        self._epochs = step.epochs
        if step.record is not None:
            self._records.append(step.record)
        if time.monotonic() >= self._flush_at:
            with suppress(Unavailable):  # the lifeline watches how long this lasts
                self._flush(training)
        if self._lifeline.stop_reason is not None:
            raise Stopped

    def _flush(self, training: engines.Training) -> None:
        cancel = self._storage.leases.record(self._claim, self.progress(training))
        self._records = []
        self._flush_at = time.monotonic() + FLUSH_SECONDS
        self._storage.notices.tell(self._claim.job_id)
        if cancel:
            self._lifeline.stop("cancel")

    def progress(self, training: engines.Training) -> Progress:
        """Say how far the training is, with the points that are not stored yet."""
        return Progress(self._epochs, self._records, training.engine, training.device)

    def _fail(self, code: str, error: Exception) -> None:
        known = isinstance(error, PerceptronError)
        message = str(error) if known else f"{type(error).__name__} (see the worker's log)"
        failure = JobError.model_validate({"code": code, "message": message})
        self._retrying(self._storage.leases.fail, self._claim, failure)

    def _outcome(
        self,
        training: engines.Training,
        table: Table,
        train: Table,
        valid: Table | None,
        history: list[EpochRecord],
    ) -> Outcome:
        request = self._request
        found = training.layers()
        metrics = Metrics(
            train=_evaluate(found, train),
            validation=_evaluate(found, valid) if valid is not None else None,
        )
        diagnosis = diagnose(request.network, train, history, metrics)
        card = ModelCard(
            hyperparameters=Hyperparameters(network=request.network, training=request.training),
            parameters=layers.parameter_counts(found),
            feature_names=table.feature_names,
            dataset=table.name,
            dataset_sha256=datasets.table_sha256(table),
            job_id=self._claim.job_id,
            engine=training.engine,
            device=training.device,
            library_versions=_library_versions(),
            metrics=metrics,
            diagnosis=explain(diagnosis, "en"),
        )
        publication = Publication(self._claim.model, layers.to_bytes(found), card)
        return Outcome(metrics, diagnosis, publication)

    def _shut_down(self, _signal: int, _frame: FrameType | None) -> None:
        self._lifeline.stop("shutdown")


def _evaluate(found: layers.Layers, table: Table) -> Evaluation:
    return evaluate(inference.forward(found, table.features), table.targets)


@cache
def _library_versions() -> dict[str, str]:
    return {name: version(name) for name in PINNED_LIBRARIES}
