"""Several partitions behave as one does, but that order over groups holds inside a partition only."""

from typing import Any

import pytest

from broker.resp import keys
from broker.resp.marks import PartitionsDiffer
from broker.resp.partitions import Partitions
from broker.resp.resp_connection import Word
from broker.store import partition_order
from tests.contract.building import GROUP, enqueue, ids, names, new, partition, reap_after, spread
from tests.stores import Store

pytestmark = pytest.mark.parametrize("partitions", [1, 3])


async def enqueue_spread(store: Store, each: int = 2) -> set[str]:
    """A job in each of some groups of every partition; the jobs' ids."""
    return {(await enqueue(store, group, payload=group)).id for group in spread(store, each)}


async def test_groups_are_spread(store: Store, partitions: int) -> None:
    """A group's keys are all in the partition that its name tells."""
    groups = spread(store, 2)
    await enqueue_spread(store)
    found = [key.decode() async for key in store.redis.scan_iter(f"{store.settings.key_prefix}:*:group:*", 1000)]
    assert {key.partition(":group:")[0] for key in found} == set(store.partitions)
    for key in found:
        assert key.startswith(partition(store, key.partition(":group:")[2].partition(":")[0]))
    assert len({partition(store, group) for group in groups}) == partitions


@pytest.mark.parametrize("n", [1, 2, 4, 100])
async def test_next_reaches_every_group(store: Store, n: int) -> None:
    """Every job of every partition is dispatched, once, never more than n in one answer."""
    left = await enqueue_spread(store)
    while left:
        jobs = await store.next(n)
        assert 0 < len(jobs) <= n
        for job in jobs:
            left.remove(job.id)
    assert await store.next(n) == []


async def test_next_fills_an_answer_from_several_partitions(store: Store) -> None:
    """One call gets all the jobs that there are, from as many partitions as it takes."""
    made = await enqueue_spread(store)
    assert set(ids(await store.next(len(made)))) == made


async def test_next_asks_partitions_in_turn(store: Store) -> None:
    """No partition waits until another one is empty."""
    for group in spread(store):
        await store.enqueue(group, [new() for _ in range(9)])
    jobs = [job for _ in range(9) for job in await store.next(1)]
    taken = [partition(store, job.group_name) for job in jobs]
    assert {taken.count(name) for name in store.partitions} == {9 // len(store.partitions)}


async def test_next_asks_few_partitions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one partition has jobs, the others are not asked again and again; a new job of theirs is found soon."""
    await store.enqueue(GROUP, [new() for _ in range(20)])
    others = [group for group in spread(store) if partition(store, group) != partition(store, GROUP)]
    asked: list[str] = []
    run = Partitions.run

    async def counted(self: Partitions, verb: str, name: str, *words: Word) -> Any:
        asked.append(name)
        return await run(self, verb, name, *words)

    monkeypatch.setattr(Partitions, "run", counted)
    monkeypatch.setattr(partition_order, "EMPTY_S", 1000.0)
    assert len([job for _ in range(10) for job in await store.next(1)]) == 10
    assert len(asked) <= 10 + len(others)
    for group in others:
        await enqueue(store, group)
    monkeypatch.setattr(partition_order, "EMPTY_S", 0.0)
    await store.next(len(others) + 11)  # every partition is noted again
    assert await store.next(1) == []
    late = [await enqueue(store, group) for group in (*others, GROUP)]
    assert sorted(ids([job for _ in late for job in await store.next(1)])) == sorted(ids(late))


@pytest.mark.parametrize("images", [(), ("post",)])
async def test_next_of_slow_partitions(
    store: Store, partitions: int, images: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round that took long ends with what it has, be it nothing; the next one begins at the next partition."""
    monkeypatch.setattr("broker.resp.partitions.ROUND_S", -1)
    group = spread(store)[-1]
    await enqueue(store, group)
    rounds = [ids(await store.next(1, images=images)) for _ in store.partitions]
    assert [len(jobs) for jobs in rounds] == [0] * (partitions - 1) + [1]


async def test_next_order_inside_a_partition(store: Store) -> None:
    """Inside a partition priority and order hold over all its groups."""
    groups = [group for group in spread(store, 2) if partition(store, group) == store.partitions[-1]]
    for number, priority in enumerate((0, 1, 0, 2, 1, 0)):
        await enqueue(store, groups[number % 2], payload=str(number), priority=priority)
    assert await names(store, 4) + await names(store, 4) == ["3", "1", "4", "0", "2", "5"]


async def test_next_group_filter_over_partitions(store: Store) -> None:
    """Groups of several partitions may be named in one call; no other group gives anything."""
    await enqueue_spread(store)
    wanted = spread(store, 2)[::2]
    assert sorted(await names(store, 100, tuple(wanted))) == sorted(wanted)
    assert await names(store, 100, tuple(wanted)) == []


async def test_reap_reaches_every_partition(store: Store) -> None:
    """One call handles the timers of all partitions, and returns the first timer of all."""
    groups = spread(store)
    for number, group in enumerate(groups):
        await enqueue(store, group, delay=10 + number)
    assert (await store.reap(10)).wait_ms == 10_000
    await reap_after(store, 10)
    assert (await store.reap(10)).wait_ms == (1000 if len(groups) > 1 else None)
    await reap_after(store, 5)
    assert len(await store.next(10)) == len(groups)


async def test_open_with_another_number(store: Store) -> None:
    """A store that was set up with a number of partitions is not opened with another; the message names the number."""
    name = keys.partitions(store.settings.key_prefix)
    await store.open()
    await store.redis.set(name, 7)
    with pytest.raises(PartitionsDiffer, match="--partitions 7"):
        await store.open()
    await store.redis.set(name, len(store.partitions))
