"""Whether a running job is asked to pause."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    requested = sa.Column(
        "pause_requested", sa.Boolean(), server_default=sa.text("(false)"), nullable=False
    )
    op.add_column("jobs", requested)
