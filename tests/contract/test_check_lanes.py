"""`titan check` of the places of keys: what is in order, what is found, and what a repair does."""

from collections.abc import Awaitable, Callable

import pytest

from broker.diagnostics.consistency import check
from broker.models.jobs import Job
from broker.resp import keys
from tests.contract.building import GROUP, configure, names, reap_after, status_of
from tests.contract.flows import enqueue_flow, named, settle
from tests.stores import Store

Damage = Callable[[Store, str], Awaitable[object]]


def lane_of(store: Store, key: str = "acme") -> str:
    """The lane of a key."""
    return keys.lane(store.partitions[0], GROUP, key)


async def put(store: Store, *payloads: str, key: str | None = "acme", **fields: int | str) -> list[Job]:
    """Jobs of a key."""
    return await enqueue_flow(store, *(named(payload, key=key, **fields) for payload in payloads))


@pytest.mark.parametrize("is_strict", [False, True])
async def test_check_of_jobs_with_the_right_places(store: Store, *, is_strict: bool) -> None:
    """Queued, running, held, delayed and ended jobs, of a key or of none: nothing is wrong with them."""
    await configure(store, key_concurrency=2, key_strict=is_strict)
    await put(store, "runs", "queued", "held")
    await put(store, "plain", key=None, end_within=60)
    await put(store, "late", delay=9)
    await put(store, "parent", "child", key="blue")
    [released, *_] = await store.next(1, [GROUP])
    await store.release(GROUP, released.id, released.lease, 60)
    assert await check(store) == []  # settle has not looked at the lane yet
    await settle(store)
    [ended, *_] = await store.next(1, [GROUP])
    assert await check(store) == []
    await store.succeed(GROUP, ended.id, ended.lease)
    assert await check(store) == []  # nor at this end
    await settle(store)
    assert await check(store) == []


async def test_check_of_the_very_first_job(store: Store) -> None:
    """It has the rank 1, and may wait for a place with that: nothing is wrong."""
    await configure(store, key_concurrency=1)
    first, _ = await put(store, "first", "second", priority=2)
    taken = await store.start(GROUP, first.id)
    await store.release(GROUP, first.id, taken.lease, 5)
    await settle(store)
    await reap_after(store, 5)
    assert await status_of(store, first) == "delayed"
    assert await store.redis.zscore(lane_of(store), first.id) == 1
    assert await check(store) == []


async def _count(store: Store, held_id: str) -> None:
    await store.redis.zadd(keys.keys_of(store.partitions[0], GROUP), {"acme": 5})


async def _other_key(store: Store, held_id: str) -> None:
    [blue] = await put(store, "blue", key="blue")
    await store.redis.zadd(lane_of(store), {blue.id: 0})
    await store.redis.zadd(keys.keys_of(store.partitions[0], GROUP), {"acme": 3})


async def _queued_but_waiting(store: Store, held_id: str) -> None:
    [queued_id] = await store.redis.zrange(lane_of(store), 0, 0)
    await store.redis.zadd(lane_of(store), {queued_id: 7})


async def _held_with_a_place(store: Store, held_id: str) -> None:
    await store.redis.zadd(lane_of(store), {held_id: 0})


async def _ended(store: Store, held_id: str) -> None:
    [third] = await put(store, "third")
    await store.cancel(GROUP, third.id)
    await settle(store)
    await store.redis.zadd(lane_of(store), {third.id: 0})
    await store.redis.zadd(keys.keys_of(store.partitions[0], GROUP), {"acme": 3})


async def _of_no_key(store: Store, held_id: str) -> None:
    await store.redis.zadd(lane_of(store, "gone"), {held_id: 0})
    await store.redis.zadd(keys.keys_of(store.partitions[0], GROUP), {"gone": 1})


async def _held_without_a_rank(store: Store, held_id: str) -> None:
    await store.redis.zrem(lane_of(store), held_id)
    await store.redis.zadd(keys.keys_of(store.partitions[0], GROUP), {"acme": 1})


DAMAGES: dict[str, tuple[Damage, list[str]]] = {
    "the number of jobs is wrong": (_count, ["says that a key has 5 jobs; it has 2: acme"]),
    "a job of another key": (_other_key, ["is in the lane of a key without a reason"]),
    "a job that has ended": (_ended, ["is in the lane of a key without a reason"]),
    "a key that no job has": (_of_no_key, ["is in the lane of a key without a reason"]),
    "a queued job waits": (
        _queued_but_waiting,
        [
            "has a key whose jobs wait although places are free: acme",
            "has no place in the lane of its key",
            "is in the lane of a key without a reason",
        ],
    ),
    "a held job has a place": (
        _held_with_a_place,
        ["is held for its key, but does not wait in its lane", "is in the lane of a key without a reason"],
    ),
    "a held job is in no lane": (_held_without_a_rank, ["is held for its key, but does not wait in its lane"]),
}


@pytest.mark.parametrize("what", DAMAGES)
async def test_check_repairs_places(store: Store, what: str) -> None:
    """Each damage is found by what it is, and nothing that the repair did; then one job goes after the other."""
    await configure(store, key_concurrency=1)
    first, held = await put(store, "first", "second")
    damage, expected = DAMAGES[what]
    await damage(store, held.id)
    assert sorted(one.what for one in await check(store)) == expected
    assert {one.what for one in await check(store, is_repair=True)} <= set(expected)
    await settle(store)
    assert await check(store) == []
    assert (await status_of(store, first), await status_of(store, held)) == ("queued", "delayed")
    [taken, *_] = await store.next(9, [GROUP])
    assert taken.id == first.id
    await store.succeed(GROUP, taken.id, taken.lease)
    await settle(store)
    assert await names(store, 9) == ["second"]


async def test_a_repair_gives_a_free_place(store: Store) -> None:
    """A held job that no lane had is queued, though there is no other job whose end would give it a place."""
    await configure(store, key_concurrency=1)
    first, held = await put(store, "first", "second")
    await _held_without_a_rank(store, held.id)
    taken = await store.start(GROUP, first.id)
    await store.succeed(GROUP, first.id, taken.lease)
    await settle(store)
    [found] = await check(store, is_repair=True)
    assert found.what == "is held for its key, but does not wait in its lane"
    await settle(store)
    assert await status_of(store, held) == "queued"


async def test_a_repair_gives_the_place_of_a_stranger(store: Store) -> None:
    """A job of another key had the only place: the one that waited behind it is queued."""
    await configure(store, key_concurrency=1)
    [first, held] = await put(store, "first", "second")
    [blue] = await put(store, "blue", key="blue")
    await store.redis.zadd(lane_of(store), {blue.id: 0})
    taken = await store.start(GROUP, first.id)
    await store.succeed(GROUP, first.id, taken.lease)
    await settle(store)
    assert await status_of(store, held) == "delayed"
    assert "is in the lane of a key without a reason" in {one.what for one in await check(store, is_repair=True)}
    await settle(store)
    assert await status_of(store, held) == "queued"
    assert await check(store) == []


async def test_check_sees_the_very_first_job_wait(store: Store) -> None:
    """Its rank is 1, which is no place: it waits although a place is free."""
    await configure(store, key_concurrency=1)
    await put(store, "first", "second", priority=2)
    [first] = await store.next(1)
    await store.release(GROUP, first.id, first.lease, 5)
    await settle(store)
    [second] = await store.next(1)
    await reap_after(store, 5)
    assert await store.redis.zscore(lane_of(store), first.id) == 1
    await store.redis.zrem(lane_of(store), second.id)
    found = {finding.what for finding in await check(store)}
    assert "has a key whose jobs wait although places are free: acme" in found
    await check(store, is_repair=True)
    assert await check(store) == []
