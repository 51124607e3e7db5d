"""Runs of a script over several groups at once, as calls of one moment share them: each group gets what is its own."""

from collections.abc import Sequence

import msgspec
import pytest

from broker.core.settings import BrokerSettings
from broker.models.groups import Retentions
from broker.models.jobs import Job
from broker.resp import keys
from tests.conftest import NOW
from tests.contract.building import (
    DAY_S,
    Run,
    configure,
    enqueue,
    ids,
    now_ms,
    partition,
    queued,
    running,
    running_many,
    started,
    status_of,
    wait,
)
from tests.contract.listening import Heard
from tests.stores import Store

SPEC = '{"image":"post"}'
Words = list[str | int]


def new_job(group: str, number: int, *, priority: int = 0, delay: int = 0) -> Words:
    """A batch of one job, as enqueue.lua takes it."""
    return [group, 1, priority, delay, "", f"{number:016}", SPEC]


async def enqueue_run(run: Run, store: Store, *jobs: Words) -> None:
    """One call of enqueue.lua for jobs of several groups."""
    without_delay = sum(1 for job in jobs if job[3] == 0)
    words = [word for job in jobs for word in job]
    await run("enqueue", now_ms(store), "", "", "", "", "", without_delay, 0, 0, "", *words)


def report(job: Job, status: str = "succeeded", *, has_lease: bool = True, new_id: str = "") -> Words:
    """A part with one report, as finish.lua takes it."""
    lease = job.lease or "" if has_lease else ""
    if status == "succeeded" and not new_id:
        return [job.group_name, status, 1, 2, job.id, lease]
    return [job.group_name, status, 1, 6, job.id, lease, "", "", "", new_id]


async def finish_run(run: Run, store: Store, *reports: Words) -> list[object]:
    """One call of finish.lua for jobs of several groups: its reply, 1 for what is done, of a refusal the word."""
    items: list[object] = await run("finish", now_ms(store), "", *[word for told in reports for word in told])
    return [item.partition(b" ")[0].decode() if isinstance(item, bytes) else 1 for item in items]


async def timer_of(store: Store, status: str, group: str) -> float | None:
    """When the timer of a set of the group is due, s from now."""
    at: float | None = await store.redis.zscore(keys.due(partition(store, group)), f"{status}:{group}")
    return at if at is None else (at - now_ms(store)) / 1000


@pytest.fixture
def limits() -> int:
    """No limit of bytes."""
    return 0


@pytest.fixture
def settings(settings: BrokerSettings, limits: int) -> BrokerSettings:
    """A broker with a limit of bytes."""
    return msgspec.structs.replace(settings, max_group_bytes=limits)


async def test_enqueue_wakes_for_what_comes_into_ready(store: Store, run: Run, woken: Heard) -> None:
    """Each group that becomes ready is named once; one that was, or has only delayed jobs, is not."""
    await queued(store, "before")
    await woken()
    jobs = [new_job("a", 1), new_job("before", 2, priority=2), new_job("later", 3, delay=5), new_job("b", 4)]
    await enqueue_run(run, store, *jobs, new_job("a", 5, delay=7), new_job("a", 6, priority=1))
    assert sorted(await woken()) == ["a", "b"]
    assert ids(await store.next(2)) == [f"{number:016}" for number in (2, 6)]


async def test_enqueue_wakes_nobody_for_a_group_that_was_ready(store: Store, run: Run, woken: Heard) -> None:
    """Jobs that go before those of groups which are ready move these, and that is no news."""
    for group in ("a", "b"):
        await queued(store, group, payload="later")
    await woken()
    await enqueue_run(run, store, new_job("b", 1, priority=1), new_job("a", 2, priority=1), new_job("a", 3))
    assert await woken() == []
    assert ids(await store.next(2)) == [f"{1:016}", f"{2:016}"]


@pytest.mark.parametrize("limit", [{"paused": True}, {"max_concurrency": 1}, {"rate_limit": 1}])
async def test_enqueue_beside_a_group_with_settings(
    store: Store, run: Run, woken: Heard, limit: dict[str, object]
) -> None:
    """A group that may dispatch nothing is not published, nor ready; others in the call are, new or moved ahead."""
    await configure(store, "held", **limit)
    await queued(store, "held")
    await store.next(1)
    await queued(store, "before")
    await woken()
    jobs = [new_job("held", 1, priority=2), new_job("a", 2), new_job("before", 3, priority=1), new_job("b", 4)]
    await enqueue_run(run, store, *jobs)
    assert sorted(await woken()) == ["a", "b"]
    assert [job.group_name for job in await store.next(9)] == ["before", "before", "a", "b"]


async def test_enqueue_tells_nobody_who_does_not_wait(store: Store, run: Run, woken: Heard) -> None:
    """Several new groups are not published while no broker polls."""
    await store.redis.delete(keys.pollers(store.partitions[0]))
    await enqueue_run(run, store, new_job("a", 1), new_job("b", 2))
    assert await woken() == []
    assert len(await store.next(9)) == 2


async def test_enqueue_makes_groups(store: Store, run: Run) -> None:
    """Every group is known since its first job, also one that has only delayed jobs; later jobs change nothing."""
    await configure(store, "set", max_concurrency=1)
    for number, delay in ((0, 0), (10, 5), (20, 0), (30, 5)):
        names = ("a", "b", "set") if number else ("a", "set")
        jobs = [new_job(group, number + at, delay=delay) for at, group in enumerate(names)]
        other = new_job(f"other-{number}", number + 9, delay=5 - delay)
        await enqueue_run(run, store, *jobs, other)
        wait(store, 1)
    made = await store.redis.zrange(keys.groups(store.partitions[0]), 0, -1, withscores=True)
    assert {name.decode(): score - NOW for name, score in made} == {
        "set": 0,
        "a": 0,
        "other-0": 0,
        "b": 1000,
        "other-10": 1000,
        "other-20": 2000,
        "other-30": 3000,
    }


async def test_enqueue_tells_the_first_timer(store: Store, run: Run, timers: Heard) -> None:
    """Of the timers of a call only the first is published, and only if it is before all existing ones."""
    await enqueue(store, "before", delay=20)
    await timers()
    await enqueue_run(run, store, new_job("a", 1, delay=30), new_job("b", 2, delay=21), new_job("c", 3, delay=40))
    assert await timers() == []
    jobs = [new_job("a", 4, delay=25), new_job("b", 5, delay=7), new_job("b", 6, delay=15), new_job("c", 7, delay=8)]
    await enqueue_run(run, store, *jobs)
    assert await timers() == [str(now_ms(store) + 7000)]
    wanted = {"before": 20, "a": 25, "b": 7, "c": 8}
    assert {group: await timer_of(store, "delayed", group) for group in wanted} == wanted
    await enqueue_run(run, store, new_job("b", 8, delay=9), new_job("d", 9, delay=30))
    assert await timers() == []


async def test_next_tells_the_first_timer(store: Store, timers: Heard) -> None:
    """Of several groups' leases the one that ends first is published; each group has its own timer."""
    timeouts = {"a": [50, 40], "b": [90, 20], "c": [30]}
    for group, each in timeouts.items():
        for timeout in each:
            await enqueue(store, group, timeout=timeout)
    assert len(await store.next(9)) == 5
    assert await timers() == [str(now_ms(store) + 20_000)]
    assert [await timer_of(store, "running", group) for group in timeouts] == [40, 20, 30]


async def test_finish_with_and_without_settings(store: Store, run: Run, woken: Heard) -> None:
    """In one call each group's own settings apply: token required or not, retention, what comes into ready."""
    await configure(store, "short", retention=Retentions(succeeded=60))
    await configure(store, "full", max_concurrency=1)
    await configure(store, "strict", require_lease=True)
    jobs = {group: await running(store, group) for group in ("plain", "short", "full", "strict", "last")}
    more = await queued(store, "full")
    await woken()
    wait(store, 5)
    reports = [report(job, has_lease=False) for job in jobs.values()]
    assert await finish_run(run, store, *reports) == [1, 1, 1, "LEASE_LOST", 1]
    assert await woken() == ["full"]
    assert [await timer_of(store, "succeeded", group) for group in jobs] == [DAY_S, 60, DAY_S, None, DAY_S]
    assert await status_of(store, jobs["strict"]) == "running"
    assert await finish_run(run, store, report(jobs["strict"]), report(jobs["plain"], has_lease=False)) == [1, 1]
    assert ids(await store.next(9)) == [more.id]


async def test_finish_both_ways_in_several_groups(store: Store, run: Run, woken: Heard) -> None:
    """Retries of one group are not those of another; each is published where it can be dispatched."""
    retried, once, done = [
        await running(store, group, max_retries=retries, retries_delay=0)
        for group, retries in (("a", 1), ("b", 0), ("c", 1))
    ]
    await woken()
    reports = [report(retried, "failed", new_id="1" * 16), report(once, "failed", new_id="2" * 16), report(done)]
    assert await finish_run(run, store, *reports) == [1, 1, 1]
    assert await woken() == ["a"]
    assert ids(await store.next(9)) == ["1" * 16]
    assert [await status_of(store, job) for job in (retried, once, done)] == ["failed", "failed", "succeeded"]


async def test_finish_tells_the_first_timer(store: Store, run: Run, timers: Heard) -> None:
    """Of the timers of several groups the first is published once, and all exist."""
    await configure(store, "b", retention=Retentions(succeeded=20, failed=10))
    jobs = [await running(store, group, timeout=100) for group in ("a", "b", "b", "c")]
    await timers()
    reports = [
        report(job, status) for job, status in zip(jobs, ("succeeded", "succeeded", "failed", "failed"), strict=True)
    ]
    assert await finish_run(run, store, *reports) == [1] * 4
    assert await timers() == [str(now_ms(store) + 10_000)]
    kept = [("succeeded", "a"), ("succeeded", "b"), ("failed", "b"), ("failed", "c")]
    assert [await timer_of(store, *set_) for set_ in kept] == [DAY_S, 20, 10, 7 * DAY_S]


@pytest.mark.parametrize("status", ["succeeded", "failed"])
async def test_finish_leaves_nothing_of_the_runs(store: Store, run: Run, status: str) -> None:
    """A finished job keeps nothing of its delivery, whichever verb delivered it."""
    shortly, by_start = await running(store, "a", lease_s=5), await started(store, "b")
    jobs = [await running(store, "c"), shortly, by_start]
    assert await finish_run(run, store, *[report(job, status) for job in jobs]) == [1] * 3
    for job in jobs:
        kept = set(await store.redis.hkeys(keys.job(store.partitions[0], job.id)))
        assert kept <= {b"reason", b"error"}


@pytest.mark.parametrize("limits", [1000])
async def test_finish_frees_the_bytes_of_each_group(store: Store, run: Run) -> None:
    """Bytes are subtracted from the group that had them, also when a call reports on several groups."""

    async def sums(*groups: str) -> Sequence[float | None]:
        return [await store.redis.zscore(partition(store, group) + ":bytes", group) for group in groups]

    size = len(SPEC)
    jobs = {group: await running_many(store, n, group) for group, n in (("a", 3), ("b", 1), ("c", 2))}
    await enqueue_run(run, store, new_job("uncounted", 1))
    [uncounted] = await store.next(1)
    assert await sums("a", "b", "c", "uncounted") == [3 * size, size, 2 * size, None]
    reports = [report(job) for job in (uncounted, jobs["a"][0], jobs["b"][0])]
    assert await finish_run(run, store, *reports, report(jobs["a"][1], "failed")) == [1] * 4
    assert await sums("a", "b", "c", "uncounted") == [size, None, 2 * size, None]


async def test_delayed_and_queued_of_one_group(store: Store, run: Run, woken: Heard) -> None:
    """Of a group that gets both the queued one can be taken at once, and the delayed one when it is due."""
    await enqueue_run(run, store, new_job("a", 1, delay=5), new_job("a", 2), new_job("b", 3, delay=5))
    assert await woken() == ["a"]
    assert ids(await store.next(9)) == [f"{2:016}"]
    wait(store, 5)
    await store.reap(9)
    assert ids(await store.next(9)) == [f"{1:016}", f"{3:016}"]
