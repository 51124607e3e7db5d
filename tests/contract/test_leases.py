"""Fencing: only the delivery that holds a job acts on it, and a late report changes nothing."""

from collections.abc import Awaitable, Callable

import pytest

from broker.core.errors import LeaseLost, TitanError, WrongState
from broker.diagnostics.consistency import check
from broker.models.jobs import Job
from tests.contract.building import (
    GROUP,
    clock,
    configure,
    dump,
    held,
    members_key,
    queued,
    reap_after,
    running,
    started,
    touch,
    wait,
)
from tests.stores import Store

Report = Callable[[Store, Job], Awaitable[object]]

REPORTS: dict[str, Report] = {
    "start": lambda store, job: store.start(GROUP, job.id, job.lease or ""),
    "touch": touch,
    "succeed": lambda store, job: store.succeed(GROUP, job.id, job.lease or ""),
    "fail": lambda store, job: store.fail(GROUP, job.id, job.lease or ""),
    "release": lambda store, job: store.release(GROUP, job.id, job.lease or ""),
}
"""All reports of a consumer on a job that it holds, with the lease of the job; without one if it has none."""

each_report = pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)


async def assert_refused(store: Store, report: Report, job: Job, error: type[TitanError]) -> str:
    """The report is refused and changes nothing; the refusal's message."""
    before = await dump(store)
    with pytest.raises(error) as refused:
        await report(store, job)
    assert await dump(store) == before
    return refused.value.message


@each_report
@pytest.mark.parametrize("bring", [running, started])
async def test_report_with_the_lease(store: Store, report: Report, bring: Callable[[Store], Awaitable[Job]]) -> None:
    """Who has the token of the delivery may report, whichever way the job came."""
    assert await report(store, await bring(store))


@pytest.mark.parametrize("report", ["touch", "start"])
async def test_report_after_the_clock_went_back(store: Store, report: str) -> None:
    """A lease that is renewed by a clock that went back may end sooner than before: its timer is never late."""
    first, second = [await running(store, timeout=timeout) for timeout in (20, 10)]
    wait(store, -7)
    for job in (first, second):
        await REPORTS[report](store, job)
    await reap_after(store, 10)
    assert (await store.show(GROUP, second.id)).status == "queued"
    assert (await store.show(GROUP, first.id)).status == "running"


async def test_touch_many_after_the_clock_went_back(store: Store) -> None:
    """The same where one call touches several."""
    jobs = [await running(store, timeout=timeout) for timeout in (20, 10, 30)]
    wait(store, -7)
    await store.touch([held(job) for job in jobs])
    await reap_after(store, 10)
    assert [(await store.show(GROUP, job.id)).status for job in jobs] == ["running", "queued", "running"]


async def test_refusal_of_a_damaged_job(store: Store) -> None:
    """A job that lost its place among the running ones is refused in words, not with a fault."""
    job = await running(store)
    await store.redis.zrem(members_key(store, GROUP, "running"), job.id)
    job.lease = "another"
    message = await assert_refused(store, touch, job, LeaseLost)
    assert message.startswith("Delivery 1 holds the job, until 1970-01-01T00:00:00.000Z")
    await check(store, is_repair=True)


@each_report
async def test_report_without_a_lease(store: Store, report: Report) -> None:
    """An old client that knows of no tokens may report on a job that is in a right status."""
    job = await running(store)
    job.lease = ""
    await report(store, job)


@each_report
@pytest.mark.parametrize("bring", [running, started])
async def test_report_with_another_lease(
    store: Store, report: Report, bring: Callable[[Store], Awaitable[Job]]
) -> None:
    """Any other token is refused; the message says which delivery holds the job, and until when."""
    job = await bring(store)
    job.lease = "another"
    message = await assert_refused(store, report, job, LeaseLost)
    assert message.startswith(f"Delivery 1 holds the job, until {job.expires_at}")


@each_report
async def test_report_without_a_lease_where_one_is_required(store: Store, report: Report) -> None:
    """A group may ask for the token in every report."""
    await configure(store, require_lease=True)
    job = await running(store)
    lease, job.lease = job.lease, ""
    await assert_refused(store, report, job, LeaseLost)
    job.lease = lease
    await report(store, job)


async def test_start_of_a_queued_job_where_a_lease_is_required(store: Store) -> None:
    """A job that nobody holds has no token yet, so taking it by `start` needs none."""
    await configure(store, require_lease=True)
    assert (await started(store)).lease


@each_report
async def test_report_after_a_requeue(store: Store, report: Report) -> None:
    """Who lost the job to the reaper is refused while it waits in the queue."""
    job = await running(store, timeout=10)
    await reap_after(store, 10)
    message = await assert_refused(store, report, job, WrongState)
    assert "is queued," in message


@each_report
async def test_report_after_a_redelivery(store: Store, report: Report) -> None:
    """A consumer that lost the job is refused while another delivery holds it, and the new holder is not affected."""
    late = await running(store, timeout=10)
    await reap_after(store, 10)
    [job] = await store.next(1)
    message = await assert_refused(store, report, late, LeaseLost)
    assert message.startswith(f"Delivery 2 holds the job, until {job.expires_at}")
    await report(store, job)


@each_report
async def test_report_after_a_redelivery_by_start(store: Store, report: Report) -> None:
    """The same where the job went to a client that took it by `start`."""
    late = await running(store, timeout=10)
    await reap_after(store, 10)
    await store.start(GROUP, late.id)
    await assert_refused(store, report, late, LeaseLost)


@each_report
async def test_report_after_anothers_success(store: Store, report: Report) -> None:
    """Who lost the job is refused after its next holder has finished it."""
    late = await running(store, timeout=10)
    await reap_after(store, 10)
    [job] = await store.next(1)
    await store.succeed(GROUP, job.id, job.lease)
    await assert_refused(store, report, late, WrongState)


@each_report
async def test_report_after_a_release(store: Store, report: Report) -> None:
    """Who gave the job back holds it no longer."""
    job = await running(store)
    await store.release(GROUP, job.id, job.lease)
    await assert_refused(store, report, job, WrongState)


@each_report
async def test_report_on_a_cancelled_job(store: Store, report: Report) -> None:
    """The holder of a cancelled job gets a refusal: this is how a worker learns that it may stop."""
    job = await running(store)
    await store.cancel(GROUP, job.id)
    assert "is cancelled," in await assert_refused(store, report, job, WrongState)


@each_report
async def test_report_before_the_reaper_came(store: Store, report: Report) -> None:
    """A lease that has ended is lost when the reaper takes the job back; until then the holder may report."""
    job = await running(store, timeout=10)
    wait(store, 11)
    await report(store, job)


async def test_touch_gives_another_timeout(store: Store) -> None:
    """Each touch gives the whole timeout again, from now, as often as it is said."""
    job = await running(store, timeout=10)
    for _ in range(3):
        wait(store, 9)
        await touch(store, job)
        shown = await store.show(GROUP, job.id)
        assert (shown.expires_at, shown.deliveries) == (clock(store, 10), 1)
        await store.reap(10)
    await reap_after(store, 9.999)
    assert (await store.show(GROUP, job.id)).status == "running"
    await reap_after(store, 0.001)
    assert (await store.show(GROUP, job.id)).status == "queued"


async def test_touch_keeps_started_at(store: Store) -> None:
    """A touch is no new start."""
    job = await running(store)
    wait(store, 9)
    await touch(store, job)
    assert (await store.show(GROUP, job.id)).started_at == job.started_at


async def test_touch_of_one_job_leaves_the_others(store: Store) -> None:
    """A job that is touched keeps its lease, one that is not is requeued."""
    await queued(store, timeout=10)
    await queued(store, timeout=10)
    kept, lost = await store.next(2)
    wait(store, 5)
    await touch(store, kept)
    await reap_after(store, 5)
    assert (await store.show(GROUP, kept.id)).status == "running"
    assert (await store.show(GROUP, lost.id)).status == "queued"
