"""Spans and metrics of OpenTelemetry, with the conventions for messaging. Without `otel` nothing is imported for them.

The conventions are in development, so names may change with a release. Where these are sent to, and how many spans, the
OTEL_ variables of OpenTelemetry say.
"""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from uuid import uuid4

from broker.core.errors import StartFailed
from broker.core.measures import Measures
from broker.core.settings_schema import has_otel_metrics
from broker.core.version import own_version
from titan.tracing import NO_TRACE, Trace

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span, Tracer

Kind = Literal["send", "receive", "settle", "process"]
"""What an operation is: messaging.operation.type."""
_CLOSE_S = 2.0
"""How long the last spans may take to leave, s."""


class Spans:
    """Makes spans, and sends them until `close`.

    `processor` gets the spans that ended, and `reader` what they measure.
    """

    def __init__(self, service: str, processor: "SpanProcessor", reader: "MetricReader | None" = None) -> None:
        from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace import SpanKind

        # Numbers of several processes must not be taken for those of one. The variables of OpenTelemetry have priority.
        own = Resource({SERVICE_VERSION: own_version(), SERVICE_INSTANCE_ID: str(uuid4())})
        resource = own.merge(Resource.create())
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: service}))
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(processor)
        self._processor = processor
        self._measures = None if reader is None else Measures(resource, reader)
        self._tracer: Tracer = provider.get_tracer("titan", own_version())
        self._kinds = {
            "send": SpanKind.PRODUCER,
            "receive": SpanKind.CLIENT,
            "settle": SpanKind.CLIENT,
            "process": SpanKind.CONSUMER,
        }

    def begin(
        self,
        operation: str,
        kind: Kind,
        group: str,
        parent: Trace = NO_TRACE,
        *,
        job: str = "",
        links: Sequence[Trace] = (),
        began_ns: int | None = None,
    ) -> "OpenSpan":
        """Begin a span. Without a valid `parent` it begins a trace. began_ns: since 1970; None: now."""
        from opentelemetry.trace import Link

        attributes = {
            "messaging.system": "titan",
            "messaging.operation.name": operation,
            "messaging.operation.type": kind,
            **({"messaging.destination.name": group} if group else {}),
            **({"messaging.message.id": job} if job else {}),
        }
        span = self._tracer.start_span(
            f"{operation} {group}" if group else operation,
            _context(parent),
            self._kinds[kind],
            attributes,
            [Link(_span_context(link)) for link in links if link],
            began_ns,
        )
        return OpenSpan(span, parent, _Operation(operation, kind, group, began_ns or now_ns(), self._measures))

    async def close(self) -> None:
        """Send the last spans and numbers. A receiver that does not answer delays this by 2 s at most."""
        ends = [self._processor.shutdown, *([self._measures.shutdown] if self._measures else [])]
        closing = [threading.Thread(target=end, daemon=True) for end in ends]
        for thread in closing:
            thread.start()
        due = time.monotonic() + _CLOSE_S
        for thread in closing:
            await asyncio.to_thread(thread.join, max(0, due - time.monotonic()))


class _Operation(NamedTuple):
    """What is measured when it ends, and where."""

    name: str
    kind: Kind
    group: str
    began_ns: int
    measures: Measures | None


class OpenSpan:
    """A span that has begun."""

    def __init__(self, span: "Span", parent: Trace, operation: _Operation) -> None:
        self._span = span
        self._parent = parent
        self._operation = operation
        self._n = 0
        self._error = ""

    @property
    def trace(self) -> Trace:
        """The trace context with this span as the parent."""
        own = self._span.get_span_context()
        return Trace(f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}", self._parent.state)

    def note(self, **attributes: Any) -> None:
        """Set attributes; `message_id` is messaging.message.id, and so on."""
        self._n = attributes.get("count", self._n or int("message_id" in attributes))
        names = {"message_id": "messaging.message.id", "count": "messaging.batch.message_count"}
        self._span.set_attributes({names.get(name, name): value for name, value in attributes.items()})

    def failed(self, error: str) -> None:
        """The operation failed; `error` is the code of the refusal, or the reason of a job."""
        from opentelemetry.trace import StatusCode

        self._error = error
        self._span.set_attribute("error.type", error)
        self._span.set_status(StatusCode.ERROR)

    def end(self) -> None:
        """End it now."""
        self._span.end()
        name, kind, group, began_ns, measures = self._operation
        if measures is not None:
            n = 0 if self._error else self._n
            measures.record(name, kind, group, n, (now_ns() - began_ns) / 1e9, self._error)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make it the current span of this task, for code of jobs."""
        from opentelemetry.trace import use_span

        with use_span(self._span, record_exception=False, set_status_on_exception=False):
            yield


def spans_of(service: str, *, is_on: bool) -> Spans | None:
    """The spans of a broker or worker, sent by OTLP over HTTP; None if they are off. Raises StartFailed."""
    if not is_on:
        return None
    check_otel(is_on=is_on)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return Spans(service, BatchSpanProcessor(OTLPSpanExporter()), _reader())


def _reader() -> "MetricReader | None":
    """What sends the numbers by OTLP; None if the variable of OpenTelemetry says `none`."""
    if not has_otel_metrics():
        return None
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    return PeriodicExportingMetricReader(OTLPMetricExporter())


def check_otel(*, is_on: bool) -> None:
    """Raise StartFailed if spans are on, and OpenTelemetry is not installed."""
    names = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
    try:
        missing = [name for name in names if is_on and find_spec(name) is None]
    except ModuleNotFoundError as error:
        missing = [error.name or names[0]]
    if missing:
        raise StartFailed("--otel needs the extra otel: pip install 'titan-broker[otel]'.")


def now_ns() -> int:
    """The time as spans have it, ns since 1970."""
    return time.time_ns()


def _span_context(trace: Trace) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags, TraceState

    _, trace_id, span_id, flags = trace.parent.split("-")
    state = TraceState.from_header([trace.state]) if trace.state else None
    flag = TraceFlags(int(flags, 16))
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=flag, trace_state=state)


def _context(parent: Trace) -> "Context":
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    return set_span_in_context(NonRecordingSpan(_span_context(parent)), Context()) if parent else Context()
