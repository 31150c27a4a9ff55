"""A training that loses its process goes on from its checkpoint, and ends as if it had not."""

import os
import signal
import sqlite3
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from tests.acceptance.trainings import shuffled_training
from tests.deployment import Deployment, eventually

Start = Callable[..., Deployment]

SETTINGS = {"PERCEPTRON_CHECKPOINT_SECONDS": "0.2"}


def long_training(engine: str, epochs: int, model: str) -> dict[str, Any]:
    """Train with Adam, which remembers most: both momenta count."""
    return shuffled_training("adam", engine, epochs, (8,)) | {"model": model}


def kill_after_checkpoint(deployment: Deployment, job_id: str, epoch: int) -> None:
    """Kill the work-horse once its job has passed an epoch that a checkpoint lies before."""
    deployment.running(job_id, after_epoch=epoch)
    horse = deployment.horse
    assert horse is not None
    os.kill(horse, signal.SIGKILL)


@pytest.mark.parametrize(("engine", "epochs"), [("fused", 600_000), ("torch", 15_000)])
def test_resumed_training_equals_the_uninterrupted_one(
    new_deployment: Start, engine: str, epochs: int
) -> None:
    """After a SIGKILL the job goes on from its checkpoint: same curves and weights, bit for bit."""
    deployment = new_deployment(**SETTINGS)
    whole = deployment.finished(deployment.submit(**long_training(engine, epochs, "whole")))
    assert whole["status"] == "succeeded"
    job_id = deployment.submit(**long_training(engine, epochs, "killed"))
    kill_after_checkpoint(deployment, job_id, epochs // 2)
    eventually(lambda: deployment.job(job_id)["attempt"] == 2)
    resumed = deployment.running(job_id, after_epoch=0)
    assert resumed["progress"]["epoch"] > epochs // 10
    killed = deployment.finished(job_id)
    assert killed["attempt"] == 2
    assert killed["history"] == whole["history"]
    digests = {
        name: deployment.get(f"/models/{name}/versions/1").json()["sha256"]
        for name in ("whole", "killed")
    }
    assert digests["killed"] == digests["whole"]


def test_shut_down_training_goes_on_where_it_was(new_deployment: Start) -> None:
    """SIGTERM to the worker saves a checkpoint first: no recorded epoch is trained again."""
    deployment = new_deployment(PERCEPTRON_CHECKPOINT_SECONDS="3600")
    job_id = deployment.submit(**long_training("torch", 30_000, "moved"))
    reached = deployment.running(job_id, after_epoch=1_000)["progress"]["epoch"]
    os.kill(deployment.worker, signal.SIGTERM)
    eventually(lambda: deployment.job(job_id)["attempt"] == 2)
    assert deployment.running(job_id, after_epoch=0)["progress"]["epoch"] >= reached
    assert deployment.finished(job_id)["status"] == "succeeded"


@pytest.mark.parametrize(("engine", "epochs"), [("fused", 1_000_000), ("torch", 15_000)])
def test_a_checkpoint_that_does_not_fit(new_deployment: Start, engine: str, epochs: int) -> None:
    """A training whose checkpoint is of another version's layout begins anew."""
    deployment = new_deployment(**SETTINGS)
    job_id = deployment.submit(**long_training(engine, epochs, "again"))
    deployment.running(job_id, after_epoch=epochs // 10)
    deployment.stop()
    with sqlite3.connect(deployment.data_dir / "perceptron.db") as database:
        ((data,),) = database.execute("SELECT data FROM checkpoints").fetchall()
        state = load(data)
        for name in {"weights", "parameters"} & set(state):
            state[name] = np.zeros(2 * state[name].size, state[name].dtype)
        database.execute("UPDATE checkpoints SET data = ?", (save(state),))
    deployment = new_deployment(**SETTINGS)
    job = deployment.finished(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    epochs_told = [record["epoch"] for record in job["history"]]
    assert epochs_told == sorted(set(epochs_told))
    assert epochs_told[0] == 0
