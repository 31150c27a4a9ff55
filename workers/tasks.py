"""The one task that a bell can call: run the job that has waited longest."""

import os
import signal
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import structlog

from schemas.errors import Unavailable
from schemas.job import JobRequest
from schemas.settings import Settings
from schemas.training import TrainingConfig
from storage import Storage, open_storage
from storage.jobs import queue_of
from storage.leases import Claim
from storage.spans import open_telemetry
from workers.attempt import Attempt, Stopped
from workers.parent_death import die_with_parent
from workers.prediction import PredictAttempt
from workers.sweeps import ShardAttempt, SweepAttempt
from workers.tracing import SERVICE, name_job, traced
from workers.training import TrainAttempt

if TYPE_CHECKING:
    from storage.telemetry import Telemetry

ATTEMPTS: Mapping[str, type[Attempt]] = {
    "train": TrainAttempt,
    "sweep": SweepAttempt,
    "shard": ShardAttempt,
    "predict": PredictAttempt,
}
"""What is done for each kind of job."""

log = structlog.get_logger(__name__)


class Prepared(NamedTuple):
    """What a worker makes once, and its work-horses inherit."""

    settings: Settings
    storage: Storage
    """Connected to nothing."""
    telemetry: "Telemetry | None"
    """None where no spans are exported."""
    rehearsed: Claim | None
    """The job of the rehearsal, which is in no database."""


@cache
def prepared() -> Prepared:
    """
    Read the settings, open the storage, and rehearse a job, so that nothing is slow at first use.

    For the worker, before it forks. A database that is away now costs only the rehearsal.
    """
    settings = Settings()
    storage = open_storage(settings)
    rehearsed = None
    try:
        rehearsed = _rehearse(storage, settings)
    except Unavailable as error:
        log.warning("not rehearsed", error=error.detail)
    except Stopped:
        log.warning("not rehearsed", error="the job that stood in is to stop")
    finally:
        storage.database.close()
    return Prepared(settings, storage, open_telemetry(SERVICE), rehearsed)


def _rehearse(storage: Storage, settings: Settings) -> Claim | None:
    """Take a small job through every statement and every computation, and undo it all."""
    request = JobRequest(dataset="xor", training=TrainingConfig(engine="fused", epochs=1))
    with storage.database.rehearsal():
        storage.jobs.submit(request)
        claim = storage.leases.claim(queue_of(request.training), "rehearsal")
        if claim is None:
            return None
        # Another job may wait longer: its row stands in, and is as it was when all is undone.
        own = claim._replace(request=request.model_dump_json(), model="rehearsal", attempt=1)
        progress, outcome = TrainAttempt(storage, own, settings).train()
        storage.leases.renew(own)
        storage.leases.succeed(own, progress, outcome)
    return own._replace(job_id="rehearsal")


def get_ready() -> None:
    """
    Connect, and train the rehearsal's network once more: for a work-horse that waits for its job.

    What it shares with the worker is copied when it is first written to: now, and not later.
    """
    settings, storage, _, rehearsed = prepared()
    storage.notices.connect()
    try:
        storage.database.ping()
        if rehearsed is not None:
            TrainAttempt(storage, rehearsed, settings).rehearse()
    except Unavailable:
        return
    except Exception:  # no reason to take no job
        log.exception("not rehearsed")


def run_next(queue: str) -> None:
    """Claim the queue's oldest job and run it to its end; safe to run twice, or for nothing."""
    die_with_parent(int(os.environ["PERCEPTRON_WORKER_PID"]))
    settings, storage, telemetry, _ = prepared()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until the attempt listens
    claim = storage.leases.claim(queue, os.environ["RQ_WORKER_ID"])
    if claim is not None:
        name_job(claim)
        attempt = ATTEMPTS[claim.kind](storage, claim, settings)
        with traced(claim, attempt, telemetry):
            attempt.run()
