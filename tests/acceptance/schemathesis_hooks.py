"""What Schemathesis leaves out of its requests, and which names it asks about."""

import os
import re
from typing import Any
from urllib.parse import urlencode

import schemathesis

MOST_QUERY_CHARACTERS = 2_000
"""Gunicorn answers a longer request line itself, before the application that is described."""

_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,255}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")  # longer ones may be over the maximum, and are to stay so


@schemathesis.hook
def filter_query(_context: Any, query: dict[str, Any] | None) -> bool:
    """Leave out queries that make the request line too long; test_abuse.py sends one."""
    return len(urlencode(query or {}, doseq=True)) <= MOST_QUERY_CHARACTERS


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> Any:
    """Ask about what there is, in half of the requests whose path is valid; else all are 404."""
    drawn = path_parameters or {}
    if not all(
        isinstance(value, str | int) and _NAME.fullmatch(str(value)) for value in drawn.values()
    ):
        return path_parameters
    if sum(len(str(value)) for value in drawn.values()) % 2:
        return path_parameters
    there_is = {
        "name": "iris" if context.operation.path.startswith("/datasets") else "xor",
        "code": "not_found",
        "job_id": os.environ.get("FUZZED_JOB"),
    }
    if _VERSION.fullmatch(str(drawn.get("version", ""))):
        there_is["version"] = "1"
    return drawn | {name: there_is[name] for name in drawn if there_is.get(name)}
