"""A training that is paused frees its worker, and goes on as if it had not been paused."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.trainings import shuffled_training
from tests.deployment import Deployment, event_stream, eventually

Start = Callable[..., Deployment]

SELDOM = {"PERCEPTRON_CHECKPOINT_SECONDS": "3600"}
"""No checkpoint is due by itself."""
STREAM = {"Accept": "text/event-stream"}


def training(optimizer: str, engine: str, epochs: int, **more: Any) -> dict[str, Any]:
    """Take long enough to be paused twice, in either engine."""
    return shuffled_training(optimizer, engine, epochs, (24, 16), **more)


def paused(deployment: Deployment, job_id: str) -> dict[str, Any]:
    """Ask a running job to pause, and wait until it has."""
    response = deployment.post(f"/jobs/{job_id}/pause")
    assert response.status_code == 202
    assert response.json()["pause_requested"]

    def look() -> dict[str, Any] | None:
        job = deployment.job(job_id)
        return None if job["status"] == "running" else job

    job = eventually(look)
    assert (job["status"], job["pause_requested"]) == ("paused", False)
    return job


def resume(deployment: Deployment, job_id: str) -> None:
    """Resume a job that is paused."""
    response = deployment.post(f"/jobs/{job_id}/resume")
    assert response.status_code == 202
    assert response.json()["status"] == "queued"


def records(deployment: Deployment, job_id: str) -> list[dict[str, Any]]:
    """Give all records of a job's events, also those that a later attempt made again."""
    told = [event["data"] for event in deployment.events(job_id) if event["type"] == "epochs"]
    return [record for data in told for record in data["records"]]


def sha256(deployment: Deployment, job: dict[str, Any]) -> str:
    """Give the digest of the weights that a job published."""
    return str(deployment.get(job["links"]["model"]).json()["sha256"])


@pytest.mark.parametrize(
    ("optimizer", "engine", "epochs", "more"),
    [
        ("sgd", "fused", 800_000, {}),
        ("adam", "fused", 900_000, {}),
        ("adam", "torch", 2_500, {}),
        ("adam", "fused", 900_000, {"record_every": 880_000}),
        (
            *("adam", "fused", 900_000),
            {"validation_fraction": 0.25, "early_stopping": {"patience": 900_000}},
        ),
    ],
    ids=["sgd", "adam", "torch", "between", "early-stopping"],
)
def test_paused_training_equals_the_uninterrupted_one(
    new_deployment: Start, optimizer: str, engine: str, epochs: int, more: dict[str, Any]
) -> None:
    """Paused twice, it ends with the same curves and weights, bit for bit; nothing is redone."""
    deployment = new_deployment("--workers", "1", **SELDOM)
    body = training(optimizer, engine, epochs, **more)
    whole = deployment.finished(deployment.submit(**body))
    assert whole["status"] == "succeeded"
    job_id = deployment.submit(**body)
    reached = 0
    for part in (8, 3):
        seen = deployment.running(job_id, after_epoch=max(epochs // part, reached))
        reached = paused(deployment, job_id)["progress"]["epoch"]
        assert reached >= seen["progress"]["epoch"]
        resume(deployment, job_id)
    ended = deployment.finished(job_id)
    assert (ended["status"], ended["attempt"]) == ("succeeded", 3)
    assert ended["history"] == whole["history"]
    assert sha256(deployment, ended) == sha256(deployment, whole)
    assert records(deployment, job_id) == records(deployment, whole["id"])


def test_a_paused_job_leaves_its_worker_and_its_stream_open(new_deployment: Start) -> None:
    """Another job has the worker meanwhile, and the stream tells of all to the end."""
    deployment = new_deployment("--workers", "1", **SELDOM)
    job_id = deployment.submit(**training("adam", "torch", 2_500))
    with deployment.client.stream("GET", f"/jobs/{job_id}/events", headers=STREAM) as response:
        stream = event_stream(response)
        seen = []
        for _, event, _ in stream:
            seen.append(event)
            if event == "epochs" and "pausing" not in seen:
                assert deployment.post(f"/jobs/{job_id}/pause").status_code == 202
            if event == "paused":
                assert deployment.post(f"/jobs/{job_id}/pause").status_code == 200
                listed = deployment.get("/jobs?status=paused").json()["data"]
                assert [job["id"] for job in listed] == [job_id]
                assert 'perceptron_jobs{status="paused"} 1.0' in deployment.get("/metrics").text
                other = deployment.submit(dataset="and", training={"epochs": 10})
                assert deployment.finished(other)["status"] == "succeeded"
                resume(deployment, job_id)
    last = [event for event in seen if event != "epochs"]
    assert last[:4] == ["queued", "started", "pausing", "paused"]
    assert last[4:] == ["resumed", "started", "succeeded", "done"]


def test_a_job_that_waits_is_paused_at_once(new_deployment: Start) -> None:
    """It outlives the deployment, lacks nothing, and runs once it is resumed."""
    first = new_deployment("--workers", "0")
    job_id = first.submit(dataset="and", training={"epochs": 10})
    response = first.post(f"/jobs/{job_id}/pause")
    assert (response.status_code, response.json()["status"]) == (200, "paused")
    assert first.job(job_id)["waiting_for"] is None
    first.stop()
    second = new_deployment("--workers", "1")
    other = second.submit(dataset="or", training={"epochs": 10})
    assert second.finished(other)["status"] == "succeeded"
    assert second.job(job_id)["status"] == "paused"
    resume(second, job_id)
    assert second.finished(job_id)["status"] == "succeeded"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_worker_goes_before_it_obeys(new_deployment: Start, number: signal.Signals) -> None:
    """Whether its worker is killed or shut down then, the job is paused and does not run on."""
    deployment = new_deployment("--workers", "1", PERCEPTRON_CHECKPOINT_SECONDS="0.2")
    job_id = deployment.submit(**training("adam", "torch", 2_500))
    deployment.running(job_id, after_epoch=500)
    horse = deployment.freeze_horse()
    assert deployment.post(f"/jobs/{job_id}/pause").status_code == 202
    os.kill(horse, number)
    if number != signal.SIGKILL:
        os.kill(horse, signal.SIGCONT)
    eventually(lambda: deployment.job(job_id)["status"] == "paused")
    assert deployment.job(job_id)["progress"]["epoch"] > 0
    resume(deployment, job_id)
    assert deployment.finished(job_id)["status"] == "succeeded"


def test_the_request_is_taken_back(new_deployment: Start) -> None:
    """A job that is resumed before its worker has obeyed runs on, and its stream says so."""
    deployment = new_deployment("--workers", "1")
    job_id = deployment.submit(**training("adam", "torch", 2_500))
    deployment.running(job_id, after_epoch=100)
    horse = deployment.freeze_horse()
    assert deployment.post(f"/jobs/{job_id}/pause").status_code == 202
    response = deployment.post(f"/jobs/{job_id}/resume")
    assert (response.status_code, response.json()["pause_requested"]) == (200, False)
    os.kill(horse, signal.SIGCONT)
    assert deployment.finished(job_id)["status"] == "succeeded"
    told = [event["type"] for event in deployment.events(job_id)]
    assert told.index("pausing") + 1 == told.index("resumed")
    assert "paused" not in told


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_a_paused_job_is_ended_at_once(new_deployment: Start, end: str) -> None:
    """It is cancelled or deleted as one that waits, and keeps its curves where it is cancelled."""
    deployment = new_deployment("--workers", "1")
    job_id = deployment.submit(**training("adam", "torch", 500_000))
    deployment.running(job_id, after_epoch=100)
    paused(deployment, job_id)
    if end == "delete":
        assert deployment.client.delete(f"/jobs/{job_id}").status_code == 204
        assert deployment.post(f"/jobs/{job_id}/resume").status_code == 404
        return
    response = deployment.post(f"/jobs/{job_id}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    assert response.json()["history"]


def test_what_cannot_be_paused(deployment: Deployment) -> None:
    """409 for what has ended, for sweeps and for predictions, whose links lead to no pause."""
    job_id = deployment.submit(dataset="and", training={"epochs": 10})
    assert deployment.finished(job_id)["links"]["pause"] == f"/jobs/{job_id}/pause"
    for verb in ("pause", "resume"):
        problem = deployment.post(f"/jobs/{job_id}/{verb}")
        assert (problem.status_code, problem.json()["code"]) == (409, "already_final")
    sweep = deployment.submit(
        kind="sweep",
        dataset="xor",
        training={"epochs": 100_000},
        search={"space": {"seed": {"first": 0, "count": 1_000}}},
    )
    assert deployment.job(sweep)["links"]["pause"] is None
    for verb in ("pause", "resume"):
        problem = deployment.post(f"/jobs/{sweep}/{verb}")
        assert (problem.status_code, problem.json()["code"]) == (409, "cannot_pause")
        assert "'sweep'" in problem.json()["detail"]
    deployment.client.delete(f"/jobs/{sweep}")
