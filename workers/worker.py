"""The worker process: an RQ worker that forks a work-horse for every bell it hears."""

import contextlib
import gc
import logging
import os
import select
import signal
from typing import Any, NamedTuple

import orjson
from redis.exceptions import RedisError
from rq import Worker
from rq.executions import Execution

from perceptron import engines
from schemas.settings import Settings
from storage import open_storage
from storage.logs import configure_logging
from storage.queue import connect, queue
from workers import tasks
from workers.parent_death import die_with_parent
from workers.reconciler import release_worker


class Standby(NamedTuple):
    """A work-horse that was forked before there is a bell for it."""

    pid: int
    pipe: int
    """Takes the bell's id, its queue's name and its execution's id; closed, it ends the process."""


class TrainingWorker(Worker):
    """
    RQ's forking worker, with the work-horse for the next bell forked ahead.

    It is also made safe where RQ's own bookkeeping is not (docs/decisions/0002).
    """

    _standby: Standby | None = None

    def dequeue_job_and_maintain_ttl(self, *arguments: Any, **options: Any) -> Any:
        """Wait for a bell, with a work-horse that stands by for it."""
        self._standby = self._standby or self._fork_standby()
        return super().dequeue_job_and_maintain_ttl(*arguments, **options)

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        """Hand the bell to the work-horse that stands by, or to a new one where it has died."""
        standby = self._standby or self._fork_standby()
        self._standby = None
        assert self.execution is not None  # noqa: S101  # RQ has just made it
        bell = orjson.dumps((job.id, queue.name, self.execution.id))
        try:
            os.write(standby.pipe, bell)
            self._horse_pid = standby.pid
        except BrokenPipeError:
            os.waitpid(standby.pid, 0)
            super().fork_work_horse(job, queue)
        finally:
            os.close(standby.pipe)
        self._standby = self._fork_standby()

    def _fork_standby(self) -> Standby:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            self._stand_by(reader)
        os.close(reader)
        return Standby(pid, writer)

    def _stand_by(self, reader: int) -> None:
        """Wait for a bell, everything ready for it, and do what RQ does after a fork."""
        try:
            os.setpgrp()
            self.setup_work_horse_signals()  # type: ignore[no-untyped-call]
            die_with_parent(int(os.environ["PERCEPTRON_WORKER_PID"]))
            tasks.get_ready()
            self.connection.ping()
            bell = os.read(reader, select.PIPE_BUF)
            if not bell:
                os._exit(0)
            job_id, queue_name, execution_id = orjson.loads(bell)
            job = self.job_class.fetch(job_id, self.connection, self.serializer)
            self.execution = Execution.fetch(execution_id, job_id, self.connection)
            self.execution._job = job  # noqa: SLF001  # as RQ's SpawnWorker does
            self.main_work_horse(job, queue(queue_name, self.connection))
        finally:
            os._exit(1)

    def handle_warm_shutdown_request(self) -> None:
        """On SIGTERM, tell the work-horse to put its job back; RQ alone would wait for its end."""
        if self.horse_pid:
            self.kill_horse(signal.SIGTERM)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Keep RQ's record of this worker: three commands, in one round trip."""
        if pipeline is not None:
            super().heartbeat(timeout, pipeline)
            return
        with self.connection.pipeline(transaction=False) as batch:
            super().heartbeat(timeout, batch)
            batch.execute()

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
    os.environ["RQ_WORKER_ID"] = name
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
