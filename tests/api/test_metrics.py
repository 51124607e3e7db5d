"""GET /metrics: what was asked and how it was answered, and what is in the store."""

import asyncio
import re
import time

import pytest

from broker.core.errors import StoreUnavailable
from broker.diagnostics.metrics_report import MetricsReport
from broker.models.groups import GroupSettings
from broker.models.jobs import NewJob
from tests.api.client import NO_JOB, Http
from tests.conftest import NOW
from tests.stores import Store

LINE = re.compile(r'[a-z_]+(\{([a-z]+="[^"\n]*",?)+\})? -?[0-9.e+-]+')


async def samples(http: Http) -> dict[str, float]:
    """All samples by name and labels."""
    reply = await http("GET", "/metrics")
    lines = [line for line in reply.text.splitlines() if not line.startswith("#")]
    for line in lines:
        assert LINE.fullmatch(line), line
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_metrics_count_requests_by_verb_and_status(http: Http) -> None:
    """Each request is counted once under its verb and status, and timed under its verb."""
    await http.enqueue()
    await http("GET", f"/v1/groups/g/jobs/{NO_JOB}")
    await http("GET", f"/v1/groups/g/jobs/{NO_JOB}")
    await http("GET", "/nowhere")
    await http("PATCH", "/healthz")
    found = await samples(http)
    assert found['titan_requests_total{verb="enqueue",status="201"}'] == 1
    assert found['titan_requests_total{verb="show",status="404"}'] == 2
    assert found['titan_requests_total{verb="none",status="404"}'] == 1
    assert found['titan_requests_total{verb="none",status="405"}'] == 1
    assert found['titan_request_seconds_count{verb="show"}'] == 2
    assert found['titan_request_seconds_bucket{verb="show",le="+Inf"}'] == 2
    assert 0 < found['titan_request_seconds_sum{verb="show"}'] < 10


async def test_metrics_count_a_client_that_hangs_up(http: Http) -> None:
    """A long poll whose client is gone is counted with status 499."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(http("GET", "/v1/jobs?wait=30"), 0.1)
    deadline = time.monotonic() + 10
    while 'titan_requests_total{verb="next",status="499"}' not in await samples(http):
        assert time.monotonic() < deadline


async def test_metrics_count_jobs(http: Http, store: Store) -> None:
    """Jobs are counted by partition and status, statuses without a job too, and groups by partition."""
    await http.enqueue()
    await store.enqueue("other", [NewJob(image="x", delay=60), NewJob(image="x")])
    found = await samples(http)
    counts = {status: found[f'titan_jobs{{partition="0",status="{status}"}}'] for status in ("delayed", "queued")}
    assert counts == {"delayed": 1, "queued": 2}
    assert found['titan_jobs{partition="0",status="failed"}'] == 0
    assert found['titan_groups{partition="0"}'] == 2
    assert found["titan_jobs_age_seconds"] < 5
    assert [value for name, value in found.items() if name.startswith("titan_store_up{server=")] == [1]


async def test_metrics_count_what_jobs_wait_for(http: Http, store: Store) -> None:
    """Jobs that may not be delivered yet are counted by what they wait for."""
    await store.configure("g", GroupSettings(key_concurrency=1))
    [first, *_] = (await store.enqueue("g", [NewJob(image="x", key=key) for key in "aaabb"])).jobs
    await store.enqueue("g", [NewJob(image="x", after=[first.id])])
    for name, settings in {
        "paused": GroupSettings(paused=True),
        "slow": GroupSettings(rate_limit=1),
        "full": GroupSettings(max_concurrency=1),
    }.items():
        await store.configure(name, settings)
        await store.enqueue(name, [NewJob(image="x")] * 4)
        await store.next(1, [name])
    found = await samples(http)
    waits = {why: found[f'titan_jobs_waiting{{partition="0",for="{why}"}}'] for why in ("jobs", "key", "rate")}
    assert waits == {"jobs": 1, "key": 3, "rate": 3}
    assert found['titan_jobs_waiting{partition="0",for="concurrency"}'] == 3
    assert found['titan_jobs_waiting{partition="0",for="pause"}'] == 4


async def test_metrics_tell_what_is_overdue(http: Http, store: Store) -> None:
    """A timer that no reaper looked at is as late as it is."""
    assert (await samples(http))['titan_overdue_seconds{partition="0"}'] == 0
    store.now = str(NOW)
    await store.enqueue("g", [NewJob(image="x", delay=1)])
    assert (await samples(http))['titan_overdue_seconds{partition="0"}'] > 0


async def test_metrics_without_the_store(http: Http, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store is away the rest is told all the same."""

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(store.redis, "zrange", away)
    found = await samples(http)
    assert [value for name, value in found.items() if name.startswith("titan_store_up{server=")] == [0]
    assert "titan_requests_total" not in found
    assert not any(name.startswith("titan_jobs") for name in found)
    assert found["process_cpu_seconds_total"] > 0


async def test_counting_rests(store: Store) -> None:
    """Jobs are not counted again for every scrape: what was counted is told until it is old."""
    metrics = MetricsReport(store)
    await store.enqueue("g", [NewJob(image="x")])
    first = await metrics.text()
    await store.enqueue("g", [NewJob(image="x")])
    second = await metrics.text()
    line = 'titan_jobs{partition="0",status="queued"} 1\n'
    assert line in first
    assert line in second
    await metrics.close()
