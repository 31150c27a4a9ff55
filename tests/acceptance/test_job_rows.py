"""What is told of a training for those who draw it: its rows, and its weights along the epochs."""

from base64 import b64decode
from typing import Any

import numpy as np
import pytest

from tests.deployment import Deployment

TABLE = [
    {"size": size, "colour": colour, "kind": kind}
    for size, colour, kind in (
        (1, "red", "a"), (2, "blue", "b"), (3, None, "a"), (4, "red", "b"), (5, "blue", None),
        (6, "red", "a"), (7, "blue", "b"), (8, "red", "a"), (9, "blue", "b"),
    )
]  # fmt: skip


def trained(deployment: Deployment, **body: Any) -> dict[str, Any]:
    """Post a training and wait for its end."""
    return deployment.finished(deployment.submit(**body))


def test_rows_have_parts(deployment: Deployment) -> None:
    """Rows with a target come as the table spells them, divided as the training divides them."""
    deployment.post("/datasets", {"name": "coloured", "records": TABLE})
    training = {"epochs": 5, "validation_fraction": 0.25, "test_fraction": 0.25}
    job = trained(deployment, dataset="coloured", training=training)
    told = deployment.get(f"/jobs/{job['id']}/rows").json()
    rows = [row for row in TABLE if row["kind"] is not None]
    assert told["rows"] == len(rows)
    assert [row["inputs"] for row in told["data"]] == [[r["size"], r["colour"]] for r in rows]
    assert [row["target"] for row in told["data"]] == [row["kind"] for row in rows]
    parts = [row["part"] for row in told["data"]]
    counted = {part: parts.count(part) for part in set(parts)}
    assert counted == {"train": 4, "validation": 2, "test": 2}
    sizes = [row["inputs"][0] for row in told["data"] if row["part"] == "train"]
    assert told["preprocessing"]["features"][0]["mean"] == pytest.approx(np.mean(sizes))
    card = deployment.get(f"{job['links']['model']}/card").json()
    assert told["preprocessing"] == card["preprocessing"]
    few = deployment.get(f"/jobs/{job['id']}/rows?limit=3").json()
    assert few["data"] == told["data"][:3]
    assert few["rows"] == told["rows"]


def test_target_of_a_regression(deployment: Deployment) -> None:
    """The scale of the target is that of the training rows."""
    features = [[float(number)] for number in range(30)]
    targets = [row[0] * 1.5 + 3.25 for row in features]
    body = {"features": features, "targets": targets}
    job = trained(
        deployment,
        dataset=body,
        task="regression",
        preprocessing={"standardise": True},
        training={"epochs": 5, "learning_rate": 0.1},
    )
    told = deployment.get(f"/jobs/{job['id']}/rows").json()
    assert told["target_mean"] == pytest.approx(np.mean(targets))
    assert told["target_scale"] == pytest.approx(np.std(targets))


def test_rows_of_what_is_no_training_or_gone(deployment: Deployment) -> None:
    """A sweep has no rows of its own: 404. A dataset that was replaced is another one: 409."""
    sweep = deployment.submit(
        kind="sweep", dataset="and", training={"epochs": 5}, search={"space": {"seed": [1, 2]}}
    )
    assert deployment.get(f"/jobs/{sweep}/rows").status_code == 404
    assert deployment.get("/jobs/none/rows").status_code == 404
    deployment.post("/datasets", {"name": "fleeting", "records": TABLE})
    job = trained(deployment, dataset="fleeting", training={"epochs": 5})
    deployment.client.delete("/datasets/fleeting")
    gone = deployment.get(f"/jobs/{job['id']}/rows")
    assert gone.status_code == 409
    deployment.post("/datasets", {"name": "fleeting", "records": TABLE[:-1]})
    assert "another" in deployment.get(f"/jobs/{job['id']}/rows").json()["detail"]


def test_weights_are_in_the_events(deployment: Deployment) -> None:
    """There is a snapshot for each record; the last one is the published model."""
    job = trained(
        deployment,
        dataset="xor",
        network={"hidden_layers": [3]},
        training={"epochs": 50, "record_every": 10, "record_weights": True},
    )
    batches = [e["data"] for e in deployment.events(job["id"]) if e["type"] == "epochs"]
    snapshots = [snapshot for batch in batches for snapshot in batch["snapshots"]]
    assert [snapshot["epoch"] for snapshot in snapshots] == [0, 10, 20, 30, 40, 49]
    assert [record["epoch"] for record in job["history"]] == [0, 10, 20, 30, 40, 49]
    model = deployment.get(f"{job['links']['model']}/parameters").json()
    flat = [
        value for layer in model["layers"] for value in [*np.ravel(layer["weight"]), *layer["bias"]]
    ]
    last = np.frombuffer(b64decode(snapshots[-1]["parameters"]), "<f4")
    assert last.tolist() == pytest.approx(flat, rel=1e-6)


def test_recorded_weights_are_bounded(deployment: Deployment) -> None:
    """What would be too many numbers, and a sweep, are refused at the flag."""
    wide = {
        "dataset": "xor",
        "network": {"hidden_layers": [100, 100]},
        "training": {"epochs": 1000, "record_every": 1, "record_weights": True},
    }
    sweep = {
        "kind": "sweep",
        "dataset": "xor",
        "training": {"record_weights": True},
        "search": {"space": {"seed": [1, 2]}},
    }
    for body in (wide, sweep):
        refused = deployment.post("/jobs", body)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "#/training/record_weights"
