"""What a job made: its result is kept with the job, shown with it, and goes with it."""

import json
from collections.abc import Sequence

import pytest
from msgspec import UNSET, Raw, UnsetType

from broker.core.errors import LeaseLost, WrongState
from broker.diagnostics.consistency import check
from broker.models.groups import Retentions
from broker.models.jobs import Job
from broker.models.reports import Finish
from broker.models.retries import Retry
from broker.models.workers import Receipt
from broker.resp import keys
from tests.contract.building import (
    GROUP,
    configure,
    failed,
    partition,
    queued,
    reap_after,
    running,
    running_many,
    status_of,
    succeeded,
)
from tests.stores import Store

RESULT = b'{"pages":3,"size":[1.50,"\xc3\xbc"]}'


def report(job: Job, result: bytes | None = RESULT, **fields: object) -> Finish:
    """The report of a success with a result."""
    given = {"group_name": job.group_name, "id": job.id, "lease": job.lease or None, "status": "succeeded", **fields}
    return Finish(**given, result=UNSET if result is None else Raw(result))


async def result_of(store: Store, job: Job) -> bytes | None:
    """The result that is shown with the job; None when it has none."""
    shown = (await store.show(job.group_name, job.id)).result
    return None if shown is UNSET else bytes(shown)


async def fields_in(store: Store, job: Job) -> set[bytes]:
    """The fields of the job's own hash."""
    return set(await store.redis.hkeys(keys.job(partition(store, job.group_name), job.id)))


@pytest.mark.parametrize("receipt", [None, Receipt(worker="w", delivery=1)])
async def test_finish_keeps_a_result(store: Store, receipt: Receipt | None) -> None:
    """A result is kept as it was sent, with a receipt or without one, and shown with the job."""
    job = await running(store)
    await store.completer.succeed(report(job, receipt=receipt))
    assert await result_of(store, job) == RESULT
    shown = await store.show(GROUP, job.id)
    assert [one.outcome for one in shown.receipts or []] == (["succeeded"] if receipt else [])
    assert await fields_in(store, job) == {b"result", *([b"receipts"] if receipt else [])}


async def test_finish_many_with_results(store: Store) -> None:
    """In one call some reports have a result, some a receipt, some nothing; each job keeps its own."""
    jobs = await running_many(store, 4)
    items = [
        report(jobs[0]),
        report(jobs[1], None),
        report(jobs[2], b"7", receipt=Receipt(delivery=1)),
        report(jobs[3], None, status="failed", reason="x"),
    ]
    assert await store.finish(items) == [None] * 4
    assert [await result_of(store, job) for job in jobs] == [RESULT, None, b"7", None]
    assert [await status_of(store, job) for job in jobs] == ["succeeded"] * 3 + ["failed"]


async def test_a_result_that_is_not_given(store: Store) -> None:
    """A script that says nothing in the place of the result, as redis-cli may, stores none."""
    job = await running(store)
    words = (job.id, job.lease, "", "", "", "", "", "", "")
    assert await store._partitions.run("finish", partition(store, GROUP), "", "", GROUP, "succeeded", 1, 9, *words)
    assert await status_of(store, job) == "succeeded"
    assert b"result" not in await fields_in(store, job)


@pytest.mark.parametrize("retry", [UNSET, Retry(max=3)])
async def test_a_receipt_that_is_not_given(store: Store, retry: Retry | UnsetType) -> None:
    """A failure that names a time for its retry and has no receipt keeps none, with a policy and without."""
    job = await running(store, retry=retry)
    assert await store.finish([report(job, None, status="failed", retry_after=5)]) == [None]
    assert b"receipts" not in await fields_in(store, job)
    assert (await store.show(GROUP, job.id)).receipts is UNSET


async def test_a_late_report_keeps_nothing(store: Store) -> None:
    """Trap G6: the result of a report that is refused, since another delivery holds the job, is not kept."""
    job = await running(store, timeout=5)
    await reap_after(store, 6)
    [again] = await store.next(1, [GROUP])
    with pytest.raises(LeaseLost):
        await store.completer.succeed(report(job))
    assert await result_of(store, again) is None
    await store.completer.succeed(report(again, b'"mine"'))
    [late] = await store.finish([report(job)])
    assert isinstance(late, WrongState)
    assert await result_of(store, again) == b'"mine"'


async def test_a_repeated_report_answers_as_the_first(store: Store) -> None:
    """The same report again, after a lost answer, is no error, and the first result stays."""
    job = await running(store)
    first = await store.completer.succeed(report(job))
    assert await store.completer.succeed(report(job)) == first
    assert await store.finish([report(job, b"2")]) == [None]
    assert await result_of(store, job) == RESULT


@pytest.mark.parametrize("statuses", [(), ("succeeded",)])
async def test_list_has_results_only_when_asked(store: Store, statuses: Sequence[str]) -> None:
    """A list has no results; one that is asked for them has each."""
    jobs = await running_many(store, 3)
    await store.finish([report(jobs[0]), report(jobs[1], None), report(jobs[2], b"[]")])
    plain, _ = await store.list(GROUP, 10, statuses=statuses)
    assert [job.result for job in plain] == [UNSET] * 3
    full, _ = await store.list(GROUP, 10, statuses=statuses, has_results=True)
    assert [job.result if job.result is UNSET else bytes(job.result) for job in full] == [RESULT, UNSET, b"[]"]


async def test_list_of_results_is_cut_by_their_size(store: Store) -> None:
    """A page of large results ends early, with a cursor, so that one call of the store stays short."""
    jobs = await running_many(store, 12)
    await store.finish([report(job, json.dumps("x" * 200_000).encode()) for job in jobs])
    replies = await store.jobs._run("list", GROUP, GROUP, "jobs", 12, "", "asc", "", "", "result")
    assert replies[2] == 6
    page, cursor = await store.list(GROUP, 12, has_results=True)
    rest, _ = await store.list(GROUP, 12, has_results=True, cursor=cursor) if cursor else ([], "")
    assert [job.id for job in (*page, *rest)] == [job.id for job in jobs]


async def test_a_result_goes_with_its_job(store: Store) -> None:
    """When the retention of a job ends, its result is deleted; so is that of a job that is removed."""
    await configure(store, retention=Retentions(succeeded=5))
    expired, removed = await running(store), await running(store)
    await store.finish([report(expired), report(removed)])
    await store.remove(GROUP, removed.id)
    await reap_after(store, 6)
    assert not await store.redis.exists(*[keys.job(partition(store, GROUP), job.id) for job in (expired, removed)])


async def test_a_retry_by_hand_has_no_result(store: Store) -> None:
    """A new job that repeats another one starts without the result of that one, which keeps it."""
    job = await running(store)
    await store.completer.succeed(report(job))
    again = await store.retry(GROUP, job.id)
    assert await result_of(store, again) is None
    assert await result_of(store, job) == RESULT


async def test_check_is_content_with_results(store: Store) -> None:
    """`titan check` finds nothing wrong with jobs that have results."""
    job = await running(store)
    await store.completer.succeed(report(job))
    assert await check(store) == []


async def test_a_store_without_results_has_no_new_fields(store: Store) -> None:
    """Jobs whose reports have no result have no hash of their own, or only the fields that they had before."""
    done, bad, waits, runs = await succeeded(store), await failed(store), await queued(store), await running(store)
    assert [await fields_in(store, job) for job in (done, bad, waits, runs)] == [set(), {b"reason"}, set(), set()]


async def test_finish_many_with_a_failure_that_says_nothing(store: Store) -> None:
    """A failure without a reason fails the job, also next to a success with a result."""
    jobs = await running_many(store, 2)
    items = [report(jobs[0]), report(jobs[1], None, status="failed")]
    assert await store.completer.finish(items) == [None, None]
    assert [await status_of(store, job) for job in jobs] == ["succeeded", "failed"]
