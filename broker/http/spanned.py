"""Runs the handlers of enqueue, next and finish within a span. Only a broker with the setting `otel` does."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web
from msgspec import Struct

from broker.core.errors import TitanError
from broker.core.spans import Kind, OpenSpan, Spans, now_ns
from broker.http.request.context import Call
from broker.http.responses import Response
from titan.tracing import Trace, trace_of

OPERATIONS: dict[str, tuple[str, Kind]] = {
    "enqueue": ("enqueue", "send"),
    "create_batch": ("enqueue", "send"),
    "add_to_batch": ("enqueue", "send"),
    "next": ("next", "receive"),
    "start": ("next", "receive"),
    "finish": ("finish", "settle"),
    "succeed": ("finish", "settle"),
    "fail": ("finish", "settle"),
    "release": ("finish", "settle"),
}
"""The operation of each verb that has a span, and its type."""


class _Job(Struct):
    id: str = ""
    group_name: str = ""
    traceparent: str = ""
    tracestate: str = ""

    @property
    def trace(self) -> Trace:
        return trace_of(self.traceparent, self.tracestate)


class _Answer(Struct):
    """What spans need of an answer: its jobs, or the outcomes of its items."""

    job: _Job | None = None
    jobs: list[_Job] = []
    results: list[_Job] = []


_answer = msgspec.json.Decoder(_Answer).decode


async def spanned(
    spans: Spans, verb: str, call: Call, handle: Callable[[], Awaitable[Response | web.StreamResponse]]
) -> Response | web.StreamResponse:
    """Run the handler. The jobs of an enqueue get its span as their parent. A `next` without jobs has no span."""
    operation, kind = OPERATIONS[verb]
    began_ns, given = now_ns(), call.trace()
    span = None
    if kind == "send":
        span = spans.begin(operation, kind, call.group, given, began_ns=began_ns)
        call.own_trace = span.trace
    try:
        response = await handle()
    except BaseException as fault:
        _end(span or spans.begin(operation, kind, call.group, given, job=call.job_id, began_ns=began_ns), [], fault)
        raise
    found = _answer(response.body) if isinstance(response, Response) and response.body else _Answer()
    jobs = found.jobs or ([found.job] if found.job else found.results)
    if span is None and (jobs or kind != "receive"):
        groups = {job.group_name for job in jobs}
        group = call.group or (groups.pop() if len(groups) == 1 else "")
        parent = given or (jobs[0].trace if len(jobs) == 1 else given)
        links = [job.trace for job in jobs] if kind == "receive" else []
        span = spans.begin(operation, kind, group, parent, links=links, began_ns=began_ns)
    if span is not None:
        _end(span, [job.id for job in jobs], None)
    return response


def _end(span: OpenSpan, ids: list[str], fault: BaseException | None) -> None:
    if len(ids) == 1:
        span.note(message_id=ids[0])
    elif ids:
        span.note(count=len(ids))
    if fault is not None:
        span.failed(fault.code if isinstance(fault, TitanError) else type(fault).__name__)
    span.end()
