"""`reap`: handles due timers, a bounded number at a time, and returns the time of the next one."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from broker.diagnostics.consistency import check
from broker.models.jobs import Job
from broker.resp import keys
from broker.store.format.maintenance_replies import Reaped
from tests.contract.building import (
    DAY_S,
    GROUP,
    Run,
    cancelled,
    clock,
    configure,
    delayed,
    enqueue,
    failed,
    ids,
    lose,
    members_key,
    new,
    now_ms,
    queued,
    reap_after,
    running,
    running_many,
    started,
    status_of,
    succeeded,
    touch,
    wait,
)
from tests.stores import Store

Bring = Callable[..., Awaitable[Job]]
DUE: list[tuple[Bring, float]] = [
    (delayed, 30),
    (running, 60),
    (started, 60),
    (succeeded, DAY_S),
    (cancelled, DAY_S),
    (failed, 7 * DAY_S),
]
"""When each job is due, in s."""


async def test_reap_of_an_empty_store(store: Store) -> None:
    """With nothing to do nothing is done, and there is no next timer."""
    assert await store.reap(100) == Reaped()


async def test_reap_leaves_queued_jobs(store: Store) -> None:
    """A queued job waits as long as it takes."""
    job = await queued(store)
    wait(store, 1000 * DAY_S)
    assert await store.reap(100) == Reaped()
    assert await status_of(store, job) == "queued"


@pytest.mark.parametrize(("bring", "due_s"), DUE)
async def test_reap_tells_the_next_timer(store: Store, bring: Bring, due_s: float) -> None:
    """A reap says how long it is until something is due: sooner than it is perhaps, but never later."""
    job = await bring(store)
    before = await status_of(store, job)
    assert 0 < (await store.reap(100)).wait_ms <= due_s * 1000
    wait(store, due_s - 0.001)
    assert await store.reap(100) == Reaped(wait_ms=1)
    assert await status_of(store, job) == before
    wait(store, 0.001)
    assert (await store.reap(100))[:4].count(1) == 1
    assert await status_of(store, job) != before


async def test_reap_promotes(store: Store) -> None:
    """A job whose delay has ended is queued."""
    job = await delayed(store)
    wait(store, 30)
    assert await store.reap(100) == Reaped(queued=1)
    assert await status_of(store, job) == "queued"


async def test_reap_promotes_in_order_of_time(store: Store) -> None:
    """Jobs that are due at once are queued in the order of their times, in their priorities."""
    for delay in (9, 3, 6):
        await enqueue(store, delay=delay, payload=str(delay))
    await enqueue(store, delay=9, payload="high", priority=1)
    await reap_after(store, 10)
    assert [job.payload for job in await store.next(9)] == ["high", "3", "6", "9"]


async def test_reap_requeues(store: Store) -> None:
    """A job that nobody touched is queued again under its id; nobody holds it, the delivery counts."""
    job = await running(store, timeout=10)
    wait(store, 10)
    assert await store.reap(100) == Reaped(requeued=1)
    again = await store.show(GROUP, job.id)
    assert (again.status, again.deliveries, again.created_at) == ("queued", 1, job.created_at)
    assert not again.expires_at


@pytest.mark.parametrize(("settings_", "limit"), [({}, 5), ({"delivery_limit": 1}, 1), ({"delivery_limit": 3}, 3)])
async def test_reap_at_the_delivery_limit(store: Store, settings_: dict[str, object], limit: int) -> None:
    """A job that was lost as often as its group allows, five times by default, is failed with reason timeout."""
    await configure(store, **settings_)
    job = await queued(store, timeout=10)
    for delivery in range(1, limit + 1):
        assert await status_of(store, job) == "queued"
        assert (await store.next(1))[0].deliveries == delivery
        await reap_after(store, 10)
    lost = await store.show(GROUP, job.id)
    assert (lost.status, lost.reason, lost.deliveries) == ("failed", "timeout", limit)
    assert lost.completed_at == clock(store)


async def test_reap_at_a_changed_delivery_limit(store: Store) -> None:
    """The limit that counts is the one at the time of the loss."""
    job = await running(store, timeout=10)
    await configure(store, delivery_limit=1)
    await reap_after(store, 10)
    assert await status_of(store, job) == "failed"


async def test_reap_does_not_count_released_deliveries(store: Store) -> None:
    """A delivery that was released takes nothing from the limit."""
    await configure(store, delivery_limit=2)
    job = await queued(store, timeout=10)
    for _ in range(3):
        [taken] = await store.next(1)
        await store.release(GROUP, job.id, taken.lease)
    await store.next(1)
    await reap_after(store, 10)
    assert await status_of(store, job) == "queued"


async def test_reap_retries_a_timeout(store: Store) -> None:
    """A job that is failed for its lost leases is retried as any failed one."""
    await configure(store, delivery_limit=1)
    job = await running(store, timeout=10, max_retries=1, retries_delay=7)
    wait(store, 10)
    assert await store.reap(100) == Reaped(failed=1, wait_ms=7000)
    old = await store.show(GROUP, job.id)
    retry = await store.show(GROUP, str(old.retry_at))
    assert (retry.retry_of, retry.max_retries, retry.status, retry.deliveries) == (job.id, 0, "delayed", 0)


async def test_reap_retries_many_timeouts_at_once(store: Store) -> None:
    """Each of many lost jobs gets a retry of its own."""
    await configure(store, delivery_limit=1)
    await running_many(store, 5, timeout=10, max_retries=1, retries_delay=0)
    wait(store, 10)
    assert (await store.reap(5)).failed == 5
    olds = (await store.list(GROUP, 9, statuses=["failed"]))[0]
    assert sorted(str(old.retry_at) for old in olds) == sorted(ids(await store.next(9)))


async def test_reap_limit(store: Store) -> None:
    """One call handles a limited number of jobs of all kinds and reports that more is due, until nothing is."""
    await store.enqueue("a", [new(delay=10) for _ in range(3)])
    await running_many(store, 4, "b", timeout=10)
    done: list[int] = []
    wait(store, 10)
    while (reaped := await store.reap(2)).wait_ms == 0:
        done.append(sum(reaped[:4]))
    assert done == [2, 2, 2]
    assert sum(reaped[:4]) == 1
    assert reaped.wait_ms is None
    assert len(await store.next(10)) == 7


async def test_reap_with_early_timers(store: Store) -> None:
    """A timer of a job that was touched or finished meanwhile does nothing, and the right one is set."""
    touched, finished = await running_many(store, 2, timeout=10)
    wait(store, 4)
    await touch(store, touched)
    await store.cancel(GROUP, finished.id)
    wait(store, 6)
    assert await store.reap(100) == Reaped(wait_ms=4000)


async def test_reap_says_how_late_it_is(store: Store) -> None:
    """Timers that are due and not yet handled show how late the oldest one is."""
    await store.enqueue(GROUP, [new(delay=10) for _ in range(2)])
    wait(store, 13)
    assert (await store.reap(1)).late_ms == 3000
    assert (await store.reap(1)).late_ms == 0


async def test_reap_by_two_at_once(store: Store) -> None:
    """However many reapers there are, each job is handled once."""
    await store.enqueue(GROUP, [new(delay=10) for _ in range(6)])
    jobs = await running_many(store, 6, "other", timeout=10)
    wait(store, 10)
    reaped = await asyncio.gather(*(store.reap(5) for _ in range(4)))
    assert [sum(column) for column in list(zip(*(r[:4] for r in reaped), strict=True))] == [6, 6, 0, 0]
    assert (await store.groups.show("other")).counts.queued == len(jobs)


async def test_reap_beside_next(store: Store) -> None:
    """Consumers that ask while the reaper works get each job once."""
    await store.enqueue(GROUP, [new(delay=10) for _ in range(9)])
    wait(store, 10)
    work = [job for _ in range(9) for job in (store.reap(1), store.next(1))]
    done = await asyncio.gather(*work)
    taken = [job.id for jobs in done if isinstance(jobs, list) for job in jobs] + ids(await store.next(9))
    assert len(taken) == len(set(taken)) == 9


async def test_reap_with_limit_zero(store: Store) -> None:
    """A limit of 0, as the readiness check has it, does nothing though jobs are due."""
    job = await delayed(store)
    wait(store, 40)
    assert await store.reap(0) == Reaped(wait_ms=0, late_ms=10_000)
    assert await status_of(store, job) == "delayed"
    await store.ready()
    assert await status_of(store, job) == "delayed"


@pytest.mark.parametrize(("bring", "due_s"), [(delayed, 30), (running, 60)])
async def test_reap_of_an_id_without_a_job(store: Store, bring: Bring, due_s: float) -> None:
    """An id without a record is removed from its set, so that it blocks nobody."""
    job = await bring(store)
    status = (await store.show(GROUP, job.id)).status
    await lose(store, job)
    wait(store, due_s)
    assert await store.reap(100) == Reaped(expired=1)
    assert not await store.redis.exists(members_key(store, GROUP, status))
    await check(store, is_repair=True)


async def test_reap_of_finished_jobs_of_several_groups(store: Store) -> None:
    """The limit is that of all that a call forgets."""
    for group in ("a", "a", "b", "b"):
        job = await running(store, group)
        await store.succeed(group, job.id, job.lease)
    await reap_after(store, 60)  # the timers of their leases are gone
    wait(store, 86_400)
    assert [(await store.reap(3)).expired for _ in range(3)] == [3, 1, 0]


async def test_reap_of_a_job_without_a_run(store: Store) -> None:
    """A running job without an execution counts as never delivered, and goes to the end of its priority."""
    await configure(store, delivery_limit=1)
    job, other = await running(store), await queued(store)
    await store.redis.hdel(keys.executions(store.partitions[0]), job.id)
    await reap_after(store, 60)
    assert ids(await store.next(2)) == [other.id, job.id]


async def test_reap_forgets_the_place_of_a_promoted_job(store: Store) -> None:
    """The rank of a job that is released with a delay is kept while it waits, and no longer."""
    job = await running(store)
    await store.release(GROUP, job.id, job.lease, delay=5)
    key = keys.job(store.partitions[0], job.id)
    assert await store.redis.hexists(key, "rank")
    await reap_after(store, 5)
    assert not await store.redis.hexists(key, "rank")


async def test_reap_says_where_leases_were_lost(store: Store, run: Run) -> None:
    """The reply has each group once: how many jobs went back, failed, were retried, were late and came as copies."""
    await configure(store, "other", delivery_limit=1)
    for group, max_retries in ((GROUP, 0), (GROUP, 0), ("other", 1), ("other", 0), ("other", 1)):
        await running(store, group, max_retries=max_retries)
    wait(store, 60)
    reply = await run("reap", now_ms(store), 10, *(f"{number:016}" for number in range(10)))
    assert reply[9:] == [GROUP.encode(), 2, 0, 0, 0, 0, b"other", 0, 3, 2, 0, 0]
