"""
How kernels are compiled, where they are stored, and for which sources they count.

Numba by itself stores a function under the digest of its own file. The kernels are made of several
files that are compiled into each other: a change in any of them makes all of them anew.
"""

import hashlib
from functools import cache
from pathlib import Path

from numba import config, njit
from numba.core.caching import (
    InTreeCacheLocator,
    UserProvidedCacheLocator,
    UserWideCacheLocator,
)

SOURCES = ("compiling.py", "simd.py", "kernels.py", "unit_kernels.py", "fleet_kernels.py")
"""The files that machine code is made of."""


class _AllSources:
    def get_source_stamp(self) -> str:
        """Give the digest of everything that is compiled."""
        return _digest()


class Chosen(_AllSources, UserProvidedCacheLocator):  # type: ignore[misc]
    """The directory that NUMBA_CACHE_DIR names, where it does."""


class InTree(_AllSources, InTreeCacheLocator):  # type: ignore[misc]
    """Beside the sources, where that can be written."""


class UserWide(_AllSources, UserWideCacheLocator):  # type: ignore[misc]
    """The user's cache directory."""


@cache
def _digest() -> str:
    directory = Path(__file__).parent
    return hashlib.sha256(
        b"\0".join((directory / name).read_bytes() for name in SOURCES)
    ).hexdigest()


config.CACHE_LOCATOR_CLASSES = ",".join(
    f"{kind.__module__}.{kind.__name__}" for kind in (Chosen, InTree, UserWide)
)

inlined = njit(forceinline=True, nogil=True, error_model="numpy")
"""Compiles a function into each of its callers."""
stored = njit(cache=True, nogil=True, error_model="numpy")
"""Compiles a function that Python calls, or loads it where it is stored."""
