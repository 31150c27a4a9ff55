"""Whoever can write to Valkey can ring for nothing, and can make a worker run nothing else."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Callback, Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from tests.deployment import Deployment, eventually

Plant = Callable[[Queue, Path], Any]


class Exploit:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._path,))


def _function(queue: Queue, path: Path) -> None:
    queue.enqueue("os.mkdir", str(path))


def _callbacks(queue: Queue, path: Path) -> None:
    touch = Callback("pathlib.Path.touch")
    queue.enqueue("os.mkdir", str(path), on_success=touch, on_failure=touch, on_stopped=touch)


def _task_with_callbacks(queue: Queue, path: Path) -> None:
    callback = Callback("os.mkdir")
    queue.enqueue(
        "workers.tasks.run_next", "train", on_success=callback, on_failure=callback, meta={"p": 1}
    )
    queue.enqueue("workers.tasks.run_next", str(path), on_success=callback)


def _method(queue: Queue, path: Path) -> None:
    job = Job.create("mkdir", args=(), connection=queue.connection, serializer=JSONSerializer)
    job.data = json.dumps(("mkdir", ["pathlib.Path", str(path)], [], {})).encode()
    queue.enqueue_job(job)


def _pickle(queue: Queue, path: Path) -> None:
    job = Job.create("os.getpid", connection=queue.connection, serializer=JSONSerializer)
    queue.enqueue_job(job)
    queue.connection.hset(job.key, "data", pickle.dumps(Exploit(path)))


def test_nothing_planted_runs(new_deployment: Callable[..., Deployment], tmp_path: Path) -> None:
    """Forged jobs of every kind are refused, and the worker goes on with real ones."""
    deployment = new_deployment("--workers", "1")
    socket = deployment.data_dir / "valkey" / "valkey.sock"
    prey = [tmp_path / f"prey-{number}" for number in range(5)]
    with Redis(unix_socket_path=str(socket)) as connection:
        queue = Queue("train", connection=connection, serializer=JSONSerializer)
        for plant, path in zip(
            (_function, _callbacks, _task_with_callbacks, _method, _pickle), prey, strict=True
        ):
            plant(queue, path)
        eventually(lambda: queue.count == 0)
    job = deployment.finished(deployment.submit(dataset="and", training={"epochs": 10}))
    assert job["status"] == "succeeded"
    assert not [path for path in prey if path.exists()]


def test_forged_bells_harm_no_job(new_deployment: Callable[..., Deployment]) -> None:
    """Bells with limits of their own, or that cannot be read, neither end a job nor the worker."""
    deployment = new_deployment("--workers", "1")
    worker = deployment.worker
    socket = deployment.data_dir / "valkey" / "valkey.sock"
    with Redis(unix_socket_path=str(socket)) as connection:
        queue = Queue("train", connection=connection, serializer=JSONSerializer)
        for field in ("timeout", "result_ttl", "created_at", "status", "retries_left"):
            bell = queue.enqueue("workers.tasks.run_next", "train")
            connection.hset(bell.key, field, "abc")
        for _ in range(3):
            queue.enqueue("workers.tasks.run_next", "train", job_timeout=1)
        training = {"epochs": 15_000, "engine": "torch"}
        job = deployment.finished(deployment.submit(dataset="xor", training=training))
        eventually(lambda: queue.count == 0)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    assert deployment.worker == worker
