"""GET /metrics: what was asked and how it was answered, and what is in the store."""

import asyncio
import re
import time
from typing import Any

import pytest

from broker.core.errors import Duplicate, StoreUnavailable
from broker.diagnostics.metrics_report import MetricsReport
from broker.metrics.prometheus import text
from broker.models.batches import NewBatch
from broker.models.groups import GroupSettings
from broker.models.jobs import Job, NewJob
from broker.models.unique import ON_CONFLICT, OnConflict, Unique
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
    assert found['titan_requests_total{status="201",verb="enqueue"}'] == 1
    assert found['titan_requests_total{status="404",verb="show"}'] == 2
    assert found['titan_requests_total{status="404",verb="none"}'] == 1
    assert found['titan_requests_total{status="405",verb="none"}'] == 1
    assert found['titan_request_seconds_count{verb="show"}'] == 2
    assert found['titan_request_seconds_bucket{le="+Inf",verb="show"}'] == 2
    assert 0 < found['titan_request_seconds_sum{verb="show"}'] < 10


async def test_metrics_count_a_client_that_hangs_up(http: Http) -> None:
    """A long poll whose client is gone is counted with status 499."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(http("GET", "/v1/jobs?wait=30"), 0.1)
    deadline = time.monotonic() + 10
    while 'titan_requests_total{status="499",verb="next"}' not in await samples(http):
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
    waits = {why: found[f'titan_jobs_waiting{{for="{why}",partition="0"}}'] for why in ("jobs", "key", "rate")}
    assert waits == {"jobs": 1, "key": 3, "rate": 3}
    assert found['titan_lanes_full{partition="0"}'] == 2
    assert found['titan_jobs_waiting{for="concurrency",partition="0"}'] == 3
    assert found['titan_jobs_waiting{for="pause",partition="0"}'] == 4


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
    first, _ = await metrics.exposition()
    await store.enqueue("g", [NewJob(image="x")])
    second, _ = await metrics.exposition()
    line = 'titan_jobs{partition="0",status="queued"} 1.0\n'
    assert line.encode() in first
    assert line.encode() in second
    await metrics.close()


async def test_metrics_count_jobs_once(http: Http, store: Store) -> None:
    """A job that was counted stays so when the counts are flushed to the store, and does not count again."""
    for n in (1, 2):
        await http.enqueue()
        told = text(store.counts.families())
        assert f'titan_jobs_enqueued_total{{group="g"}} {n}.0\n' in told
        assert await store.counts.flush()
        assert f'titan_jobs_enqueued_total{{group="g"}} {n}.0\n' in text(store.counts.families())


async def test_metrics_count_duplicates(store: Store) -> None:
    """New jobs with a key that another job holds are counted by their policy: found, refused, changed, or behind it."""

    async def counts() -> list[float]:
        [found] = [one for one in store.counts.families() if one.name == "titan_duplicates_total"]
        assert [sample.labels["policy"] for sample in found.samples] == list(ON_CONFLICT)
        return [sample.value for sample in found.samples]

    def keyed(policy: OnConflict | None, **fields: Any) -> NewJob:
        return NewJob(image="x", unique=Unique(key="k", on_conflict=policy), **fields)

    async def enqueue(policy: OnConflict | None, **fields: Any) -> Job:
        return (await store.enqueue("g", [keyed(policy, **fields)])).jobs[0]

    first = await enqueue(None)
    assert await counts() == [0, 0, 0, 0, 0]
    for policy in (None, "existing", "replace", "push"):
        await enqueue(policy, delay=5 if policy == "push" else 0)
    with pytest.raises(Duplicate):
        await enqueue("refuse")
    assert await counts() == [2, 1, 1, 1, 0]
    [taken] = await store.next(1)
    assert taken.id == first.id
    other = (await store.enqueue("g", [NewJob(image="x", after=[first.id])])).jobs[0]
    await enqueue("follow", after=[other.id])
    assert await counts() == [2, 1, 1, 1, 1]
    with pytest.raises(Duplicate):
        await store.batches.create("g", NewBatch(jobs=[keyed("refuse")]))
    assert await counts() == [2, 2, 1, 1, 1]


async def test_metrics_count_refusals(http: Http) -> None:
    """Each error that a client gets is counted by its word, also for a path that does not exist."""
    await http("GET", f"/v1/groups/g/jobs/{NO_JOB}")
    await http("GET", "/nowhere")
    await http("POST", "/v1/groups/g/jobs", {"jobs": 1})
    found = await samples(http)
    assert found['titan_refusals_total{word="not_found"}'] == 2
    assert found['titan_refusals_total{word="invalid"}'] == 1


async def test_metrics_in_the_format_that_is_accepted(http: Http) -> None:
    """Prometheus gets OpenMetrics when it asks for it, with the end that marks a whole answer."""
    reply = await http("GET", "/metrics", Accept="application/openmetrics-text;version=1.0.0,*/*;q=0.1")
    assert reply.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert reply.text.endswith("# EOF\n")
    assert (await http("GET", "/metrics")).headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_metrics_of_workers(http: Http) -> None:
    """Workers are counted by state, with the sums of their slots."""
    body = {"host": "h", "version": "1", "runner": "process", "slots": 4, "busy": 1, "running": []}
    for name, state in (("w1", "working"), ("w2", "quiet")):
        reply = await http("POST", "/v1/workers", {**body, "name": name, "state": state})
        assert reply.status == 200, reply.text
    await http.enqueue()
    found = await samples(http)
    assert [found[f'titan_workers{{state="{state}"}}'] for state in ("working", "quiet", "draining")] == [1, 1, 0]
    assert (found["titan_worker_slots"], found["titan_worker_busy"]) == (8, 2)
    assert found['titan_group_jobs{group="g",status="queued"}'] == 1
    assert found["titan_oldest_waiting_seconds"] >= 0
