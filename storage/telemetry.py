"""
Spans for OpenTelemetry, where the standard `OTEL_*` variables say where they go.

Needs the extra `otel`; `open_telemetry` imports it only where it is wanted.
"""

import os
import threading
from collections.abc import Sequence
from typing import Literal

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from storage.spans import Attributes, Past
from storage.trace_context import Trace

SCOPE = "perceptron"
KINDS = {"server": SpanKind.SERVER, "consumer": SpanKind.CONSUMER}


class Traced:
    """A span that has begun."""

    def __init__(self, span: Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.trace = Trace(
            f"{context.trace_id:032x}", f"{context.span_id:016x}", context.trace_flags.sampled
        )

    def end(self, name: str, attributes: Attributes, *, has_failed: bool) -> None:
        """End the span under a name that is known by now."""
        self._span.update_name(name)
        self._span.set_attributes(attributes)
        if has_failed:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class Telemetry:
    """Spans of this process and of those forked from it; each exports from its first span on."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._process = 0

    def start(
        self,
        name: str,
        kind: Literal["server", "consumer"],
        parent: Trace | None,
        attributes: Attributes,
    ) -> Traced:
        """Begin a span of the parent's trace, or of a new one."""
        tracer = self._own_tracer()
        return Traced(tracer.start_span(name, _within(parent), KINDS[kind], attributes))

    def tell_failed(self, attempts: Sequence[Past], seconds: float) -> None:
        """Send spans of attempts at jobs that failed unseen: at once, in no other thread."""
        kept = InMemorySpanExporter()
        provider = TracerProvider(resource=Resource.create(self._named()), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(kept))
        tracer = provider.get_tracer(SCOPE)
        for past in attempts:
            span = tracer.start_span(
                past.name,
                _within(past.parent),
                KINDS["consumer"],
                past.attributes,
                start_time=_nanoseconds(past.began_at),
            )
            span.set_status(StatusCode.ERROR)
            span.end(_nanoseconds(past.ended_at))
        OTLPSpanExporter(timeout=seconds).export(kept.get_finished_spans())

    def flush(self, seconds: float) -> None:
        """Send what has ended, as far as that takes no longer: for a process that ends now."""
        if self._process == os.getpid():
            sending = threading.Thread(target=self._provider.force_flush, daemon=True)
            sending.start()
            sending.join(seconds)

    def _own_tracer(self) -> Tracer:
        """Give this process's own tracer: the thread of one that is inherited did not survive."""
        if self._process != os.getpid():
            self._provider = TracerProvider(resource=Resource.create(self._named()))
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            self._tracer = self._provider.get_tracer(SCOPE)
            self._process = os.getpid()
        return self._tracer

    def _named(self) -> Attributes:
        is_named = "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        return (
            {} if is_named or "OTEL_SERVICE_NAME" in os.environ else {"service.name": self._service}
        )


def _within(parent: Trace | None) -> Context | None:
    """Give the context of a span's children; None: they begin a trace."""
    if parent is None:
        return None
    flags = TraceFlags(TraceFlags.SAMPLED if parent.is_sampled else TraceFlags.DEFAULT)
    span = SpanContext(
        int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags
    )
    return set_span_in_context(NonRecordingSpan(span))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
