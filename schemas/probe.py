"""Answers of the health probes."""

from typing import Literal

from schemas.base import Record


class Liveness(Record):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Record):
    """Whether what the service depends on answers."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, str]
    """`database` and `valkey`: `ok`, or what is wrong."""
