"""`log`: the note at a job that its log is on its way, or stored, and whose delivery's it is."""

from collections.abc import Awaitable, Callable

import pytest

from broker.core.errors import LeaseLost, NotFound, WrongState
from broker.models.jobs import Job
from broker.resp import keys
from tests.contract.building import (
    GROUP,
    cancelled,
    configure,
    delayed,
    dump,
    failed,
    queued,
    reap_after,
    running,
    started,
    succeeded,
)
from tests.stores import Store

Bring = Callable[[Store], Awaitable[Job]]
FINISHED: list[Bring] = [succeeded, failed, cancelled]


@pytest.mark.parametrize("bring", [running, started, *FINISHED])
async def test_log_is_noted(store: Store, bring: Bring) -> None:
    """Before it is stored a log has 0 bytes, and then its size; that another one comes does not change that."""
    job = await bring(store)
    assert (await store.log(GROUP, job.id)).status == job.status
    assert (await store.follow(GROUP, job.id)).log_bytes == 0
    assert await store.has_log(GROUP, job.id)
    await store.log(GROUP, job.id, 12)
    await store.log(GROUP, job.id)
    noted = await store.follow(GROUP, job.id)
    assert (noted.log_bytes, noted.is_growing) == (12, False)


@pytest.mark.parametrize("bring", [delayed, queued])
async def test_log_before_the_first_run(store: Store, bring: Bring) -> None:
    """A job that did not run has no log."""
    job = await bring(store)
    before = await dump(store)
    for size in (None, 12):
        with pytest.raises(WrongState):
            await store.log(GROUP, job.id, size)
    assert await dump(store) == before


async def test_log_of_no_job(store: Store) -> None:
    """There is no log without a job, nor under another group's name."""
    job = await running(store)
    for group, job_id in ((GROUP, "0" * 16), ("other", job.id)):
        with pytest.raises(NotFound):
            await store.log(group, job_id)


async def test_follow_of_no_job(store: Store) -> None:
    """A log that does not exist cannot be followed."""
    job = await running(store)
    for group, job_id in ((GROUP, "0" * 16), ("other", job.id)):
        with pytest.raises(NotFound):
            await store.follow(group, job_id)


async def test_log_that_grows(store: Store) -> None:
    """The beginning of a running job's log is known as such, with its delivery, until the log is complete."""
    await running(store, timeout=10)
    await reap_after(store, 10)
    [job] = await store.next(1)
    await store.log(GROUP, job.id, 5, job.lease or "", is_more=True)
    noted = await store.follow(GROUP, job.id)
    assert (noted.log_bytes, noted.is_growing, noted.delivery) == (5, True, 2)
    await store.log(GROUP, job.id, 9, job.lease or "")
    noted = await store.follow(GROUP, job.id)
    assert (noted.log_bytes, noted.is_growing) == (9, False)
    assert not await store.redis.hexists(keys.job(store.partitions[0], job.id), "log_more")


@pytest.mark.parametrize("bring", FINISHED)
async def test_log_that_grows_of_a_finished_job(store: Store, bring: Bring) -> None:
    """The log of a job that does not run is all there is: no more of it follows."""
    job = await bring(store)
    before = await dump(store)
    with pytest.raises(WrongState):
        await store.log(GROUP, job.id, 5, is_more=True)
    assert await dump(store) == before


@pytest.mark.parametrize("size", [None, 12])
async def test_log_with_another_lease(store: Store, size: int | None) -> None:
    """While the job runs, a log that names a delivery must be that of the one that holds it."""
    job = await running(store)
    before = await dump(store)
    with pytest.raises(LeaseLost):
        await store.log(GROUP, job.id, size, "another")
    assert await dump(store) == before
    assert (await store.log(GROUP, job.id, size, job.lease or "")).status == "running"


@pytest.mark.parametrize("bring", FINISHED)
async def test_log_of_a_finished_job_with_a_lease(store: Store, bring: Bring) -> None:
    """Nobody holds a finished job: its log is taken whichever delivery it names."""
    job = await bring(store)
    await store.log(GROUP, job.id, 12, "another")
    assert (await store.follow(GROUP, job.id)).log_bytes == 12


async def test_log_without_a_lease_where_one_is_required(store: Store) -> None:
    """A log is no report: it may come without a token also where reports may not."""
    await configure(store, require_lease=True)
    job = await running(store)
    await store.log(GROUP, job.id, 12)
    assert (await store.follow(GROUP, job.id)).log_bytes == 12
