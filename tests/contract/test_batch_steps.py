"""Batches: what one call of a script reads, writes and leaves alone."""

import pytest

from broker.core.errors import LimitReached, NotFound
from broker.diagnostics.consistency import check
from broker.models.batches import Batch, CallbackJob, NewBatch
from broker.models.jobs import Job, NewJob
from tests.contract.building import GROUP, Run, configure, now_ms, reap_after, wait
from tests.contract.flows import named, settle
from tests.contract.transfers import lines_of
from tests.stores import Store

LARGE = "x" * 400_000
"""Three of these payloads are more than one reply has room for."""
OVER = CallbackJob(image="post", payload="over")


async def create(store: Store, *jobs: NewJob, **fields: object) -> Batch:
    """A batch with these members."""
    batch, _ = await store.batches.create(GROUP, NewBatch(jobs=list(jobs), **fields))
    return batch


async def shown(store: Store, batch: Batch) -> Batch:
    """The batch now."""
    return await store.batches.show(GROUP, batch.id)


async def end_next(store: Store, how: str = "succeeded") -> Job:
    """End the first queued job."""
    [job] = await store.next(1)
    if how == "succeeded":
        return await store.succeed(GROUP, job.id, job.lease)
    return await store.fail(GROUP, job.id, job.lease, "bad_exit")


async def test_a_page_of_large_members(store: Store) -> None:
    """It ends with a mebibyte of jobs, and the next one begins there; one that ends with the batch has no cursor."""
    batch = await create(store, open=True)
    for _ in range(4):
        wait(store, 1)
        await store.batches.add(GROUP, batch.id, [named(LARGE)])
    page, cursor = await store.batches.members(GROUP, batch.id, 10)
    rest, end = await store.batches.members(GROUP, batch.id, 10, cursor)
    assert (len(page), len(rest), end) == (3, 1, "")
    assert len({job.id for job in page + rest}) == 4
    whole = await create(store, *[named(LARGE)] * 3)
    for n in (3, 10):
        page, cursor = await store.batches.members(GROUP, whole.id, n)
        assert (len(page), cursor) == (3, "")


async def test_a_retry_that_just_fits(store: Store) -> None:
    """The failed members count with their bytes: as many as the group may have are repeated, and not one more."""
    batch = await create(store, named("a"), named("b"), named("fine"))
    for how in ("failed", "failed", "succeeded"):
        await end_next(store, how)
    await settle(store)
    for most in ({"max_bytes": 59}, {"max_jobs": 1}):
        await configure(store, **most)
        with pytest.raises(LimitReached):
            await store.batches.retry_batch(GROUP, batch.id)
        assert not (await shown(store, batch)).retry_at
    await configure(store, max_bytes=60, max_jobs=2)
    again, _ = await store.batches.retry_batch(GROUP, batch.id)
    assert again.counts.total == 2
    assert await store.redis.zscore(f"{store.partitions[0]}:bytes", GROUP) == 60


async def test_a_retry_of_members_that_had_no_retries(store: Store) -> None:
    """Nor have the new jobs: they are queued at once, count no bytes where none are limited, and fail for good."""
    batch = await create(store, named("a"))
    job = await end_next(store, "failed")
    await settle(store)
    again, _ = await store.batches.retry_batch(GROUP, batch.id, "ann")
    [member], _ = await store.batches.members(GROUP, again.id, 9)
    assert b'"hooks":2,' in await store.redis.hget(f"{store.partitions[0]}:jobs", member.id)
    assert not await store.redis.exists(f"{store.partitions[0]}:bytes")
    last = (await store.jobs.history(GROUP, job.id)).events[-1]
    assert (last.what, last.by) == ("retried", "ann")
    await end_next(store, "failed")
    await settle(store)
    assert ((await shown(store, again)).state, (await shown(store, again)).counts.failed) == ("failed", 1)


async def test_a_list_leaves_out_a_batch_that_is_gone(store: Store) -> None:
    """Only its entry in the list of the group exists."""
    gone, left = await create(store, open=True), await create(store, open=True)
    await store.redis.unlink(f"{store.partitions[0]}:batch:{gone.id}")
    batches, _ = await store.batches.list(GROUP, 9)
    assert [batch.id for batch in batches] == [left.id]
    lines = [line for line in await lines_of(store) if line.startswith(b'{"batch"')]
    assert [left.id.encode() in line for line in lines] == [True]
    await check(store, is_repair=True)


async def test_a_batch_whose_total_was_wrong_ends_after_a_repair(store: Store) -> None:
    """All its members had ended before, so nothing else would have it end."""
    batch = await create(store, named("a"), on_over=OVER)
    await store.redis.hset(f"{store.partitions[0]}:batch:{batch.id}", "total", 3)
    await end_next(store)
    await settle(store)
    assert (await shown(store, batch)).state == "running"
    await check(store, is_repair=True)
    await settle(store)
    found = await shown(store, batch)
    assert (found.state, set(found.callbacks)) == ("succeeded", {"on_over"})


async def test_check_finds_a_member_that_its_batch_forgot(store: Store) -> None:
    """Its end was settled, but not counted: after the repair it counts."""
    batch = await create(store, named("a"), named("b"), on_over=OVER)
    job = await end_next(store)
    await settle(store)
    key = f"{store.partitions[0]}:batch:{batch.id}"
    await store.redis.zadd(f"{key}:unfinished", {job.id: 1})
    await store.redis.hincrby(key, "succeeded", -1)
    [found] = await check(store, is_repair=True)
    assert (found.job_id, found.what) == (job.id, "has ended, but its batch does not count it")
    await settle(store)
    assert await check(store) == []
    assert (await shown(store, batch)).counts.succeeded == 1
    await end_next(store)
    await settle(store)
    assert (await shown(store, batch)).state == "succeeded"


async def test_check_finds_a_member_that_is_gone(store: Store) -> None:
    """It counts as cancelled after the repair, and the batch ends."""
    batch = await create(store, named("a"), on_over=OVER)
    [job], _ = await store.batches.members(GROUP, batch.id, 9)
    p = store.partitions[0]
    await store.redis.hdel(f"{p}:jobs", job.id)
    await store.redis.zrem(f"{p}:group:{GROUP}:jobs", job.id)
    await store.redis.zrem(f"{p}:group:{GROUP}:queued", job.id)
    found = [one.what for one in await check(store, is_repair=True)]
    assert "is a member of a batch, but is no job" in found
    await settle(store)
    assert await check(store) == []
    ended = await shown(store, batch)
    assert (ended.state, ended.counts.cancelled, set(ended.callbacks)) == ("cancelled", 1, {"on_over"})


@pytest.mark.parametrize("boost", [0, 2])
async def test_the_place_of_a_callback_in_the_queue(store: Store, boost: int) -> None:
    """It comes to the end of its priority; with a priority_boost it is as far before that end of all as that says."""
    if boost:
        await configure(store, priority_boost=boost)
    over = CallbackJob(image="post", payload="over", priority=1)
    batch = await create(store, on_over=over)
    await settle(store)
    p, made = store.partitions[0], (await shown(store, batch)).callbacks["on_over"]
    last = int(await store.redis.get(f"{p}:sequence"))
    expected = 2 * 2**51 - boost + last if boost else 2**51 + last
    assert await store.redis.zscore(f"{p}:group:{GROUP}:queued", made) == expected


async def test_check_of_an_end_that_is_to_be_settled(store: Store) -> None:
    """A member that has just ended is no finding: the next settlement counts it."""
    await create(store, named("a"), on_over=OVER)
    await end_next(store)
    assert await check(store) == []


async def test_check_finds_a_batch_that_would_be_kept(store: Store) -> None:
    """One that has ended without a time for its deletion is kept for a day from the repair on."""
    batch = await create(store)
    await settle(store)
    await store.redis.zrem(f"{store.partitions[0]}:group:{GROUP}:ending", batch.id)
    [found] = await check(store, is_repair=True)
    assert found.what == f"has a batch that would be kept too long: {batch.id}"
    assert await check(store) == []
    await reap_after(store, 86_399)
    assert await shown(store, batch)
    await reap_after(store, 1)
    with pytest.raises(NotFound):
        await shown(store, batch)


async def test_a_batch_that_is_late_is_stopped_once(store: Store) -> None:
    """The reaper looks at it again when it is to be deleted, and not before."""
    batch = await create(store, named("a"), end_within=10)
    ending = f"{store.partitions[0]}:group:{GROUP}:ending"
    await reap_after(store, 10)
    assert ((await shown(store, batch)).stopped, await store.redis.exists(ending)) == ("end_within", 0)
    await settle(store)
    assert await store.redis.zscore(ending, batch.id) == now_ms(store) + 86_400_000
    cancelled = await create(store, named("b"))
    await store.batches.cancel(GROUP, cancelled.id)
    await settle(store)
    for one, why in ((batch, "which was not over in time."), (cancelled, "which was cancelled.")):
        [job], _ = await store.batches.members(GROUP, one.id, 9)
        assert job.error == f"It was a member of the batch {one.id}, {why}"


async def test_bytes_of_a_callback(store: Store) -> None:
    """Where bytes are limited a callback counts for its own."""
    await configure(store, max_bytes=1000)
    await store.modes.read()
    await create(store, on_over=OVER)
    await settle(store)
    assert await store.redis.zscore(f"{store.partitions[0]}:bytes", GROUP) == len('{"image":"post","payload":"over"}')


async def test_a_callback_leaves_its_group_as_old_as_it_is(store: Store) -> None:
    """A group that the callback makes is as old as the callback."""
    other = CallbackJob(image="post", payload="over", group_name="other")
    batch = await create(store, open=True, on_over=OVER)
    apart = await create(store, open=True, on_over=other)
    at = now_ms(store)
    wait(store, 60)
    for one in (batch, apart):
        await store.batches.close(GROUP, one.id)
    await settle(store)
    ages = await store.redis.zrange(f"{store.partitions[0]}:groups", 0, -1, withscores=True)
    assert ages == [(GROUP.encode(), at), (b"other", at + 60_000)]


async def test_a_step_counts_batches_without_members(store: Store) -> None:
    """Each that it ends counts as one job, so a step is bounded however many were closed."""
    for _ in range(3):
        await create(store)
    assert [(await store.maintenance.settle(2)).n for _ in range(2)] == [1, 0]


async def test_pages_end_with_the_last_batch(store: Store) -> None:
    """A list that has all batches of a group has no cursor."""
    for _ in range(2):
        await create(store, open=True)
    assert [len((await store.batches.list(GROUP, n))[0]) for n in (1, 2, 3)] == [1, 2, 2]
    assert [bool((await store.batches.list(GROUP, n))[1]) for n in (1, 2, 3)] == [True, False, False]


async def test_a_step_cancels_as_many_members_as_it_may(store: Store) -> None:
    """The others are cancelled by further steps, also those of another batch; no worker is notified of a queued one."""
    batches = [await create(store, *(named(str(n)) for n in range(3))) for _ in range(2)]
    for batch in batches:
        await store.batches.cancel(GROUP, batch.id)
    await store.maintenance.settle(4)
    assert sum([(await shown(store, batch)).counts.cancelled for batch in batches]) == 4
    await settle(store)
    assert sum([(await shown(store, batch)).counts.cancelled for batch in batches]) == 6
    assert not await store.redis.exists(f"{store.partitions[0]}:notices")


async def test_a_retry_has_the_keys_of_its_members(store: Store) -> None:
    """A new member takes a place of the key that the failed one had, or waits for one."""
    await configure(store, key_concurrency=1)
    batch = await create(store, named("a", key="acme"))
    await end_next(store, "failed")
    await settle(store)
    await store.enqueue(GROUP, [named("b", key="acme")])
    again, _ = await store.batches.retry_batch(GROUP, batch.id)
    [member], _ = await store.batches.members(GROUP, again.id, 9)
    assert (member.key, member.status) == ("acme", "delayed")
    assert [(found.queued, found.held) for found in (await store.lanes.list(GROUP, 9)).keys] == [(1, 1)]


async def test_the_reply_of_a_repeated_retry(store: Store, run: Run) -> None:
    """It says that the call created no job."""
    batch = await create(store, named("a"))
    await end_next(store, "failed")
    await settle(store)
    again, _ = await store.batches.retry_batch(GROUP, batch.id, key="k")
    reply = await run("batch_retry", store.now, GROUP, batch.id, "0" * 16, "k", 0, 0, "", "", "1" * 16)
    assert reply == [again.id.encode(), b"replayed", 0]
