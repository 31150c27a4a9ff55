"""Real databases: SQLite in a file, and a PostgreSQL server started for the tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.settings import Settings
from storage import Storage, notices, open_storage
from storage.migrations import migrate
from tests.postgresql import PostgreSQL


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """Give the URL of a PostgreSQL server."""
    with PostgreSQL() as server:
        yield server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Storage]:
    """An empty store on each database, whose models nobody keeps in memory."""
    monkeypatch.setattr(notices, "LIFETIME_SECONDS", 0)
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'perceptron.db'}"
    else:
        url = str(request.getfixturevalue("postgresql_url"))
    migrate(url)
    settings = Settings.model_validate(
        {"database_url": url, "data_dir": tmp_path, "lease_seconds": 0.2, "max_attempts": 2}
    )
    opened = open_storage(settings)
    yield opened
    for job in opened.jobs.page(None, 100)[0]:
        opened.jobs.delete(job.id)
    opened.database.close()
