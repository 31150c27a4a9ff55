"""Sweeps over HTTP: every worker takes part, and none of them can lose or double a result."""

import csv
import os
import signal
from collections.abc import Callable
from io import StringIO
from statistics import fmean
from typing import Any

import pytest

from tests.deployment import Deployment, eventually, is_alive

Start = Callable[..., Deployment]

LONG: dict[str, Any] = {
    "kind": "sweep",
    "dataset": "xor",
    "network": {"hidden_layers": [8, 8]},
    "training": {"epochs": 60_000},
    "search": {"space": {"learning_rate": [0.3, 1.0], "seed": {"count": 300}}},
    "model": "survivor",
}
"""Takes two workers some seconds: there must be time to kill something."""


def short(**search: Any) -> dict[str, Any]:
    """Make a sweep of XOR that takes no time."""
    return {
        "kind": "sweep",
        "dataset": "xor",
        "network": {"hidden_layers": [2]},
        "training": {"epochs": 500, "optimizer": "adam", "learning_rate": 0.1},
        "search": search,
    }


def table(deployment: Deployment, job_id: str, query: str = "") -> list[dict[str, str]]:
    """Read the whole table of results as CSV."""
    response = deployment.get(f"/jobs/{job_id}/results{query}", Accept="text/csv")
    assert response.headers["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(StringIO(response.text)))


def started_shards(deployment: Deployment, job_id: str) -> dict[str, Any]:
    """Wait until some shards are done, and others are not."""

    def look() -> dict[str, Any] | None:
        job = deployment.job(job_id)
        assert job["status"] in ("queued", "running"), job
        return job if 0 < job["sweep"]["done"] < job["sweep"]["trainings"] else None

    return eventually(look)


def assert_complete(deployment: Deployment, job_id: str) -> list[dict[str, str]]:
    """The sweep succeeded once, with one row for each member, and published one model."""
    job = deployment.finished(job_id)
    assert job["status"] == "succeeded", job
    assert job["sweep"]["done"] == job["sweep"]["members"] == 600
    rows = table(deployment, job_id, "?sort=number")
    assert [int(row["number"]) for row in rows] == list(range(600))
    events = deployment.events(job_id)
    counted = [event["data"]["trainings"] for event in events if event["type"] == "progress"]
    assert sum(counted) == 600
    assert [event["type"] for event in events].count("succeeded") == 1
    assert deployment.get("/models/survivor").json()["versions"] == [1]
    return rows


def test_how_often_and_at_which_rate(deployment: Deployment) -> None:
    """XOR by 3 rates and 100 seeds: the shares of each rate are those of its rows in the table."""
    rates = [0.001, 0.03, 0.3]
    body = short(space={"learning_rate": rates, "seed": {"first": 5, "count": 100}})
    job = deployment.finished(deployment.submit(**body))
    assert job["status"] == "succeeded", job
    rows = table(deployment, job["id"])
    assert len(rows) == job["sweep"]["members"] == 300
    for marginal in job["sweep"]["by"]["learning_rate"]:
        own = [row for row in rows if float(row["learning_rate"]) == marginal["value"]]
        assert sorted(int(row["seed"]) for row in own) == list(range(5, 105))
        assert marginal["converged"] == fmean(row["converged"] == "True" for row in own)
        assert marginal["mean_score"] == pytest.approx(fmean(float(row["score"]) for row in own))
    best = job["sweep"]["best"]
    assert best["number"] == int(rows[0]["number"])
    assert best["converged"]
    assert job["training"]["learning_rate"] == 0.1
    card = deployment.get(f"/models/{job['id']}/versions/1").json()["card"]
    assert card["hyperparameters"]["training"]["seed"] == best["seed"]
    assert card["metrics"]["train"]["accuracy"] == 1


def test_the_refit_is_the_member(deployment: Deployment) -> None:
    """The published model ends at the loss that its member had in the table."""
    body = short(space={"learning_rate": [0.1], "seed": {"count": 32}})
    job = deployment.finished(deployment.submit(**body))
    assert job["history"][-1]["epoch"] == 499
    assert job["history"][-1]["train_loss"] == pytest.approx(
        job["sweep"]["best"]["train_loss"], rel=1e-4
    )


def test_results_are_paged_and_sorted(deployment: Deployment) -> None:
    """Pages follow each other in the order asked for; positions count on."""
    job_id = deployment.submit(**short(space={"seed": {"count": 25}}))
    deployment.finished(job_id)
    found: list[dict[str, Any]] = []
    path = f"/jobs/{job_id}/results?sort=-train_loss&limit=10"
    while path:
        response = deployment.get(path)
        found += response.json()["data"]
        path = response.links.get("next", {}).get("url", "")
    assert [row["position"] for row in found] == list(range(1, 26))
    losses = [row["train_loss"] for row in found]
    assert losses == sorted(losses, reverse=True)
    assert {row["number"] for row in found} == set(range(25))


def test_folds(deployment: Deployment) -> None:
    """Cross-validation of iris: each member is judged on every fold, and learns the flowers."""
    body = {
        "kind": "sweep",
        "dataset": "iris",
        "training": {"epochs": 100, "optimizer": "adam", "batch_size": 16},
        "search": {
            "folds": 5,
            "space": {"hidden_layers": [[], [4], [16]], "learning_rate": [0.003, 0.03]},
        },
    }
    job = deployment.finished(deployment.submit(**body))
    assert job["status"] == "succeeded", job
    assert (job["sweep"]["members"], job["sweep"]["trainings"]) == (6, 30)
    assert job["sweep"]["done"] == 30
    best = job["sweep"]["best"]
    assert len(best["fold_scores"]) == 5
    assert best["score"] == pytest.approx(fmean(best["fold_scores"]))
    assert best["score"] > 0.9
    assert job["metrics"]["train"]["accuracy"] > 0.9
    assert [row["value"] for row in job["sweep"]["by"]["hidden_layers"]] == [[], [4], [16]]


def test_folds_that_stop_early(deployment: Deployment) -> None:
    """Each fold stops its members; the best is published as trained for the folds' best epochs."""
    body = short(space={"learning_rate": [0.05, 0.1], "seed": {"count": 4}}, folds=5)
    body |= {"dataset": "iris"}
    body["training"] |= {"early_stopping": {"patience": 20}, "test_fraction": 0.2}
    job = deployment.finished(deployment.submit(**body))
    assert job["status"] == "succeeded", job
    rows = table(deployment, job["id"])
    assert len(rows) == 8
    assert all(float(row["best_epoch"]) < float(row["trained_epochs"]) for row in rows)
    assert any(float(row["trained_epochs"]) < 500 for row in rows)
    best = job["sweep"]["best"]
    card = deployment.get(f"/models/{job['id']}/versions/1").json()["card"]
    training = card["hyperparameters"]["training"]
    assert training["early_stopping"] is None
    assert training["epochs"] == round(best["best_epoch"]) + 1
    assert card["history"][-1]["epoch"] == round(best["best_epoch"])
    assert card["metrics"]["validation"] is None


def test_halving(deployment: Deployment) -> None:
    """Each rung trains a third of the members, the best of the one before, three times as long."""
    body = short(
        method="halving",
        samples=27,
        minimum_epochs=50,
        space={"learning_rate": {"low": 0.001, "high": 1.0}, "seed": {"count": 5}},
    )
    job = deployment.finished(deployment.submit(**body))
    assert job["status"] == "succeeded", job
    rows = table(deployment, job["id"])
    by_rung = {rung: [row for row in rows if row["rung"] == rung] for rung in "012"}
    assert [len(found) for found in by_rung.values()] == [27, 9, 3]
    assert [{row["epochs"] for row in found} for found in by_rung.values()] == [
        {"55"},
        {"166"},
        {"500"},
    ]
    for rung, following in (("0", "1"), ("1", "2")):
        chosen = by_rung[rung][: len(by_rung[following])]
        assert {row["number"] for row in chosen} == {row["number"] for row in by_rung[following]}
    assert job["sweep"]["best"]["rung"] == 2
    assert job["history"][-1]["epoch"] == 499


def test_without_a_refit(deployment: Deployment) -> None:
    """A sweep that is not to be refitted succeeds with results alone."""
    job = deployment.finished(deployment.submit(**short(space={}), refit=False))
    assert (job["status"], job["model"], job["metrics"]) == ("succeeded", None, None)
    assert job["sweep"]["best"]["number"] == 0
    assert job["links"]["results"] == f"/jobs/{job['id']}/results"


def test_everything_diverged(deployment: Deployment) -> None:
    """A sweep of which no network is left fails by name; its results say where each was lost."""
    rows = [[1e30, -1e30], [-1e30, 1e30]]
    body = {
        "kind": "sweep",
        "dataset": {"features": rows, "targets": [0, 1]},
        "network": {"hidden_layers": [4], "activation": "identity"},
        "training": {"epochs": 100},
        "search": {"space": {"learning_rate": [1e-20, 1e-19]}},
    }
    job = deployment.finished(deployment.submit(**body))
    assert job["status"] == "failed"
    assert job["error"]["code"] == "diverged"
    assert job["sweep"]["diverged"] == 2
    assert job["sweep"]["best"] is None
    assert {row["status"] for row in table(deployment, job["id"])} == {"diverged"}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"search": {"space": {"learning_rate": [0.1, 1, -3]}}}, "/search/space/learning_rate/2"),
        ({"search": {"space": {"seed": [4, 4]}}}, "/search/space/seed/1"),
        ({"search": {"space": {"seed": {"count": 0}}}}, "/search/space/seed/count"),
        ({"search": {"space": {"rate": [1]}}}, "/search/space/rate"),
        (
            {"search": {"space": {"learning_rate": {"low": 2, "high": 1}}, "samples": 3}},
            "/search/space/learning_rate/high",
        ),
        (
            {"search": {"space": {"learning_rate": {"low": 0.1, "high": 1}}}},
            "/search/space/learning_rate",
        ),
        ({"search": {"method": "random", "space": {"seed": [1]}}}, "/search/samples"),
        (
            {"search": {"method": "halving", "space": {"epochs": [1, 2]}}},
            "/search/space/epochs",
        ),
        ({"search": {"folds": 5}}, "/search/folds"),
        ({"search": {"score": "r2"}}, "/search/score"),
        (
            {"search": {"folds": 2}, "training": {"validation_fraction": 0.5}},
            "/training/validation_fraction",
        ),
        (
            {"search": {"space": {"optimizer": ["sgd", "adam"]}}, "training": {}},
            "/search/space/learning_rate",
        ),
        (
            {"search": {"space": {"hidden_layers": [[2], [60_000, 60_000]]}}},
            "/search/space/hidden_layers/1",
        ),
        (
            {"search": {"space": {"seed": {"count": 10_000}, "epochs": list(range(1, 12))}}},
            "/search/space",
        ),
        ({"kind": "sweeps"}, "/kind"),
        ({"kind": "train"}, "/search"),
    ],
)
def test_refused(deployment: Deployment, change: dict[str, Any], pointer: str) -> None:
    """What cannot be searched is refused with a pointer at it."""
    response = deployment.post("/jobs", short(space={}) | change)
    assert response.status_code == 422, response.text
    pointers = [error["pointer"] for error in response.json()["errors"]]
    assert f"#{pointer}" in pointers


def test_results_of_no_sweep(deployment: Deployment) -> None:
    """A training has no results, nor has a job that is not there."""
    training = deployment.submit(dataset="and", training={"epochs": 5})
    for job_id in (training, "job_none"):
        assert deployment.get(f"/jobs/{job_id}/results").status_code == 404


def test_killed_work_horses(new_deployment: Start) -> None:
    """Work-horses killed in the middle of their shards: each result is there, once, as ever."""
    deployment = new_deployment("--workers", "2")
    job_id = deployment.submit(**LONG)
    started_shards(deployment, job_id)
    for _ in range(3):
        os.kill(eventually(lambda: deployment.horse), signal.SIGKILL)
    rows = assert_complete(deployment, job_id)
    again = deployment.submit(**LONG | {"model": "undisturbed"})
    deployment.finished(again)
    undisturbed = table(deployment, again, "?sort=number")
    assert [row["train_loss"] for row in rows] == [row["train_loss"] for row in undisturbed]


def test_killed_worker(new_deployment: Start) -> None:
    """A killed worker's shard is done by another; the sweep waits for it."""
    deployment = new_deployment("--workers", "2")
    job_id = deployment.submit(**LONG)
    started_shards(deployment, job_id)
    worker = deployment.worker
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: not is_alive(worker))
    assert_complete(deployment, job_id)


def test_wiped_valkey(new_deployment: Start) -> None:
    """Valkey killed in the middle of a sweep: the bells are rung again."""
    deployment = new_deployment("--workers", "2")
    job_id = deployment.submit(**LONG)
    started_shards(deployment, job_id)
    os.kill(deployment.valkey, signal.SIGKILL)
    assert_complete(deployment, job_id)


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_end_of_a_running_sweep(new_deployment: Start, end: str) -> None:
    """A cancelled or deleted sweep stops all its shards at once; the workers are free again."""
    deployment = new_deployment("--workers", "2")
    job_id = deployment.submit(**LONG)
    started_shards(deployment, job_id)
    if end == "cancel":
        response = deployment.post(f"/jobs/{job_id}/cancel")
        assert response.status_code == 200
        assert response.json()["status"] == "cancelled"
        assert 0 < response.json()["sweep"]["done"] < 600
    else:
        assert deployment.client.delete(f"/jobs/{job_id}").status_code == 204
    eventually(lambda: deployment.horse is None)
    following = deployment.submit(dataset="and", training={"epochs": 10})
    assert deployment.finished(following)["status"] == "succeeded"
    assert deployment.get("/models/survivor").status_code == 404
    if end == "cancel":
        kept = deployment.job(job_id)["sweep"]["done"]
        assert len(table(deployment, job_id)) == kept < 600


def test_shards_are_no_jobs(new_deployment: Start) -> None:
    """While a sweep runs, the list of jobs has the sweep alone."""
    deployment = new_deployment("--workers", "1")
    job_id = deployment.submit(**LONG)
    started_shards(deployment, job_id)
    assert [job["id"] for job in deployment.get("/jobs").json()["data"]] == [job_id]
    deployment.client.delete(f"/jobs/{job_id}")
