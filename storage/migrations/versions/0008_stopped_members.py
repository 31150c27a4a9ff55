"""How long the members of a sweep were trained, and which epoch of theirs was judged."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    for name in ("trained_epochs", "best_epoch"):
        op.add_column("results", sa.Column(name, sa.Integer(), nullable=True))
