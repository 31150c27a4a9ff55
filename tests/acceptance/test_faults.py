"""Processes are killed in the middle of a training: the job succeeds all the same, and once."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.deployment import Deployment, eventually, is_alive

Start = Callable[..., Deployment]

EPOCHS = 48_000

TRAINING: dict[str, Any] = {
    "dataset": "xor",
    "network": {"hidden_layers": [4]},
    "training": {"epochs": EPOCHS, "seed": 3, "record_every": 50, "engine": "torch"},
    "model": "survivor",
}
"""Trained by the slower engine: there must be time to kill something."""


def assert_succeeded_once(deployment: Deployment, job_id: str) -> dict[str, Any]:
    """The job succeeded with whole curves, one success and one model version."""
    job = deployment.finished(job_id)
    assert job["status"] == "succeeded", job
    assert [record["epoch"] for record in job["history"]] == [*range(0, EPOCHS, 50), EPOCHS - 1]
    types = [event["type"] for event in deployment.events(job_id)]
    assert types.count("succeeded") == 1
    assert deployment.get("/models/survivor").json()["versions"] == [1]
    return job


def test_killed_work_horse(new_deployment: Start) -> None:
    """A killed work-horse's job runs again, long before its lease ends, and succeeds once."""
    deployment = new_deployment(PERCEPTRON_LEASE_SECONDS="300")
    job_id = deployment.submit(**TRAINING)
    deployment.running(job_id, after_epoch=100)
    horse = deployment.horse
    assert horse is not None
    os.kill(horse, signal.SIGKILL)
    eventually(lambda: deployment.job(job_id)["attempt"] == 2)
    job = assert_succeeded_once(deployment, job_id)
    assert job["attempt"] == 2


def test_killed_worker(new_deployment: Start) -> None:
    """A killed worker takes its work-horse along; the job runs again and succeeds once."""
    deployment = new_deployment()
    job_id = deployment.submit(**TRAINING)
    deployment.running(job_id, after_epoch=100)
    horse = deployment.horse
    assert horse is not None
    os.kill(deployment.worker, signal.SIGKILL)
    eventually(lambda: not is_alive(horse))
    eventually(lambda: deployment.job(job_id)["attempt"] == 2)
    assert_succeeded_once(deployment, job_id)


def test_killed_and_wiped_valkey(new_deployment: Start) -> None:
    """Valkey killed and wiped mid-training: that job goes on, a waiting one is rung for again."""
    deployment = new_deployment()
    running = deployment.submit(**TRAINING)
    waiting = deployment.submit(dataset="and", training={"epochs": 100}, model="waiting")
    deployment.running(running, after_epoch=100)
    os.kill(deployment.valkey, signal.SIGKILL)
    for path in (deployment.data_dir / "valkey").rglob("*"):
        if path.is_file():
            path.unlink(missing_ok=True)
    job = assert_succeeded_once(deployment, running)
    assert job["attempt"] == 1
    assert deployment.finished(waiting)["status"] == "succeeded"


def test_killed_api_master(new_deployment: Start) -> None:
    """The API master killed mid-training: it comes back on the same port and the job goes on."""
    deployment = new_deployment()
    job_id = deployment.submit(**TRAINING)
    deployment.running(job_id, after_epoch=100)
    master = deployment.api_master
    os.kill(master, signal.SIGKILL)
    eventually(lambda: (now := deployment.pids("service")) and master not in now)
    job = assert_succeeded_once(deployment, job_id)
    assert job["attempt"] == 1


def test_everything_killed(new_deployment: Start) -> None:
    """SIGKILL to every process at once: the next start runs the job again, and it succeeds once."""
    first = new_deployment(PERCEPTRON_LEASE_SECONDS="4")
    done = first.submit(dataset="or", training={"epochs": 50}, model="kept")
    assert first.finished(done)["status"] == "succeeded"
    job_id = first.submit(**TRAINING)
    first.running(job_id, after_epoch=100)
    valkey = first.valkey
    first.kill_everything()
    second = new_deployment(PERCEPTRON_LEASE_SECONDS="4")
    assert second.valkey != valkey
    assert second.job(done)["status"] == "succeeded"
    assert second.post("/predict", {"model": "kept", "inputs": [[0, 0]]}).status_code == 200
    job = assert_succeeded_once(second, job_id)
    assert job["attempt"] == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_supervisor_killed_leaves_a_stale_valkey(new_deployment: Start) -> None:
    """A killed supervisor's children die with it; the next start replaces the Valkey left over."""
    first = new_deployment(PERCEPTRON_LEASE_SECONDS="4")
    job_id = first.submit(**TRAINING)
    first.running(job_id, after_epoch=100)
    others = [*first.pids("service"), *first.pids("workers.worker")]
    valkey = first.valkey
    assert first.process is not None
    first.process.kill()
    first.process.wait()
    first.close()
    eventually(lambda: not any(is_alive(pid) for pid in others))
    assert is_alive(valkey)
    second = new_deployment(PERCEPTRON_LEASE_SECONDS="4")
    assert not is_alive(valkey)
    assert_succeeded_once(second, job_id)


@pytest.mark.parametrize("seed", range(2))
def test_kills_at_random_moments(new_deployment: Start, seed: int) -> None:
    """Any process is killed at any moment, again and again: every job succeeds, and once."""
    moments = random.Random(seed)  # noqa: S311  # no secret
    deployment = new_deployment("--workers", "2", PERCEPTRON_LEASE_SECONDS="4")
    victims: dict[str, Callable[[], int | None]] = {
        "work-horse": lambda: deployment.horse,
        "worker": lambda: deployment.worker,
        "valkey": lambda: deployment.valkey,
        "api master": lambda: deployment.api_master,
        "api worker": lambda: deployment.pids("service")[-1],
    }
    jobs: dict[str, str] = {}
    killed = []
    for number in range(12):
        model = f"survivor-{number}"
        training = {"epochs": 1_500, "record_every": 50, "engine": "torch"}
        body = {"dataset": "xor", "training": training, "model": model}
        jobs[_submit_surely(deployment, body, key=f"key-{number}")] = model
        name = moments.choice(list(victims))
        time.sleep(moments.uniform(0, 0.8))  # the moment is the point: no event marks it
        with suppress(ProcessLookupError, IndexError):
            if pid := victims[name]():
                os.kill(pid, signal.SIGKILL)
                killed.append(name)
    assert len(killed) > 6
    assert len(jobs) == 12
    for job_id, model in jobs.items():
        job = deployment.finished(job_id)
        assert job["status"] == "succeeded", (killed, job)
        assert [record["epoch"] for record in job["history"]] == [*range(0, 1_500, 50), 1_499]
        assert deployment.get(f"/models/{model}").json()["versions"] == [1]


def _submit_surely(deployment: Deployment, body: dict[str, Any], key: str) -> str:
    """Post again with the same key until an answer comes, as a client should."""

    def post() -> str | None:
        try:
            response = deployment.post("/jobs", body, Idempotency_Key=key)
        except httpx.TransportError:
            return None
        return str(response.json()["id"]) if response.is_success else None

    return eventually(post)


def test_frozen_work_horse_cannot_write(new_deployment: Start) -> None:
    """A work-horse frozen past its lease loses its job; thawed, it changes nothing and ends."""
    deployment = new_deployment("--workers", "2", PERCEPTRON_LEASE_SECONDS="3")
    job_id = deployment.submit(**TRAINING)
    deployment.running(job_id, after_epoch=100)
    frozen = deployment.freeze_horse()
    try:
        eventually(lambda: deployment.job(job_id)["attempt"] > 1)
    finally:
        os.kill(frozen, signal.SIGCONT)
    eventually(lambda: not is_alive(frozen))
    assert_succeeded_once(deployment, job_id)


def test_stop_puts_the_job_back(new_deployment: Start) -> None:
    """Ctrl-C in the middle of a training ends everything; the next start runs the job again."""
    first = new_deployment()
    job_id = first.submit(**TRAINING)
    first.running(job_id, after_epoch=100)
    pids = first.pids("")
    assert first.stop(signal.SIGINT) == 0
    assert not any(is_alive(pid) for pid in pids)
    second = new_deployment()
    assert "requeued" in [event["type"] for event in second.events(job_id)]
    assert_succeeded_once(second, job_id)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_cancel(new_deployment: Start, state: str) -> None:
    """A job is cancelled while it waits and while it runs; it leaves no model."""
    deployment = new_deployment("--workers", "1" if state == "running" else "0")
    job_id = deployment.submit(**TRAINING)
    if state == "running":
        deployment.running(job_id, after_epoch=100)
    response = deployment.post(f"/jobs/{job_id}/cancel")
    assert response.status_code == (202 if state == "running" else 200)
    job = deployment.finished(job_id)
    assert job["status"] == "cancelled"
    assert deployment.post(f"/jobs/{job_id}/cancel").status_code == 200
    assert deployment.get("/models/survivor").status_code == 404


def test_delete_stops_a_running_job(new_deployment: Start) -> None:
    """A deleted job's worker stops, publishes nothing, and serves the next job."""
    deployment = new_deployment()
    job_id = deployment.submit(**TRAINING)
    deployment.running(job_id, after_epoch=100)
    assert deployment.client.delete(f"/jobs/{job_id}").status_code == 204
    assert deployment.get(f"/jobs/{job_id}").status_code == 404
    following = deployment.submit(dataset="and", training={"epochs": 10})
    assert deployment.finished(following)["status"] == "succeeded"
    assert deployment.get("/models/survivor").status_code == 404


def test_deadline(new_deployment: Start) -> None:
    """A job that runs for longer than it may fails with `deadline_exceeded`, its curves kept."""
    deployment = new_deployment(PERCEPTRON_MAX_JOB_SECONDS="2")
    training = {"epochs": 500_000, "record_every": 100, "engine": "torch"}
    job_id = deployment.submit(dataset="xor", training=training)
    job = deployment.finished(job_id)
    assert job["status"] == "failed"
    assert job["error"]["code"] == "deadline_exceeded"
    assert job["history"]


def test_cancel_between_records(new_deployment: Start) -> None:
    """A training whose next record is far away is cancelled all the same; its progress shows."""
    deployment = new_deployment()
    training = {"epochs": 1_000_000, "record_every": 900_000, "engine": "torch"}
    job_id = deployment.submit(dataset="xor", training=training)
    deployment.running(job_id, after_epoch=1_000)
    assert deployment.post(f"/jobs/{job_id}/cancel").status_code == 202
    job = deployment.finished(job_id)
    assert job["status"] == "cancelled"
    assert [record["epoch"] for record in job["history"]] == [0]
    assert job["progress"]["epoch"] < 900_000


def test_a_diverged_job_keeps_its_curve(new_deployment: Start) -> None:
    """A loss that is no number fails the job by name; the points before it stay."""
    deployment = new_deployment()
    rows = [[1e30, -1e30], [-1e30, 1e30]]
    job = deployment.finished(
        deployment.submit(
            dataset={"features": rows, "targets": [0, 1]},
            network={"hidden_layers": [4], "activation": "identity"},
            training={"epochs": 100, "record_every": 1, "learning_rate": 1e-20},
        )
    )
    assert job["status"] == "failed"
    assert job["error"]["code"] == "diverged"
    assert job["model"] is None
    epochs = [record["epoch"] for record in job["history"]]
    assert epochs == list(range(len(epochs)))
    assert epochs
    assert f"epoch {len(epochs)}" in job["error"]["message"]
