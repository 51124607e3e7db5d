"""`start`: which clients may call it, what it replies, and the times that clients report."""

from collections.abc import Awaitable, Callable

import pytest

from broker.core.errors import WrongState
from broker.models.jobs import Job
from broker.models.reports import Finish
from tests.contract.building import (
    GROUP,
    clock,
    configure,
    dump,
    now_ms,
    queued,
    reap_after,
    running,
    started,
    status_of,
    touch,
    wait,
)
from tests.stores import Store

Complete = Callable[[Store, Job, int], Awaitable[object]]

COMPLETE: dict[str, Complete] = {
    "succeed": lambda store, job, at: store.succeed(GROUP, job.id, job.lease, at),
    "fail": lambda store, job, at: store.fail(GROUP, job.id, job.lease, completed_at=at),
}
PLAUSIBLE = [(-3600, False), (-10.001, False), (-10, True), (0.001, True), (60, True), (60.001, False), (10**9, False)]
"""Seconds from now of a client's time, for a job that is 10 s old, and whether it is kept."""


async def test_start_takes_a_queued_job(store: Store) -> None:
    """A queued job that is started runs from now, as a delivery with a token, a timeout and the environment."""
    await configure(store, env_vars={"NAME": "value"})
    await queued(store, timeout=10)
    wait(store, 3)
    [made] = (await store.list(GROUP, 1))[0]
    job = await store.start(GROUP, made.id)
    assert (job.status, job.started_at, job.expires_at, job.deliveries) == (
        "running",
        clock(store),
        clock(store, 10),
        1,
    )
    assert job.lease
    assert job.env_vars == {"NAME": "value"}
    assert await store.next(1) == []


async def test_start_takes_the_named_job_only(store: Store) -> None:
    """The jobs before it keep their places."""
    first, second, third = [await queued(store) for _ in range(3)]
    await store.start(GROUP, second.id)
    assert [job.id for job in await store.next(5)] == [first.id, third.id]


async def test_start_of_a_queued_job_with_a_lease(store: Store) -> None:
    """A token says that one holds the job; nobody holds a queued one."""
    job = await queued(store)
    with pytest.raises(WrongState):
        await store.start(GROUP, job.id, "any")
    assert await status_of(store, job) == "queued"


async def test_start_by_who_was_handed_the_job(store: Store) -> None:
    """After `next` a client calls `start` with or without the token: it renews the lease, the delivery is the same."""
    job = await running(store, timeout=10)
    for lease in ("", job.lease):
        wait(store, 4)
        again = await store.start(GROUP, job.id, lease)
        assert (again.expires_at, again.deliveries) == (clock(store, 10), 1)
        assert again.started_at == clock(store)
        assert not again.lease
    await store.succeed(GROUP, job.id, job.lease)


async def test_start_twice_by_two_clients(store: Store) -> None:
    """Of two clients that start the same queued job one has it; the other is refused and changes nothing."""
    job = await started(store)
    before = await dump(store)
    with pytest.raises(WrongState, match="started by another client"):
        await store.start(GROUP, job.id)
    assert await dump(store) == before


async def test_start_twice_by_its_holder(store: Store) -> None:
    """Who started the job may start it again with its token."""
    job = await started(store, timeout=10)
    wait(store, 5)
    assert (await store.start(GROUP, job.id, job.lease)).expires_at == clock(store, 10)


async def test_start_without_a_lease_after_a_redelivery(store: Store) -> None:
    """The verb that delivered a job belongs to the delivery: a job once started may later be delivered by `next`."""
    job = await started(store, timeout=10)
    await reap_after(store, 10)
    await store.next(1)
    assert (await store.start(GROUP, job.id)).deliveries == 2


async def test_start_with_a_short_lease(store: Store) -> None:
    """`start` renews the short lease, and the run that the timeout bounds begins again."""
    job = await running(store, timeout=12, lease_s=5)
    wait(store, 4)
    assert (await store.start(GROUP, job.id, job.lease)).expires_at == clock(store, 5)
    began = now_ms(store)
    for end_s in (9.5, 14, 18.5, 23, 27, 27):
        wait(store, 4.5)
        assert await touch(store, job) == began + end_s * 1000
    await reap_after(store, 0)
    assert await status_of(store, job) == "failed"


@pytest.mark.parametrize(("seconds", "is_kept"), PLAUSIBLE)
@pytest.mark.parametrize("bring", [queued, running])
async def test_start_with_a_time(
    store: Store, bring: Callable[[Store], Awaitable[Job]], seconds: float, is_kept: bool
) -> None:
    """A plausible `started_at` is shown, else the store's time; the lease follows the store's clock either way."""
    job = await bring(store)
    wait(store, 10)
    shown = await store.start(GROUP, job.id, job.lease or "", now_ms(store) + round(seconds * 1000))
    assert shown.started_at == clock(store, seconds if is_kept else 0)
    assert shown.expires_at == clock(store, 60)


@pytest.mark.parametrize(("seconds", "is_kept"), PLAUSIBLE)
@pytest.mark.parametrize("complete", COMPLETE.values(), ids=COMPLETE)
async def test_completed_at(store: Store, complete: Complete, seconds: float, is_kept: bool) -> None:
    """A plausible `completed_at` is shown, else the store's time."""
    job = await running(store)
    wait(store, 10)
    shown = await complete(store, job, now_ms(store) + round(seconds * 1000))
    assert shown.completed_at == clock(store, seconds if is_kept else 0)


async def test_completed_at_in_the_bulk_finish(store: Store) -> None:
    """The bulk call takes the times as text."""
    job = await running(store)
    wait(store, 10)
    item = Finish(group_name=GROUP, id=job.id, status="succeeded", completed_at=clock(store, -5), lease=job.lease)
    assert await store.finish([item]) == [None]
    assert (await store.show(GROUP, job.id)).completed_at == clock(store, -5)
