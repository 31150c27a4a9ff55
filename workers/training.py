"""Training one network: what a job of the kind `train` does."""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, cached_property, partial
from importlib.metadata import version

import structlog
from safetensors.numpy import load, save

from perceptron import datasets, engines, layers
from perceptron.diagnosis import diagnose, explain
from perceptron.evaluation import evaluate
from perceptron.frames import Frame
from perceptron.importance import permutation_importance
from perceptron.preparation import Prepared, Source, finish, prepare
from perceptron.tables import Table
from schemas.dataset import InlineDataset
from schemas.errors import Diverged, InvalidData, InvalidField, NotFound, Unavailable
from schemas.job import JobRequest
from schemas.model import Hyperparameters, ModelCard
from schemas.settings import Settings
from schemas.training import EpochRecord, Evaluation, Metrics, Snapshot
from storage import Storage
from storage.leases import Claim, Outcome, Progress
from storage.models import Publication
from workers.attempt import Attempt, Stopped

log = structlog.get_logger(__name__)

PINNED_LIBRARIES = ("numba", "numpy", "torch")
"""Libraries whose versions decide the numbers; a model's card names them."""


class TrainAttempt(Attempt):
    """Trains, stores the curves as they grow and checkpoints now and then, publishes the model."""

    def __init__(self, storage: Storage, claim: Claim, settings: Settings) -> None:
        super().__init__(storage, claim, settings)
        self._epochs = 0
        self._unstored: list[EpochRecord] = []
        self._snapshots: list[Snapshot] = []
        self._checkpoint_at = time.monotonic() + settings.checkpoint_seconds

    @cached_property
    def _request(self) -> JobRequest:
        return JobRequest.model_validate_json(self.claim.request)

    def work(self) -> Callable[[], None]:
        """Train to the end and evaluate; see `Attempt.work`."""
        progress, outcome = self.train()
        return lambda: self.storage.leases.succeed(self.claim, progress, outcome)

    def train(self) -> tuple[Progress, Outcome]:
        """
        Train from the last checkpoint, or from the start, to the end, and evaluate.

        Raises: Stopped, Diverged, DeviceUnavailable, InvalidData.
        """
        prepared = self._prepare()
        training, history = self._begin(prepared)
        try:
            for step in training.run():
                self._epochs = step.epochs
                if step.record is not None:
                    history.append(step.record)
                    self._unstored.append(step.record)
                    if step.layers is not None:
                        self._snapshots.append(layers.snapshot(step.layers, step.record.epoch))
                try:
                    self.look_up(lambda: self._progress(training))
                except Stopped:
                    if training.state() is None:
                        continue  # these steps are made: the last of them can tell
                    raise
                if time.monotonic() >= self._checkpoint_at:
                    self._checkpoint(training)
        except Stopped:  # another attempt may go on from here
            self.retrying(
                self.flush, self._progress(training)._replace(checkpoint=_saved(training))
            )
            raise
        except Diverged:
            self.retrying(self.flush, self._progress(training))  # the curves stay, to the end
            raise
        return self._progress(training), self._outcome(training, prepared, history)

    def rehearse(self) -> None:
        """Train a job that is in no database, and keep nothing of it. Raises as `train` does."""
        self._flush_at = math.inf
        self.train()

    def _prepare(self) -> Prepared:
        try:
            return prepare(
                self._request, source_of(self.storage, self._request.dataset, self.claim)
            )
        except InvalidField as error:
            raise InvalidData(error.detail) from error

    def _begin(self, prepared: Prepared) -> tuple[engines.Training, list[EpochRecord]]:
        """Go on where a lost attempt was, with the curves up to there, or begin."""
        begin = partial(
            engines.start,
            self._request.network,
            self._request.training,
            prepared.train,
            prepared.valid,
        )
        data = self.storage.leases.checkpoint(self.claim) if self.claim.attempt > 1 else None
        if data is not None:
            try:
                state = load(data)
                training = begin(state)
            except (KeyError, ValueError, RuntimeError):  # as NumPy and PyTorch say it
                log.warning("a checkpoint of another version does not fit", exc_info=True)
            else:
                self._epochs = int(state["epochs"])
                curves = self.storage.jobs.history(self.claim.job_id)
                return training, [record for record in curves if record.epoch < self._epochs]
        return begin(), []

    def _progress(self, training: engines.Training) -> Progress:
        return Progress(
            self._epochs,
            tuple(self._unstored),
            training.engine,
            training.device,
            tuple(self._snapshots),
        )

    def _checkpoint(self, training: engines.Training) -> None:
        """Store what the training needs to go on, unless only a later step can tell."""
        checkpoint = _saved(training)
        if checkpoint is not None:
            with suppress(Unavailable):  # the lifeline watches how long this lasts
                self.flush(self._progress(training)._replace(checkpoint=checkpoint))

    def stored(self, progress: Progress) -> None:
        """Forget the records that are stored now."""
        self._unstored = self._unstored[len(progress.records) :]
        self._snapshots = self._snapshots[len(progress.snapshots) :]
        if progress.checkpoint is not None:
            self._checkpoint_at = time.monotonic() + self.settings.checkpoint_seconds

    def _outcome(
        self, training: engines.Training, prepared: Prepared, history: list[EpochRecord]
    ) -> Outcome:
        request = self._request
        found = finish(prepared, training.layers())
        metrics = _metrics(found, prepared)
        best = training.best_epoch
        learned = [record for record in history if best is None or record.epoch <= best]
        has_derived = bool(prepared.preprocessing.derived)
        diagnosis = diagnose(
            request.network, prepared.train, learned, metrics, has_derived=has_derived
        )
        card = ModelCard(
            hyperparameters=Hyperparameters(network=request.network, training=request.training),
            parameters=layers.parameter_counts(found),
            feature_names=prepared.preprocessing.feature_names,
            preprocessing=prepared.preprocessing,
            dataset=prepared.name,
            dataset_sha256=prepared.sha256,
            job_id=self.claim.job_id,
            engine=training.engine,
            device=training.device,
            library_versions=_library_versions(),
            history=tuple(history),
            best_epoch=best,
            importance=permutation_importance(found, prepared),
            metrics=metrics,
            diagnosis=explain(diagnosis, "en"),
        )
        publication = Publication(self.claim.model, layers.to_bytes(found), card)
        return Outcome(metrics, diagnosis, publication)


def _saved(training: engines.Training) -> bytes | None:
    state = training.state()
    return None if state is None else save(dict(state))


def source_of(storage: Storage, dataset: str | InlineDataset, claim: Claim) -> Source:
    """Read the table of a job. Raises: InvalidData where it is not the one that was accepted."""
    found = datasets.in_request(dataset)
    if found is not None:
        return found
    name = str(dataset)
    try:
        data, sha256 = storage.datasets.data(name)
        target = storage.datasets.get(name).target
    except NotFound as error:
        raise InvalidData(f"{error.detail} any more") from None
    if sha256 != claim.dataset_sha256:
        raise InvalidData(f"the dataset {name!r} is another one by now")
    return Source(Frame.from_bytes(data), name, target, is_standardised=True)


def _metrics(found: layers.Layers, prepared: Prepared) -> Metrics:
    def judged(table: Table | None) -> Evaluation | None:
        return None if table is None else evaluate(found, table, prepared)

    return Metrics(
        train=evaluate(found, prepared.train, prepared),
        validation=judged(prepared.valid),
        test=judged(prepared.test),
        rows=prepared.row_counts,
    )


@cache
def _library_versions() -> dict[str, str]:
    return {name: version(name) for name in PINNED_LIBRARIES}
