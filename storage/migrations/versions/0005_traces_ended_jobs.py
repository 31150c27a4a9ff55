"""Traces: the span that made a job; and how many jobs have ended, which only grows."""

from itertools import product

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

KINDS = ("train", "sweep", "shard", "predict")
FINAL = ("succeeded", "failed", "cancelled")

COUNT = """
SELECT kind, status, count(*), count(started_at), coalesce(sum(finished_at - started_at), 0)
FROM jobs WHERE status IN ('succeeded', 'failed', 'cancelled') GROUP BY kind, status
"""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("traceparent", sa.String(length=55), nullable=True))
    zero = sa.text("0")
    table = op.create_table(
        "ended_jobs",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("jobs", sa.BigInteger(), server_default=zero, nullable=False),
        sa.Column("started_jobs", sa.BigInteger(), server_default=zero, nullable=False),
        sa.Column("seconds", sa.Double(), server_default=zero, nullable=False),
        sa.PrimaryKeyConstraint("kind", "status"),
    )
    found = {row[:2]: row[2:] for row in map(tuple, op.get_bind().execute(sa.text(COUNT)))}
    rows = []
    for pair in product(KINDS, FINAL):  # every pair has its row, so that counting is one UPDATE
        values = zip(("jobs", "started_jobs", "seconds"), found.get(pair, (0, 0, 0)), strict=True)
        rows.append({"kind": pair[0], "status": pair[1], **dict(values)})
    op.bulk_insert(table, rows)
