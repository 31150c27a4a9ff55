"""The API does what its OpenAPI document says, whatever is sent: Schemathesis seeks a breach."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.deployment import Deployment

ROOT = Path(__file__).parents[2]
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
SEED = 1
MOST_EXAMPLES = 3
"""Of each operation and phase; more by hand, with other seeds: docs/howto/fuzz-the-api.md."""


def test_document_holds(new_deployment: Callable[..., Deployment], tmp_path: Path) -> None:
    """No operation fails, answers what is not documented, or takes what its schema refuses."""
    deployment = new_deployment("--workers", "1", "--api-workers", "2")
    job = deployment.submit(dataset="xor", training={"epochs": 500}, model="fuzzed")
    assert deployment.finished(job)["status"] == "succeeded"
    budget = ("--seed", str(SEED), "--max-examples", str(MOST_EXAMPLES))
    command = (sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION))
    run = subprocess.run(
        (*command, "--no-color", "run", f"{deployment.url}/openapi.json", *budget),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FUZZED_JOB": job},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
