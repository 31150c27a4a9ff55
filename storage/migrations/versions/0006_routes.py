"""Routes: an alias may split the traffic and have shadows; and what aliases were before."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("aliases", sa.Column("route", sa.Text(), nullable=True))
    op.create_table(
        "alias_states",
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("alias", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "alias"], ["aliases.model", "aliases.alias"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model", "alias", "number"),
    )
