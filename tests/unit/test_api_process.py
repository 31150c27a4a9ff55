"""What the API process loads: neither torch nor anything else that computes trainings."""

import subprocess
import sys

UNWANTED = {
    "matplotlib",
    "numba",
    "numpy.random",
    "onnx",
    "PIL",
    "polars",
    "scipy",
    "sklearn",
    "torch",
}


def test_api_loads_no_training_library() -> None:
    """Making the application imports none of what trains, reads or writes files."""
    program = "import sys; from service.app import create_app; create_app(); print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert UNWANTED & set(run.stdout.split()) == set()
