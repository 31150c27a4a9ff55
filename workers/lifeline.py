"""The lifeline: a thread that keeps an attempt's lease, and ends the attempt when it must."""

import os
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from types import TracebackType
from typing import Literal, Self

import structlog

from schemas.errors import LeaseLost, Unavailable
from schemas.job import JobError
from schemas.settings import Settings
from storage import Storage
from storage.leases import Claim

GRACE_SECONDS = 2.0
"""How long the training loop has to stop by itself before its process is ended under it."""

RENEWALS_PER_LEASE = 6
"""A lease is renewed so often that no single late renewal loses it."""

StopReason = Literal["cancel", "pause", "shutdown", "deadline"]

log = structlog.get_logger(__name__)


class Lifeline:
    """
    Renews the lease, several times in its length, until the block ends.

    When the client cancels or pauses, the worker shuts down or the deadline passes, `stop_reason`
    says so. A training loop that does not look at it in time (one long native call) loses its
    process, but to a pause: that waits, so that nothing is trained twice. Before it does,
    `tell_forced` says so.
    """

    def __init__(
        self,
        storage: Storage,
        claim: Claim,
        settings: Settings,
        tell_forced: Callable[[StopReason], None] = lambda _reason: None,
    ) -> None:
        self._storage = storage
        self._claim = claim
        self._tell_forced = tell_forced
        self._heartbeat_seconds = settings.lease_seconds / RENEWALS_PER_LEASE
        self._lease_seconds = settings.lease_seconds
        self._max_job_seconds = settings.max_job_seconds
        self._deadline = time.monotonic() + settings.max_job_seconds
        self._parent_pid = os.getppid()
        self._wake = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(
            target=copy_context().run,  # its log lines name the job, too
            args=(self._run,),
            daemon=True,
            name="lifeline",
        )
        self.stop_reason: StopReason | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._wake.set()
        self._thread.join()

    def stop(self, reason: StopReason) -> None:
        """Ask the training loop to stop; all else goes before a pause. Safe in a signal handler."""
        if reason != self.stop_reason and self.stop_reason in (None, "pause"):
            self.stop_reason = reason
            self._wake.set()

    def end(self, reason: StopReason) -> None:
        """Store that the attempt ended for this reason. Raises: LeaseLost, Unavailable."""
        leases = self._storage.leases
        if reason == "cancel":
            leases.cancelled(self._claim)
        elif reason == "shutdown":
            leases.release(self._claim, "worker shut down")
        elif reason == "pause":
            leases.release(self._claim, "resumed")  # where that came too late to go on
        else:
            message = f"the job ran for more than {self._max_job_seconds} seconds"
            leases.fail(self._claim, JobError(code="deadline_exceeded", message=message))
        self._storage.notices.tell(self._claim.job_id)

    def _run(self) -> None:
        renewed_at = time.monotonic()
        self._wake.wait(self._heartbeat_seconds)  # the claim has just been made
        while not self._done.is_set():
            if self.stop_reason not in (None, "pause"):
                self._force(self.stop_reason)
                return
            try:
                wanted = self._storage.leases.renew(self._claim)
                if wanted is not None:
                    self.stop(wanted)
                renewed_at = time.monotonic()
            except LeaseLost:
                if not self._done.is_set():
                    self._abandon("lease lost")
            except Unavailable:
                if time.monotonic() - renewed_at > self._lease_seconds:
                    self._abandon("database away for longer than the lease")
            if time.monotonic() > self._deadline:
                self.stop("deadline")
            elif os.getppid() != self._parent_pid:
                self._abandon("worker gone")
            else:
                self._wake.wait(self._heartbeat_seconds)
                self._wake.clear()

    def _force(self, reason: StopReason) -> None:
        if self._done.wait(GRACE_SECONDS):
            return
        try:
            self.end(reason)
        except (LeaseLost, Unavailable):
            self._abandon("could not store the end")
        try:
            self._tell_forced(reason)
        finally:
            os._exit(os.EX_OK)

    def _abandon(self, why: str) -> None:
        log.warning("attempt abandoned", job_id=self._claim.job_id, why=why)
        os._exit(1)
