"""
W3C Trace Context: which trace a request or a job belongs to, and how its log lines say so.

Source: https://www.w3.org/TR/trace-context/
"""

import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import NamedTuple

from structlog.types import EventDict

_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_SAMPLED = 1
VERSION = "00"
"""Of the header that we write."""


class Trace(NamedTuple):
    """One span of a trace."""

    trace_id: str
    span_id: str
    is_sampled: bool

    @property
    def header(self) -> str:
        """The value of `traceparent` that makes others children of this span."""
        return f"{VERSION}-{self.trace_id}-{self.span_id}-{self.is_sampled:02d}"


def parent_of(header: str | None) -> Trace | None:
    """Read a `traceparent`, of this version or a later one; None where it is none."""
    found = header and _HEADER.fullmatch(header)
    if not found:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == VERSION and more) or trace_id == _NO_TRACE:
        return None
    if span_id == _NO_SPAN:
        return None
    return Trace(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def child_of(parent: Trace | None) -> Trace:
    """Make a span of the parent's trace, or of a new one that others may record."""
    if parent is None:
        drawn = os.urandom(24).hex()
        return Trace(drawn[:32], drawn[32:], is_sampled=True)
    return Trace(parent.trace_id, os.urandom(8).hex(), parent.is_sampled)


said: ContextVar[Mapping[str, str]] = ContextVar("said", default={})  # noqa: B039  # a Mapping
"""What every log line of this greenlet or thread says besides: one assignment for each request."""


def say(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Add to a log line what `said` holds; structlog's processor."""
    return {**said.get(), **event}
