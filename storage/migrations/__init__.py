"""The database's schema, version by version (Alembic)."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from storage.database import Database, prepare_directory


def migrate(url: str) -> None:
    """Bring the database to the newest version of the schema, making it where there is none."""
    prepare_directory(url)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    database = Database(url, pooled=False)
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
