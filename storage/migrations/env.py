"""Alembic's entry: runs the migrations in the transaction that `migrate` opened."""

from alembic import context
from sqlalchemy import text

from storage.tables import metadata

ADVISORY_LOCK = 0x70657263
"""Two hosts that start at once migrate one after the other (PostgreSQL; SQLite locks itself)."""

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
if connection.dialect.name == "postgresql":
    connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
context.run_migrations()
