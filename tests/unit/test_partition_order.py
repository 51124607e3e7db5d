"""The order in which `next` of any group asks the partitions."""

import asyncio

import pytest

from broker.store import partition_order
from broker.store.partition_order import PartitionOrder

NAMES = ("a", "b", "c", "d")


async def next_turn(order: PartitionOrder) -> list[str]:
    """All partitions in the order of a call in a later loop iteration."""
    await asyncio.sleep(0)
    first = order.first()
    return [first, *order.others(first)]


async def test_order_begins_with_another_partition_each_turn() -> None:
    """While all have jobs each is the first one as often as the others, and every turn has all of them."""
    order = PartitionOrder(NAMES)
    turns = [await next_turn(order) for _ in range(8)]
    assert sorted(turn[0] for turn in turns) == sorted(NAMES * 2)
    assert all(sorted(turn) == list(NAMES) for turn in turns)


async def test_order_in_one_loop_iteration() -> None:
    """Calls of one iteration begin at the same partition, so that they share a script call."""
    order = PartitionOrder(NAMES)
    assert len({order.first() for _ in range(5)}) == 1


async def test_order_of_empty_partitions() -> None:
    """Those that ran out of jobs come last, in each turn, until they return all that they were asked for."""
    order = PartitionOrder(NAMES)
    for name in "abd":
        order.note(name, is_empty=True)
    assert [await next_turn(order) for _ in range(3)] == [["c", "a", "b", "d"]] * 3
    order.note("b", is_empty=False)
    assert sorted([(await next_turn(order))[0] for _ in range(2)]) == ["b", "c"]


async def test_order_when_all_are_empty() -> None:
    """The one that was asked longest ago is the first."""
    order = PartitionOrder(NAMES)
    for name in "bdca":
        order.note(name, is_empty=True)
    assert await next_turn(order) == ["b", "d", "c", "a"]


async def test_order_looks_again_at_empty_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """After EMPTY_S one call of an iteration asks an empty partition first; the others do not."""
    monkeypatch.setattr(partition_order, "EMPTY_S", 0)
    order = PartitionOrder(NAMES)
    for name in "abd":
        order.note(name, is_empty=True)
    firsts = []
    for _ in range(3):
        await asyncio.sleep(0)
        firsts.append([order.first(), order.first()])
    assert firsts == [["a", "c"], ["b", "c"], ["d", "c"]]
