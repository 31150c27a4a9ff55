"""What processes load before they are ready: neither what trains nor what is needed later."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from cli.deployment import prepare
from schemas.settings import Settings
from storage import migrations

READY = """
import sys
from service.app import create_app
app = create_app()
answer = app.test_client().get("/readyz").json
assert answer["checks"]["database"] == "ok", answer
assert not app.paths, "operations are described"
"""
"""An API process that has a database, and has said so."""

SPARED = "from service.spared import spare; spare()" + READY
"""The same as `python -m service` does it."""

COMMANDS = "import sys, cli.main, cli.hosting"

MIGRATED = """
import sys
from cli.deployment import prepare
from schemas.settings import Settings
prepare(Settings())
"""

TRAIN = {"torch", "numba", "scipy", "sklearn"}
FILES = {"polars", "onnx", "matplotlib", "PIL"}
SELDOM = {"alembic", "numpy.random", "numpy.testing", "service.document"}
NEEDLESS = {"rich.console", "pygments", "opentelemetry.sdk", "redis.asyncio.client"}
STORAGE = {"rich", "sqlalchemy", "redis", "rq", "numpy", "structlog", "httpx", "flask"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose database is prepared."""
    directory = tmp_path_factory.mktemp("data")
    prepare(Settings(data_dir=directory))
    return directory


@pytest.mark.parametrize(
    ("program", "not_loaded"),
    [
        pytest.param(READY, TRAIN | FILES | SELDOM, id="API"),
        pytest.param(SPARED, NEEDLESS, id="API as it is started"),
        pytest.param(COMMANDS, TRAIN | FILES | SELDOM | STORAGE, id="before the API starts"),
        pytest.param(MIGRATED, TRAIN | FILES | {"alembic"}, id="preparing again"),
    ],
)
def test_what_is_not_loaded(data_dir: Path, program: str, not_loaded: set[str]) -> None:
    """The process gets so far without the libraries."""
    told = f"\nprint(*{not_loaded!r} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", program + told],
        capture_output=True,
        text=True,
        check=False,
        env={"PERCEPTRON_DATA_DIR": str(data_dir)},
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []


def test_newest_revision_is_alembics() -> None:
    """The revision at which nothing is left to do is that of the last migration."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.NEWEST
