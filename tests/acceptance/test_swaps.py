"""Models change while they are asked: each answer is of one version, and of the right one."""

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import httpx
import pytest

from storage.notices import LIFETIME_SECONDS
from tests.deployment import Deployment, eventually

ASKERS = 8
"""More connections than API processes: each process is asked all the time."""
SWAPS = 20

ROW = [0, 1]  # AND says 0, OR says 1
LABELS = {1: 0, 2: 1}


class Asked(NamedTuple):
    """One prediction: when it was asked for and answered, and what was said."""

    began: float
    ended: float
    status: int
    version: int | None
    label: int | None


@pytest.fixture(scope="module")
def name(deployment: Deployment) -> str:
    """A model whose version 1 is AND, and version 2 OR."""
    for dataset in ("and", "or"):
        training = {"epochs": 2_000, "learning_rate": 1.0}
        job = deployment.submit(dataset=dataset, training=training, model="swapped")
        assert deployment.finished(job)["status"] == "succeeded"
    return "swapped"


class Askers:
    """Threads that ask for predictions until they are stopped."""

    def __init__(self, url: str, body: dict[str, Any], way: str) -> None:
        self.asked: list[Asked] = []
        self._url, self._body, self._way = url, body, way
        self._stop = threading.Event()
        self._begun = threading.Barrier(ASKERS + 1)
        self._threads = [threading.Thread(target=self._ask) for _ in range(ASKERS)]

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30, trust_env=False) as client:
            client.get("/livez")
            self._begun.wait(30)
            while not self._stop.is_set():
                began = time.monotonic()
                response = client.post(self._way, json=self._body)
                self.asked.append(Asked(began, time.monotonic(), *_said(response)))

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Ask during the block."""
        for thread in self._threads:
            thread.start()
        self._begun.wait(30)
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(30)

    def hear(self, answers: int) -> None:
        """Wait for so many answers more."""
        enough = len(self.asked) + answers
        eventually(lambda: len(self.asked) >= enough)


def _said(response: httpx.Response) -> tuple[int, int | None, int | None]:
    if not response.is_success:
        return response.status_code, None, None
    told = response.json()
    if "outputs" in told:
        return 200, int(told["model_version"]), int(told["outputs"][0]["data"][0])
    return 200, int(told["version"]), int(told["predictions"][0])


def predict(name: str, version: Any = None) -> tuple[str, dict[str, Any]]:
    """Ask as `/predict` does."""
    return "/predict", {"model": name, "version": version, "inputs": [ROW]}


def infer(name: str, version: str) -> tuple[str, dict[str, Any]]:
    """Ask as the Open Inference Protocol does."""
    tensor = {"name": "input", "shape": [1, 2], "datatype": "INT64", "data": ROW}
    return f"/v2/models/{name}/versions/{version}/infer", {"inputs": [tensor]}


def move(deployment: Deployment, name: str, alias: str, version: int) -> None:
    """Point an alias at a version."""
    path = f"/models/{name}/aliases/{alias}"
    etag = deployment.get(path).headers.get("ETag")
    headers = {"If-Match": etag} if etag else {}
    url = deployment.url + path
    answer = httpx.put(url, json={"version": version}, headers=headers, trust_env=False)
    assert answer.status_code in (200, 201), answer.text


@pytest.mark.parametrize("form", [predict, infer])
def test_an_alias_moves_at_once_for_every_process(
    deployment: Deployment, name: str, form: Any
) -> None:
    """Once a move is acknowledged no process answers with the old version; none mixes two."""
    alias = f"by-{form.__name__}"
    move(deployment, name, alias, 1)
    way, body = form(name, alias)
    askers = Askers(deployment.url, body, way)
    moves: list[tuple[float, float, int]] = []  # began, acknowledged, version
    with askers.at_work():
        for swap in range(SWAPS):
            began = time.monotonic()
            move(deployment, name, alias, 2 - swap % 2)
            moves.append((began, time.monotonic(), 2 - swap % 2))
            askers.hear(2 * ASKERS)
    checked = 0
    for asked in askers.asked:
        assert asked.status == 200
        assert asked.version is not None
        assert asked.label == LABELS[asked.version]
        settled = [move for move in moves if move[1] < asked.began]
        moving = [move for move in moves if move[0] < asked.ended and move[1] > asked.began]
        if settled and not moving:
            assert asked.version == settled[-1][2]
            checked += 1
    assert checked > SWAPS


def test_a_deleted_model_is_gone_for_every_process(deployment: Deployment) -> None:
    """Once a deletion is acknowledged, no process answers with the model."""
    job = deployment.submit(dataset="and", training={"epochs": 20}, model="short-lived")
    deployment.finished(job)
    way, body = predict("short-lived")
    askers = Askers(deployment.url, body, way)
    with askers.at_work():
        assert httpx.delete(f"{deployment.url}/models/short-lived", trust_env=False).is_success
        acknowledged = time.monotonic()
        eventually(lambda: any(asked.began > acknowledged for asked in list(askers.asked)))
    statuses = {asked.status for asked in askers.asked if asked.began > acknowledged}
    assert statuses == {404}
    assert {asked.status for asked in askers.asked} <= {200, 404}


def test_a_new_version_is_the_latest_when_its_job_has_succeeded(deployment: Deployment) -> None:
    """Who hears that a job has succeeded is answered by its version, by every process."""
    for version in range(1, 6):
        job = deployment.submit(dataset="or", training={"epochs": 20}, model="newest")
        assert deployment.finished(job)["model"]["version"] == version
        way, body = predict("newest")
        askers = Askers(deployment.url, body, way)
        with askers.at_work():
            askers.hear(4 * ASKERS)
        assert {asked.version for asked in askers.asked} == {version}


def moved_meanwhile(
    deployment: Deployment, askers: Askers, name: str, hold: Callable[[], None]
) -> list[Asked]:
    """Move an alias from version 1 to 2; what was asked for once that was acknowledged."""
    with askers.at_work():
        askers.hear(10 * ASKERS)
        hold()
        move(deployment, name, "here", 2)
        moved = time.monotonic()
        askers.hear(4 * ASKERS)
    return [asked for asked in askers.asked if asked.began > moved]


def test_a_move_that_nobody_hears_of(new_deployment: Callable[..., Deployment]) -> None:
    """A move while Valkey hangs shows in every process, once it is acknowledged."""
    deployment = new_deployment()
    for dataset in ("and", "or"):
        job = deployment.submit(dataset=dataset, training={"epochs": 20}, model="m")
        deployment.finished(job)
    move(deployment, "m", "here", 1)
    askers = Askers(deployment.url, *reversed(predict("m", "here")))
    valkey = deployment.valkey
    try:
        late = moved_meanwhile(deployment, askers, "m", lambda: os.kill(valkey, signal.SIGSTOP))
    finally:
        os.kill(valkey, signal.SIGCONT)
    assert {(asked.status, asked.version) for asked in late} == {(200, 2)}


def test_a_move_that_takes_long(deployment: Deployment, name: str) -> None:
    """A move that waits for the database's lock shows as soon, though it was announced before."""
    move(deployment, name, "here", 1)
    askers = Askers(deployment.url, *reversed(predict(name, "here")))
    path = deployment.data_dir / "perceptron.db"
    with closing(sqlite3.connect(path, check_same_thread=False, isolation_level=None)) as other:

        def hold() -> None:
            other.execute("BEGIN IMMEDIATE")
            threading.Timer(1.5 * LIFETIME_SECONDS, other.rollback).start()

        late = moved_meanwhile(deployment, askers, name, hold)
    assert {(asked.status, asked.version) for asked in late} == {(200, 2)}
