"""The worker process: an RQ worker that forks a work-horse for every bell it hears."""

import contextlib
import gc
import logging
import os
import signal
from typing import Any

from redis.exceptions import RedisError
from rq import Worker

from perceptron import engines
from schemas.settings import Settings
from storage import open_storage
from storage.logs import configure_logging
from storage.queue import connect, queue
from workers import tasks
from workers.reconciler import release_worker


class TrainingWorker(Worker):
    """RQ's forking worker, made safe where its own bookkeeping is not (docs/decisions/0002)."""

    def handle_warm_shutdown_request(self) -> None:
        """On SIGTERM, tell the work-horse to put its job back; RQ alone would wait for its end."""
        if self.horse_pid:
            self.kill_horse(signal.SIGTERM)

    def maintain_heartbeats(self, job: Any, execution: Any) -> None:
        """Keep RQ's own records; a Valkey that is away must not end the training."""
        with contextlib.suppress(RedisError):
            super().maintain_heartbeats(job, execution)


def main() -> None:
    """Serve one queue until SIGTERM, under the name that the supervisor gave."""
    settings = Settings()
    configure_logging(settings)
    os.environ["PERCEPTRON_WORKER_PID"] = str(os.getpid())
    engines.warm_up("fused")
    if settings.queue == "gpu":
        engines.warm_up("torch")
    tasks.prepared()  # once here, for every work-horse
    storage = open_storage(settings, pooled=False)
    connection = connect(settings.valkey_location, timeout_seconds=None)
    bells = queue(settings.queue, connection)
    name = os.environ["PERCEPTRON_WORKER_NAME"]
    worker = TrainingWorker(
        [bells],
        name=name,
        connection=connection,
        serializer=bells.serializer,
        job_class=bells.job_class,
        work_horse_killed_handler=lambda *_: release_worker(storage, name),
    )
    worker.log_result_lifespan = False
    gc.collect()
    gc.freeze()  # a work-horse's garbage collector writes to none of the memory that it shares
    worker.work(logging_level=logging.getLevelName(logging.getLogger("rq").level))


if __name__ == "__main__":
    main()
