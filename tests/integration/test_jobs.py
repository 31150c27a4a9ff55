"""The job store's state machine on both databases."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex

import pytest
from sqlalchemy import Connection, event

from perceptron import layers
from perceptron.diagnosis import explain
from perceptron.gates import BUILT_IN_MODELS
from schemas.errors import AlreadyFinal, IdempotencyMismatch, LeaseLost, NotFound
from schemas.job import JobError, JobRequest, JobStatus
from schemas.model import ModelCard
from schemas.training import (
    BinaryEvaluation,
    ClassificationBaseline,
    ConfusionMatrix,
    EpochRecord,
    Metrics,
)
from storage import Storage
from storage.leases import Claim, Outcome, Progress
from storage.models import Publication
from tests.deployment import eventually

REQUEST = JobRequest(dataset="xor")
RECORDS = [EpochRecord(epoch=0, train_loss=0.7, train_accuracy=0.5)]
PROGRESS = Progress(1, RECORDS, "torch", "cpu")
COUNTS = ConfusionMatrix(true_positive=2, false_negative=0, false_positive=0, true_negative=2)
METRICS = Metrics(
    train=BinaryEvaluation(
        loss=0.1,
        accuracy=1,
        precision=1,
        recall=1,
        f1=1,
        roc_auc=1,
        pr_auc=1,
        confusion_matrix=COUNTS,
        baseline=ClassificationBaseline(loss=0.7, accuracy=0.5),
    )
)


def outcome(claim: Claim) -> Outcome:
    """What a training of this job would leave behind."""
    found = BUILT_IN_MODELS["xor"]
    card = ModelCard(
        hyperparameters=None,
        parameters=layers.parameter_counts(found),
        feature_names=("x1", "x2"),
        dataset="xor",
        dataset_sha256=None,
        job_id=claim.job_id,
        engine="torch",
        device="cpu",
        library_versions={},
        metrics=METRICS,
        diagnosis=explain("good_fit", "en"),
    )
    return Outcome(METRICS, "good_fit", Publication(claim.model, layers.to_bytes(found), card))


def claimed(stored: Storage, request: JobRequest = REQUEST) -> Claim:
    """Submit a job and claim it."""
    stored.jobs.submit(request)
    claim = stored.leases.claim("train", "tester")
    assert claim is not None
    return claim


def test_from_submission_to_success(stored: Storage) -> None:
    """A job is queued, claimed, recorded and published; its events count up; its model loads."""
    name = f"model-{token_hex(4)}"
    claim = claimed(stored, JobRequest(dataset="xor", model=name))
    assert stored.leases.record(claim, PROGRESS) is None
    stored.leases.succeed(claim, PROGRESS._replace(records=[]), outcome(claim))
    job = stored.jobs.get(claim.job_id)
    assert (job.status, job.model_version, job.metrics) == (JobStatus.SUCCEEDED, 1, METRICS)
    assert stored.jobs.history(claim.job_id) == RECORDS
    events, more = stored.jobs.events(claim.job_id, 0, 10)
    assert [(event.id, event.type) for event in events] == [
        (1, "queued"),
        (2, "started"),
        (3, "epochs"),
        (4, "succeeded"),
    ]
    assert not more
    weights, card = stored.models.weights(name, 1)
    assert card.job_id == claim.job_id
    assert layers.as_parameters(layers.from_bytes(weights))


def test_what_is_promised_waits_for_the_disk(stored: Storage) -> None:
    """A submission and a success do; what an attempt notes in between can be found out again."""
    engine = stored.database._engine  # noqa: SLF001
    is_sqlite = engine.dialect.name == "sqlite"
    asked = "PRAGMA synchronous" if is_sqlite else "SHOW synchronous_commit"
    found: list[object] = []

    @event.listens_for(engine, "commit")
    def _look(connection: Connection) -> None:
        found.append(connection.exec_driver_sql(asked).scalar())

    claim = claimed(stored)
    stored.leases.record(claim, PROGRESS)
    stored.leases.renew(claim)
    stored.leases.succeed(claim, Progress(1, [], "torch", "cpu"), outcome(claim))
    full, normal = (2, 1) if is_sqlite else ("on", "on")
    assert found == [full, normal, normal, normal, full]


def test_each_job_is_claimed_once(stored: Storage) -> None:
    """Workers that claim at the same moment get different jobs, each job once."""
    submitted = {stored.jobs.submit(REQUEST).id for _ in range(8)}
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda n: stored.leases.claim("train", f"worker-{n}"), range(8)))
    taken = [claim.job_id for claim in claims if claim is not None]
    while (claim := stored.leases.claim("train", "last")) is not None:
        taken.append(claim.job_id)
    assert len(taken) == len(set(taken)) == 8
    assert set(taken) == submitted


def test_an_expired_lease_fences_its_old_holder(stored: Storage) -> None:
    """After the lease ran out another attempt owns the job, and the first can write nothing."""
    first = claimed(stored)
    eventually(stored.leases.expire_leases)
    second = stored.leases.claim("train", "other")
    assert second is not None
    assert (second.job_id, second.attempt) == (first.job_id, 2)
    writes: tuple[Callable[[], object], ...] = (
        lambda: stored.leases.renew(first),
        lambda: stored.leases.record(first, PROGRESS),
        lambda: stored.leases.succeed(first, PROGRESS, outcome(first)),
        lambda: stored.leases.fail(first, JobError(code="diverged", message="")),
        lambda: stored.leases.cancelled(first),
        lambda: stored.leases.release(first, "worker shut down"),
    )
    for write in writes:
        with pytest.raises(LeaseLost):
            write()
    with pytest.raises(NotFound):
        stored.models.get(first.model)
    stored.leases.succeed(second, PROGRESS, outcome(second))
    assert stored.models.get(first.model).versions == (1,)


def test_a_job_that_loses_every_worker_fails(stored: Storage) -> None:
    """After as many lost attempts as are allowed, the job fails with `worker_lost`."""
    claim = claimed(stored)
    (lost,) = stored.leases.release_lost("tester")
    assert (lost.job_id, lost.kind, lost.attempt) == (claim.job_id, "train", 1)
    assert 0 <= lost.found_at - lost.started_at < 60
    again = stored.leases.claim("train", "tester")
    assert again is not None
    stored.leases.release_lost("tester")
    job = stored.jobs.get(claim.job_id)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.code == "worker_lost"


def test_a_shut_down_worker_costs_no_attempt(stored: Storage) -> None:
    """Released jobs wait again, however often."""
    claim = claimed(stored)
    for _ in range(4):
        stored.leases.release(claim, "worker shut down")
        again = stored.leases.claim("train", "tester")
        assert again is not None
        claim = again
    assert claim.attempt == 5


def test_cancel(stored: Storage) -> None:
    """A running job is asked to stop; its worker's loss then cancels it rather than repeat it."""
    claim = claimed(stored)
    assert stored.jobs.cancel(claim.job_id).status is JobStatus.RUNNING
    assert stored.leases.renew(claim) == "cancel"
    stored.leases.release_lost("tester")
    assert stored.jobs.cancel(claim.job_id).status is JobStatus.CANCELLED


def test_a_shut_down_worker_cancels_what_the_client_cancelled(stored: Storage) -> None:
    """A job that was to be cancelled when its worker shut down does not run again."""
    claim = claimed(stored)
    stored.jobs.cancel(claim.job_id)
    stored.leases.release(claim, "worker shut down")
    assert stored.jobs.get(claim.job_id).status is JobStatus.CANCELLED


def test_cancel_after_the_end(stored: Storage) -> None:
    """A job that failed cannot be cancelled."""
    claim = claimed(stored)
    stored.leases.fail(claim, JobError(code="diverged", message="at epoch 3"))
    with pytest.raises(AlreadyFinal):
        stored.jobs.cancel(claim.job_id)


def test_idempotency_key(stored: Storage) -> None:
    """One key is one job, and another request with it is refused."""
    key = token_hex(8)
    first = stored.jobs.submit(REQUEST, key)
    assert stored.jobs.submit(REQUEST, key).id == first.id
    with pytest.raises(IdempotencyMismatch):
        stored.jobs.submit(JobRequest(dataset="and"), key)


def test_a_repeated_request_is_the_same_for_a_later_version(stored: Storage) -> None:
    """A version that knows more fields takes a request that leaves them out for the same one."""

    class LaterRequest(JobRequest):
        colour: str = "blue"

    key = token_hex(8)
    first = stored.jobs.submit(REQUEST, key)
    assert stored.jobs.submit(LaterRequest(dataset="xor"), key).id == first.id
    with pytest.raises(IdempotencyMismatch):
        stored.jobs.submit(LaterRequest(dataset="xor", colour="red"), key)


def test_a_later_attempts_records_stand_for_an_earlier_ones(stored: Storage) -> None:
    """After a loss the curves go on from the checkpoint: what was recorded after it is replaced."""
    first = claimed(stored, JobRequest(dataset="xor", model=f"model-{token_hex(4)}"))
    stored.leases.record(first, PROGRESS._replace(records=_records(0, 10, 20, 30, loss=0.5)))
    stored.leases.release(first, "worker shut down")
    second = stored.leases.claim("train", "another worker")
    assert second is not None
    assert second.attempt == 2
    stored.leases.record(second, PROGRESS._replace(records=_records(20, 30, 40, loss=0.4)))
    found = [(record.epoch, record.train_loss) for record in stored.jobs.history(first.job_id)]
    assert found == [(0, 0.5), (10, 0.5), (20, 0.4), (30, 0.4), (40, 0.4)]


def test_the_newest_checkpoint_is_kept_until_the_end(stored: Storage) -> None:
    """A checkpoint takes the place of the last one, outlives its attempt, and goes with the job."""
    first = claimed(stored, JobRequest(dataset="xor", model=f"model-{token_hex(4)}"))
    assert stored.leases.checkpoint(first) is None
    for data in (b"older", b"newer"):
        stored.leases.record(first, PROGRESS._replace(records=[], checkpoint=data))
    stored.leases.record(first, PROGRESS._replace(records=[]))
    stored.leases.release(first, "worker shut down")
    second = stored.leases.claim("train", "another worker")
    assert second is not None
    assert stored.leases.checkpoint(second) == b"newer"
    stored.leases.cancelled(second)
    assert stored.leases.checkpoint(second) is None


def test_a_lost_attempt_keeps_no_checkpoint(stored: Storage) -> None:
    """An attempt without the lease writes no checkpoint over that of the one that has it."""
    first = claimed(stored, JobRequest(dataset="xor", model=f"model-{token_hex(4)}"))
    stored.leases.release(first, "worker shut down")
    second = stored.leases.claim("train", "another worker")
    assert second is not None
    stored.leases.record(second, PROGRESS._replace(records=[], checkpoint=b"mine"))
    with pytest.raises(LeaseLost):
        stored.leases.record(first, PROGRESS._replace(records=[], checkpoint=b"stale"))
    assert stored.leases.checkpoint(second) == b"mine"


def _records(*epochs: int, loss: float) -> list[EpochRecord]:
    return [EpochRecord(epoch=epoch, train_loss=loss, train_accuracy=1.0) for epoch in epochs]
