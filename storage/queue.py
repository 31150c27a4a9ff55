"""
The doorbell: RQ on Valkey tells a worker that something waits.

A bell names no job. The worker that hears it takes the job that has waited longest from the
database (docs/decisions/0002), so that lost, doubled or forged bells can neither lose nor double
a job. `ring_for_waiting` makes the number of bells match the number of waiting jobs again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.utils import as_text
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from schemas.errors import InvalidField, Unavailable
from schemas.settings import Settings

TASK = "workers.tasks.run_next"
"""The one function that a bell may call."""

QUEUES = ("train", "gpu")

BACKSTOP_SECONDS = 60
"""How much later than the lifeline RQ ends a job that runs for too long."""


class ForbiddenTask(Exception):
    """A bell asked for something else than the one task."""


class Bell(Job):
    """An RQ job that can call nothing but the task, whatever was written to Valkey."""

    def restore(self, raw_data: Any) -> Any:
        """
        Read from Valkey what was asked for and nothing else: no hooks, limits or dependencies.

        Raises: NoSuchJobError, which a worker passes over, when it is not a job at all.
        """
        hash_ = {as_text(name): value for name, value in raw_data.items()}
        kept = {name: hash_[name] for name in ("data", "status", "origin") if name in hash_}
        try:
            super().restore(kept)
        except (ValueError, TypeError) as error:
            raise NoSuchJobError("not a bell") from error
        self.timeout = _own_task_seconds()
        self.result_ttl = self.failure_ttl = 0

    @property
    def func(self) -> Any:
        """The task. Raises: ForbiddenTask."""
        if self.func_name != TASK or self.instance is not None:
            raise ForbiddenTask(f"a bell may only call {TASK}")
        return super().func


def task_seconds(settings: Settings) -> int:
    """Give the time after which RQ ends a task that outlived its deadline."""
    return settings.max_job_seconds + BACKSTOP_SECONDS


@cache
def _own_task_seconds() -> int:
    """Give the limit by this process's own settings: RQ hands a bell no others."""
    return task_seconds(Settings())


def connect(url: str, *, timeout_seconds: float | None = 2) -> Redis:
    """
    Make a client that connects at its first use, and waits for answers no longer than this.

    Raises: InvalidField for a URL that is none.
    """
    try:
        return Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0 if timeout_seconds else 1),
        )
    except ValueError as error:
        raise InvalidField(str(error), parameter="PERCEPTRON_VALKEY_URL") from None


def queue(name: str, connection: Redis) -> Queue:
    """Make RQ's queue of that name, as both sides use it."""
    return Queue(name, connection=connection, serializer=JSONSerializer, job_class=Bell)


class Doorbell:
    """Rings for workers, and counts the bells that nobody has heard yet."""

    def __init__(self, settings: Settings) -> None:
        self._connection = connect(settings.valkey_location)
        self._impatient = connect(settings.valkey_location, timeout_seconds=0.5)
        self._task_seconds = task_seconds(settings)

    def ring(self, queue_name: str, times: int = 1) -> None:
        """Tell the queue's workers that jobs wait. Raises: Unavailable."""
        with _unavailable_when_down():
            bells = queue(queue_name, self._connection)
            for _ in range(times):
                bells.enqueue_call(
                    TASK,
                    args=(queue_name,),
                    timeout=self._task_seconds,
                    result_ttl=0,
                    failure_ttl=0,
                )

    def ring_for_waiting(self, queue_name: str, waiting: int) -> int:
        """Ring as often as bells are missing for the jobs that wait. Raises: Unavailable."""
        with _unavailable_when_down():
            missing = waiting - int(self._connection.llen(queue(queue_name, self._connection).key))
        if missing > 0:
            self.ring(queue_name, missing)
        return max(0, missing)

    def is_heard(self, queue_name: str) -> bool:
        """Whether a worker serves the queue; see `listeners`. Raises: Unavailable."""
        return self.listeners(queue_name) > 0

    def listeners(self, queue_name: str) -> int:
        """
        Count the queue's workers; one that was killed counts for some minutes more.

        Raises: Unavailable.
        """
        with _unavailable_when_down():
            workers = self._impatient.smembers(WORKERS_BY_QUEUE_KEY % queue_name)
            return int(self._impatient.exists(*workers)) if workers else 0

    def ping(self) -> None:
        """Ask Valkey for an answer. Raises: Unavailable."""
        with _unavailable_when_down():
            self._connection.ping()


@contextmanager
def _unavailable_when_down() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable("Valkey does not answer: try again") from error
