"""
What libraries would load for nothing into an API process.

Standard library only, and before anything else but gevent is imported.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

EMPTY = ("numpy._core._add_newdocs", "numpy._core._add_newdocs_scalars")
"""Modules that give docstrings to what is written in C."""


def spare() -> None:
    """
    Have imports of these modules fail, which libraries are prepared for, or bring nothing.

    structlog prints errors with Rich where it is; Redis' client counts for OpenTelemetry where it
    is. Redis' package for asyncio is imported for its modules, some of which the client shares:
    they stay, and its own names, which need the other ones, are left out.
    """
    sys.modules["rich"] = None  # type: ignore[assignment]
    if not any(name.startswith("OTEL_EXPORTER_OTLP_") for name in os.environ):
        sys.modules["opentelemetry"] = None  # type: ignore[assignment]
    for name in EMPTY:
        sys.modules[name] = ModuleType(name)
    found = find_spec("redis")
    if found is not None and found.origin is not None:
        package = ModuleType("redis.asyncio")
        package.__path__ = [str(Path(found.origin).with_name("asyncio"))]
        sys.modules["redis.asyncio"] = package
