"""Limits that a group has of its own, `max_jobs` and `max_bytes`, and how full it is by them."""

import asyncio

import msgspec
import pytest

from broker.core.errors import Invalid, LimitReached, TooLarge
from broker.core.settings import BrokerSettings
from broker.diagnostics.consistency import check
from broker.models.batches import NewBatch
from broker.models.groups import GroupChanges
from broker.resp import keys
from tests.contract.building import GROUP, cancelled, configure, failed, new, queued
from tests.stores import Store

ONE_STORE = pytest.mark.parametrize("backend", ["valkey"])


@pytest.fixture
def settings(settings: BrokerSettings) -> BrokerSettings:
    """A broker with limits of its own, which groups replace."""
    return msgspec.structs.replace(settings, max_group_jobs=5)


async def put(store: Store, n: int, group: str = GROUP, **fields: int) -> int:
    """Enqueue n jobs; how full the group is then."""
    return (await store.enqueuer.enqueue(group, [new(**fields) for _ in range(n)])).full


async def test_a_group_has_more_or_fewer_jobs_than_the_broker_says(store: Store) -> None:
    """Its own max_jobs replaces the limit of the broker, up and down; other groups have that of the broker."""
    await configure(store, max_jobs=2)
    await configure(store, "large", max_jobs=8)
    await put(store, 2)
    await put(store, 8, "large")
    await put(store, 5, "plain")
    for group in (GROUP, "large", "plain"):
        with pytest.raises(LimitReached):
            await put(store, 1, group)
    assert (await store.groups.show(GROUP)).max_jobs == 2


async def test_how_full_a_group_is(store: Store) -> None:
    """From 80 % on an enqueue says how full the group is: by jobs, by bytes, by its limits or the broker's."""
    await configure(store, max_jobs=10)
    assert [await put(store, n) for n in (7, 1, 1)] == [0, 80, 90]
    await configure(store, "bytes", max_bytes=150, max_jobs=100)  # 16 bytes a job
    assert [await put(store, 1, "bytes") for _ in range(9)] == [0] * 7 + [85, 96]
    assert [await put(store, n, "plain") for n in (3, 1, 1)] == [0, 80, 100]
    await configure(store, "timed", max_jobs=4)
    assert [await put(store, n, "timed", start_within=60) for n in (3, 1)] == [0, 100]


async def test_one_call_that_alone_is_too_much(store: Store) -> None:
    """A client must not repeat it: 400 for jobs, 413 for bytes, by the limits of the group."""
    await configure(store, max_jobs=2, max_bytes=100)
    with pytest.raises(Invalid, match="2 unfinished jobs"):
        await put(store, 3)
    with pytest.raises(TooLarge):
        await store.enqueue(GROUP, [new(payload="x" * 100)])


async def test_groups_with_and_without_limits_in_one_iteration(store: Store) -> None:
    """Calls of one iteration of the event loop keep their own limits; a full group blocks no other."""
    await configure(store, max_jobs=1)
    await configure(store, "large", max_jobs=100)
    groups = [GROUP, "large", "plain", GROUP, "large", "plain"]
    outcomes = await asyncio.gather(
        *[put(store, 4 if name != GROUP else 1, name) for name in groups], return_exceptions=True
    )
    assert outcomes[:2] == [100, 0]
    assert outcomes[2] in {0, 80}
    assert [type(outcome) for outcome in outcomes[3:]] == [LimitReached, int, LimitReached]
    counts = [(await store.groups.show(name)).counts.queued for name in (GROUP, "large", "plain")]
    assert counts == [1, 8, 4]


@ONE_STORE
async def test_every_way_to_create_jobs_has_the_limit(store: Store) -> None:
    """Enqueues with a key, with fields of admit, members of batches and retries are all refused."""
    dead = await failed(store)
    stopped = await cancelled(store)
    await configure(store, max_jobs=1)
    await queued(store)
    for refused in (
        lambda: store.enqueue(GROUP, [new()], "key"),
        lambda: store.enqueue(GROUP, [new(start_within=9)]),
        lambda: store.batches.create(GROUP, NewBatch(jobs=[new()])),
        lambda: store.jobs.retry(GROUP, dead.id),
        lambda: store.jobs.retry_flow(GROUP, stopped.id),
    ):
        with pytest.raises(LimitReached):
            await refused()


@ONE_STORE
async def test_a_retry_counts_by_the_limits_of_the_group(store: Store) -> None:
    """A retry in a group with max_bytes counts its bytes, though its broker has no such limit."""
    job = await failed(store)
    await configure(store, max_bytes=1000, max_jobs=50)
    await store.jobs.retry(GROUP, job.id)
    assert await store.redis.zscore(store.partitions[0] + ":bytes", GROUP) == len(b'{"image":"post"}')
    assert await check(store) == []


@ONE_STORE
async def test_a_repeated_call_says_nothing_of_the_group(store: Store) -> None:
    """The answer to a repeated Idempotency-Key is the first one, though the group is full now."""
    await configure(store, max_jobs=1)
    first = await store.enqueuer.enqueue(GROUP, [new()], "key")
    again = await store.enqueuer.enqueue(GROUP, [new()], "key")
    assert (first.full, again.full, again.is_replayed) == (100, 0, True)
    assert again.jobs == first.jobs


@ONE_STORE
async def test_other_limits_take_hold_at_once(store: Store, other: Store) -> None:
    """Lower and higher limits hold for the next enqueue at this broker; another one reads them within seconds."""
    await configure(store, max_jobs=1)
    await put(store, 1)
    await other.modes.read()
    await store.groups.adjust(GROUP, GroupChanges(max_jobs=2))
    assert await put(store, 1) == 100
    await store.groups.adjust(GROUP, GroupChanges(max_jobs=None))
    assert await put(store, 1) == 0
    with pytest.raises(LimitReached):
        await put(other, 1)
    await other.modes.read()
    assert await put(other, 1) == 80


@ONE_STORE
async def test_check_of_what_brokers_know(store: Store) -> None:
    """P:modes has the settings that brokers need; a wrong entry is found and repaired from the group."""
    await configure(store, max_jobs=3, max_bytes=4000, priority_boost=7, start_within=60)
    key = keys.modes(store.partitions[0])
    text = b'{"start_within":60,"max_jobs":3,"max_bytes":4000,"priority_boost":7}'
    assert await store.redis.hgetall(key) == {f"group:{GROUP}".encode(): text}
    await store.redis.hset(key, f"group:{GROUP}", '{"max_jobs":9}')
    assert [one.what for one in await check(store, is_repair=True)] == ["has a wrong or missing entry in modes"]
    assert await store.redis.hgetall(key) == {f"group:{GROUP}".encode(): text}
