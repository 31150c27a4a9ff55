"""Files that a request needs while it is answered, in a directory that goes with it."""

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import DiskFull

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""
What writing ends with where a disk, a quota or a process's share of it is used up. Polars tells the
number in the text only.
"""


@contextmanager
def directory() -> Iterator[Path]:
    """Make a directory for the block. Raises: DiskFull where the block's files have no room."""
    with full_disk_told(), tempfile.TemporaryDirectory(prefix="perceptron-") as name:
        yield Path(name)


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Name the cause where the block cannot write a file. Raises: DiskFull."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL or any(f"(os error {code})" in str(error) for code in FULL):
            raise DiskFull from error
        raise
