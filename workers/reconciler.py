"""The reconciler: makes what waits and what is claimed true again, whatever was lost."""

import structlog

from schemas.errors import Unavailable
from storage import Storage
from storage.queue import QUEUES

log = structlog.get_logger(__name__)


def reconcile(storage: Storage) -> None:
    """
    Take back jobs whose lease ran out, and ring for waiting jobs that have no bell.

    Safe to run anywhere, at any time, any number of times at once. A dependency that does not
    answer is logged; the next pass tries again.
    """
    try:
        for job_id in storage.leases.expire_leases():
            log.warning("lease expired", job_id=job_id)
            storage.notices.tell(job_id)
        for queue in QUEUES:
            storage.doorbell.ring_for_waiting(queue, storage.leases.waiting(queue))
    except Unavailable as error:
        log.warning("reconciler could not finish", error=error.detail)


def release_worker(storage: Storage, worker: str) -> None:
    """Take back the job of a worker that has died, and ring for it at once."""
    try:
        for job_id in storage.leases.release_lost(worker):
            log.warning("worker lost", job_id=job_id, worker=worker)
            storage.notices.tell(job_id)
    except Unavailable as error:
        log.warning("lost worker's job waits for its lease to expire", error=error.detail)
        return
    reconcile(storage)
