"""Notices: Valkey's pub/sub tells who watches that a job moved, or that a model is about to."""

import re
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis.exceptions import RedisError

from schemas.settings import Settings
from storage.queue import connect

_JOB = "perceptron:job:"
_MODEL = "perceptron:model:"
_HEARD = "perceptron:heard:"
_TOKEN = re.compile(rb"[0-9a-f]{16}")

ANSWER_SECONDS = 0.5
"""How long Valkey may take for an answer, and all listeners for theirs."""
RECONNECT_SECONDS = 0.5
LIFETIME_SECONDS = 1.0
"""How long a process may go by what a name stood for when it asked the database."""

Forget = Callable[[str | None], None]
"""Lets go of what a model's name stands for; of all names where it is None."""


class Notices:
    """
    Says and hears that jobs moved, and that models are about to; notices carry no truth.

    One thread per process listens, started by the first watcher. While Valkey is away watchers
    are not woken: they must look for themselves now and then (`patience`).
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.valkey_location
        self._speaker = connect(self._url, timeout_seconds=ANSWER_SECONDS)
        self._watchers: dict[str, set[threading.Event]] = defaultdict(set)
        self._forget: Forget = lambda _: None
        self._listener: threading.Thread | None = None
        self._listening = False

    def connect(self) -> None:
        """Connect ahead of what will be told."""
        with suppress(RedisError, OSError):
            self._speaker.ping()

    def tell(self, job_id: str) -> None:
        """Say that a job moved; nobody may hear it."""
        try:
            self._speaker.publish(f"{_JOB}{job_id}", b"")
        except (RedisError, OSError):
            return  # the watchers look for themselves

    @contextmanager
    def announced(self, model: str) -> Iterator[None]:
        """
        Have every process let go of a model's name, around a transaction that changes it.

        At the end, none goes by what the name stood for before the transaction. Where they may
        do so, as one has not answered or the transaction took long, that is waited for.
        """
        began = time.monotonic()
        have_let_go = self.announce(model)
        yield
        if not have_let_go or time.monotonic() - began >= LIFETIME_SECONDS:
            time.sleep(LIFETIME_SECONDS)

    def announce(self, model: str) -> bool:
        """
        Have every process let go of a model's name, before a transaction that changes it.

        Returns whether all of them have, at the latest after `ANSWER_SECONDS`; where Valkey is
        away, they have not. For `LIFETIME_SECONDS` they then ask the database each time.
        """
        token = secrets.token_hex(8)
        give_up_at = time.monotonic() + ANSWER_SECONDS
        try:
            for _ in range(int(self._speaker.publish(f"{_MODEL}{model}", token))):
                left = give_up_at - time.monotonic()
                if left <= 0 or self._speaker.blpop([_HEARD + token], left * 0.9) is None:
                    return False
        except (RedisError, OSError):
            return False  # what they keep is old in a second
        return True

    def on_announcement(self, forget: Forget) -> None:
        """Have this process let go of names as they are announced; it listens from now on."""
        self._forget = forget
        self._start_listening()

    @property
    def is_listening(self) -> bool:
        """Whether announcements are heard at this moment, as far as this process knows."""
        return self._listening

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
                self._forget(None)
            threading.Event().wait(RECONNECT_SECONDS)

    def _hear(self) -> None:
        client = connect(self._url, timeout_seconds=None)
        with client.pubsub() as channel:  # type: ignore[no-untyped-call]
            channel.psubscribe(f"{_JOB}*", f"{_MODEL}*")
            for message in channel.listen():
                self._hear_message(message)

    def _hear_message(self, message: dict[str, Any]) -> None:
        if message["type"] == "psubscribe":
            # Something may have moved while nobody listened. The count is that of all patterns.
            self._listening = message["data"] == 2
            self._wake_all()
            self._forget(None)
            return
        name: str = message["channel"].decode(errors="replace")
        if name.startswith(_JOB):
            self._wake(name.removeprefix(_JOB))
        else:
            self._forget(name.removeprefix(_MODEL))
            self._confirm(message["data"])

    def _confirm(self, token: bytes) -> None:
        if _TOKEN.fullmatch(token) is None:
            return
        key = _HEARD + token.decode()
        with suppress(RedisError, OSError), self._speaker.pipeline(transaction=False) as commands:
            commands.rpush(key, b"")
            commands.expire(key, 10)
            commands.execute()

    def _wake(self, job_id: str) -> None:
        for moved in tuple(self._watchers.get(job_id, ())):
            moved.set()

    def _wake_all(self) -> None:
        for job_id in tuple(self._watchers):
            self._wake(job_id)
