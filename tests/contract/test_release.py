"""`release`: a released job is as it was before it was delivered."""

from collections.abc import Awaitable, Callable

import pytest

from broker.models.jobs import Job
from broker.resp import keys
from tests.contract.building import (
    GROUP,
    enqueue,
    ids,
    members_key,
    names,
    queued,
    reap_after,
    running,
    started,
    wait,
)
from tests.stores import Store

Bring = Callable[[Store], Awaitable[Job]]


async def running_shortly(store: Store) -> Job:
    return await running(store, lease_s=5)


async def hash_of(store: Store, job: Job) -> dict[bytes, bytes]:
    return dict(await store.redis.hgetall(keys.job(store.partitions[0], job.id)))


@pytest.mark.parametrize("bring", [running, started, running_shortly])
async def test_release_leaves_no_trace(store: Store, bring: Bring) -> None:
    """Nothing of the delivery is left but a line of history: the job is kept as one that was never delivered."""
    job = await bring(store)
    other = await queued(store)
    wait(store, 3)
    shown = await store.release(GROUP, job.id, job.lease or "")
    assert (shown.status, shown.deliveries, shown.started_at or None) == ("queued", 0, None)
    fields, never = await hash_of(store, job), await hash_of(store, other)
    assert fields.pop(b"history").count(b"\n") == 0
    assert fields == never
    assert not await store.redis.exists(keys.executions(store.partitions[0]))
    assert ids(await store.next(2)) == [job.id, other.id]


async def test_release_of_a_second_delivery(store: Store) -> None:
    """Of the deliveries only the released one is not counted."""
    await running(store, timeout=10)
    await reap_after(store, 10)
    [job] = await store.next(1)
    assert job.deliveries == 2
    assert (await store.release(GROUP, job.id, job.lease or "")).deliveries == 1


@pytest.mark.parametrize("delay", [1, 30])
async def test_release_for_later(store: Store, delay: int) -> None:
    """With a delay the job waits that long, and then has its old place."""
    first = await running(store, payload="first")
    await enqueue(store, payload="second")
    wait(store, 3)
    assert (await store.release(GROUP, first.id, first.lease or "", delay=delay)).status == "delayed"
    [due] = [
        score for _, score in await store.redis.zrange(members_key(store, GROUP, "delayed"), 0, -1, withscores=True)
    ]
    await reap_after(store, delay - 0.001)
    assert await store.redis.zcard(members_key(store, GROUP, "delayed")) == 1
    await reap_after(store, 0.001)
    assert int(due) == int(store.now)
    assert await names(store, 2) == ["first", "second"]


async def test_release_many_of_several_groups(store: Store) -> None:
    """One call releases jobs of several groups, which may dispatch them again at once."""
    jobs = [await running(store, group) for group in ("a", "b", "a")]
    await store.release_all(jobs)
    assert sorted(ids(await store.next(9))) == sorted(ids(jobs))
