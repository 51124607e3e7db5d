"""The spans of a broker with the setting otel, by the SDK's exporter in memory."""

from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from broker.core import measures
from broker.core.spans import Spans
from broker.http.app import DISPATCHER
from tests.api.client import Http

JOBS = "/v1/groups/g/jobs"
TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
PARENT = f"00-{TRACE:032x}-{SPAN:016x}-01"


@pytest.fixture
def exporter(http: Http, reader: InMemoryMetricReader) -> Iterator[InMemorySpanExporter]:
    """The broker sends its spans here."""
    exporter = InMemorySpanExporter()
    http.runner.app[DISPATCHER].context.spans = Spans("titan-broker", SimpleSpanProcessor(exporter), reader)
    yield exporter
    exporter.shutdown()


@pytest.fixture
def reader() -> InMemoryMetricReader:
    """What the broker measures is here."""
    return InMemoryMetricReader()


def measured(reader: InMemoryMetricReader) -> dict[tuple[str, str, str, str], float]:
    """The numbers of jobs, and of the times that were taken, by metric, operation, group and error."""
    found: dict[tuple[str, str, str, str], float] = {}
    data = reader.get_metrics_data()
    for metric in (one for of in data.resource_metrics for scope in of.scope_metrics for one in scope.metrics):
        for point in metric.data.data_points:
            names = ("messaging.operation.name", "messaging.destination.name", "error.type")
            labels = (str((point.attributes or {}).get(name, "")) for name in names)
            found[metric.name.removeprefix("messaging.client."), *labels] = getattr(point, "count", 0) or point.value
    return found


def shown(spans: Sequence[ReadableSpan]) -> list[tuple[str, str, str | None]]:
    """The name, kind and error of each span."""
    return [(span.name, span.kind.name, str((span.attributes or {}).get("error.type", "")) or None) for span in spans]


async def test_numbers_and_times(
    http: Http, exporter: InMemorySpanExporter, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs that were sent and consumed are counted and calls timed; refusals apart, and more groups than 100 as one."""
    monkeypatch.setattr(measures, "MOST_GROUPS", 1)
    await http("POST", JOBS, {"jobs": [{"image": "i"}, {"image": "i"}]})
    await http("POST", "/v1/groups/h/jobs", {"jobs": [{"image": "i"}]})
    await http("POST", JOBS, {"jobs": []})
    taken = (await http("GET", "/v1/jobs?n=3")).json["jobs"]
    assert (await http("GET", "/v1/jobs")).json == {"jobs": []}
    path = f"/v1/groups/{taken[0]['group_name']}/jobs/{taken[0]['id']}/success"
    await http("POST", path, {"lease": taken[0]["lease"]})
    assert measured(reader) == {
        ("sent.messages", "enqueue", "g", ""): 2,
        ("sent.messages", "enqueue", "_other", ""): 1,
        ("consumed.messages", "next", "", ""): 3,
        ("operation.duration", "enqueue", "g", ""): 1,
        ("operation.duration", "enqueue", "_other", ""): 1,
        ("operation.duration", "enqueue", "g", "invalid"): 1,
        ("operation.duration", "next", "", ""): 1,
        ("operation.duration", "finish", "g", ""): 1,
    }
    assert len(exporter.get_finished_spans()) == 5


async def test_life_of_a_job(http: Http, exporter: InMemorySpanExporter) -> None:
    """Enqueue is a child of the call's trace, and the parent of what follows; next links to the jobs that it gave."""
    body = {"jobs": [{"image": "i"}, {"image": "i"}]}
    made = (await http("POST", JOBS, body, traceparent=PARENT)).json["jobs"]
    taken = (await http("GET", "/v1/jobs?n=2")).json["jobs"]
    assert (await http("GET", "/v1/jobs")).json == {"jobs": []}
    lease = {"lease": taken[0]["lease"]}
    assert (await http("POST", f"{JOBS}/{taken[0]['id']}/success", lease)).status == 200
    assert (await http("POST", f"{JOBS}/{taken[0]['id']}/error", {"lease": "x"})).status == 409
    finishes = [{"group_name": "g", "id": taken[1]["id"], "status": "succeeded", "lease": taken[1]["lease"]}]
    assert (await http("POST", "/v1/jobs/finish", {"jobs": finishes})).status == 200
    spans = exporter.get_finished_spans()
    assert shown(spans) == [
        ("enqueue g", "PRODUCER", None),
        ("next g", "CLIENT", None),
        ("finish g", "CLIENT", None),
        ("finish g", "CLIENT", "wrong_state"),
        ("finish", "CLIENT", None),
    ]
    sent, next_, done, refused, bulk = spans
    assert sent.parent is not None
    assert (sent.context.trace_id, sent.parent.span_id) == (TRACE, SPAN)
    assert {job["traceparent"] for job in made} == {f"00-{TRACE:032x}-{sent.context.span_id:016x}-01"}
    assert [link.context.span_id for link in next_.links] == [sent.context.span_id] * 2
    assert done.parent is not None
    assert done.parent.span_id == sent.context.span_id
    counts = [(span.attributes or {}).get("messaging.batch.message_count") for span in spans]
    assert counts == [2, 2, None, None, None]
    ids = [(span.attributes or {}).get("messaging.message.id") for span in (done, refused, bulk)]
    assert ids == [taken[0]["id"], taken[0]["id"], taken[1]["id"]]
    assert all((span.attributes or {})["messaging.system"] == "titan" for span in spans)
    assert all(span.end_time > span.start_time for span in spans if span.end_time and span.start_time)


async def test_enqueue_without_a_trace_begins_one(http: Http, exporter: InMemorySpanExporter) -> None:
    """Its jobs belong to the new trace."""
    [job] = (await http("POST", JOBS, {"jobs": [{"image": "i"}]})).json["jobs"]
    [span] = exporter.get_finished_spans()
    assert span.parent is None
    assert (
        job["traceparent"]
        == f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"
    )


async def test_enqueue_that_is_refused(http: Http, exporter: InMemorySpanExporter) -> None:
    """The span has the code of the refusal."""
    assert (await http("POST", JOBS, {"jobs": []})).status == 400
    assert shown(exporter.get_finished_spans()) == [("enqueue g", "PRODUCER", "invalid")]


async def test_other_calls_have_no_span(http: Http, exporter: InMemorySpanExporter) -> None:
    """Only calls about the life of jobs have one."""
    await http("GET", JOBS)
    await http("GET", "/healthz")
    assert exporter.get_finished_spans() == ()
