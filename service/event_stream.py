"""A job's events as server-sent events, which a client can resume where it left off."""

import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import NamedTuple

from flask import Response

from schemas.errors import NotFound, Unavailable
from schemas.job import JobEvent
from schemas.media_types import EVENT_STREAM
from storage import Storage

RECONNECT_MILLISECONDS = 2_000
KEEPALIVE_SECONDS = 15.0
BATCH = 500
"""Events read at a time, and most of a job that are kept for its streams."""
KEPT_CHARACTERS = 2**20
"""Most text of a job that is kept for its streams."""
WOKEN_AT_ONCE = 25
"""Streams that are woken before other requests have their turn."""


class _Message(NamedTuple):
    """One event as it is sent."""

    id: int
    text: str


class _Told(NamedTuple):
    """What is kept of a job's events, and what comes after them."""

    start: int
    """Every event with a greater id is kept."""
    messages: Sequence[_Message] = ()
    end: str | None = None
    """What a stream ends with; None: more may come."""

    @property
    def last(self) -> int:
        """Id of the newest event."""
        return self.messages[-1].id if self.messages else self.start

    def after(self, id_: int) -> Sequence[_Message]:
        """Give the messages with a greater id."""
        return self.messages[bisect_right(self.messages, id_, key=attrgetter("id")) :]

    def with_more(self, found: Sequence[JobEvent]) -> "_Told":
        """Add events, and let go of the oldest beyond what is kept."""
        messages = [*self.messages, *map(_message, found)]
        room, first = KEPT_CHARACTERS, len(messages)
        while first > max(0, len(messages) - BATCH) and room >= len(messages[first - 1].text):
            first -= 1
            room -= len(messages[first].text)
        start = messages[first - 1].id if first else self.start
        return _Told(start, messages[first:])


_BROKEN_OFF = ""
_DELETED = "event: deleted\ndata: {}\n\n"
_DONE = "event: done\ndata: {}\n\n"


class _Feed:
    """What all streams of one job are told: a thread looks into the database once for them all."""

    def __init__(self, stored: Storage, job_id: str, start: int) -> None:
        self._stored = stored
        self._job_id = job_id
        self._told = _Told(start)
        self.waiting: set[threading.Event] = set()
        """One event for each stream, set when there may be more to tell."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return self._told.end is not None

    @property
    def newest(self) -> int:
        """Id of the newest event that it knows of."""
        return self._told.last

    def read(self, after: int) -> tuple[Sequence[_Message], str | None]:
        """Give messages that come next after an id, and what the stream ends with after them."""
        told = self._told
        if after >= told.start:
            return told.after(after), told.end
        try:  # it is behind what is kept: the database has all
            found, _ = self._stored.jobs.events(self._job_id, after, BATCH)
        except (NotFound, Unavailable) as error:
            return (), _end_of(error)
        return [_message(event) for event in found], None

    def look(self) -> bool:
        """Look once, and wake the streams if that brought something; whether more is there now."""
        before = told = self._told
        newest = told.last
        try:
            newest, is_final = self._stored.jobs.standing(self._job_id)
            if newest > told.last:
                found, _ = self._stored.jobs.events(self._job_id, told.last, BATCH)
                told = told.with_more(found)
            if is_final and told.last >= newest:
                told = told._replace(end=_DONE)
        except (NotFound, Unavailable) as error:
            told = told._replace(end=_end_of(error))
        self._tell(before, told)
        return newest > told.last and not self.has_ended

    def break_off(self) -> None:
        """End the streams, which their clients then resume."""
        self._tell(self._told, self._told._replace(end=_BROKEN_OFF))

    def _tell(self, before: _Told, told: _Told) -> None:
        if told == before:
            return
        self._told = told
        for number, news in enumerate(tuple(self.waiting), 1):
            news.set()
            if number % WOKEN_AT_ONCE == 0:
                time.sleep(0)


class EventStreams:
    """The event streams of one process; those of one job share a feed."""

    def __init__(self, stored: Storage) -> None:
        self._stored = stored
        self._feeds: dict[str, _Feed] = {}
        self._lock = threading.Lock()

    def response(self, job_id: str, after: int) -> Response:
        """
        Stream the events after the id `after` until the job has ended; all where there is no such.

        Raises: NotFound.
        """
        feed = self._feeds.get(job_id)
        if feed is None or feed.has_ended or after > feed.newest:
            newest, _ = self._stored.jobs.standing(job_id)
        else:  # who comes second need not ask the database
            newest = feed.newest
        if after > newest:  # the host lost its power, and the newest events with it
            after = 0
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        lines = self._lines(job_id, after, newest)  # Flask's context would stay as long as it does
        return Response(lines, headers=headers, content_type=EVENT_STREAM)

    def _lines(self, job_id: str, after: int, newest: int) -> Iterator[str]:
        told = f"retry: {RECONNECT_MILLISECONDS}\n\n"
        spoken_at = time.monotonic()
        news = threading.Event()
        with self._feed(job_id, max(min(after, newest), newest - BATCH), news) as feed:
            while True:
                news.clear()
                found, end = feed.read(after)
                told += "".join(message.text for message in found)
                if found:
                    after = found[-1].id
                elif end is not None:
                    yield told + end
                    return
                if told:
                    yield told
                    told, spoken_at = "", time.monotonic()
                elif not news.wait(spoken_at + KEEPALIVE_SECONDS - time.monotonic()):
                    told = ": still here\n\n"

    @contextmanager
    def _feed(self, job_id: str, start: int, news: threading.Event) -> Iterator[_Feed]:
        """Be told by the job's feed, which begins with its first stream."""
        with self._lock:
            feed = self._feeds.get(job_id)
            if feed is None:
                feed = self._feeds[job_id] = _Feed(self._stored, job_id, start)
                threading.Thread(target=self._run, args=(job_id, feed), daemon=True).start()
            feed.waiting.add(news)
        try:
            yield feed
        finally:
            feed.waiting.discard(news)

    def _run(self, job_id: str, feed: _Feed) -> None:
        notices = self._stored.notices
        try:
            with notices.watch(job_id) as moved:
                while self._is_wanted(job_id, feed):
                    moved.clear()
                    if not feed.look() and not feed.has_ended:
                        moved.wait(notices.patience)
        finally:
            if not feed.has_ended:
                self._forget(job_id, feed)
                feed.break_off()

    def _is_wanted(self, job_id: str, feed: _Feed) -> bool:
        """Whether anybody is to be told anything more; no new stream finds the feed if not."""
        with self._lock:
            is_wanted = bool(feed.waiting) and not feed.has_ended
            if not is_wanted:
                del self._feeds[job_id]
            return is_wanted

    def _forget(self, job_id: str, feed: _Feed) -> None:
        with self._lock:
            if self._feeds.get(job_id) is feed:
                del self._feeds[job_id]


def _end_of(error: NotFound | Unavailable) -> str:
    """A stream of a deleted job says so; one that breaks off is resumed after its last id."""
    return _DELETED if isinstance(error, NotFound) else _BROKEN_OFF


def _message(event: JobEvent) -> _Message:
    text = f"id: {event.id}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"
    return _Message(event.id, text)
