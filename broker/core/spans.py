"""Spans of OpenTelemetry, with the conventions for messaging. Without the setting `otel` nothing is imported for them.

The conventions are in development, so names may change with a release. Where spans are sent to, and how many, the OTEL_
variables of OpenTelemetry say.
"""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from broker.core.errors import StartFailed
from broker.core.version import own_version
from titan.tracing import NO_TRACE, Trace

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span, Tracer

Kind = Literal["send", "receive", "settle", "process"]
"""What an operation is: messaging.operation.type."""
_CLOSE_S = 2.0
"""How long the last spans may take to leave, s."""


class Spans:
    """Makes spans, and sends them until `close`. `processor`: gets the spans that ended."""

    def __init__(self, service: str, processor: "SpanProcessor") -> None:
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace import SpanKind

        own = {SERVICE_VERSION: own_version()}
        resource = Resource.create(own)
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: service}))
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(processor)
        self._processor = processor
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
        return OpenSpan(span, parent)

    async def close(self) -> None:
        """Send the last spans. A receiver that does not answer delays this by 2 s at most."""
        closing = threading.Thread(target=self._processor.shutdown, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, _CLOSE_S)


class OpenSpan:
    """A span that has begun."""

    def __init__(self, span: "Span", parent: Trace) -> None:
        self._span = span
        self._parent = parent

    @property
    def trace(self) -> Trace:
        """The trace context with this span as the parent."""
        own = self._span.get_span_context()
        return Trace(f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}", self._parent.state)

    def note(self, **attributes: Any) -> None:
        """Set attributes; `message_id` is messaging.message.id, and so on."""
        names = {"message_id": "messaging.message.id", "count": "messaging.batch.message_count"}
        self._span.set_attributes({names.get(name, name): value for name, value in attributes.items()})

    def failed(self, error: str) -> None:
        """The operation failed; `error` is the code of the refusal, or the reason of a job."""
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("error.type", error)
        self._span.set_status(StatusCode.ERROR)

    def end(self) -> None:
        """End it now."""
        self._span.end()

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

    return Spans(service, BatchSpanProcessor(OTLPSpanExporter()))


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
