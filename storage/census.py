"""The census: how many jobs there are, what waits, and what has ended."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from schemas.job import JobStatus
from storage.database import Database, clock
from storage.queue import QUEUES
from storage.tables import ended_jobs, jobs

STEP = 20_000
"""Jobs that are counted at a time."""


class Waiting(NamedTuple):
    """What a queue's workers have not begun yet."""

    jobs: int
    oldest_seconds: float
    """Time since the job that comes next was accepted, or its shard planned; 0: there is none."""


class Ended(NamedTuple):
    """Jobs that came to one end, also those that are deleted now."""

    kind: str
    status: str
    jobs: int
    started_jobs: int
    seconds: float
    """From their first start to their end, of those that were started."""


class Census(NamedTuple):
    """Jobs and shards, counted."""

    by_status: Mapping[str, int]
    queues: Mapping[str, Waiting]
    ended: Sequence[Ended]


class CensusStore:
    """
    Counts what is in the database: its indexes answer.

    Step by step, since SQLite keeps all requests of a process waiting while it counts.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self) -> Census:
        """Count now. Raises: Unavailable."""
        by_status = self._by_status()
        with self._database.read() as connection:
            waiting = (
                select(jobs.c.queue, func.count())
                .where(jobs.c.status == JobStatus.QUEUED)
                .group_by(jobs.c.queue)
            )
            counts = dict.fromkeys(QUEUES, 0)
            for queue, count in connection.execute(waiting):
                counts[queue] = count
            queues = {
                queue: Waiting(count, _oldest_seconds(connection, queue))
                for queue, count in counts.items()
            }
            columns = (ended_jobs.c[name] for name in Ended._fields)
            order = (ended_jobs.c.kind, ended_jobs.c.status)
            ended = connection.execute(select(*columns).order_by(*order)).all()
        return Census(by_status, queues, [Ended(*row) for row in ended])

    def _by_status(self) -> Mapping[str, int]:
        counts = dict.fromkeys((status.value for status in JobStatus), 0)
        with self._database.read() as connection:
            last = connection.execute(select(func.max(jobs.c.seq))).scalar() or 0
        for first in range(0, last + 1, STEP):
            # All its columns named, the index alone answers, and not the rows.
            query = (
                select(jobs.c.status, func.count())
                .where(
                    jobs.c.status.in_(list(counts)),
                    jobs.c.queue.in_(QUEUES),
                    jobs.c.seq.between(first, first + STEP - 1),
                )
                .group_by(jobs.c.status)
            )
            with self._database.read() as connection:
                for status, count in connection.execute(query):
                    counts[status] += count
            time.sleep(0)  # others may go first
        return counts


def _oldest_seconds(connection: Connection, queue: str) -> float:
    first = (
        select((clock() - jobs.c.created_at).label("seconds"))
        .where(jobs.c.status == JobStatus.QUEUED, jobs.c.queue == queue)
        .order_by(jobs.c.seq)
        .limit(1)
    )
    return max(0.0, connection.execute(first).scalar() or 0.0)
