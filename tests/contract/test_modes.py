"""Defaults that a group gives to its new jobs, and how brokers hear of them."""

from typing import Any

import pytest
from msgspec import UNSET

from broker.core.timestamps import rfc3339
from broker.diagnostics.consistency import check
from broker.models.batches import NewBatch
from broker.models.groups import GroupChanges
from broker.models.jobs import Job, NewJob, PlainJob
from broker.resp import keys
from tests.contract.building import GROUP, clock, configure, enqueue, new, reap_after
from tests.stores import Store

IMAGE = "post"


async def start_before(store: Store, **fields: Any) -> Any:
    """By when a new job with these fields must start, as the answer and the store have it."""
    job = await enqueue(store, **fields)
    assert (await store.jobs.show(GROUP, job.id)).start_before == job.start_before
    return job.start_before


async def test_a_job_without_a_time_gets_that_of_its_group(store: Store) -> None:
    """The job must start within the time of the group, and fails if nobody takes it, as with a time of its own."""
    await configure(store, start_within=120)
    job = await enqueue(store, payload="p", priority=1)
    assert (job.status, job.start_before, job.end_before) == ("queued", clock(store, 120), UNSET)
    delayed = await enqueue(store, delay=30)
    assert (delayed.status, delayed.delay, delayed.start_before) == ("delayed", 30, clock(store, 120))
    await reap_after(store, 120)
    assert [(await store.jobs.show(GROUP, one.id)).reason for one in (job, delayed)] == ["expired"] * 2
    assert not await check(store)


async def test_a_job_with_a_time_keeps_it(store: Store) -> None:
    """A time of the job stands, also beside jobs of the same call without one; end_within is none."""
    await configure(store, start_within=120)
    own = {"start_within": 7}, {"start_before": clock(store, 9)}, {"end_within": 50}, {}
    jobs = (await store.enqueue(GROUP, [new(**fields) for fields in own])).jobs
    assert [job.start_before for job in jobs] == [clock(store, s) for s in (7, 9, 120, 120)]


async def test_other_groups_are_as_they_were(store: Store) -> None:
    """A plain job of another group has no deadline, and no new key."""
    await configure(store, "other", start_within=120)
    assert await start_before(store) is UNSET
    assert not await store.redis.exists(keys.expiring(store.partitions[0], GROUP))


@pytest.mark.parametrize("has_own_fields", [False, True])
async def test_bodies_of_old_clients(store: Store, *, has_own_fields: bool) -> None:
    """A body of plain jobs, which most clients send, gets the default too."""
    await configure(store, start_within=60)
    job = NewJob(image=IMAGE, after=None) if has_own_fields else PlainJob(image=IMAGE)
    [created] = (await store.enqueue(GROUP, [job])).jobs  # type: ignore[list-item]
    assert created.start_before == clock(store, 60)


async def test_members_of_a_batch(store: Store) -> None:
    """They are new jobs of the group like any other."""
    await configure(store, start_within=60)
    batch, _ = await store.batches.create(GROUP, NewBatch(jobs=[NewJob(image=IMAGE)]))
    [member] = (await store.batches.members(GROUP, batch.id, 10))[0]
    assert member.start_before == clock(store, 60)


async def test_retries_are_not_new_jobs(store: Store) -> None:
    """A retry by hand has no time to start: whoever asks for it wants it to run."""
    await configure(store, start_within=5)
    job = await enqueue(store)
    await reap_after(store, 5)
    assert (await store.jobs.retry(GROUP, job.id)).start_before is UNSET


async def test_another_broker_reads_it(store: Store, other: Store) -> None:
    """A broker creates jobs as before until it has read what the group says, and forgets it when it is gone."""
    await configure(store, start_within=60)
    assert await start_before(other) is UNSET
    await other.modes.read()
    assert await start_before(other) == clock(store, 60)
    await store.groups.adjust(GROUP, GroupChanges(start_within=None))
    assert await start_before(store) is UNSET
    await other.modes.read()
    assert await start_before(other) is UNSET
    assert not await store.redis.exists(keys.modes(store.partitions[0]))


async def test_a_deleted_group_leaves_nothing(store: Store, other: Store) -> None:
    """A group of the same name begins without it."""
    await configure(store, start_within=60)
    await other.modes.read()
    await store.groups.delete_group(GROUP)
    assert not await store.redis.exists(keys.modes(store.partitions[0]))
    await other.modes.read()
    assert await start_before(store) is UNSET
    assert await start_before(other) is UNSET


async def again(store: Store, key: str) -> Job:
    """Send the same call with the same key."""
    enqueued = await store.enqueue(GROUP, [new(payload="p")], key)
    assert enqueued.is_replayed
    return enqueued.jobs[0]


async def test_a_repeated_call_gets_the_first_answer(store: Store) -> None:
    """The default may come, change and go between a call with an Idempotency-Key and its repetition."""
    [before] = (await store.enqueue(GROUP, [new(payload="p")], "before")).jobs
    await configure(store, start_within=60)
    [during] = (await store.enqueue(GROUP, [new(payload="p")], "during")).jobs
    assert (await again(store, "before"), await again(store, "during")) == (before, during)
    await configure(store, start_within=5)
    assert (await again(store, "before"), await again(store, "during")) == (before, during)
    await configure(store)
    assert (await again(store, "before"), await again(store, "during")) == (before, during)
    assert during.start_before == rfc3339(int(store.now) + 60_000)


async def test_check_finds_what_brokers_are_not_told(store: Store) -> None:
    """An entry that differs from the group is a finding, and is repaired from the group."""
    await configure(store, start_within=60)
    await configure(store, "other", paused=True)
    key = keys.modes(store.partitions[0])
    await store.redis.hset(key, mapping={f"group:{GROUP}": "{}", "group:other": '{"start_within":3}'})
    assert sorted((one.group, one.what) for one in await check(store)) == [
        (group, "has a wrong or missing entry in modes") for group in (GROUP, "other")
    ]
    await check(store, is_repair=True)
    assert await check(store) == []
    assert await store.redis.hgetall(key) == {f"group:{GROUP}".encode(): b'{"start_within":60}'}
