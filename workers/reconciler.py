"""The reconciler: makes what waits and what is claimed true again, whatever was lost."""

from collections.abc import Sequence

import structlog

from schemas.errors import Unavailable
from storage import Storage
from storage.leases import Lost
from storage.queue import QUEUES
from workers.tracing import tell_lost

log = structlog.get_logger(__name__)


def reconcile(storage: Storage) -> None:
    """
    Take back jobs whose lease ran out, and ring for waiting jobs that have no bell.

    Safe to run anywhere, at any time, any number of times at once. A dependency that does not
    answer is logged; the next pass tries again.
    """
    lost: Sequence[Lost] = ()
    try:
        lost = storage.leases.expire_leases()
        _wake_watchers(storage, lost)
        for queue in QUEUES:
            storage.doorbell.ring_for_waiting(queue, storage.leases.waiting(queue))
    except Unavailable as error:
        log.warning("reconciler could not finish", error=error.detail)
    tell_lost(lost, "lease expired")


def release_worker(storage: Storage, worker: str) -> None:
    """Take back the job of a worker that has died, and ring for it at once."""
    try:
        lost = storage.leases.release_lost(worker)
    except Unavailable as error:
        log.warning("lost worker's job waits for its lease to expire", error=error.detail)
        return
    _wake_watchers(storage, lost)
    reconcile(storage)
    tell_lost(lost, "worker lost", worker=worker)


def _wake_watchers(storage: Storage, lost: Sequence[Lost]) -> None:
    for attempt in lost:
        storage.notices.tell(attempt.parent or attempt.job_id)
