"""What importing the core costs."""

import subprocess
import sys

SCRIPT = """
import importlib, pkgutil, sys
for heavy in ("torch", "scipy", "sklearn"):
    sys.modules[heavy] = None  # any import of it fails
import perceptron
for module in pkgutil.walk_packages(perceptron.__path__, "perceptron."):
    if not module.name.startswith("perceptron.engines.torch_"):
        importlib.import_module(module.name)
print(sum(name.startswith("perceptron.") for name in sys.modules))
"""


def test_every_module_but_the_engines_imports_without_torch() -> None:
    """The core, `perceptron.engines` included, imports without torch, scipy and sklearn."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10
