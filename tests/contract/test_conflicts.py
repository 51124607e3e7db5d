"""What else becomes of the holder of a unique key when a new job has the key: its place, its bytes, its timers."""

import msgspec
import pytest
from redis.asyncio import Redis

from broker.core.settings import BrokerSettings
from broker.diagnostics.consistency import check
from broker.models.jobs import Job, NewJob
from broker.resp import keys
from tests.contract.building import GROUP, names, reap_after, status_of
from tests.contract.flows import enqueue_flow, keyed, named, settle
from tests.stores import Store


async def put(store: Store, job: NewJob, group: str = GROUP) -> Job:
    """The job that a call with this one gives."""
    [made] = await enqueue_flow(store, job, group=group)
    return made


@pytest.mark.parametrize("priority", [0, 1])
async def test_replace_with_the_same_priority_keeps_the_place(store: Store, priority: int) -> None:
    """A job that is replaced again and again does not wait for those that came later, each time."""
    await put(store, keyed("first", priority=priority))
    await put(store, named("later", priority=priority))
    await put(store, keyed("second", "replace", priority=priority))
    assert await names(store, 9) == ["second", "later"]


async def test_replace_with_a_higher_priority_puts_the_group_ahead(store: Store) -> None:
    """A group whose first job has a higher priority now goes before others."""
    await put(store, keyed("first"))
    await put(store, named("other", priority=1), "notes")
    await put(store, keyed("second", "replace", priority=2))
    assert await check(store) == []
    assert await names(store, 9) == ["second", "other"]


async def test_replace_with_another_priority_puts_the_job_at_its_end(store: Store) -> None:
    """Those that have the priority already are before it."""
    await put(store, keyed("first"))
    await put(store, named("other", priority=1))
    await put(store, keyed("second", "replace", priority=1))
    assert await names(store, 9) == ["other", "second"]


async def test_replace_changes_the_deadline(store: Store) -> None:
    """The job has that of the new one, or none."""
    early = await put(store, keyed("early", start_within=5))
    late = await put(store, keyed("late", key="other"))
    await put(store, keyed("now late", "replace"))
    await put(store, keyed("now early", "replace", key="other", start_within=5))
    assert await check(store) == []
    await reap_after(store, 5)
    assert [await status_of(store, job) for job in (early, late)] == ["queued", "failed"]


async def test_replace_of_a_delayed_job_with_a_higher_priority(store: Store) -> None:
    """It is still delayed, and has the priority when it is due."""
    first = await put(store, keyed("first", delay=5))
    await put(store, keyed("second", "replace", priority=2, delay=5))
    await put(store, named("other", priority=1))
    assert await status_of(store, first) == "delayed"
    assert await check(store) == []
    await reap_after(store, 5)
    assert await names(store, 9) == ["second", "other"]


@pytest.mark.parametrize("payload", ["x", "text", "12345", "a longer text"])
async def test_replace_changes_the_bytes_of_the_group(
    store: Store, redis: Redis, settings: BrokerSettings, backend: str, payload: str
) -> None:
    """The sum is that of the jobs as they are now, whether the new payload is shorter, as long, or longer."""
    limited = Store(redis, msgspec.structs.replace(settings, max_group_bytes=1000), is_plain=backend == "fake")
    limited.now = store.now
    await put(limited, named("other"))
    await put(limited, keyed("1234"))
    before = int(await redis.zscore(f"{store.partitions[0]}:bytes", GROUP))
    await put(limited, keyed(payload, "replace"))
    assert await check(limited) == []
    assert await redis.zscore(f"{store.partitions[0]}:bytes", GROUP) == before + len(payload) - 4


async def test_replace_by_a_broker_with_a_limit_counts_the_bytes(
    store: Store, redis: Redis, settings: BrokerSettings, backend: str
) -> None:
    """All of them, since those of before were not counted."""
    limited = Store(redis, msgspec.structs.replace(settings, max_group_bytes=1000), is_plain=backend == "fake")
    limited.now = store.now
    await put(store, keyed("first"))
    await put(limited, keyed("second", "replace"))
    assert await check(limited) == []
    counted = int(await redis.zscore(f"{store.partitions[0]}:bytes", GROUP))
    await put(limited, keyed("second", key="other"))
    assert await redis.zscore(f"{store.partitions[0]}:bytes", GROUP) == 2 * counted


async def test_no_sum_of_bytes_begins_with_a_replacement(store: Store, redis: Redis) -> None:
    """Without a limit of bytes they are not counted, so a replacement changes none."""
    await put(store, keyed("first"))
    await put(store, keyed("longer than that", "replace"))
    assert not await redis.exists(f"{store.partitions[0]}:bytes")


async def test_a_push_with_a_shorter_delay_is_in_time(store: Store) -> None:
    """The job is due before it was, and the reaper sees that."""
    await put(store, keyed("first", "push", delay=100))
    await put(store, keyed("second", "push", delay=5))
    await reap_after(store, 5)
    assert await names(store) == ["second"]


async def test_only_the_last_follower_waits_for_the_holder(store: Store) -> None:
    """Those that it replaced are no dependants any more, so they need no room however many there are."""
    holder = await put(store, keyed("holder", "follow"))
    [_] = await store.next(1)
    followers = [await put(store, keyed(str(n), "follow")) for n in range(4)]
    p = store.partitions[0]
    assert await store.redis.zrange(keys.after(p, holder.id), 0, -1) == [f"{GROUP} {followers[-1].id}".encode()]
    await settle(store)
    assert [await status_of(store, job) for job in followers] == ["cancelled"] * 3 + ["delayed"]
    assert await check(store) == []


@pytest.mark.parametrize(("priority", "order"), [(0, ["again", "later"]), (2, ["later", "again"])])
async def test_replace_of_a_released_job(store: Store, priority: int, order: list[str]) -> None:
    """With the same priority it keeps its place while it waits; with another one it comes to the end of that."""
    await put(store, keyed("first"))
    [job] = await store.next(1)
    await store.release(GROUP, job.id, job.lease, 5)
    await put(store, named("later", priority=priority))
    await put(store, keyed("again", "replace", priority=priority))
    assert await check(store) == []
    await reap_after(store, 5)
    assert await names(store, 9) == order


async def test_replace_of_a_delayed_job_keeps_when_it_is_due(store: Store) -> None:
    """Only a push begins the delay again; and a job that was never queued gets no rank."""
    job = await put(store, keyed("first", delay=30))
    await put(store, keyed("second", "replace", priority=2))
    assert await store.redis.hget(keys.job(store.partitions[0], job.id), "rank") is None
    await reap_after(store, 1)
    assert await status_of(store, job) == "delayed"


async def test_replace_of_a_released_job_with_a_higher_priority(store: Store) -> None:
    """When its delay has ended it is at the end of its new priority, not at its old place."""
    await put(store, keyed("first"))
    [job] = await store.next(1)
    await store.release(GROUP, job.id, job.lease, 5)
    await put(store, keyed("urgent", "replace", priority=2))
    await put(store, named("other", priority=1))
    assert await check(store) == []
    await reap_after(store, 5)
    assert await names(store, 9) == ["urgent", "other"]
