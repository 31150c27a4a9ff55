"""
What Prometheus is told: counts of all processes of the API, and what the database holds.

Every label has a bounded number of values: no name of a model, no job, no path as it was sent.
"""

import collections
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Literal, NamedTuple, TypeVar, get_args

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, values
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from schemas.errors import Unavailable
from service.soon import Soon
from storage import Storage
from storage.census import Census
from storage.queue import QUEUES

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
OTHER = "other"
"""Any other method."""
UNMATCHED = "unmatched"
"""Any path without a route."""
UNREAD = "unread"
"""The path of a request that could not be read."""

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
ROWS = tuple(4**power for power in range(11))

CENSUS_SECONDS = 1.0
"""How long a census is told again before the next is taken."""
PATIENCE_SECONDS = 5.0
"""How long a scrape waits for the database."""

COUNT_SECONDS = 0.2
"""How long a process sums up what it counts, before it tells the others."""

NEVER = float("-inf")

Shadowed = Literal["agreed", "differed", "failed"]
T = TypeVar("T")


class Answered(NamedTuple):
    """One request that was answered."""

    method: str
    route: str
    status: str
    seconds: float


class Histogram(prometheus_client.Histogram):
    """A histogram of many amounts at a time."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Observe amounts, and write each bucket once."""
        found = collections.Counter(bisect_left(self._upper_bounds, each) for each in amounts)
        for bucket, count in found.items():
            self._buckets[bucket].inc(count)
        self._sum.inc(sum(amounts))


class Metrics:
    """
    Counts of one process, and what all of them tell together.

    In gunicorn's workers the counts lie in files, one for each process (see `service.counting`).
    Requests are summed up before they are written there, which takes longer than to count them.
    """

    def __init__(self, storage: Storage) -> None:
        self._registry = CollectorRegistry()
        self._stored = Stored(storage)
        self._answered: collections.deque[Answered] = collections.deque()
        self._predicted: collections.deque[int] = collections.deque()
        self._sum_up_soon = Soon(self.sum_up, COUNT_SECONDS)
        self._requests = Counter(
            "perceptron_http_requests_total",
            "Requests that were answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._durations = Histogram(
            "perceptron_http_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._count_inference()

    def _count_inference(self) -> None:
        registry = self._registry
        self._rows = Counter(
            "perceptron_predicted_rows_total", "Rows that were predicted.", registry=registry
        )
        self._batch_size = Histogram(
            "perceptron_predict_batch_size",
            "Rows of one request for predictions.",
            buckets=ROWS,
            registry=registry,
        )
        self._loads = Counter(
            "perceptron_model_loads_total", "Models read from the database.", registry=registry
        )
        cached = (
            Gauge(
                f"perceptron_model_cache_{what}",
                text,
                registry=registry,
                multiprocess_mode="livesum",
            )
            for what, text in (
                ("bytes", "Size of the models that are ready in memory."),
                ("models", "Models that are ready in memory."),
            )
        )
        self._cache_bytes, self._cache_models = cached
        shadows = Counter(
            "perceptron_shadow_predictions_total",
            "Requests that a shadow version was asked too.",
            ("result",),
            registry=registry,
        )
        self._shadows = {name: shadows.labels(name) for name in get_args(Shadowed)}

    def request(self, method: str, route: str, status: str, seconds: float) -> None:
        """Count a request that was answered, and how long it took."""
        self._answered.append(Answered(method, route, status, seconds))
        self._sum_up_soon()

    def refused(self, status: str) -> None:
        """Count a request that was answered without having been read."""
        self._requests.labels(OTHER, UNREAD, status).inc()

    def predicted(self, rows: int) -> None:
        """Count the rows of a request that was answered."""
        self._predicted.append(rows)
        self._sum_up_soon()

    def sum_up(self) -> None:
        """Write down what was counted since the last time."""
        counts: dict[tuple[str, str, str], int] = collections.Counter()
        durations: dict[str, list[float]] = collections.defaultdict(list)
        for method, route, status, seconds in _drained(self._answered):
            counts[method if method in METHODS else OTHER, route, status] += 1
            durations[route].append(seconds)
        for labels, count in counts.items():
            self._requests.labels(*labels).inc(count)
        for route, found in durations.items():
            self._durations.labels(route).observe_all(found)
        rows = _drained(self._predicted)
        if rows:
            self._rows.inc(sum(rows))
            self._batch_size.observe_all(rows)

    def loaded(self) -> None:
        """Count a model that was read from the database."""
        self._loads.inc()

    def cached(self, size_bytes: int, models: int) -> None:
        """Say what this process keeps ready."""
        self._cache_bytes.set(size_bytes)
        self._cache_models.set(models)

    def shadowed(self, result: Shadowed) -> None:
        """Count what came of asking a shadow version."""
        self._shadows[result].inc()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Write everything in the form that `Accept` asks for; returns it and its media type."""
        self.sum_up()
        registry = self._registry
        if values.ValueClass._multiprocess:  # noqa: SLF001  # as it was decided at import
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        encode, media_type = choose_encoder(accept)
        return encode(_Together(registry, self._stored)), media_type


def _drained(queue: collections.deque[T]) -> list[T]:
    """Take out what is there, while other threads may add to it."""
    return [queue.popleft() for _ in range(len(queue))]


class _Together(CollectorRegistry):
    """Two collections as one."""

    def __init__(self, counted: CollectorRegistry, stored: "Stored") -> None:
        super().__init__()
        self.register(counted)
        self.register(stored)


class Stored(Collector):
    """What the database and Valkey say when they are asked; nothing where they are away."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._version = version("perceptron-service")
        self._census: Census | None = None
        self._taken_at = NEVER
        self._asking: threading.Thread | None = None

    def collect(self) -> Iterator[Metric]:
        """Ask both; bounded in time."""
        yield InfoMetricFamily("perceptron_build", "The service.", {"version": self._version})
        up = GaugeMetricFamily(
            "perceptron_up", "Whether a dependency answers.", labels=["dependency"]
        )
        census, listeners = self._asked(), self._listeners()
        up.add_metric(["database"], census is not None)
        up.add_metric(["valkey"], listeners is not None)
        yield up
        yield from _of_workers(listeners)
        yield from _of_jobs(census)
        yield from _of_ended(census)

    def _asked(self) -> Census | None:
        """Give a census that is new enough; None where the database does not answer in time."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        if time.monotonic() - self._taken_at > CENSUS_SECONDS:
            if self._asking is None or not self._asking.is_alive():
                self._asking = threading.Thread(target=self._ask, daemon=True)
                self._asking.start()
            self._asking.join(deadline - time.monotonic())
        return self._census if time.monotonic() - self._taken_at <= PATIENCE_SECONDS else None

    def _ask(self) -> None:
        try:
            self._census = self._storage.census.take()
        except Unavailable:
            self._taken_at = NEVER
        else:
            self._taken_at = time.monotonic()

    def _listeners(self) -> dict[str, int] | None:
        try:
            return {queue: self._storage.doorbell.listeners(queue) for queue in QUEUES}
        except Unavailable:
            return None


def _of_workers(listeners: dict[str, int] | None) -> Iterator[Metric]:
    workers = GaugeMetricFamily(
        "perceptron_workers", "Workers that serve a queue.", labels=["queue"]
    )
    for queue, count in (listeners or {}).items():
        workers.add_metric([queue], count)
    yield workers


def _of_jobs(census: Census | None) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("perceptron_jobs", "Jobs and shards, by status.", labels=["status"])
    waiting = GaugeMetricFamily(
        "perceptron_queue_jobs", "Jobs and shards that wait for a worker.", labels=["queue"]
    )
    oldest = GaugeMetricFamily(
        "perceptron_queue_oldest_job_age_seconds",
        "Time since the job that comes next was made; 0 where none waits.",
        labels=["queue"],
    )
    if census is not None:
        for status, count in census.by_status.items():
            jobs.add_metric([status], count)
        for queue, found in census.queues.items():
            waiting.add_metric([queue], found.jobs)
            oldest.add_metric([queue], found.oldest_seconds)
    yield from (jobs, waiting, oldest)


def _of_ended(census: Census | None) -> Iterator[Metric]:
    finished = CounterMetricFamily(
        "perceptron_jobs_finished_total",
        "Jobs and shards that ended, also those deleted since.",
        labels=["kind", "status"],
    )
    durations = SummaryMetricFamily(
        "perceptron_job_duration_seconds",
        "Time from a job's first start to its end.",
        labels=["kind"],
    )
    sums: dict[str, tuple[int, float]] = {}
    for ended in census.ended if census else ():
        finished.add_metric([ended.kind, ended.status], ended.jobs)
        count, seconds = sums.get(ended.kind, (0, 0.0))
        sums[ended.kind] = (count + ended.started_jobs, seconds + ended.seconds)
    for kind, (count, seconds) in sums.items():
        durations.add_metric([kind], count, seconds)
    yield from (finished, durations)
