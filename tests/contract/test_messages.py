"""What the scripts say on the channels: `wake` when a group becomes ready, `timer` of a sooner first timer."""

from collections.abc import Awaitable, Callable

import pytest

from broker.resp import keys
from broker.store.staging import LARGE_BYTES
from tests.contract.building import (
    GROUP,
    cancelled,
    configure,
    enqueue,
    new,
    now_ms,
    queued,
    reap_after,
    running,
    wait,
)
from tests.contract.listening import Heard
from tests.stores import Store


async def _raise_limit(store: Store) -> None:
    await configure(store, max_concurrency=1)
    await running(store)
    await queued(store)
    await configure(store, max_concurrency=2)


async def _finish_in_a_full_group(store: Store) -> None:
    await configure(store, max_concurrency=1)
    job = await running(store)
    await queued(store)
    await store.succeed(GROUP, job.id, job.lease)


async def _fail_with_a_retry(store: Store) -> None:
    job = await running(store, max_retries=1, retries_delay=0)
    await store.fail(GROUP, job.id, job.lease)


async def _release(store: Store) -> None:
    job = await running(store)
    await store.release(GROUP, job.id, job.lease)


async def _unpause(store: Store) -> None:
    await configure(store, paused=True)
    await queued(store)
    await configure(store)


async def _promote(store: Store) -> None:
    await enqueue(store, delay=5)
    await reap_after(store, 5)


async def _promote_by_hand(store: Store) -> None:
    await store.promote(GROUP, (await enqueue(store, delay=5)).id)


async def _requeue(store: Store) -> None:
    await running(store)
    await reap_after(store, 60)


async def _retry(store: Store) -> None:
    await store.retry(GROUP, (await cancelled(store)).id)


WAYS_TO_WAKE: list[tuple[Callable[[Store], Awaitable[object]], int]] = [
    (queued, 1),
    (_raise_limit, 2),
    (_finish_in_a_full_group, 2),
    (_fail_with_a_retry, 2),
    (_release, 2),
    (_unpause, 1),
    (_promote, 1),
    (_promote_by_hand, 1),
    (_requeue, 2),
    (_retry, 2),
]
"""What makes a group ready, and how often it becomes so on the way."""


@pytest.mark.parametrize(("way", "times"), WAYS_TO_WAKE)
async def test_wake(store: Store, woken: Heard, way: Callable[[Store], Awaitable[object]], times: int) -> None:
    """An event that makes a group ready to dispatch a job publishes it once."""
    await way(store)
    assert await woken() == [GROUP] * times
    assert len(await store.next(1)) == 1


async def test_wake_is_said_once(store: Store, woken: Heard) -> None:
    """A group that is ready already is not named again by further jobs, only after it was empty."""
    await queued(store)
    await queued(store)
    await queued(store, "other")
    assert await woken() == [GROUP, "other"]
    await store.next(3)
    assert await woken() == []
    await queued(store)
    assert await woken() == [GROUP]


async def test_wake_is_said_to_who_waits(store: Store, woken: Heard) -> None:
    """Nothing is published while no broker polls; a poller is notified for 5 s after a `next` that found nothing."""
    await store.redis.delete(keys.pollers(store.partitions[0]))
    await queued(store)
    assert await woken() == []
    assert len(await store.next(2, waits=True)) == 1
    await queued(store)
    assert await woken() == []
    assert len(await store.next(1)) == 1
    assert await store.next(1) == []
    await queued(store)
    assert await woken() == []
    assert len(await store.next(1)) == 1
    assert await store.next(1, waits=True) == []
    assert 0 < await store.redis.pttl(keys.pollers(store.partitions[0])) <= 5000
    await queued(store)
    assert await woken() == [GROUP]


async def test_waiting_names_the_brokers(store: Store, other: Store) -> None:
    """Each broker whose clients wait is a poller, until 5 s after it last found nothing."""
    assert await store.next(1, waits=True) == []
    wait(store, 3)
    other.now = store.now
    assert await other.next(1, waits=True) == []
    [p] = store.partitions
    told = await store.redis.zrange(keys.pollers(p), 0, -1, withscores=True)
    assert [until for _, until in told] == [now_ms(store) + 2000, now_ms(store) + 5000]
    wait(store, 2)
    other.now = store.now
    assert await other.next(1, waits=True) == []
    told = await store.redis.zrange(keys.pollers(p), 0, -1, withscores=True)
    assert [until for _, until in told] == [now_ms(store) + 5000]


@pytest.mark.parametrize("images", [(), ("post",)])
async def test_wake_is_not_said_to_oneself(store: Store, other: Store, woken: Heard, images: tuple[str, ...]) -> None:
    """A broker that enqueues wakes its own clients, and the store tells only the others, those that wait."""
    [p] = store.partitions
    await store.redis.delete(keys.pollers(p))
    told: list[str | None] = []
    store.wake_at_enqueue(told.append)
    assert await store.next(1, images=images, waits=True) == []
    await queued(store)
    assert (await woken(), [group for group in told if group]) == ([], [GROUP])
    other.wake_at_enqueue(told.append)
    await queued(other, "theirs")
    assert await woken() == ["theirs"]
    assert len(await other.next(2)) == 2
    wait(store, 1)  # its own entry is the first then, and not the only one
    other.now = store.now
    assert await other.next(1, images=images, waits=True) == []
    await queued(store)
    assert await woken() == [GROUP]


@pytest.mark.parametrize("way", ["large", "once"])
async def test_wake_is_said_to_oneself(store: Store, woken: Heard, way: str) -> None:
    """Staged jobs, and those with an Idempotency-Key, are published to their own broker: it may look too early."""
    await store.redis.delete(keys.pollers(store.partitions[0]))
    store.wake_at_enqueue(lambda _: None)
    assert await store.next(1, waits=True) == []
    if way == "large":
        await store.enqueue(GROUP, [new(payload="x" * LARGE_BYTES)])
    else:
        await store.enqueue(GROUP, [new()], key="k")
    assert await woken() == [GROUP]


async def test_wake_of_a_group_that_hands_out_nothing(store: Store, woken: Heard) -> None:
    """Nobody is woken for jobs that may not go out: of a paused group, or delayed."""
    await configure(store, paused=True)
    await queued(store)
    await enqueue(store, "other", delay=5)
    assert await woken() == []


async def test_timer(store: Store, timers: Heard) -> None:
    """A timer that is the first of all is said, in ms; a later one is not."""
    await enqueue(store, delay=20)
    assert await timers() == [str(now_ms(store) + 20_000)]
    await enqueue(store, "other", delay=30)
    assert await timers() == []
    await enqueue(store, delay=10)
    await running(store, "other", timeout=5)
    assert await timers() == [str(now_ms(store) + 10_000), str(now_ms(store) + 5000)]


async def test_timer_of_a_retry(store: Store, timers: Heard) -> None:
    """The reaper is notified of an automatic retry that comes before all else."""
    job = await running(store, max_retries=1, retries_delay=2)
    await timers()
    await store.fail(GROUP, job.id, job.lease)
    assert await timers() == [str(now_ms(store) + 2000)]


async def test_timer_of_a_release(store: Store, timers: Heard) -> None:
    """The reaper is notified of a job that is released with a delay and becomes the first timer."""
    job = await running(store)
    await timers()
    await store.release(GROUP, job.id, job.lease, delay=7)
    assert await timers() == [str(now_ms(store) + 7000)]


async def test_timer_of_a_touch(store: Store, timers: Heard) -> None:
    """A touch only moves the end of a lease later, so nothing is published."""
    job = await running(store)
    await timers()
    wait(store, 5)
    await store.touch([])
    await store.start(GROUP, job.id, job.lease)
    assert await timers() == []
