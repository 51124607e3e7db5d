"""Windows of unique keys, retries by hand of jobs that have keys, and keys that are freed by hand."""

import pytest

from broker.core.errors import NotFound
from broker.models.jobs import Job, NewJob
from broker.resp import keys
from tests.contract.building import GROUP, clock, reap_after, running, wait
from tests.contract.flows import enqueue_flow, keyed, settle
from tests.stores import Store


async def put(store: Store, job: NewJob) -> Job:
    """The job that a call with this one gives."""
    [made] = await enqueue_flow(store, job)
    return made


async def run(store: Store) -> Job:
    """Deliver the next job and end it."""
    [job] = await store.next(1, [GROUP])
    await store.succeed(GROUP, job.id, job.lease)
    await settle(store)
    return job


async def ends_at(store: Store, key: str = "doc-7") -> str | None:
    """When the window of a key ends; None without one."""
    return (await store.unique_keys.show(GROUP, key)).ends_at or None


async def test_a_follower_without_a_window_ends_the_window(store: Store) -> None:
    """The key that it takes over has none, and the reaper need not look at it."""
    await put(store, keyed("first", "follow", for_=60))
    [first] = await store.next(1)
    wait(store, 5)
    second = await put(store, keyed("second", "follow"))
    await store.succeed(GROUP, first.id, first.lease)
    await settle(store)
    assert (await store.unique_keys.show(GROUP, "doc-7")).holder == second.id
    assert await ends_at(store) is None
    assert not await store.redis.exists(keys.windows(store.partitions[0], GROUP))


async def test_the_window_of_a_follower_begins_when_it_has_the_key(store: Store) -> None:
    """Until then the key is that of the holder; from then on it is held for the whole window."""
    await put(store, keyed("first", "follow"))
    [first] = await store.next(1)
    second = await put(store, keyed("second", "follow", for_=60))
    assert await ends_at(store) is None
    wait(store, 30)
    await store.succeed(GROUP, first.id, first.lease)
    await settle(store)
    assert await ends_at(store) == clock(store, 60)
    await run(store)
    await reap_after(store, 59.999)
    assert (await put(store, keyed("third"))).id == second.id
    await reap_after(store, 0.001)
    assert not (await put(store, keyed("fourth"))).duplicate


async def test_a_retry_by_hand_has_the_window_of_its_job(store: Store) -> None:
    """A window that is open ends when it would have."""
    await put(store, keyed("first", for_=60))
    ended, end = await run(store), clock(store, 60)
    wait(store, 30)
    retry = await store.retry(GROUP, ended.id)
    held = await store.unique_keys.show(GROUP, "doc-7")
    assert (held.holder, held.ends_at) == (retry.id, end)


@pytest.mark.parametrize("is_reaped", [False, True])
async def test_a_retry_by_hand_begins_a_new_window(store: Store, *, is_reaped: bool) -> None:
    """At the end of the old one, whether that was noted already or not."""
    await put(store, keyed("first", for_=60))
    ended = await run(store)
    wait(store, 60)
    if is_reaped:
        await store.reap(100)
    retry = await store.retry(GROUP, ended.id)
    held = await store.unique_keys.show(GROUP, "doc-7")
    assert (held.holder, held.ends_at) == (retry.id, clock(store, 60))


async def test_a_retry_by_hand_of_a_job_whose_key_has_no_window(store: Store) -> None:
    """The retry holds the key until its end."""
    job = await put(store, keyed("first"))
    await store.cancel(GROUP, job.id)
    retry = await store.retry(GROUP, job.id)
    held = await store.unique_keys.show(GROUP, "doc-7")
    assert (held.holder, held.follower or None, held.ends_at or None) == (retry.id, None, None)
    await run(store)
    assert (await store.unique_keys.list(GROUP, 9))[0] == []


async def test_a_key_of_no_job_is_not_found(store: Store) -> None:
    """It can neither be shown nor freed."""
    await running(store)
    with pytest.raises(NotFound, match="No job holds this key"):
        await store.unique_keys.show(GROUP, "doc-7")
    with pytest.raises(NotFound, match="No job holds this key"):
        await store.unique_keys.free(GROUP, "doc-7")


@pytest.mark.parametrize("has_follower", [False, True])
async def test_a_key_that_was_freed_is_free_for_the_next_job(store: Store, *, has_follower: bool) -> None:
    """The next job is a job of its own; the jobs that had the key show none, and their ends do not free it again."""
    jobs = [await put(store, keyed(str(n), "follow", for_=60)) for n in range(1 + has_follower)]
    freed = await store.unique_keys.free(GROUP, "doc-7")
    assert (freed.holder, freed.follower or None) == (jobs[0].id, jobs[1].id if has_follower else None)
    assert not await store.redis.exists(keys.windows(store.partitions[0], GROUP))
    next_one = await put(store, keyed("next"))
    assert not next_one.duplicate
    for job in jobs:
        shown = await store.show(GROUP, job.id)
        assert not shown.unique
        assert not await store.redis.hexists(keys.job(store.partitions[0], job.id), "unique_until")
        await store.cancel(GROUP, job.id)
    await settle(store)
    assert (await store.unique_keys.show(GROUP, "doc-7")).holder == next_one.id


async def test_a_list_has_no_key_whose_window_is_over(store: Store) -> None:
    """The reaper may not have seen that yet."""
    await put(store, keyed("over", for_=5))
    await run(store)
    await put(store, keyed("held", for_=60, key="doc-8"))
    wait(store, 5)
    assert [held.key for held in (await store.unique_keys.list(GROUP, 9))[0]] == ["doc-8"]
