"""Which jobs `next` dispatches, and in which order."""

import pytest

from broker.core.errors import NotFound
from broker.diagnostics.consistency import check
from broker.resp import keys
from tests.contract.building import (
    GROUP,
    LARGE_SPEC,
    enqueue,
    ids,
    lose,
    names,
    new,
    partition,
    reap_after,
    running,
    wait,
)
from tests.stores import Store

MIXED = [("a", 0), ("b", 0), ("a", 1), ("c", 2), ("b", 1), ("a", 0), ("c", 0), ("b", 2), ("a", 2), ("c", 1), ("a", 1)]
"""Groups and priorities of jobs that come one after another."""
IN_ORDER = ["c3", "b7", "a8", "a2", "b4", "c9", "a10", "a0", "b1", "a5", "c6"]


async def enqueue_mixed(store: Store) -> None:
    for number, (group, priority) in enumerate(MIXED):
        await enqueue(store, group, priority=priority, payload=f"{group}{number}")


async def test_next_of_an_empty_store(store: Store) -> None:
    """Where there is no job the answer is an empty list."""
    assert await store.next(5) == []


async def test_next_fifo(store: Store) -> None:
    """Inside one priority the jobs go out in the order in which they came, also those of one call."""
    await enqueue(store, payload="first")
    await store.enqueue(GROUP, [new(payload="second"), new(payload="third")])
    wait(store, -5)  # the clock has no say in the order
    await enqueue(store, payload="fourth")
    assert await names(store, 4) == ["first", "second", "third", "fourth"]


async def test_next_priority(store: Store) -> None:
    """A higher priority goes before everything lower, however long that has waited."""
    await store.enqueue(GROUP, [new(payload=str(i), priority=i % 3) for i in range(6)])
    assert await names(store, 6) == ["2", "5", "1", "4", "0", "3"]


@pytest.mark.parametrize("n", [1, 2, 3, 11, 1000])
async def test_next_order_over_groups(store: Store, n: int) -> None:
    """Priority and order hold over all groups, however many jobs a call asks for."""
    await enqueue_mixed(store)
    taken: list[str] = []
    while page := await names(store, n):
        assert len(page) <= n
        taken += page
    assert taken == IN_ORDER


@pytest.mark.parametrize("n", [1, 3, 11])
@pytest.mark.parametrize("groups", [("b",), ("c", "a"), ("a", "a"), ("b", "unknown"), ("a", "b", "c")])
async def test_next_group_filter(store: Store, n: int, groups: tuple[str, ...]) -> None:
    """Only jobs of the groups that are named go out, in the order that they have among all."""
    await enqueue_mixed(store)
    taken: list[str] = []
    while page := await names(store, n, groups):
        taken += page
    assert taken == [name for name in IN_ORDER if name[0] in groups]


async def test_next_group_filter_unknown(store: Store) -> None:
    """A group that does not exist has no jobs, and a read does not create it."""
    await enqueue(store)
    assert await store.next(1, ["unknown"]) == []
    assert [group.name for group in (await store.groups.list(10))[0]] == [GROUP]


async def test_next_n(store: Store) -> None:
    """`n` is the most that a call gets; the rest stays for the next."""
    await store.enqueue(GROUP, [new(payload=str(i)) for i in range(5)])
    assert await names(store, 2) == ["0", "1"]
    assert await names(store, 100) == ["2", "3", "4"]
    assert await names(store, 100) == []


async def test_next_twice_gives_no_job_twice(store: Store) -> None:
    """A job that is dispatched goes to nobody else."""
    await store.enqueue(GROUP, [new() for _ in range(6)])
    taken = [job_id for _ in range(4) for job_id in ids(await store.next(2))]
    assert len(taken) == len(set(taken)) == 6


async def test_next_after_a_lost_lease(store: Store) -> None:
    """A job whose lease ended has its old rank: before all that came after it."""
    await enqueue(store, payload="high", priority=1)
    await enqueue(store, payload="lost", timeout=10)
    await enqueue(store, payload="later")
    assert await names(store, 2) == ["high", "lost"]
    await reap_after(store, 10)
    await enqueue(store, payload="high again", priority=1)
    assert await names(store, 3) == ["high again", "lost", "later"]


async def test_next_after_a_release(store: Store) -> None:
    """A job that was released has its old rank."""
    await store.enqueue(GROUP, [new(payload=str(i)) for i in range(3)])
    first, second = await store.next(2)
    await store.release(GROUP, second.id, second.lease)
    await store.release(GROUP, first.id, first.lease)
    assert await names(store, 3) == ["0", "1", "2"]


async def test_next_after_a_delayed_release(store: Store) -> None:
    """A job that was released with a delay is not dispatched before the delay ends; then it has its old rank."""
    job = await running(store, payload="0")
    await enqueue(store, payload="1")
    await store.release(GROUP, job.id, job.lease, 30)
    assert await names(store, 1) == ["1"]
    await enqueue(store, payload="2")
    await reap_after(store, 30)
    assert await names(store, 2) == ["0", "2"]


async def test_next_after_a_delay(store: Store) -> None:
    """A delayed job joins the end of its priority when its delay ends, not the rank of its creation."""
    await enqueue(store, payload="delayed", delay=10, priority=1)
    await enqueue(store, payload="low")
    await enqueue(store, payload="high", priority=1)
    wait(store, 9.999)
    await store.reap(100)
    await reap_after(store, 0.001)
    await enqueue(store, payload="higher", priority=1)
    assert await names(store, 4) == ["high", "delayed", "higher", "low"]


async def test_next_before_the_delay_is_over(store: Store) -> None:
    """A delayed job is not dispatched before the reaper has queued it."""
    await enqueue(store, delay=10)
    await reap_after(store, 9.999)
    assert await store.next(1) == []
    await reap_after(store, 0.001)
    assert len(await store.next(1)) == 1


@pytest.mark.parametrize("lost", [[0], [1], [0, 1], [0, 1, 2, 3]])
async def test_next_with_dangling_ids(store: Store, lost: list[int]) -> None:
    """An id without a record is skipped; it costs the caller none of the jobs behind it."""
    made = [await enqueue(store, payload=str(i)) for i in range(4)]
    await lose(store, *[made[i] for i in lost])
    left = [str(i) for i in range(4) if i not in lost]
    assert await names(store, 1) == left[:1]
    assert await names(store, 10) == left[1:]
    assert await names(store, 1) == []
    assert {finding.job_id for finding in await check(store, is_repair=True)} == {made[i].id for i in lost}


async def test_next_with_what_is_left_of_a_job(store: Store) -> None:
    """A large job without its spec is skipped too, and the jobs behind it are dispatched."""
    broken = await enqueue(store, payload="x" * LARGE_SPEC)
    await enqueue(store, payload="1")
    await store.redis.delete(keys.job(partition(store, GROUP), broken.id))
    assert await names(store, 10) == ["1"]
    assert {finding.job_id for finding in await check(store, is_repair=True)} == {broken.id}
    with pytest.raises(NotFound):
        await store.show(GROUP, broken.id)


async def test_next_with_a_group_of_dangling_ids(store: Store) -> None:
    """A group of nothing but ids without records blocks nobody."""
    for group in ("a", "a", "b"):
        await enqueue(store, group, payload=group)
    for job in (await store.list("a", 10))[0]:
        await lose(store, job)
    assert await names(store, 1, ("a",)) == []
    assert (await store.reap(10)).wait_ms is None
    assert await names(store, 1) == ["b"]
    await check(store, is_repair=True)


@pytest.mark.parametrize("n", [1, 10])
async def test_next_with_a_wrong_ready_list(store: Store, n: int) -> None:
    """A group that is in `ready` without a queued job is removed from it and skipped."""
    await enqueue(store, "b", payload="b")
    await store.redis.zadd(keys.ready(partition(store, "a")), {"a": 1})
    assert await names(store, n) == ["b"]
    await check(store, is_repair=True)
