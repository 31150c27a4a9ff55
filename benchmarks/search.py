"""
Time sweeps through the API: 1,000 networks on XOR, and a grid search beside scikit-learn's.

    python benchmarks/search.py [--json FILE] [--epochs N]

Two queue workers, SQLite, from the request to the published model. The grid is 48 configurations
× 5 folds on breast_cancer, at equal epochs: `GridSearchCV(MLPClassifier, n_jobs=2)` in turn with
ours, in one run.
"""

import argparse
import json
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cli.demo import start_perceptron

SHAPES = ((16,), (32,), (64,), (32, 16))
RATES = (0.0003, 0.001, 0.003, 0.01)
DECAYS = (0.0001, 0.001, 0.01)
BATCH = 32
FOLDS = 5

XOR = {
    "kind": "sweep",
    "dataset": "xor",
    "network": {"hidden_layers": [2]},
    "training": {"epochs": 10_001},
    "search": {
        "space": {
            "learning_rate": [0.01, 0.03, 0.1, 0.3, 1, 2, 3, 5, 10, 30],
            "seed": {"count": 100},
        }
    },
}


def grid(epochs: int) -> dict[str, Any]:
    """Ask for the grid as scikit-learn has it."""
    return {
        "kind": "sweep",
        "dataset": "breast_cancer",
        "network": {"activation": "relu"},
        "training": {"optimizer": "adam", "epochs": epochs, "batch_size": BATCH},
        "search": {
            "folds": FOLDS,
            "space": {"hidden_layers": SHAPES, "learning_rate": RATES, "weight_decay": DECAYS},
        },
    }


def ours(client: httpx.Client, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Sweep through the API; returns the seconds and the job."""
    began = time.perf_counter()
    response = client.post("/jobs", json=body, headers={"Prefer": "wait=60"})
    seconds = time.perf_counter() - began
    job = response.json()
    if job.get("status") != "succeeded":
        raise SystemExit(json.dumps(job, indent=2))
    return seconds, job


def scikit_learn(epochs: int) -> tuple[float, float]:
    """Search the same grid; returns the seconds and the best mean accuracy."""
    found = load_breast_cancer()
    classifier = MLPClassifier(
        activation="relu",
        solver="adam",
        batch_size=BATCH,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=0,
    )
    name = "mlpclassifier"
    values = {
        f"{name}__hidden_layer_sizes": SHAPES,
        f"{name}__learning_rate_init": RATES,
        f"{name}__alpha": DECAYS,
    }
    search = GridSearchCV(make_pipeline(StandardScaler(), classifier), values, cv=FOLDS, n_jobs=2)
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(found.data, found.target)
    return time.perf_counter() - began, float(search.best_score_)


def main() -> None:
    """Print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--epochs", type=int, default=100)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        where = ("--port", "0", "--data-dir", directory, "--workers", "2")
        service = start_perceptron("up", *where, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            if service.stdout is None:
                raise SystemExit("the service says nothing")
            url = service.stdout.readline().split()[-1]
            with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
                found = measure(client, asked.epochs)
        finally:
            service.terminate()
            service.wait()
    show(found)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2))


def measure(client: httpx.Client, epochs: int) -> dict[str, Any]:
    """Time both sweeps thrice, with scikit-learn's in between."""
    ours(client, XOR)  # the workers may still be starting
    xor = [ours(client, XOR) for _ in range(3)]
    first = ours(client, grid(epochs))
    peer_seconds, peer_score = scikit_learn(epochs)
    grids = [first, *(ours(client, grid(epochs)) for _ in range(2))]
    seconds, job = min(grids, key=lambda run: run[0])
    rates = xor[0][1]["sweep"]["by"]["learning_rate"]
    return {
        "xor_seconds": min(run[0] for run in xor),
        "xor_converged": {row["value"]: row["converged"] for row in rates},
        "grid_seconds": seconds,
        "grid_score": job["sweep"]["best"]["score"],
        "scikit_learn_seconds": peer_seconds,
        "scikit_learn_score": peer_score,
        "ratio": peer_seconds / seconds,
    }


def show(found: dict[str, Any]) -> None:
    """Print what was measured."""
    report = Table("work", "ours, s", "scikit-learn, s", "×", "best score", "scikit-learn's")
    report.add_row("1,000 XOR networks, 10,001 epochs", f"{found['xor_seconds']:.2f}")
    report.add_row(
        "breast_cancer, 48 × 5 folds",
        f"{found['grid_seconds']:.2f}",
        f"{found['scikit_learn_seconds']:.1f}",
        f"{found['ratio']:.1f}",
        f"{found['grid_score']:.4f}",
        f"{found['scikit_learn_score']:.4f}",
    )
    console = Console(width=110)
    console.print(report)
    console.print("XOR converges, by learning rate:", found["xor_converged"])


if __name__ == "__main__":
    main()
