"""What is counted of jobs, and the trace that goes with them."""

from pathlib import Path
from typing import Any

from sqlalchemy import text

from schemas.job import JobRequest, JobStatus
from storage import Storage
from storage.census import CensusStore, Ended
from storage.database import Database
from storage.jobs import Origin
from storage.migrations import migrate, upgrade

REQUEST = JobRequest(dataset="and")
TRACEPARENTS = [f"00-{digit * 32}-{digit * 16}-01" for digit in "12"]


def test_counts(stored: Storage) -> None:
    """Jobs are counted by status, those that wait by queue, and the age is that of the next."""
    empty = stored.census.take()
    assert (empty.queues["train"].jobs, empty.queues["train"].oldest_seconds) == (0, 0)
    for _ in range(3):
        stored.jobs.submit(REQUEST)
    assert stored.leases.claim("train", "worker") is not None
    found = stored.census.take()
    assert set(found.by_status) == {status.value for status in JobStatus}
    assert (found.by_status["queued"], found.by_status["running"]) == (2, 1)
    assert found.queues["train"].jobs == 2
    assert found.queues["gpu"].jobs == 0
    assert 0 < found.queues["train"].oldest_seconds < 60


def test_ended_jobs_stay_counted(stored: Storage) -> None:
    """A job that ended counts once, with its time if it had begun, and after its deletion too."""
    before = _ended(stored)
    waiting = stored.jobs.submit(REQUEST)
    stored.jobs.cancel(waiting.id)
    never_begun = _ended(stored)
    assert (never_begun.jobs, never_begun.started_jobs) == (before.jobs + 1, before.started_jobs)
    begun = stored.jobs.submit(REQUEST)
    claim = stored.leases.claim("train", "worker")
    assert claim is not None
    stored.jobs.cancel(begun.id)
    stored.leases.cancelled(claim)
    record = stored.jobs.get(begun.id)
    assert record.finished_at is not None
    assert record.started_at is not None
    stored.jobs.delete(begun.id)
    after = _ended(stored)
    assert (after.jobs, after.started_jobs) == (before.jobs + 2, before.started_jobs + 1)
    seconds = (record.finished_at - record.started_at).total_seconds()
    assert abs(after.seconds - before.seconds - seconds) < 1e-3


def _ended(stored: Storage) -> Ended:
    """Find what is counted of cancelled trainings."""
    [found] = [
        e for e in stored.census.take().ended if (e.kind, e.status) == ("train", "cancelled")
    ]
    return found


def test_the_trace_is_no_part_of_the_request(stored: Storage) -> None:
    """A repeated request finds its job whatever its trace is, and the first one's trace stays."""
    first, second = TRACEPARENTS
    job: Any = stored.jobs.submit(REQUEST, "traced", origin=Origin(first, "one"))
    assert stored.jobs.submit(REQUEST, "traced", origin=Origin(second, "two")).id == job.id
    claim = stored.leases.claim("train", "worker")
    assert claim is not None
    assert (claim.traceparent, claim.request_id) == (first, "one")
    assert stored.jobs.get(job.id).request_id == "one"


def test_jobs_that_ended_before_are_counted(tmp_path: Path) -> None:
    """The migration counts what is there, in a database of the version before."""
    url = f"sqlite:///{tmp_path / 'perceptron.db'}"
    database = Database(url, pooled=False)
    insert = text(
        "INSERT INTO jobs (id, request, request_sha256, kind, queue, dataset, network, training,"
        " model, epochs, status, created_at, started_at, finished_at) VALUES (:id, '', '', :kind,"
        " 'train', '', '', '', '', 1, 'failed', 0, :start, :end)"
    )
    rows = [("a", "train", 1.0, 3.0), ("b", "train", 2.0, 5.5), ("c", "predict", None, 9.0)]
    upgrade(database, "0005-1")
    with database.write() as connection:
        for id_, kind, start, end in rows:
            values = {"id": id_, "kind": kind, "start": start, "end": end}
            connection.execute(insert, values)
    migrate(url)
    ended: dict[tuple[str, str], Any] = {
        (e.kind, e.status): e[2:] for e in CensusStore(database).take().ended
    }
    assert ended["train", "failed"] == (2, 2, 5.5)
    assert ended["predict", "failed"] == (1, 0, 0)
    assert ended["train", "succeeded"] == (0, 0, 0)
    assert len(ended) == 12
    database.close()
