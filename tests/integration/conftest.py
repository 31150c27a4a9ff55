"""Real databases: SQLite in a file, and a PostgreSQL server started for the tests."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.settings import Settings
from storage import Storage, open_storage
from storage.migrations import migrate
from tests.deployment import eventually


def _program(name: str) -> str:
    """Find one of PostgreSQL's programs, which Debian keeps out of PATH."""
    found = shutil.which(name) or next(
        (str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None
    )
    if found is None:
        message = f"PostgreSQL's {name} is not installed (Debian: apt-get install postgresql)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """Start a PostgreSQL server on a Unix socket, as an unprivileged user where we are root."""
    initdb, postgres = _program("initdb"), _program("postgres")
    user = "nobody" if os.getuid() == 0 else None
    directory = Path(tempfile.mkdtemp(prefix="perceptron-pg-"))
    if user is not None:
        os.chown(directory, pwd.getpwnam(user).pw_uid, -1)
    data = directory / "data"
    settings = ("--username=perceptron", "--auth=trust", "--no-sync", "--encoding=UTF8")
    subprocess.run(
        [initdb, *settings, str(data)], user=user, check=True, capture_output=True, cwd=directory
    )
    command = [postgres, "-D", str(data), "-k", str(directory), "-c", "listen_addresses="]
    with (directory / "log").open("w") as log:
        server = subprocess.Popen(command, user=user, stderr=log, stdout=log, cwd=directory)
    eventually((directory / ".s.PGSQL.5432").exists, 30)
    yield f"postgresql+psycopg://perceptron@/postgres?host={directory}"
    server.terminate()
    server.wait(30)
    shutil.rmtree(directory)


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """An empty store on each database."""
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
