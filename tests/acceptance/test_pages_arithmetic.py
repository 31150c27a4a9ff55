"""What the pages work out in the browser is what the service answers."""

import json
import subprocess
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from schemas.network import Activation
from tests.deployment import Deployment

WEB = Path(__file__).parents[2] / "web"

MIXED = [
    {
        "size": None if n % 7 == 0 else n * 1.5,
        "colour": None if n % 5 == 0 else ("red", "green", "blue")[n % 3],
        "new": None if n % 11 == 0 else n % 2 == 0,
        "price": 3.0 * n + (n % 3),
        "kind": "ab"[n % 2],
    }
    for n in range(60)
]
"""Numbers, categories and booleans, each with values that are missing."""


def trained(deployment: Deployment, **body: Any) -> dict[str, Any]:
    """Train with recorded weights and wait for the end."""
    training = {"optimizer": "adam", "epochs": 30, "record_weights": True}
    return deployment.finished(deployment.submit(**body, training=training))


def case(deployment: Deployment, job: dict[str, Any]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    """Give a job's rows and weights, what the service predicts for them, and the rows as told."""
    told = deployment.get(f"/jobs/{job['id']}/rows").json()
    rows = [row["inputs"] for row in told["data"]]
    model = deployment.get(f"{job['links']['model']}/parameters").json()
    batches = [e["data"] for e in deployment.events(job["id"]) if e["type"] == "epochs"]
    answer = deployment.post("/predict", {"model": job["model"]["name"], "inputs": rows}).json()
    expected = answer["probabilities"] or answer["predictions"]
    given = {
        "preprocessing": told["preprocessing"],
        "rows": rows,
        "layers": model["layers"],
        "snapshot": batches[-1]["snapshots"][-1]["parameters"],
        "hidden": job["network"]["hidden_layers"],
    }
    return given, np.ravel(expected), told


def test_the_forward_pass_of_the_pages(deployment: Deployment) -> None:
    """Every activation, task and kind of input: published and recorded weights answer the same."""
    deployment.post("/datasets", {"name": "mixed", "records": MIXED})
    jobs = [
        trained(
            deployment,
            dataset="mixed",
            target="kind",
            network={"hidden_layers": [5, 3], "activation": activation},
        )
        for activation in get_args(Activation)
    ]
    jobs.append(trained(deployment, dataset="iris", network={"hidden_layers": [4]}))
    regression = {"dataset": "mixed", "target": "price", "network": {"hidden_layers": [4]}}
    jobs.append(trained(deployment, **regression))
    derived = [
        {"function": "square", "of": ["size"]},
        {"function": "product", "of": ["new", "size"]},
        {"function": "sine", "of": ["price"]},
    ]
    more = {"dataset": "mixed", "target": "kind", "preprocessing": {"derived": derived}}
    jobs.append(trained(deployment, **more, network={"hidden_layers": [4], "activation": "tanh"}))
    cases = [case(deployment, job) for job in jobs]
    run = subprocess.run(
        [WEB / "with-node", "node", ".build/answers.mjs"],
        input=json.dumps([given for given, _, _ in cases]),
        capture_output=True,
        text=True,
        check=True,
    )
    for found, (_, expected, told) in zip(json.loads(run.stdout), cases, strict=True):
        assert found["published"] == pytest.approx(expected, rel=1e-4, abs=1e-5)
        recorded = np.array(found["recorded"]) * told["target_scale"] + told["target_mean"]
        assert recorded == pytest.approx(expected, rel=1e-4, abs=1e-4)
