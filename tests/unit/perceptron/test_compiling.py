"""Compiled kernels count for the sources that they were made of."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
TRAIN = """
from perceptron.engines import start, unit_kernels
from schemas.network import NetworkConfig
from schemas.training import TrainingConfig
from perceptron.gates import NAMED_TABLES
from perceptron.tables import Table
table = Table("or", ("x1", "x2"), NAMED_TABLES["or"].features, NAMED_TABLES["or"].targets)
training = TrainingConfig(engine="fused", optimizer="momentum", epochs=50)
*_, last = start(NetworkConfig(), training, table, None).run()
print(last.record.train_loss, sum(unit_kernels.train.stats.cache_hits.values()))
"""
"""The kernel of one unit is the quickest to be compiled, and has most of its code elsewhere."""


def _train(directory: Path) -> tuple[float, int]:
    """Train in a process of its own; the last loss, and how many kernels were loaded."""
    environment = {**os.environ, "PYTHONPATH": str(directory)}
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-P", "-c", TRAIN]
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    loss, hits = found.stdout.split()
    return float(loss), int(hits)


def test_a_change_of_one_source_compiles_all(tmp_path: Path) -> None:
    """A kernel is loaded when nothing has changed, and compiled when another file has."""
    for package in ("perceptron", "schemas"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    first, hits = _train(tmp_path)
    assert hits == 0
    assert _train(tmp_path) == (first, 1)
    source = tmp_path / "perceptron" / "engines" / "kernels.py"
    source.write_text(source.read_text().replace("KEPT_MOMENTUM = 0.9", "KEPT_MOMENTUM = 0.5"))
    changed, hits = _train(tmp_path)
    assert hits == 0
    assert changed != first
