"""A step of settle: what it does at once, what it leaves for the next one, and whom it tells."""

import msgspec
import pytest

from broker.models.batches import NewBatch
from broker.models.jobs import Job, NewJob
from broker.models.unique import Unique
from broker.resp import keys
from tests.contract.building import (
    GROUP,
    enqueue,
    ids,
    members_key,
    names,
    now_ms,
    partition,
    reap_after,
    status_of,
    succeeded,
    wait,
)
from tests.contract.flows import enqueue_flow, named, needs, settle
from tests.contract.listening import Heard
from tests.stores import Store

FAILED, CANCELLED = 3, 5
"""Where the counts of a group have its failed and its cancelled jobs."""


async def chain(store: Store, jobs: int, *, group: str = GROUP) -> list[Job]:
    """Jobs of which each waits for the one before."""
    links = [named(f"j{i}", ref=f"j{i}", after=[f"j{i - 1}"] if i else None) for i in range(jobs)]
    return await enqueue_flow(store, *links, group=group)


async def test_a_step_cancels_as_much_of_a_chain_as_it_may(store: Store) -> None:
    """B4 a chain has no recursion: what a step does not come to is in P:settle for the next one, once."""
    links = await chain(store, 8)
    await store.cancel(GROUP, links[0].id)
    key = keys.settle(partition(store, GROUP))
    assert (await store.maintenance.settle(4)).n == 1
    assert [await status_of(store, job) for job in links[:4]] == ["cancelled", "cancelled", "cancelled", "delayed"]
    assert [member.decode() for member in await store.redis.zrange(key, 0, -1)] == [links[2].id]
    assert await store.redis.zscore(keys.due(partition(store, GROUP)), "settle:") == now_ms(store)
    await settle(store, 4)
    assert {await status_of(store, job) for job in links} == {"cancelled"}
    assert await store.redis.exists(key) == 0
    assert await store.redis.zscore(keys.due(partition(store, GROUP)), "settle:") is None
    assert store.completer._tally.of(GROUP).counts[CANCELLED] == 8


async def test_a_step_takes_some_dependants_of_a_job(store: Store) -> None:
    """A job with more dependants than a step may handle stays in P:settle until all of them are settled."""
    [parent] = await enqueue_flow(store, named("parent"))
    children = await enqueue_flow(store, *(named(str(i), after=[parent.id]) for i in range(5)))
    [taken] = await store.next(1)
    await store.succeed(GROUP, parent.id, taken.lease)
    for queued, left in ((2, 1), (4, 1), (5, 0)):
        assert (await store.maintenance.settle(2)).n == left
        statuses = [await status_of(store, job) for job in children]
        assert statuses.count("queued") == queued
    assert sorted(await names(store, 10)) == ["0", "1", "2", "3", "4"]


async def test_a_job_that_waits_for_many_of_a_step(store: Store) -> None:
    """One step settles several parents of a job, in any order of their ends."""
    parents = await enqueue_flow(store, *(named(str(i)) for i in range(4)))
    [child] = await enqueue_flow(store, named("child", after=ids(parents)))
    for job in await store.next(3):
        await store.succeed(GROUP, job.id, job.lease)
    await store.maintenance.settle(100)
    assert (await status_of(store, child), await needs(store, child)) == ("delayed", 1)
    [last] = await store.next(1)
    await store.succeed(GROUP, last.id, last.lease)
    await settle(store)
    assert (await status_of(store, child), await needs(store, child)) == ("queued", 0)


async def test_a_job_that_waits_for_several_that_are_cancelled(store: Store) -> None:
    """It is cancelled with the first of them, once, and names that one."""
    parents = await enqueue_flow(store, *(named(str(i)) for i in range(3)))
    [child] = await enqueue_flow(store, named("child", after=ids(parents)))
    for parent in parents:
        await store.cancel(GROUP, parent.id)
    await store.maintenance.settle(100)
    found = await store.show(GROUP, child.id)
    assert (found.status, found.reason) == ("cancelled", "dependency")
    assert found.error == f"It waited for the job {min(ids(parents))}, which was cancelled."
    assert store.completer._tally.of(GROUP).counts[CANCELLED] == 4


async def test_priorities_and_delays_of_dependants(store: Store) -> None:
    """Those that one step queues come in their order of priority, and one with a delay waits for it from then on."""
    [parent] = await enqueue_flow(store, named("parent"))
    await enqueue_flow(
        store,
        named("low", after=[parent.id]),
        named("high", after=[parent.id], priority=2),
        named("late", after=[parent.id], delay=30),
        named("later", after=[parent.id], delay=40),
    )
    [taken] = await store.next(1)
    await store.succeed(GROUP, parent.id, taken.lease)
    await settle(store)
    due = keys.due(partition(store, GROUP))
    assert await store.redis.zscore(due, f"delayed:{GROUP}") == now_ms(store) + 30_000
    assert await names(store, 10) == ["high", "low"]
    await reap_after(store, 29)
    assert await names(store, 10) == []
    await reap_after(store, 1)
    assert await names(store, 10) == ["late"]
    await reap_after(store, 9)
    assert await names(store, 10) == []
    await reap_after(store, 1)
    assert await names(store, 10) == ["later"]


@pytest.mark.parametrize("is_awaited", [True, False])
async def test_wake_for_dependants(store: Store, woken: Heard, *, is_awaited: bool) -> None:
    """A group whose dependants come into the queue is named while somebody waits for an image, and only then."""
    [parent] = await enqueue_flow(store, named("parent"))
    await enqueue_flow(store, named("a", after=[parent.id]), named("b", after=[parent.id]), group=GROUP)
    await enqueue_flow(store, named("later", after=[parent.id], delay=5), group="others")
    [taken] = await store.next(1)
    await enqueue(store, image="other")
    if is_awaited:
        assert await store.next(1, images=["none of these"], waits=True) == []
    await store.succeed(GROUP, parent.id, taken.lease)
    await woken()
    await settle(store)
    assert await woken() == [GROUP] * is_awaited


async def test_a_batch_that_is_gone_is_settled(store: Store) -> None:
    """An entry of P:settle for a batch that was deleted is removed."""
    key = keys.settle(partition(store, GROUP))
    await store.redis.zadd(key, {"batch:gone": now_ms(store)})
    await store.redis.zadd(keys.due(partition(store, GROUP)), {"settle:": now_ms(store)})
    await settle(store)
    assert await store.redis.exists(key) == 0


async def test_parents_that_are_gone(store: Store) -> None:
    """An entry of P:settle for a deleted job cancels those that wait for it; nothing is written to what is gone."""
    [parent] = await enqueue_flow(store, named("parent"))
    [child] = await enqueue_flow(store, named("child", after=[parent.id]))
    p = partition(store, GROUP)
    [taken] = await store.next(1)
    await store.succeed(GROUP, parent.id, taken.lease)
    for sets in (keys.jobs(p), keys.executions(p)):
        await store.redis.hdel(sets, parent.id)
    for sets in ("succeeded", "jobs"):
        await store.redis.zrem(f"{p}:group:{GROUP}:{sets}", parent.id)
    await settle(store)
    found = await store.show(GROUP, child.id)
    assert (found.status, found.error) == ("cancelled", f"It waited for the job {parent.id}, which is gone.")
    assert await store.redis.exists(keys.job(p, parent.id), f"{p}:undone:{parent.id}", f"{p}:inputs:{child.id}") == 0


async def test_delays_of_admitted_jobs(store: Store) -> None:
    """A delay is kept in whole seconds, also a long one."""
    job = (await store.enqueue(GROUP, [NewJob(image="post", delay=5000, start_within=9000)])).jobs[0]
    found = await store.show(GROUP, job.id)
    assert (found.delay, found.status) == (5000, "delayed")
    due = keys.due(partition(store, GROUP))
    assert await store.redis.zscore(due, f"delayed:{GROUP}") == now_ms(store) + 5_000_000
    assert await store.redis.zscore(due, f"expiring:{GROUP}") == now_ms(store) + 9_000_000
    await reap_after(store, 4999)
    assert await names(store, 10) == []


async def test_kinds_of_jobs_in_one_call(store: Store) -> None:
    """Jobs of several priorities, deadlines and delays in one call: each has its own, and the first timers count."""
    jobs = [
        named("low", start_within=50),
        named("high", start_within=20, priority=2),
        named("late", start_within=40, delay=10),
        named("later", start_within=45, delay=30),
        named("low too", start_within=50),
    ]
    await enqueue_flow(store, *jobs)
    due, now = keys.due(partition(store, GROUP)), now_ms(store)
    assert await store.redis.zscore(due, f"expiring:{GROUP}") == now + 20_000
    assert await store.redis.zscore(due, f"delayed:{GROUP}") == now + 10_000
    assert await names(store, 10) == ["high", "low", "low too"]
    await reap_after(store, 10)
    assert await names(store, 10) == ["late"]
    await reap_after(store, 20)
    assert await names(store, 10) == ["later"]


async def test_a_group_without_queued_jobs_is_listed(store: Store) -> None:
    """A call whose jobs all wait makes the group, too."""
    parent = await succeeded(store)
    held = await enqueue_flow(store, named("parent", delay=9, start_within=99), group="held")
    await enqueue_flow(store, named("child", after=[held[0].id]), group="waits")
    assert {group.name for group in (await store.groups.list(10))[0]} == {parent.group_name, "held", "waits"}


async def test_windows_of_keys_of_one_call(store: Store) -> None:
    """The first window that ends has the timer; a key without one has none."""
    lengths = {"a": 90, "b": 30, "c": None}
    await enqueue_flow(store, *(named(key, unique=Unique(key=key, for_=s)) for key, s in lengths.items()))
    p, now = partition(store, GROUP), now_ms(store)
    assert await store.redis.zscore(keys.due(p), f"windows:{GROUP}") == now + 30_000
    windows = dict(await store.redis.zrange(f"{p}:group:{GROUP}:windows", 0, -1, withscores=True))
    assert windows == {b"a": now + 90_000, b"b": now + 30_000}


async def test_a_step_that_cancels_members_does_no_more_than_it_may(store: Store) -> None:
    """Members of a stopped batch count in a step as jobs do."""
    batch, _ = await store.batches.create(GROUP, NewBatch(jobs=[named(str(i)) for i in range(3)]))
    [job] = await enqueue_flow(store, named("keyed", unique=Unique(key="k")))
    await store.batches.cancel(GROUP, batch.id)
    wait(store, 1)
    await store.cancel(GROUP, job.id)
    assert (await store.maintenance.settle(3)).n == 4
    assert await names(store, 10) == []
    await settle(store, 3)


async def test_the_first_rank_of_a_call_with_a_key_twice(store: Store) -> None:
    """A call that is written in two parts has its group in the ready index by the first of all its jobs."""
    [first, *_] = await enqueue_flow(
        store,
        named("high", unique=Unique(key="a"), priority=2),
        named("high again", unique=Unique(key="a")),
        named("low", unique=Unique(key="b")),
    )
    p = partition(store, GROUP)
    rank = await store.redis.zscore(members_key(store, GROUP, "queued"), first.id)
    assert await store.redis.zscore(keys.ready(p), GROUP) == rank
    assert await names(store, 10) == ["high", "low"]


async def test_jobs_that_follow_a_call(store: Store) -> None:
    """Jobs of a later call come behind those of an earlier one, also when a step of settle is between them."""
    [parent] = await enqueue_flow(store, named("parent"))
    await enqueue_flow(store, *(named(f"child {i}", after=[parent.id]) for i in range(3)))
    [taken] = await store.next(1)
    await store.succeed(GROUP, parent.id, taken.lease)
    await settle(store)
    await enqueue_flow(store, named("timed", start_within=60), named("timed too", start_within=60))
    await enqueue(store, payload="plain")
    assert await names(store, 4) == ["child 0", "child 1", "child 2", "timed"]
    assert await names(store, 4) == ["timed too", "plain"]


async def test_plain_jobs_of_a_call_with_others(store: Store) -> None:
    """A job of defaults has no settings in its record, whatever the others of its call have."""
    jobs = await enqueue_flow(store, named("plain"), named("timed", start_within=60), named("plain too"))
    records = await store.redis.hmget(keys.jobs(partition(store, GROUP)), ids(jobs))
    assert [record.startswith(f"{GROUP} ".encode()) for record in records] == [True, False, True]


async def test_large_jobs_with_the_same_key(store: Store) -> None:
    """Nothing is left of a staged payload whose job was not created."""
    jobs = await enqueue_flow(
        store, *(NewJob(image="post", payload="x" * 600_000, unique=Unique(key="k")) for _ in "ab")
    )
    assert jobs[0].id == jobs[1].id
    found = [key.decode() async for key in store.redis.scan_iter(f"{store.settings.key_prefix}:*:job:*")]
    assert found == [keys.job(partition(store, GROUP), jobs[0].id)]
    assert await store.redis.ttl(found[0]) == -1


async def test_many_jobs_are_late_at_once(store: Store) -> None:
    """Those of one round that were never delivered are failed together, wherever they wait; others are left alone."""
    [parent] = await enqueue_flow(store, named("parent"), group="parents")
    late = await enqueue_flow(
        store,
        named("queued", start_within=10),
        named("delayed", start_within=10, delay=100),
        named("held", start_within=10, after=[parent.id]),
        named("keyed", start_within=10, unique=Unique(key="k")),
        named("ends", end_within=10),
        named("both", start_within=5, end_within=10),
    )
    [early] = await enqueue_flow(store, named("early", start_within=11, end_within=20))
    await reap_after(store, 9)
    assert [await status_of(store, job) for job in late[:5]] == ["queued", "delayed", "delayed", "queued", "queued"]
    assert (await store.show(GROUP, late[5].id)).reason == "expired"
    await reap_after(store, 1)
    found = [await store.show(GROUP, job.id) for job in late]
    assert [(job.status, job.reason) for job in found] == [
        *[("failed", "expired")] * 4,
        ("failed", "timeout"),
        ("failed", "expired"),
    ]
    assert [job.deliveries for job in found] == [0] * 6
    assert await needs(store, late[2]) == 0
    assert await names(store, 10, (GROUP,)) == ["early"]
    assert await status_of(store, early) == "running"
    p = partition(store, GROUP)
    assert [member.decode() for member in await store.redis.zrange(keys.settle(p), 0, -1)] == [late[3].id]
    await settle(store)
    assert await store.redis.hlen(f"{p}:group:{GROUP}:unique") == 0
    assert store.completer._tally.of(GROUP).counts[FAILED] == 6


async def test_a_late_job_keeps_its_own_history(store: Store) -> None:
    """What was done to one of several late jobs is not said of the others."""
    first, second = await enqueue_flow(
        store, named("first", start_within=9, delay=50), named("second", start_within=10)
    )
    await store.jobs.promote(GROUP, first.id)
    await reap_after(store, 10)
    key = keys.job(partition(store, GROUP), second.id)
    lines = (await store.redis.hget(key, "history")).decode().splitlines()
    assert [msgspec.json.decode(line)["what"] for line in lines] == ["late"]
    lines = (await store.redis.hget(keys.job(partition(store, GROUP), first.id), "history")).decode().splitlines()
    assert [msgspec.json.decode(line)["what"] for line in lines] == ["promoted", "late"]
