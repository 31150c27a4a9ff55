"""Sweeps: one attempt plans a rung and leaves, its shards train, and another attempt goes on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial

import structlog

from perceptron import search
from perceptron.folds import CrossValidation
from perceptron.preparation import Outline, Prepared, Source, outline_of, prepare
from perceptron.shards import train
from schemas.errors import Diverged, InvalidData, InvalidField, Unavailable
from schemas.job import JobRequest, SweepRequest
from schemas.sweep import DEFAULT_SCORES, Score, Shard, SweepMember, SweepResult, TrainedMember
from storage import Storage
from storage.jobs import queue_of
from storage.leases import Progress
from storage.sweeps import Parent
from workers.attempt import Attempt
from workers.training import TrainAttempt, source_of

MOST_BELLS = 200
"""Bells that are rung at once; the reconciler rings the others while these are heard."""

log = structlog.get_logger(__name__)


class SweepAttempt(TrainAttempt):
    """Plans the next rung of a sweep, or trains the best member where there is none left."""

    @cached_property
    def _sweep(self) -> SweepRequest:
        return SweepRequest.model_validate_json(self.claim.request)

    @cached_property
    def _request(self) -> JobRequest:
        best, folds = self._survivors(1)[0], self._sweep.search.folds
        return search.refit_of(best, self._sweep.training_request, folds)

    @cached_property
    def _source(self) -> Source:
        return source_of(self.storage, self._sweep.dataset, self.claim)

    @cached_property
    def _outlined(self) -> Outline:
        return outline_of(self._sweep.training_request, self._source)

    @cached_property
    def _next_rung(self) -> int:
        return self.storage.sweeps.rung(self.claim)

    @property
    def _score(self) -> Score:
        return self._sweep.search.score or DEFAULT_SCORES[self._outlined.task]

    def work(self) -> Callable[[], None]:
        """Go on with the sweep; see `Attempt.work`."""
        rungs = self._sweep.search.rungs(self._sweep.training.epochs)
        if self._next_rung < len(rungs):
            return self._plan()
        if not self._sweep.refit:
            self._survivors(1)
            return partial(self.storage.sweeps.finish, self.claim)
        return super().work()

    def _plan(self) -> Callable[[], None]:
        with _invalid_data():
            found = search.shards(
                self._members(),
                self._sweep.training_request,
                self._outlined,
                rung=self._next_rung,
                folds=self._sweep.search.folds,
                workers=_workers(self.storage, self._queue),
            )

        def store() -> None:
            self.storage.sweeps.plan(self.claim, found)
            ring(self.storage, self._queue, min(len(found), MOST_BELLS))

        return store

    @property
    def _queue(self) -> str:
        return queue_of(self._sweep.training)

    def _members(self) -> Sequence[SweepMember]:
        """List the members of the next rung."""
        request = self._sweep
        rung = request.search.rungs(request.training.epochs)[self._next_rung]
        found: Sequence[SweepMember]
        if self._next_rung == 0:
            found = search.members(request.search, request.network, request.training)
        else:
            found = [search.member_of(result) for result in self._survivors(rung.members)]
        if rung.epochs is None:
            return found
        return [member.model_copy(update={"epochs": rung.epochs}) for member in found]

    def _survivors(self, count: int) -> Sequence[SweepResult]:
        """Read the best of the last rung. Raises: Diverged when there is none."""
        found = self.storage.results.best(
            self.claim.job_id,
            self._score,
            rung=self._next_rung - 1,
            count=count,
            folds=self._sweep.search.folds,
        )
        if not found:
            raise Diverged
        return found

    def _prepare(self) -> Prepared:
        """Prepare the rows as they were for the members; the best one's own seed splits nothing."""
        with _invalid_data():
            return prepare(self._sweep.training_request, self._source)


class ShardAttempt(Attempt):
    """Trains the members of a shard; their results are stored together, at its end."""

    @cached_property
    def _sweep(self) -> SweepRequest:
        return SweepRequest.model_validate_json(self._parent.request)

    @cached_property
    def _parent(self) -> Parent:
        return self.storage.sweeps.parent(self.claim)

    @cached_property
    def _source(self) -> Source:
        claim = self.claim._replace(dataset_sha256=self._parent.dataset_sha256)
        return source_of(self.storage, self._sweep.dataset, claim)

    @cached_property
    def _folds(self) -> CrossValidation:
        request = self._sweep.training_request
        return CrossValidation(request, self._source, self._sweep.search.folds or 0)

    @cached_property
    def _whole(self) -> Prepared:
        return prepare(self._sweep.training_request, self._source)

    def work(self) -> Callable[[], None]:
        """Train the shard's members; see `Attempt.work`."""
        shard = Shard.model_validate_json(self.claim.request)
        trained = self.train(shard)

        def store() -> None:
            if self.storage.sweeps.finish_shard(self.claim, shard.rung, trained):
                ring(self.storage, queue_of(self._sweep.training), 1)

        return store

    def train(self, shard: Shard) -> list[TrainedMember]:
        """Train group after group. Raises: Stopped, DeviceUnavailable, InvalidData, LeaseLost."""
        trained: list[TrainedMember] = []
        for group in shard.groups:
            prepared = self._prepared(group.fold)
            score = self._sweep.search.score or DEFAULT_SCORES[prepared.train.task]
            for ended in train(group, self._sweep.training, prepared, score):
                if ended is not None:
                    trained.append(ended)
                self.look_up(lambda: Progress(len(trained), (), "sweep", "cpu"))
        return trained

    def _prepared(self, fold: int | None) -> Prepared:
        with _invalid_data():
            return self._whole if fold is None else self._folds.prepared(fold)

    def stored(self, progress: Progress) -> None:
        """Keep everything: results are stored at the end."""


@contextmanager
def _invalid_data() -> Iterator[None]:
    """Say that the rows are to blame, where preparing them points at the request."""
    try:
        yield
    except InvalidField as error:
        raise InvalidData(error.detail) from error


def ring(storage: Storage, queue: str, times: int) -> None:
    """Ring for jobs that are due; bells that are lost are rung again by the reconciler."""
    try:
        storage.doorbell.ring(queue, times)
    except Unavailable as error:
        log.warning("bell not rung", error=error.detail)


def _workers(storage: Storage, queue: str) -> int:
    """Count the workers that would hear a bell; 2 where nobody knows."""
    try:
        return max(1, storage.doorbell.listeners(queue))
    except Unavailable:
        return 2
