"""Histograms, the text format, and the lag of the event loop."""

import asyncio
import time

import pytest

from broker.metrics import process
from broker.metrics.exposition import BOUNDS_S, Family, Histogram, Sample, counter, gauge, histogram, labelled
from broker.metrics.http_requests import NO_ROUTE, RequestCounts
from broker.metrics.process import LoopLag
from broker.metrics.prometheus import OPENMETRICS, TEXT, exposition, text
from broker.metrics.summed import summed


def test_histogram_counts_into_the_first_bound_that_holds_it():
    """A time counts in the bucket of the first bound that is not below it, and in all above; times add up."""
    row = Histogram()
    for seconds in (0.0, BOUNDS_S[0], BOUNDS_S[0] * 1.001, 100.0):
        row.observe(seconds)
    buckets = {s.labels["le"]: s.value for s in row.samples({}) if s.suffix == "_bucket"}
    assert [buckets[str(bound)] for bound in BOUNDS_S[:2]] == [2, 3]
    assert buckets["30.0"] == 3
    assert buckets["+Inf"] == 4
    assert row.total_s == pytest.approx(100 + BOUNDS_S[0] * 2.001)


def test_text_is_what_prometheus_reads():
    """A family has its help and type once, labels are quoted. Families of one name are merged."""
    families = [
        counter("a_total", "A thing.", [Sample(3, {"x": 'say "hi"\\\n'})]),
        gauge("b", "B.", [Sample(0.25)]),
        counter("a_total", "A thing.", [Sample(12_345_678_901, {"x": "y"})]),
    ]
    assert text(families) == (
        "# HELP a_total A thing.\n# TYPE a_total counter\n"
        'a_total{x="say \\"hi\\"\\\\\\n"} 3.0\na_total{x="y"} 1.2345678901e+10\n'
        "# HELP b B.\n# TYPE b gauge\nb 0.25\n"
    )


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2", OPENMETRICS),
        ("application/openmetrics-text; q=0.1, text/plain", TEXT),
        ("application/openmetrics-text; version=abc; escaping=x", OPENMETRICS),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=much", TEXT),
        (",;=,;q=,", TEXT),
    ],
)
def test_accept_chooses_the_format(accept: str, kind: str):
    """A client gets OpenMetrics only if it prefers that; a header that nobody understands is no error."""
    body, found = exposition([gauge("b", "B.", [Sample(1)])], accept)
    assert found == kind
    assert body.endswith(b"# EOF\n") is (kind == OPENMETRICS)


def test_processes_are_summed():
    """Counters and histograms of processes are added up, gauges as they say, and each keeps its own where it must."""
    by_process = {
        number: [
            counter("c_total", "C.", [Sample(n, {"verb": "next"})]),
            histogram("h", "H.", [({}, _seen(n))]),
            gauge("most", "M.", [Sample(n)], "max"),
            gauge("least", "L.", [Sample(n)], "min"),
            gauge("own", "O.", [Sample(n)], "each"),
        ]
        for number, n in ((0, 2.0), (1, 3.0))
    }
    found = {one.name: one for one in summed(by_process)}
    assert _values(found["c_total"]) == [5]
    assert [sample.value for sample in found["h"].samples if sample.suffix == "_sum"] == [5]
    assert (_values(found["most"]), _values(found["least"])) == ([3], [2])
    assert [(sample.labels, sample.value) for sample in found["own"].samples] == [
        ({"process": "0"}, 2),
        ({"process": "1"}, 3),
    ]


def _seen(seconds: float) -> Histogram:
    row = Histogram()
    row.observe(seconds)
    return row


def _values(family: Family) -> list[float]:
    return [sample.value for sample in family.samples]


def test_labelled_adds_to_every_sample():
    """A label more, on every sample of a histogram too."""
    row = Histogram()
    row.observe(1)
    [family] = labelled([histogram("h", "H.", [({"verb": "next"}, row)])], process="1")
    assert all(sample.labels["process"] == "1" and sample.labels["verb"] == "next" for sample in family.samples)
    assert {sample.suffix for sample in family.samples} == {"_bucket", "_count", "_sum"}


def test_requests_without_a_route():
    """A request without a route is counted as none, and a route's own statuses separately."""
    requests = RequestCounts(["enqueue", "next"])
    requests.observe(NO_ROUTE, 404, 0.1)
    requests.observe(0, 404, 0.1)
    requests.observe(1, 200, 0.1)
    told = text(requests.families())
    assert 'titan_requests_total{status="404",verb="none"} 1.0' in told
    assert 'titan_requests_total{status="404",verb="enqueue"} 1.0' in told
    assert 'titan_requests_total{status="200",verb="next"} 1.0' in told


async def test_lag_sees_a_stall():
    """What holds the loop up is seen, as long as it was but for a look."""
    lag = LoopLag()
    running = asyncio.create_task(lag.run())
    await asyncio.sleep(0)
    time.sleep(0.2)  # noqa: ASYNC251 - holds the loop up, as it must not be
    while not lag.longest_s:
        await asyncio.sleep(0.001)
    running.cancel()
    assert 0.15 < lag.longest_s < 5
    assert "titan_loop_lag_max_seconds" in text(lag.families())


def test_lag_forgets_the_longest_after_two_windows(monkeypatch):
    """A stall is reported for a window at least, and not permanently."""
    lag = LoopLag()
    now = time.monotonic()
    told = []
    monkeypatch.setattr(process.time, "monotonic", lambda: now)
    for seconds in (0.5, 0.1, 0.1):
        lag.observe(seconds)
        told.append(lag.longest_s)
        now += process.WINDOW_S + 1
    assert told == [0.5, 0.5, 0.1]
