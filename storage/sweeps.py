"""
The sweep store: a sweep's shards are jobs of their own, and what they find is rows of results.

A sweep waits for its shards without a worker. Who changes a shard and its sweep locks the sweep
first (docs/decisions/0011).
"""

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, func, insert, select, update

from schemas.errors import LeaseLost
from schemas.job import JobStatus
from schemas.sweep import Shard, SweepMember, TrainedMember
from storage.database import Database, clock
from storage.leases import Claim, holds
from storage.tables import jobs, results
from storage.transitions import BACK_IN_QUEUE, apply, end

_INHERITED = (
    *("queue", "dataset", "network", "training", "model", "epochs"),
    *("traceparent", "request_id"),
)
"""What a shard's row takes from its sweep's."""


class Parent(NamedTuple):
    """The sweep that a shard is part of."""

    request: str
    """SweepRequest, as JSON."""
    dataset_sha256: str | None


class SweepStore:
    """Sweeps and their shards in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rung(self, claim: Claim) -> int:
        """Give the rung to plan next; a sweep is due when the one before has all its results."""
        newest = select(func.max(results.c.rung)).where(results.c.job_id == claim.job_id)
        with self._database.read() as connection:
            found = connection.execute(newest).scalar()
        return 0 if found is None else int(found) + 1

    def plan(self, claim: Claim, shards: Sequence[Shard]) -> None:
        """
        Make the shards of a rung, and leave the sweep to wait for them; or cancel it.

        Raises: LeaseLost.
        """
        waiting = {"worker": None, "lease_token": None, "lease_until": None}
        change = update(jobs).where(holds(claim)).values(pending_shards=len(shards), **waiting)
        trainings = sum(len(group.members) for shard in shards for group in shard.groups)
        data = {"rung": shards[0].rung, "trainings": trainings, "shards": len(shards)}
        with self._database.write() as connection:
            if end(connection, holds(claim) & jobs.c.cancel_requested, "cancelled"):
                return
            columns = (jobs.c[name] for name in _INHERITED)
            parent = apply(connection, change, "planned", data, *columns)
            if parent is None:
                raise LeaseLost
            rows = [_row(shard, parent) for shard in shards]
            connection.execute(insert(jobs).values(created_at=clock()), rows)

    def parent(self, claim: Claim) -> Parent:
        """Read the sweep of a shard. Raises: LeaseLost when it is gone."""
        query = select(jobs.c.request, jobs.c.dataset_sha256).where(jobs.c.id == claim.parent)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise LeaseLost
        return Parent(row.request, row.dataset_sha256)

    def finish_shard(self, claim: Claim, rung: int, trained: Sequence[TrainedMember]) -> bool:
        """
        Store what a shard found and end it; True when it was the last, and the sweep is due again.

        Raises: LeaseLost, with nothing stored.
        """
        waits = (jobs.c.status == "running") & (jobs.c.pending_shards > 0)
        parent = update(jobs).where(jobs.c.id == claim.parent, waits)
        change = parent.values(pending_shards=jobs.c.pending_shards - 1)
        data = {"rung": rung, "trainings": len(trained)}
        columns = (jobs.c.pending_shards, jobs.c.attempt)
        with self._database.write() as connection:
            row = apply(connection, change, "progress", data, *columns)
            if row is None or not end(connection, holds(claim), "succeeded"):
                raise LeaseLost
            connection.execute(insert(results), list(_results(row.id, rung, trained)))
            if row.pending_shards == 0:
                _put_back(connection, row.id, row.attempt)
        return bool(row.pending_shards == 0)

    def finish(self, claim: Claim) -> None:
        """End a sweep that publishes nothing. Raises: LeaseLost."""
        with self._database.write() as connection:
            if not end(connection, holds(claim), "succeeded", {"model": None}):
                raise LeaseLost


def _put_back(connection: Connection, job_id: str, attempt: int) -> None:
    """Let the sweep be claimed again."""
    change = update(jobs).where(jobs.c.id == job_id).values(**BACK_IN_QUEUE)
    data = {"attempt": attempt, "reason": "shards done"}
    apply(connection, change, "requeued", data)


def _row(shard: Shard, parent: Any) -> dict[str, Any]:
    request = shard.model_dump_json()
    inherited = {name: getattr(parent, name) for name in _INHERITED}
    return inherited | {
        "id": f"shard_{uuid.uuid4().hex}",
        "parent": parent.id,
        "request": request,
        "request_sha256": hashlib.sha256(request.encode()).hexdigest(),
        "kind": "shard",
        "status": JobStatus.QUEUED,
    }


def _results(job_id: str, rung: int, trained: Iterable[TrainedMember]) -> Iterable[dict[str, Any]]:
    own = set(TrainedMember.model_fields) - {"member"}
    for found in trained:
        member = {name: getattr(found.member, name) for name in SweepMember.model_fields}
        member["hidden_layers"] = orjson.dumps(member["hidden_layers"]).decode()
        yield (
            member
            | {name: getattr(found, name) for name in own}
            | {
                "job_id": job_id,
                "rung": rung,
            }
        )
