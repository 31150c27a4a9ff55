"""Sweeps: shards are jobs of a parent; results are rows."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # Not in a batch: on SQLite that drops the table, and with it every event that refers to it.
    parent = sa.ForeignKey("jobs.id", ondelete="CASCADE")
    op.add_column(
        "jobs",
        sa.Column("parent", sa.String(length=64), parent, nullable=True),
        inline_references=True,
    )
    op.add_column(
        "jobs",
        sa.Column("pending_shards", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column("jobs", sa.Column("search", sa.Text(), nullable=True))
    op.create_index("jobs_shards", "jobs", ["parent"], unique=False)
    op.create_table(
        "results",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("rung", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("fold", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hidden_layers", sa.Text(), nullable=False),
        sa.Column("activation", sa.String(length=16), nullable=False),
        sa.Column("optimizer", sa.String(length=16), nullable=False),
        sa.Column("batch_size", sa.BigInteger(), nullable=True),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("weight_decay", sa.Double(), nullable=False),
        sa.Column("learning_rate", sa.Double(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("diverged_at", sa.Integer(), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("train_loss", sa.Double(), nullable=True),
        sa.Column("train_accuracy", sa.Double(), nullable=True),
        sa.Column("valid_loss", sa.Double(), nullable=True),
        sa.Column("valid_accuracy", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "rung", "number", "fold"),
    )
