"""An attempt at a job: keeps its lease, stores what it makes, and brings the job to its end."""

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import structlog
from rq.timeouts import JobTimeoutException
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from schemas.errors import (
    DeviceUnavailable,
    Diverged,
    InvalidData,
    LeaseLost,
    PerceptronError,
    Unavailable,
)
from schemas.job import JobError
from schemas.settings import Settings
from storage import Storage
from storage.leases import Claim, Progress
from workers.lifeline import Lifeline, StopReason

FLUSH_SECONDS = 0.1
"""Time between two writes of what an attempt has made."""

_CODES: dict[type[PerceptronError], str] = {
    Diverged: "diverged",
    DeviceUnavailable: "device_unavailable",
    InvalidData: "invalid_data",
}
"""Codes of the failures that are the job's own."""

log = structlog.get_logger(__name__)


class Stopped(Exception):
    """The attempt was asked to stop."""


class Attempt(ABC):
    """One attempt at one job; what it does is its subclass's."""

    def __init__(self, storage: Storage, claim: Claim, settings: Settings) -> None:
        self.storage = storage
        self.claim = claim
        self.settings = settings
        self._lifeline = Lifeline(storage, claim, settings, self._forced)
        self.retrying = Retrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_exponential(0.1, max=2),
            stop=stop_after_delay(settings.lease_seconds),
            reraise=True,
        )
        self._flush_at = time.monotonic() + FLUSH_SECONDS
        self.outcome = "lost"
        """`done`, why it stopped, or the code of its failure, once that is stored."""
        self.tell_end: Callable[[], None] = lambda: None
        """What tells of its end where nothing else will: its process is ended under it."""

    @abstractmethod
    def work(self) -> Callable[[], None]:
        """
        Do what the job asks for; returns what stores its success.

        Calls `look_up` often. Raises: Stopped, and the errors that fail a job.
        """

    def run(self) -> None:
        """Bring the job to its end, or leave it to another attempt."""
        signal.signal(signal.SIGTERM, self._shut_down)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        try:
            self._run()
        except LeaseLost:
            log.warning("job belongs to another attempt", job_id=self.claim.job_id)
        except Unavailable:
            log.exception("database away", job_id=self.claim.job_id)
            os._exit(1)  # the worker, or the lease's end, puts the job back
        finally:
            self.storage.notices.tell(self.claim.parent or self.claim.job_id)

    def _run(self) -> None:
        try:
            with self._lifeline:
                store_success = self.work()
            self.retrying(store_success)
            self.outcome = "done"
        except Stopped:
            self._stop(self._lifeline.stop_reason)
        except tuple(_CODES) as error:
            self._fail(_CODES[type(error)], error)
        except JobTimeoutException:
            self._stop("deadline")  # RQ's own limit, behind the lifeline's
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:
            self._fail("internal_error", error)
            raise  # RQ logs the traceback

    def look_up(self, progress: Callable[[], Progress]) -> None:
        """Store the progress where that is due. Raises: Stopped when the attempt is to end."""
        if time.monotonic() >= self._flush_at:
            with suppress(Unavailable):  # the lifeline watches how long this lasts
                self.flush(progress())
        if self._lifeline.stop_reason is not None:
            raise Stopped

    def flush(self, progress: Progress) -> None:
        """Store the progress now. Raises: LeaseLost, Unavailable."""
        wanted = self.storage.leases.record(self.claim, progress)
        self.stored(progress)
        self._flush_at = time.monotonic() + FLUSH_SECONDS
        self.storage.notices.tell(self.claim.job_id)
        if wanted is not None:
            self._lifeline.stop(wanted)

    @abstractmethod
    def stored(self, progress: Progress) -> None:
        """Forget what is stored now."""

    def _stop(self, reason: StopReason | None) -> None:
        self.retrying(self._lifeline.end, reason)
        self.outcome = reason or self.outcome

    def _forced(self, reason: StopReason) -> None:
        self.outcome = reason
        self.tell_end()

    def _fail(self, code: str, error: Exception) -> None:
        known = isinstance(error, PerceptronError)
        message = str(error) if known else f"{type(error).__name__} (see the worker's log)"
        failure = JobError.model_validate({"code": code, "message": message})
        self.retrying(self.storage.leases.fail, self.claim, failure)
        self.outcome = code

    def _shut_down(self, _signal: int, _frame: FrameType | None) -> None:
        self._lifeline.stop("shutdown")
