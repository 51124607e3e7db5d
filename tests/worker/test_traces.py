"""What a worker does with the trace context of a job: environment, headers, and the context of Python functions."""

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from broker.models.jobs import Job
from titan.tracing import attached, current_trace, trace_of
from worker.runners.container_config import config_of
from worker.runners.environment import environment_of
from worker.runners.http import headers_of
from worker.table.entries import ContainerEntry, HttpEntry

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def job(**fields: str) -> Job:
    return Job(
        id="0" * 16, group_name="g", status="running", image="i", created_at="2026-11-23T00:00:00.000Z", **fields
    )


def test_environment_of_a_command() -> None:
    """It wins over a TRACEPARENT of the worker and of the group, as the job's own id does."""
    of_job = job(traceparent=PARENT, tracestate="a=1")
    of_job.env_vars = {"TRACEPARENT": "x"}
    environment = environment_of(of_job, {"TRACESTATE": "x"})
    assert (environment["TRACEPARENT"], environment["TRACESTATE"]) == (PARENT, "a=1")
    assert "TRACESTATE" not in environment_of(job(traceparent=PARENT), {})
    assert environment_of(job(), {}).keys().isdisjoint({"TRACEPARENT", "TRACESTATE"})


def test_environment_of_a_container() -> None:
    """It has the same variables."""
    assert f"TRACEPARENT={PARENT}" in config_of(ContainerEntry(), job(traceparent=PARENT))["Env"]


def test_headers_of_an_http_job() -> None:
    """They win over those of the entry. A job without a trace has none."""
    headers = headers_of(HttpEntry({"X": "y"}), job(traceparent=PARENT, tracestate="a=1"))
    assert (headers["traceparent"], headers["tracestate"]) == (PARENT, "a=1")
    assert headers_of(HttpEntry(), job()).keys().isdisjoint({"traceparent", "tracestate"})


def test_context_of_a_function() -> None:
    """A span that the function begins is a child of the job's, and what the function enqueues belongs to the trace."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    assert current_trace() == {}
    with attached(trace_of(PARENT, "a=1")):
        assert current_trace() == {"traceparent": PARENT, "tracestate": "a=1"}
        span = tracer.start_span("own")
        assert format(span.get_span_context().trace_id, "032x") == PARENT[3:35]
        span.end()
    with attached(trace_of("x")):
        assert current_trace() == {}


def test_span_that_is_current_already_stays() -> None:
    """A span of the worker that the context names stays the current one, so a function can note something in it."""
    span = TracerProvider(shutdown_on_exit=False).get_tracer("test").start_span("process")
    own = span.get_span_context()
    with (
        trace.use_span(span, end_on_exit=True),
        attached(trace_of(f"00-{own.trace_id:032x}-{own.span_id:016x}-01")),
    ):
        assert trace.get_current_span() is span
