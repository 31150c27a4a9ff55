"""Predictions in the store, on both databases: fenced, whole, and gone with their job."""

from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from schemas.batch import PredictionReport, PredictionRequest
from schemas.errors import LeaseLost
from schemas.job import JobError, JobStatus
from schemas.preprocessing import Target
from storage import Storage, predictions
from storage.jobs import Subject
from storage.leases import Claim, Progress
from storage.predictions import Outputs
from storage.tables import predictions as table
from tests.deployment import eventually

REQUEST = PredictionRequest(kind="predict", model="m", version="best", dataset="rows")
SUBJECT = Subject("digest", version=4, rows=10)
TARGET = Target(name="y", task="multiclass", classes=("a", "b", "c"))
REPORT = PredictionReport(target=TARGET, dtype="float32", evaluation=None)
OUTPUTS = np.arange(30, dtype=np.float32).reshape(10, 3)


def claimed(stored: Storage, key: str | None = None) -> Claim:
    """Submit a prediction and claim it."""
    stored.jobs.submit(REQUEST, key, SUBJECT)
    return again(stored)


def again(stored: Storage) -> Claim:
    """Claim what has waited longest."""
    claim = stored.leases.claim("train", "tester")
    assert claim is not None
    return claim


def progress(first: int, end: int) -> Progress:
    """Say that rows up to the end are done, and bring those from the first on."""
    return Progress(end, (), "numpy", "cpu", outputs=Outputs(first, OUTPUTS[first:end]))


def bytes_of(stored: Storage, job_id: str) -> bytes:
    """Read all outputs."""
    return b"".join(stored.predictions.pieces(job_id))


def count(stored: Storage) -> Any:
    """Count the pieces of all jobs."""
    with stored.database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar()


def test_what_is_pinned(stored: Storage) -> None:
    """The job knows the version and the rows that it was accepted with; the claim has the first."""
    claim = claimed(stored)
    assert (claim.kind, claim.model, claim.model_version) == ("predict", "m", 4)
    assert claim.dataset_sha256 == "digest"
    assert PredictionRequest.model_validate_json(claim.request) == REQUEST
    job = stored.jobs.get(claim.job_id)
    assert (job.kind, job.model, job.model_version, job.epochs) == ("predict", "m", 4, 10)
    assert (job.network, job.training, job.search, job.report) == (None, None, None, None)


def test_the_same_key_is_the_same_job(stored: Storage) -> None:
    """A repeated request finds its job, whatever its alias stands for by now."""
    claim = claimed(stored, "key")
    repeated = stored.jobs.submit(REQUEST, "key", SUBJECT._replace(version=5))
    assert (repeated.id, repeated.model_version) == (claim.job_id, 4)


def test_outputs_come_back_in_order(stored: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """However they were stored, and in how many pieces, the outputs are the rows' in order."""
    monkeypatch.setattr(predictions, "PIECE_BYTES", 30)  # two rows and a half
    claim = claimed(stored)
    assert stored.predictions.rows(claim.job_id) == 0
    assert not stored.leases.record(claim, progress(0, 3))
    assert not stored.leases.record(claim, progress(3, 4))
    assert stored.predictions.rows(claim.job_id) == 4
    assert stored.jobs.get(claim.job_id).epoch == 4
    stored.leases.succeed_prediction(claim, progress(4, 10), REPORT)
    job = stored.jobs.get(claim.job_id)
    assert (job.status, job.epoch, job.report) == (JobStatus.SUCCEEDED, 10, REPORT)
    assert bytes_of(stored, claim.job_id) == OUTPUTS.tobytes()
    assert all(len(piece) <= 30 for piece in stored.predictions.pieces(claim.job_id))
    types = [(event.type, event.data) for event in stored.jobs.events(job.id, 0, 10)[0]]
    assert types[2:] == [
        ("progress", {"rows": 3}),
        ("progress", {"rows": 4}),
        ("progress", {"rows": 10}),
        ("succeeded", {"rows": 10}),
    ]


def test_a_write_that_was_taken_for_lost(stored: Storage) -> None:
    """Outputs that are stored once more, with others behind them, are not doubled."""
    claim = claimed(stored)
    stored.leases.record(claim, progress(0, 4))
    stored.leases.record(claim, progress(4, 6))
    stored.leases.record(claim, progress(4, 9))
    stored.leases.succeed_prediction(claim, progress(9, 10), REPORT)
    assert bytes_of(stored, claim.job_id) == OUTPUTS.tobytes()


def test_a_lost_attempt_stores_nothing_more(stored: Storage) -> None:
    """The next attempt finds what was stored; the lost one's writes are refused, all of them."""
    lost = claimed(stored)
    stored.leases.record(lost, progress(0, 4))
    (found,) = eventually(stored.leases.expire_leases)
    assert found.job_id == lost.job_id
    claim = again(stored)
    assert (claim.job_id, claim.attempt) == (lost.job_id, 2)
    assert stored.predictions.rows(claim.job_id) == 4
    with pytest.raises(LeaseLost):
        stored.leases.record(lost, progress(4, 10))
    with pytest.raises(LeaseLost):
        stored.leases.succeed_prediction(lost, progress(4, 10), REPORT)
    assert stored.predictions.rows(claim.job_id) == 4
    stored.leases.renew(claim)
    stored.leases.succeed_prediction(claim, progress(4, 10), REPORT)
    assert bytes_of(stored, claim.job_id) == OUTPUTS.tobytes()


@pytest.mark.parametrize("how", ["cancelled", "failed", "deleted", "deleted later"])
def test_outputs_go_with_their_job(stored: Storage, how: str) -> None:
    """Of a job that ends without success, or is deleted, no outputs are left."""
    claim = claimed(stored)
    stored.leases.record(claim, progress(0, 10))
    assert count(stored) == 1
    if how == "cancelled":
        stored.jobs.cancel(claim.job_id)
        assert stored.leases.renew(claim)
        stored.leases.cancelled(claim)
    elif how == "failed":
        stored.leases.fail(claim, JobError(code="invalid_data", message="no"))
    else:
        if how == "deleted later":
            stored.leases.succeed_prediction(claim, progress(0, 10), REPORT)
        stored.jobs.delete(claim.job_id)
    assert count(stored) == 0
