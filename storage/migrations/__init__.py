"""The database's schema, version by version (Alembic)."""

from pathlib import Path

from sqlalchemy import column, inspect, select, table

from storage.database import Database, prepare_directory

NEWEST = "0010"
"""The revision that this version works with: the last of `versions`."""

VERSION = table("alembic_version", column("version_num"))


def migrate(url: str) -> None:
    """Bring the database to the newest version of the schema, making it where there is none."""
    prepare_directory(url)
    database = Database(url, pooled=False)
    if _revision(database) != NEWEST:
        upgrade(database)


def _revision(database: Database) -> str | None:
    with database.read() as connection:
        if not inspect(connection).has_table(VERSION.name):
            return None
        return connection.execute(select(VERSION.c.version_num)).scalar()


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the schema to a revision: one that is newer than its own."""
    from alembic import command  # noqa: PLC0415  # large, and needed once in a version's life
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
