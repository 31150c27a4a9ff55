"""Pausing and resuming in the store, on both databases."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from secrets import token_hex

import pytest
from sqlalchemy import select, update

from schemas.batch import PredictionRequest
from schemas.errors import AlreadyFinal, CannotPause, LeaseLost, NotFound
from schemas.job import JobError, JobRequest, JobStatus, SweepRequest
from schemas.settings import Settings
from storage import Storage
from storage.leases import Claim
from storage.tables import jobs
from tests.deployment import eventually
from tests.integration.test_jobs import PROGRESS, claimed, outcome
from workers import lifeline
from workers.lifeline import Lifeline

CHECKPOINT = PROGRESS._replace(epochs=7, checkpoint=b"state")


def paused(stored: Storage) -> Claim:
    """Give a job that was paused while it ran, and the claim that it ran with."""
    claim = claimed(stored, JobRequest(dataset="xor", model=f"model-{token_hex(4)}"))
    stored.jobs.pause(claim.job_id)
    stored.leases.record(claim, CHECKPOINT)
    stored.leases.release(claim, "resumed")
    return claim


def types(stored: Storage, job_id: str) -> Sequence[str]:
    """List the types of a job's events."""
    return [event.type for event in stored.jobs.events(job_id, 0, 100)[0]]


def test_a_queued_job_is_paused_at_once(stored: Storage) -> None:
    """No worker gets it and no bell is due for it, until it is resumed."""
    job_id = stored.jobs.submit(JobRequest(dataset="xor")).id
    assert stored.jobs.pause(job_id).status is JobStatus.PAUSED
    assert stored.leases.claim("train", "tester") is None
    assert stored.leases.waiting("train") == 0
    assert stored.jobs.standing(job_id) == (2, False)
    assert stored.jobs.resume(job_id).status is JobStatus.QUEUED
    assert stored.leases.waiting("train") == 1
    claim = stored.leases.claim("train", "tester")
    assert claim is not None
    assert (claim.job_id, claim.attempt) == (job_id, 1)
    assert types(stored, job_id) == ["queued", "paused", "resumed", "started"]


def test_a_running_job_is_paused_by_its_worker(stored: Storage) -> None:
    """It is asked to pause, by renewals and records, and goes on from the checkpoint it leaves."""
    claim = claimed(stored)
    job = stored.jobs.pause(claim.job_id)
    assert (job.status, job.pause_requested) == (JobStatus.RUNNING, True)
    assert stored.leases.renew(claim) == "pause"
    assert stored.leases.record(claim, CHECKPOINT) == "pause"
    stored.leases.release(claim, "resumed")
    job = stored.jobs.get(claim.job_id)
    assert (job.status, job.pause_requested, job.epoch) == (JobStatus.PAUSED, False, 7)
    assert stored.leases.expire_leases() == []
    with pytest.raises(LeaseLost):
        stored.leases.record(claim, PROGRESS)
    assert stored.jobs.resume(claim.job_id).epoch == 7
    again = stored.leases.claim("train", "tester")
    assert again is not None
    assert stored.leases.checkpoint(again) == b"state"
    assert types(stored, claim.job_id) == [
        *("queued", "started", "pausing", "epochs", "paused", "resumed", "started")
    ]


def test_pauses_cost_no_attempt(stored: Storage) -> None:
    """A job may be paused more often than it may lose its worker."""
    claim = claimed(stored)
    for _ in range(4):
        stored.jobs.pause(claim.job_id)
        stored.leases.release(claim, "resumed")
        stored.jobs.resume(claim.job_id)
        again = stored.leases.claim("train", "tester")
        assert again is not None
        claim = again
    assert claim.attempt == 5
    assert stored.leases.release_lost("tester")
    assert stored.jobs.get(claim.job_id).status is JobStatus.QUEUED


@pytest.mark.parametrize("loss", ["worker lost", "lease expired", "worker shut down"])
def test_a_worker_that_goes_before_it_obeys_leaves_a_paused_job(stored: Storage, loss: str) -> None:
    """However it goes, the job does not run on; at its checkpoint, not where it last was."""
    claim = claimed(stored)
    stored.leases.record(claim, CHECKPOINT)
    stored.leases.record(claim, PROGRESS._replace(epochs=9))
    stored.jobs.pause(claim.job_id)
    if loss == "worker lost":
        stored.leases.release_lost("tester")
    elif loss == "worker shut down":
        stored.leases.release(claim, loss)
    else:
        eventually(stored.leases.expire_leases)
    job = stored.jobs.get(claim.job_id)
    assert (job.status, job.epoch) == (JobStatus.PAUSED, 7)
    stored.jobs.resume(claim.job_id)
    assert stored.leases.claim("train", "tester") is not None
    stored.leases.release_lost("tester")
    is_second = loss != "worker shut down"
    left = stored.jobs.get(claim.job_id).status
    assert left is (JobStatus.FAILED if is_second else JobStatus.QUEUED)


def test_who_ends_goes_before_who_pauses(stored: Storage) -> None:
    """A training that comes to its end while it is being paused ends as ever."""
    claim = claimed(stored, JobRequest(dataset="xor", model=f"model-{token_hex(4)}"))
    stored.jobs.pause(claim.job_id)
    stored.leases.succeed(claim, PROGRESS, outcome(claim))
    job = stored.jobs.get(claim.job_id)
    assert (job.status, job.pause_requested) == (JobStatus.SUCCEEDED, False)
    for ask in (stored.jobs.pause, stored.jobs.resume):
        with pytest.raises(AlreadyFinal, match="the job has succeeded already"):
            ask(claim.job_id)


def test_cancelling_goes_before_pausing(stored: Storage) -> None:
    """A job that is being paused can be cancelled, and one that is being cancelled not paused."""
    claim = claimed(stored)
    stored.jobs.pause(claim.job_id)
    job = stored.jobs.cancel(claim.job_id)
    assert (job.cancel_requested, job.pause_requested) == (True, False)
    assert stored.leases.renew(claim) == "cancel"
    for ask in (stored.jobs.pause, stored.jobs.resume):
        with pytest.raises(CannotPause, match="is being cancelled"):
            ask(claim.job_id)
    stored.leases.release(claim, "resumed")
    assert stored.jobs.get(claim.job_id).status is JobStatus.CANCELLED
    with pytest.raises(AlreadyFinal, match="has been cancelled already"):
        stored.jobs.pause(claim.job_id)


def test_resuming_takes_the_request_back(stored: Storage) -> None:
    """A job that is being paused runs on; its worker asks again, or puts it back if it had left."""
    claim = claimed(stored)
    stored.jobs.pause(claim.job_id)
    job = stored.jobs.resume(claim.job_id)
    assert (job.status, job.pause_requested) == (JobStatus.RUNNING, False)
    assert stored.leases.renew(claim) is None
    stored.leases.release(claim, "resumed")
    assert stored.jobs.get(claim.job_id).status is JobStatus.QUEUED
    last = stored.jobs.events(claim.job_id, 0, 100)[0][-1]
    assert (last.type, last.data) == ("requeued", {"attempt": 1, "reason": "resumed"})


def test_a_request_that_met_a_loss_is_not_lost(stored: Storage) -> None:
    """One that came just when the job was put back is obeyed by the next worker, or taken back."""
    claim = claimed(stored)
    stored.leases.release(claim, "worker shut down")
    with stored.database.write() as connection:  # as between two statements of the release
        at = update(jobs).where(jobs.c.id == claim.job_id)
        connection.execute(at.values(pause_requested=True))
    again = stored.leases.claim("train", "tester")
    assert again is not None
    assert stored.leases.renew(again) == "pause"
    assert stored.jobs.resume(claim.job_id).pause_requested is False


def test_a_paused_job_is_cancelled_or_deleted_at_once(stored: Storage) -> None:
    """Its checkpoint goes with it."""
    first = paused(stored)
    assert stored.jobs.cancel(first.job_id).status is JobStatus.CANCELLED
    assert stored.leases.checkpoint(first) is None
    second = paused(stored)
    stored.jobs.delete(second.job_id)
    assert stored.leases.checkpoint(second) is None
    for ask in (stored.jobs.pause, stored.jobs.resume):
        with pytest.raises(NotFound):
            ask(second.job_id)


def test_asking_twice_changes_nothing(stored: Storage) -> None:
    """Who asks for what is so already gets the job as it is, and no event tells of it."""
    claim = claimed(stored)
    assert stored.jobs.resume(claim.job_id).status is JobStatus.RUNNING
    assert stored.jobs.pause(claim.job_id) == stored.jobs.pause(claim.job_id)
    stored.leases.release(claim, "resumed")
    assert stored.jobs.pause(claim.job_id).status is JobStatus.PAUSED
    assert stored.jobs.resume(claim.job_id) == stored.jobs.resume(claim.job_id)
    assert types(stored, claim.job_id) == ["queued", "started", "pausing", "paused", "resumed"]


@pytest.mark.parametrize(
    "request_",
    [
        SweepRequest(kind="sweep", dataset="xor"),
        PredictionRequest(kind="predict", dataset="xor", model="xor"),
    ],
    ids=["sweep", "predict"],
)
def test_only_trainings_are_paused(
    stored: Storage, request_: SweepRequest | PredictionRequest
) -> None:
    """Sweeps and predictions stay as they are, and the reason names their kind."""
    job_id = stored.jobs.submit(request_).id
    for ask in (stored.jobs.pause, stored.jobs.resume):
        with pytest.raises(CannotPause, match=request_.kind):
            ask(job_id)
    assert stored.jobs.get(job_id).status is JobStatus.QUEUED


def test_pausing_against_everything_at_once(stored: Storage) -> None:
    """Whatever happens to a job in the same moment, it is paused or will be, or has ended."""

    def succeed(claim: Claim) -> None:
        stored.leases.succeed(claim, PROGRESS, outcome(claim))

    def lose(_claim: Claim) -> None:
        stored.leases.release_lost("tester")

    def shut_down(claim: Claim) -> None:
        stored.leases.release(claim, "worker shut down")

    def fail(claim: Claim) -> None:
        stored.leases.fail(claim, JobError(code="diverged", message=""))

    happenings: tuple[Callable[[Claim], None], ...] = (succeed, lose, shut_down, fail)
    with ThreadPoolExecutor(2) as pool:
        for happen in happenings * 5:
            claim = claimed(stored, JobRequest(dataset="xor", model=f"model-{token_hex(4)}"))
            happening = pool.submit(happen, claim)
            asking = pool.submit(stored.jobs.pause, claim.job_id)
            happening.result()
            is_refused = isinstance(asking.exception(), AlreadyFinal)
            job = stored.jobs.get(claim.job_id)
            if happen in (succeed, fail):
                assert job.status in (JobStatus.SUCCEEDED, JobStatus.FAILED)
            else:
                assert not is_refused
                assert job.status is JobStatus.PAUSED or job.pause_requested
            stored.jobs.delete(claim.job_id)


def test_pausing_and_cancelling_at_once(stored: Storage) -> None:
    """Whoever is first, a running job is cancelled in the end."""
    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            claim = claimed(stored)
            asked = [
                pool.submit(ask, claim.job_id) for ask in (stored.jobs.pause, stored.jobs.cancel)
            ]
            assert isinstance(asked[0].exception(), CannotPause | None)
            assert asked[1].exception() is None
            stored.leases.release(claim, "resumed")
            assert stored.jobs.get(claim.job_id).status is JobStatus.CANCELLED


def test_a_pause_waits_for_the_loop_and_gives_way_to_all_else(
    stored: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lifeline holds the lease and ends no process, until the client wants an end at once."""
    monkeypatch.setattr(lifeline, "GRACE_SECONDS", 0)
    claim = claimed(stored)
    settings = Settings.model_validate({"data_dir": tmp_path, "lease_seconds": 0.6})
    with Lifeline(stored, claim, settings) as line:
        stored.jobs.pause(claim.job_id)
        eventually(lambda: line.stop_reason == "pause")
        for _ in range(3):
            eventually(partial(_is_renewed, stored, claim, _lease_until(stored, claim)))
        monkeypatch.setattr(lifeline, "GRACE_SECONDS", 60)
        stored.jobs.cancel(claim.job_id)
        eventually(lambda: line.stop_reason == "cancel")


def _is_renewed(stored: Storage, claim: Claim, before: float) -> bool:
    return _lease_until(stored, claim) > before


def _lease_until(stored: Storage, claim: Claim) -> float:
    with stored.database.read() as connection:
        query = select(jobs.c.lease_until).where(jobs.c.id == claim.job_id)
        return float(connection.execute(query).scalar_one())


def test_jobs_of_one_status(stored: Storage) -> None:
    """A page lists jobs of one status from every queue, newest first, and goes on after one."""
    made = [stored.jobs.submit(JobRequest(dataset="xor")).id for _ in range(5)]
    cuda = JobRequest.model_validate({"dataset": "xor", "training": {"device": "cuda"}})
    made.append(stored.jobs.submit(cuda).id)
    for job_id in made[1:]:
        stored.jobs.pause(job_id)
    listed, more = stored.jobs.page(None, 3, JobStatus.PAUSED)
    assert ([job.id for job in listed], more) == (made[:2:-1], True)
    listed, more = stored.jobs.page(made[3], 3, JobStatus.PAUSED)
    assert ([job.id for job in listed], more) == ([made[2], made[1]], False)
    assert [job.id for job in stored.jobs.page(None, 3, JobStatus.QUEUED)[0]] == [made[0]]
    assert stored.jobs.page(None, 3, JobStatus.FAILED) == ([], False)
