"""What the API process loads: neither torch nor anything else that computes trainings."""

import subprocess
import sys


def test_api_loads_no_training_library() -> None:
    """Making the application imports none of what trains, reads or writes files."""
    program = (
        "import sys; from service.app import create_app; create_app();"
        "unwanted = {'torch', 'numba', 'scipy', 'sklearn', 'polars', 'onnx', 'matplotlib', 'PIL'};"
        "print(*unwanted & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == []
