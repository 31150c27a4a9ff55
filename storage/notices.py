"""Notices: Valkey's pub/sub tells whoever watches a job that it moved. They carry no truth."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from schemas.settings import Settings
from storage.queue import connect

_PREFIX = "perceptron:job:"
RECONNECT_SECONDS = 0.5


class Notices:
    """
    Says and hears that jobs moved.

    One thread per process listens, started by the first watcher. While Valkey is away watchers
    are not woken: they must look for themselves now and then (`patience`).
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.valkey_location
        self._speaker = connect(self._url, timeout_seconds=0.5)
        self._watchers: dict[str, set[threading.Event]] = defaultdict(set)
        self._listener: threading.Thread | None = None
        self._listening = False

    def tell(self, job_id: str) -> None:
        """Say that a job moved; nobody may hear it."""
        try:
            self._speaker.publish(f"{_PREFIX}{job_id}", b"")
        except (RedisError, OSError):
            return  # the watchers look for themselves

    @contextmanager
    def watch(self, job_id: str) -> Iterator[threading.Event]:
        """Give an event that is set whenever the job moves; clear it before looking."""
        moved = threading.Event()
        self._watchers[job_id].add(moved)
        self._start_listening()
        try:
            yield moved
        finally:
            self._watchers[job_id].discard(moved)
            if not self._watchers[job_id]:
                del self._watchers[job_id]

    @property
    def patience(self) -> float:
        """Seconds after which a watcher that heard nothing should look for itself."""
        return 5.0 if self._listening else 0.25

    def _start_listening(self) -> None:
        if self._listener is None:
            self._listener = threading.Thread(target=self._listen, daemon=True, name="notices")
            self._listener.start()

    def _listen(self) -> None:
        while True:
            try:
                self._hear()
            except (RedisError, OSError):
                self._listening = False
            threading.Event().wait(RECONNECT_SECONDS)

    def _hear(self) -> None:
        client = connect(self._url, timeout_seconds=None)
        with client.pubsub() as channel:  # type: ignore[no-untyped-call]
            channel.psubscribe(f"{_PREFIX}*")
            for message in channel.listen():
                self._listening = True
                if message["type"] == "psubscribe":
                    self._wake_all()  # something may have moved while nobody listened
                else:
                    self._wake(message["channel"].decode().removeprefix(_PREFIX))

    def _wake(self, job_id: str) -> None:
        for moved in tuple(self._watchers.get(job_id, ())):
            moved.set()

    def _wake_all(self) -> None:
        for job_id in tuple(self._watchers):
            self._wake(job_id)
