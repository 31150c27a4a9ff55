"""Compiled kernels count for the sources that they were made of."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
TRAIN = """
import time
from perceptron.engines import fleet_kernels
from perceptron.engines.fleet import Fleet
from schemas.network import NetworkConfig
from schemas.training import TrainingConfig
from perceptron.gates import NAMED_TABLES
from perceptron.tables import Table
xor = NAMED_TABLES["xor"]
table = Table("xor", ("x1", "x2"), xor.features, xor.targets)
network = NetworkConfig(hidden_layers=(4,), activation="leaky_relu")
members = [m for m in Fleet(network, [TrainingConfig(epochs=50)], table, None).run() if m]
print(members[0].curves[-1, 0], sum(fleet_kernels.train.stats.cache_hits.values()))
"""


def _train(directory: Path) -> tuple[float, int]:
    """Train in a process of its own; the last loss, and how many kernels were loaded."""
    environment = {**os.environ, "PYTHONPATH": str(directory)}
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-P", "-c", TRAIN]
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    loss, hits = found.stdout.split()
    return float(loss), int(hits)


def test_a_change_of_one_source_compiles_all(tmp_path: Path) -> None:
    """The fleet's kernel is loaded when nothing has changed, and compiled when another file has."""
    for package in ("perceptron", "schemas"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    first, hits = _train(tmp_path)
    assert hits == 0
    assert _train(tmp_path) == (first, 1)
    source = tmp_path / "perceptron" / "engines" / "kernels.py"
    source.write_text(source.read_text().replace("LEAKY_SLOPE = 0.01", "LEAKY_SLOPE = 0.5"))
    changed, hits = _train(tmp_path)
    assert hits == 0
    assert changed != first
