"""The trace context of a job, as its settings have it: its traceparent, and the escaped tracestate.

A tracestate may have spaces, quotes and backslashes. Settings have none, so that scripts find the end of a text.
"""

from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import UNSET

from broker.models.jobs import NewJob, PlainJob
from broker.store.format.record import Settings
from titan.tracing import Trace, trace_of

New = TypeVar("New", bound=NewJob)
_ESCAPED = str.maketrans({"%": "%25", " ": "%20", '"': "%22", "\\": "%5C"})


def with_trace(settings: Settings, job: PlainJob) -> Settings:
    """The settings of a new job with its trace context, if it has a valid one."""
    parent = getattr(job, "traceparent", None)
    if not parent:
        return settings
    trace = trace_of(parent, getattr(job, "tracestate", None) or None)
    state = trace.state.translate(_ESCAPED)
    return msgspec.structs.replace(settings, traceparent=trace.parent, tracestate=state) if trace else settings


def trace_in(settings: Settings) -> Trace:
    """The trace context in the settings of a job."""
    return Trace(settings.traceparent, unquote(settings.tracestate)) if settings.traceparent else Trace()


def traced(jobs: Sequence[PlainJob], trace: Trace) -> Sequence[PlainJob]:
    """The jobs with the trace context of their call, but for those that have a valid one of their own."""
    return [_of_plain(job, trace) for job in jobs] if trace else jobs


def traced_job(job: New, trace: Trace) -> New:
    """The same for one job."""
    if not trace or trace_of(job.traceparent or None):
        return job
    return msgspec.structs.replace(job, traceparent=trace.parent, tracestate=trace.state or UNSET)


def _of_plain(job: PlainJob, trace: Trace) -> PlainJob:
    return traced_job(job if isinstance(job, NewJob) else NewJob(**msgspec.structs.asdict(job)), trace)
