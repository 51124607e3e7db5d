"""How long finished jobs are kept, and what becomes of their logs."""

from collections.abc import Awaitable, Callable

import pytest

from broker.models.groups import Retentions
from broker.models.jobs import Job
from broker.store.format.maintenance_replies import Reaped
from tests.contract.building import (
    DAY_S,
    GROUP,
    cancelled,
    configure,
    dump,
    failed,
    now_ms,
    reap_after,
    running,
    status_of,
    succeeded,
    wait,
)
from tests.stores import Store

Bring = Callable[..., Awaitable[Job]]
DEFAULTS: list[tuple[Bring, int]] = [(succeeded, DAY_S), (cancelled, DAY_S), (failed, 7 * DAY_S)]
each_finished = pytest.mark.parametrize("bring", [succeeded, failed, cancelled])


@pytest.mark.parametrize(("bring", "kept_s"), DEFAULTS)
async def test_reap_expires(store: Store, bring: Bring, kept_s: int) -> None:
    """A finished job is kept for a day, a failed one for a week; then nothing of it is left."""
    job = await bring(store)
    await reap_after(store, kept_s - 0.001)
    assert await status_of(store, job) == job.status
    wait(store, 0.001)
    assert await store.reap(100) == Reaped(expired=1)
    assert await status_of(store, job) is None
    assert not [key for key in await dump(store) if job.id in key]
    assert await store.list(GROUP, 10) == ([], "")


@each_finished
async def test_reap_expires_by_the_groups_retention(store: Store, bring: Bring) -> None:
    """A group may keep each status for a time of its own."""
    await configure(store, retention=Retentions(succeeded=10, failed=10, cancelled=10))
    job = await bring(store)
    await reap_after(store, 9.999)
    assert await status_of(store, job) == job.status
    await reap_after(store, 0.001)
    assert await status_of(store, job) is None


@each_finished
async def test_reap_after_a_shorter_retention(store: Store, bring: Bring) -> None:
    """A shorter retention holds also for the jobs that are finished already."""
    old = await bring(store)
    wait(store, 8)
    young = await bring(store)
    await store.reap(100)
    await configure(store, retention=Retentions(succeeded=5, failed=5, cancelled=5))
    assert await store.reap(100) == Reaped(expired=1, wait_ms=5000)
    assert await status_of(store, old) is None
    await reap_after(store, 5)
    assert await status_of(store, young) is None


@each_finished
async def test_reap_after_a_longer_retention(store: Store, bring: Bring) -> None:
    """A longer retention keeps the existing jobs, to the new time."""
    await configure(store, retention=Retentions(succeeded=5, failed=5, cancelled=5))
    job = await bring(store)
    await configure(store, retention=Retentions(succeeded=20, failed=20, cancelled=20))
    wait(store, 5)
    assert await store.reap(100) == Reaped(wait_ms=15_000)
    await reap_after(store, 15)
    assert await status_of(store, job) is None


@each_finished
async def test_reap_without_a_retention(store: Store, bring: Bring) -> None:
    """Retention 0 keeps nothing longer than to the next reap."""
    await configure(store, retention=Retentions(succeeded=0, failed=0, cancelled=0))
    job = await bring(store)
    assert (await store.reap(100)).expired == 1
    assert await status_of(store, job) is None


async def test_reap_does_not_believe_a_clients_time(store: Store) -> None:
    """Retention counts from the store's time, not from the `completed_at` that a client gave."""
    job = await running(store, timeout=DAY_S * 3)
    wait(store, 2 * DAY_S)
    await store.succeed(GROUP, job.id, job.lease, now_ms(store) - 2 * DAY_S * 1000)
    await reap_after(store, DAY_S - 0.001)
    assert await status_of(store, job) == "succeeded"
    await reap_after(store, 0.001)
    assert await status_of(store, job) is None


async def test_reap_expires_the_oldest_first(store: Store) -> None:
    """Where more is due than one call handles, those that ended first go first."""
    first, second = await succeeded(store), await succeeded(store)
    wait(store, -5)
    oldest = await succeeded(store)
    await reap_after(store, 60)
    wait(store, DAY_S)
    await store.reap(1)
    assert await status_of(store, oldest) is None
    await store.reap(1)
    assert [await status_of(store, job) for job in (first, second)].count(None) == 1


@each_finished
async def test_reap_discards_logs(store: Store, bring: Bring) -> None:
    """The log of an expired job is named for deletion until someone says that it is deleted."""
    with_log, without = await bring(store), await bring(store)
    await store.log(GROUP, with_log.id, 12)
    wait(store, 8 * DAY_S)
    assert await store.reap(100) == Reaped(expired=2, discarded=1)
    assert await store.discarded(10) == [with_log.id]
    assert (await store.reap(100)).discarded == 1
    await store.forget([with_log.id, without.id])
    assert await store.discarded(10) == []
    assert (await store.reap(100)).discarded == 0


@each_finished
async def test_remove_discards_the_log(store: Store, bring: Bring) -> None:
    """`remove` says whether there is a log to delete, and names it until it is."""
    with_log, without = await bring(store), await bring(store)
    await store.log(GROUP, with_log.id, 12)
    assert await store.remove(GROUP, with_log.id) is True
    assert await store.remove(GROUP, without.id) is False
    assert await store.discarded(10) == [with_log.id]
    await store.forget([with_log.id])


@pytest.mark.parametrize("partitions", [1, 3])
async def test_discarded_over_partitions(store: Store) -> None:
    """The logs to delete are named whatever partition they are of, n of each at most."""
    gone = []
    for number in range(6):
        job = await running(store, f"group-{number}")
        await store.log(job.group_name, job.id, 1)
        await store.cancel(job.group_name, job.id)
        await store.remove(job.group_name, job.id)
        gone.append(job.id)
    assert sorted(await store.discarded(10)) == sorted(gone)
    assert 1 <= len(await store.discarded(1)) <= len(store.partitions)
    await store.forget(gone[:4])
    assert sorted(await store.discarded(10)) == sorted(gone[4:])


async def test_log(store: Store) -> None:
    """A job has a log from when it is noted; a second upload replaces the first."""
    job = await running(store)
    assert await store.has_log(GROUP, job.id) is False
    assert (await store.log(GROUP, job.id, 0)).status == "running"
    assert await store.has_log(GROUP, job.id) is True
    await store.succeed(GROUP, job.id, job.lease)
    assert (await store.log(GROUP, job.id, 99)).status == "succeeded"
    assert await store.has_log(GROUP, job.id) is True


async def test_log_that_is_about_to_be_stored(store: Store) -> None:
    """A log is noted before it is stored, so that it is deleted with its job also when the upload was cut off."""
    job = await succeeded(store)
    assert (await store.log(GROUP, job.id)).id == job.id
    assert await store.remove(GROUP, job.id) is True
    assert await store.discarded(10) == [job.id]


async def test_log_that_is_replaced(store: Store) -> None:
    """While a second upload is on its way, what is noted of the first log stays."""
    job = await succeeded(store)
    await store.log(GROUP, job.id, 99)
    before = await dump(store)
    await store.log(GROUP, job.id)
    assert await dump(store) == before
