"""Where the API's processes put what they count, for any one of them to add up."""

import os
import shutil
import tempfile

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""Set before Prometheus' client is imported: it looks once whether it counts in files."""
MEMORY = "/dev/shm"  # noqa: S108  # a new directory in it
"""A file system that no upload fills: a process that writes to a map without room is killed."""
PREFIX = "counted-by-perceptron-"


def make_directory() -> str | None:
    """Make a directory for these files; None where the environment names one, or to end with."""
    named = os.environ.get(DIRECTORY)
    if named:
        os.makedirs(named, exist_ok=True)  # noqa: PTH103
        return None
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    os.environ[DIRECTORY] = tempfile.mkdtemp(prefix=PREFIX, dir=place)
    return os.environ[DIRECTORY]


def remove_directory(made: str | None) -> None:
    """Forget what was counted in a directory that was made."""
    if made:
        shutil.rmtree(made, ignore_errors=True)
