"""Jobs of the kind `predict`: the same answers, whatever happens to the worker on the way."""

import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.acceptance.rows import (
    CSV,
    FEATURES,
    JSON,
    NDJSON,
    PARQUET,
    ROWS,
    TARGETS,
    as_rows,
    model_of,
    read,
)
from tests.deployment import Deployment, eventually


@pytest.fixture(scope="module", params=TARGETS)
def trained(request: pytest.FixtureRequest, deployment: Deployment) -> tuple[str, Any]:
    """A model of each task, and what it says of the rows in one JSON request."""
    name = f"jobs-{request.param}"
    return name, model_of(deployment, request.param, name)


def predicted(deployment: Deployment, **body: Any) -> Any:
    """Submit a prediction, and wait for its end."""
    return deployment.finished(deployment.submit(kind="predict", **body))


def test_a_dataset_is_predicted(deployment: Deployment, trained: tuple[str, Any]) -> None:
    """A job says of a stored table what a request says of its rows, in four forms."""
    name, expected = trained
    job = predicted(deployment, model=name, dataset=name)
    assert (job["status"], job["kind"]) == ("succeeded", "predict")
    assert job["progress"] == {"rows_done": 400, "rows": 400}
    assert job["model"] == {"name": name, "version": 1}
    assert (job["network"], job["training"], job["metrics"]) == (None, None, None)
    path = job["links"]["predictions"]
    assert path == f"/jobs/{job['id']}/predictions"
    suffixes = {CSV: "csv", NDJSON: "ndjson", PARQUET: "parquet", JSON: "json"}
    for form, suffix in suffixes.items():
        answer = deployment.get(path, Accept=form)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"].partition(";")[0] == form
        named = f'attachment; filename="{job["id"]}.{suffix}"'
        assert answer.headers["Content-Disposition"] == named
        if form == JSON:
            assert answer.json() == expected
        else:
            assert read(form, answer.content) == as_rows(expected)
    for accept in ("*/*", "image/png"):
        assert deployment.get(path, Accept=accept).headers["Content-Type"].startswith(CSV)
    assert deployment.client.delete(f"/jobs/{job['id']}").status_code == 204
    assert deployment.get(path).status_code == 404


def test_how_good_the_answers_are(deployment: Deployment, trained: tuple[str, Any]) -> None:
    """Where the dataset has the target, the job says how good the answers are; else nothing."""
    name, expected = trained
    target = TARGETS[name.partition("-")[2]]
    found = predicted(deployment, model=name, dataset=name)["evaluation"]
    actual = [row[target] for row in ROWS]
    if target == "price":
        errors = np.array(expected["predictions"]) - np.array(actual)
        np.testing.assert_allclose(found["rmse"], np.sqrt(np.mean(errors**2)), rtol=1e-7)
    else:
        right = [ours == row for ours, row in zip(expected["predictions"], actual, strict=True)]
        assert found["accuracy"] == np.mean(right)
    records = [{feature: row[feature] for feature in FEATURES} for row in ROWS]
    body = {"name": f"{name}-blind", "records": records}
    assert deployment.post("/datasets", body).status_code == 201
    job = predicted(deployment, model=name, dataset=f"{name}-blind")
    assert (job["status"], job["evaluation"]) == ("succeeded", None)
    answer = deployment.get(job["links"]["predictions"], Accept=JSON)
    assert answer.json() == expected


def test_a_truth_table_is_predicted(deployment: Deployment) -> None:
    """A dataset that is part of the program is predicted too."""
    job = predicted(deployment, model="xor", version="latest", dataset="xor")
    assert job["evaluation"]["accuracy"] == 1
    lines = deployment.get(job["links"]["predictions"]).text.splitlines()
    assert lines == ["prediction,probability", "0,0.0", "1,1.0", "1,1.0", "0,0.0"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"model": "none", "dataset": "xor"}, "#/model"),
        ({"model": "xor", "version": 9, "dataset": "xor"}, "#/version"),
        ({"model": "xor", "version": "best", "dataset": "xor"}, "#/version"),
        ({"model": "xor", "dataset": "none"}, "#/dataset"),
        ({"model": "xor", "dataset": "iris"}, "#/dataset"),
        ({"model": "xor"}, "#/dataset"),
        ({"dataset": "xor"}, "#/model"),
        ({"model": "xor", "dataset": "xor", "training": {}}, "#/training"),
        ({"model": "xor", "dataset": {"features": [[0, 1]], "targets": [1]}}, "#/dataset"),
    ],
)
def test_predictions_that_cannot_be(
    deployment: Deployment, body: dict[str, Any], place: str
) -> None:
    """What cannot be predicted is refused when it is asked for, with a pointer."""
    answer = deployment.post("/jobs", {"kind": "predict", **body})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == place


def test_only_predictions_that_succeeded(deployment: Deployment) -> None:
    """Other jobs have no predictions (404); one that has not succeeded has none yet (409)."""
    job_id = deployment.submit(dataset="xor", training={"epochs": 1})
    deployment.finished(job_id)
    assert deployment.get(f"/jobs/{job_id}/predictions").status_code == 404
    assert deployment.get("/jobs/none/predictions").status_code == 404
    records = [{"x1": 1, "x2": 0}, {"x1": None, "x2": 0}]
    assert deployment.post("/datasets", {"name": "gap", "records": records}).status_code == 201
    job = predicted(deployment, model="xor", dataset="gap")
    assert job["status"] == "failed"
    assert job["error"] == {"code": "invalid_data", "message": "row 2: 'x1' is missing"}
    answer = deployment.get(f"/jobs/{job['id']}/predictions")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


WIDE_ROWS = 20_000


@pytest.fixture
def wide(new_deployment: Callable[..., Deployment]) -> Deployment:
    """A deployment with a model that takes a while for the rows of a dataset of its own."""
    deployment = new_deployment("--workers", "1")
    shape = {"hidden_layers": [1_500, 1_500]}
    training = {"epochs": 1, "learning_rate": 0.001}
    job = deployment.submit(dataset="xor", model="wide", network=shape, training=training)
    assert deployment.finished(job)["status"] == "succeeded"
    values = np.random.default_rng(0).normal(size=(WIDE_ROWS, 2))
    table = pl.DataFrame({"x1": values[:, 0], "x2": values[:, 1], "y": np.arange(WIDE_ROWS) % 2})
    answer = deployment.client.post(
        "/datasets",
        content=table.write_csv().encode(),
        params={"name": "many"},
        headers={"Content-Type": CSV},
    )
    assert answer.status_code == 201
    return deployment


def under_way(deployment: Deployment, job_id: str) -> Any:
    """Wait until a prediction has some of its rows."""

    def look() -> Any:
        job = deployment.job(job_id)
        assert job["status"] in ("queued", "running"), job
        return job if job["progress"]["rows_done"] else None

    return eventually(look)


def test_a_worker_that_is_killed(wide: Deployment) -> None:
    """Another attempt goes on with what is left, and the answer is that of one attempt."""
    undisturbed = predicted(wide, model="wide", dataset="many")
    job_id = wide.submit(kind="predict", model="wide", dataset="many")
    under_way(wide, job_id)
    assert wide.get(f"/jobs/{job_id}/predictions").status_code == 409
    horse = eventually(lambda: wide.horse)
    os.kill(horse, signal.SIGKILL)
    job = wide.finished(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    assert job["evaluation"] == undisturbed["evaluation"]
    told = [wide.get(done["links"]["predictions"]) for done in (undisturbed, job)]
    assert told[0].content == told[1].content
    assert len(told[1].text.splitlines()) == WIDE_ROWS + 1
    done = [event["data"]["rows"] for event in wide.events(job_id) if event["type"] == "progress"]
    assert done == sorted(set(done))
    assert done[-1] == WIDE_ROWS


def test_a_prediction_is_cancelled(wide: Deployment) -> None:
    """A running prediction stops when it is asked to, and leaves nothing."""
    job_id = wide.submit(kind="predict", model="wide", dataset="many")
    under_way(wide, job_id)
    assert wide.post(f"/jobs/{job_id}/cancel").status_code == 202
    job = wide.finished(job_id)
    assert job["status"] == "cancelled"
    assert job["progress"]["rows_done"] < WIDE_ROWS
    assert wide.get(f"/jobs/{job_id}/predictions").status_code == 409


def test_what_is_gone_before_it_runs(new_deployment: Callable[..., Deployment]) -> None:
    """
    A job predicts with the version that its alias stood for when it was accepted.

    It fails where that version, or the dataset, was deleted or replaced before it ran.
    """
    deployment = new_deployment("--workers", "1")
    for _ in range(3):
        trained = deployment.submit(dataset="xor", model="moving", training={"epochs": 1})
        assert deployment.finished(trained)["status"] == "succeeded"
    alias = "/models/moving/aliases/best"
    assert deployment.client.put(alias, json={"version": 1}).status_code == 201
    deployment.stop()
    waiting = new_deployment("--workers", "0")
    for name in ("kept", "gone", "new"):
        table = {"name": name, "records": [{"x1": 0, "x2": 1}]}
        assert waiting.post("/datasets", table).status_code == 201
    ask_for = {"kind": "predict", "model": "moving"}
    pinned = waiting.submit(**ask_for, version="best", dataset="kept")
    lost = waiting.submit(**ask_for, version=2, dataset="kept")
    gone = waiting.submit(**ask_for, dataset="gone")
    replaced = waiting.submit(**ask_for, dataset="new")
    etag = waiting.get(alias).headers["ETag"]
    moved = waiting.client.put(alias, json={"version": 3}, headers={"If-Match": etag})
    assert moved.status_code == 200
    for path in ("/models/moving/versions/2", "/datasets/gone", "/datasets/new"):
        assert waiting.client.delete(path).status_code == 204
    table = {"name": "new", "records": [{"x1": 1, "x2": 1}]}
    assert waiting.post("/datasets", table).status_code == 201
    waiting.stop()
    deployment = new_deployment("--workers", "1")
    found = deployment.finished(pinned)
    assert (found["status"], found["model"]["version"]) == ("succeeded", 1)
    for job_id, message in (
        (lost, "there is no version 'moving/2' any more"),
        (gone, "there is no dataset 'gone' any more"),
        (replaced, "the dataset 'new' is another one by now"),
    ):
        found = deployment.finished(job_id)
        assert found["status"] == "failed"
        assert found["error"] == {"code": "invalid_data", "message": message}
