"""Trace contexts of W3C: which texts are valid, and the context of this thread if OpenTelemetry is installed.

A trace context is a traceparent, such as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01, and a tracestate,
which belongs to it and may be empty. An invalid traceparent is ignored with its tracestate.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

MAX_TRACESTATE = 512
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_NAME = r"[a-z0-9][a-z0-9_*/-]{0,240}(?:@[a-z][a-z0-9_*/-]{0,13})?"
_MEMBER = re.compile(rf"{_NAME}=[ -+\--<>-~]{{0,255}}[!-+\--<>-~]", re.ASCII)
_MOST_MEMBERS = 32


class Trace(NamedTuple):
    """A trace context; both are '' for none."""

    parent: str = ""
    state: str = ""

    def __bool__(self) -> bool:
        return self.parent != ""

    def fields(self) -> dict[str, str]:
        """Its texts by the names of the headers: traceparent, and tracestate if it has one."""
        state = {"tracestate": self.state} if self.state else {}
        return {"traceparent": self.parent, **state} if self.parent else {}


NO_TRACE = Trace()


def trace_of(parent: str | None, state: str | None = None) -> Trace:
    """The trace context of two texts. None for one that is not valid."""
    if not parent or _PARENT.fullmatch(parent) is None:
        return NO_TRACE
    return Trace(parent, _valid_state(state or ""))


def current_trace() -> Mapping[str, str]:
    """The headers of the current trace context, if the program uses OpenTelemetry. Nothing is imported otherwise."""
    if "opentelemetry.trace" not in sys.modules:
        return {}
    carrier: dict[str, str] = {}
    importlib.import_module("opentelemetry.propagate").inject(carrier)
    return trace_of(carrier.get("traceparent"), carrier.get("tracestate")).fields()


@contextmanager
def attached(trace: Trace) -> Iterator[None]:
    """Make a trace context the current one inside the block, if the program uses OpenTelemetry.

    A current span of the same id stays: it is the one that the context names.
    """
    if not trace or "opentelemetry.trace" not in sys.modules:
        yield
        return
    tracing = importlib.import_module("opentelemetry.trace")
    if f"{tracing.get_current_span().get_span_context().span_id:016x}" == trace.parent.split("-")[2]:
        yield
        return
    context = importlib.import_module("opentelemetry.context")
    token = context.attach(importlib.import_module("opentelemetry.propagate").extract(trace.fields()))
    try:
        yield
    finally:
        context.detach(token)


def _valid_state(state: str) -> str:
    """The state without spaces around its members; '' if it is not valid."""
    if not state or len(state) > MAX_TRACESTATE:
        return ""
    members = [member.strip(" \t") for member in state.split(",")]
    members = [member for member in members if member]
    if len(members) > _MOST_MEMBERS or any(_MEMBER.fullmatch(member) is None for member in members):
        return ""
    return ",".join(members)
