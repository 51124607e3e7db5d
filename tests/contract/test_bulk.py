"""The bulk calls: touch, finish and release_all of many jobs; one bad item does not stop the others."""

from typing import Literal

import pytest

from broker.core.errors import LeaseLost, NotFound, TitanError, WrongState
from broker.models.jobs import Job
from broker.models.reports import Finish, Held
from tests.contract.building import (
    GROUP,
    cancelled,
    clock,
    configure,
    dump,
    held,
    ids,
    new,
    now_ms,
    queued,
    reap_after,
    running,
    running_many,
    spread,
    status_of,
    wait,
)
from tests.stores import Store

pytestmark = pytest.mark.parametrize("partitions", [1, 3])


def finished(job: Job, status: Literal["succeeded", "failed"] = "succeeded", **fields: str) -> Finish:
    return Finish(group_name=job.group_name, id=job.id, status=status, lease=job.lease or None, **fields)


def classes(results: list[TitanError | None] | list[int | TitanError]) -> list[type | None]:
    """For each result None where it is fine, else the error's class."""
    return [type(result) if isinstance(result, TitanError) else None for result in results]


async def good_and_bad(store: Store) -> tuple[list[Job], list[type | None]]:
    """Jobs of several groups: good ones among others that are refused, and how."""
    first, second, third = [await running(store, group) for group in (*spread(store), "x", "y")[:3]]
    lost = await running(store, "lost")
    lost.lease = "another"
    waiting = await queued(store, "waiting")
    ended = await cancelled(store)
    missing = await running(store, "missing")
    missing.id = "0" * 16
    elsewhere = await running(store, "elsewhere")
    elsewhere.group_name = "missing"
    jobs = [lost, first, waiting, ended, second, missing, elsewhere, third]
    return jobs, [LeaseLost, None, WrongState, WrongState, None, NotFound, NotFound, None]


async def test_touch_many(store: Store) -> None:
    """Each good item gets its new end, each bad one its refusal, in the order of the request."""
    jobs, expected = await good_and_bad(store)
    wait(store, 5)
    ends = await store.touch([held(job) for job in jobs])
    assert classes(ends) == expected
    for job, end in zip(jobs, ends, strict=True):
        if not isinstance(end, TitanError):
            assert end == now_ms(store) + 60_000
            assert (await store.show(job.group_name, job.id)).expires_at == clock(store, 60)


@pytest.mark.parametrize("status", ["succeeded", "failed"])
async def test_finish_many(store: Store, status: Literal["succeeded", "failed"]) -> None:
    """Each good item is finished, each bad one refused, in the order of the request."""
    jobs, expected = await good_and_bad(store)
    wait(store, 5)
    results = await store.finish([finished(job, status) for job in jobs])
    assert classes(results) == expected
    for job, refused in zip(jobs, expected, strict=True):
        assert (await status_of(store, job) == status) == (refused is None)


async def test_many_refusals_say_what_one_says(store: Store) -> None:
    """A refusal has the same words among other items as alone."""
    jobs, _ = await good_and_bad(store)
    bad = [await store.touch([held(job)]) for job in jobs]
    assert [str(end) for [end] in bad] == [str(end) for end in await store.touch([held(job) for job in jobs])]


async def test_many_that_are_all_bad_change_nothing(store: Store) -> None:
    """Calls of nothing but refused items leave no trace."""
    jobs, expected = await good_and_bad(store)
    bad = [job for job, refused in zip(jobs, expected, strict=True) if refused]
    before = await dump(store)
    await store.touch([held(job) for job in bad])
    await store.finish([finished(job) for job in bad])
    await store.release_all(bad)
    assert await dump(store) == before


async def test_many_of_none(store: Store) -> None:
    """A call without items does nothing."""
    assert await store.touch([]) == []
    assert await store.finish([]) == []
    await store.release_all([])


async def test_finish_many_both_ways(store: Store) -> None:
    """One call may succeed some jobs and fail others, each with its own reason and its automatic retry."""
    groups = (*spread(store), "x", "y", "z")
    one, two, three, four = [await running(store, group, max_retries=1) for group in groups[:4]]
    items = [
        finished(one),
        finished(two, "failed", reason="bad_exit", error="exit 1"),
        finished(three, "failed"),
        finished(four),
    ]
    assert await store.finish(items) == [None] * 4
    one, two, three, four = [await store.show(job.group_name, job.id) for job in (one, two, three, four)]
    assert [job.status for job in (one, two, three, four)] == ["succeeded", "failed", "failed", "succeeded"]
    assert (two.reason, two.error, bool(three.reason)) == ("bad_exit", "exit 1", False)
    assert [bool(job.retry_at) for job in (one, two, three, four)] == [False, True, True, False]
    assert two.retry_at != three.retry_at


async def test_finish_the_same_job_twice_in_one_call(store: Store) -> None:
    """The second is a repeat and fine; a repeat the other way is refused; the retry is made once."""
    job = await running(store, max_retries=1)
    items = [finished(job, "failed"), finished(job, "failed"), finished(job, "succeeded")]
    assert classes(await store.finish(items)) == [None, None, WrongState]
    assert (await store.groups.show(GROUP)).counts.delayed == 1


async def test_finish_the_same_job_with_two_tokens_in_one_call(store: Store) -> None:
    """Behind the report of its holder another one's comes too late."""
    job, other = await running(store), await running(store)
    late = Finish(group_name=GROUP, id=job.id, status="succeeded", lease=other.lease)
    assert classes(await store.finish([finished(job), late])) == [None, WrongState]


async def test_fail_many_for_reasons_of_their_own(store: Store) -> None:
    """Each job keeps the words of its own report."""
    jobs = await running_many(store, 3)
    items = [finished(job, "failed", reason=f"reason-{i}", error=f"error {i}") for i, job in enumerate(jobs)]
    assert classes(await store.finish(items)) == [None] * 3
    kept = [await store.show(GROUP, job.id) for job in jobs]
    assert [(job.reason, job.error) for job in kept] == [(f"reason-{i}", f"error {i}") for i in range(3)]


async def test_finish_many_without_leases(store: Store) -> None:
    """Old clients' reports stand among others': each job says whose token reported it, if any."""
    first, second, third = await running_many(store, 3)
    reports = [finished(first), finished(second), finished(third)]
    old = Finish(group_name=GROUP, id=second.id, status="succeeded")
    assert classes(await store.finish([reports[0], old, reports[2]])) == [None] * 3
    assert classes(await store.finish(reports)) == [None, WrongState, None]


async def test_touch_the_same_job_twice_in_one_call(store: Store) -> None:
    """Both are answered."""
    job = await running(store)
    assert await store.touch([held(job), held(job)]) == [now_ms(store) + 60_000] * 2


async def test_finish_many_again(store: Store) -> None:
    """A whole call that is sent again changes nothing and gets the same answers."""
    jobs, expected = await good_and_bad(store)
    items = [finished(job, "failed") for job in jobs]
    await store.finish(items)
    before = await dump(store)
    assert classes(await store.finish(items)) == expected
    assert await dump(store) == before


async def test_finish_many_make_room(store: Store) -> None:
    """A group that was full dispatches as many jobs as a bulk call has finished."""
    await configure(store, max_concurrency=3)
    jobs = await running_many(store, 3)
    await store.enqueue(GROUP, [new() for _ in range(5)])
    await store.finish([finished(job) for job in jobs[:2]])
    assert len(await store.next(9)) == 2


async def test_touch_without_leases(store: Store) -> None:
    """Items without a token are taken as those of old clients, unless the group asks for it."""
    free = await running(store)
    await configure(store, "strict", require_lease=True)
    strict = await running(store, "strict")
    items = [Held(group_name=job.group_name, id=job.id) for job in (strict, free)]
    assert classes(await store.touch(items)) == [LeaseLost, None]


async def test_release_all(store: Store) -> None:
    """Jobs that nobody will run are back at their old ranks, as if they had never been delivered."""
    for group in (*spread(store), "x"):
        await store.enqueue(group, [new(priority=1), new()])
    jobs = await store.next(100)
    made = [(await store.show(job.group_name, job.id)).created_at for job in jobs]
    await store.release_all(jobs)
    shown = [await store.show(job.group_name, job.id) for job in jobs]
    assert {(job.status, job.deliveries, bool(job.started_at)) for job in shown} == {("queued", 0, False)}
    assert [job.created_at for job in shown] == made
    assert sorted(ids(await store.next(100))) == sorted(ids(jobs))


async def test_release_all_passes_over_what_is_not_held(store: Store) -> None:
    """Jobs that ended or went to another meanwhile stay as they are; the others go back."""
    done, lost, stays = await running_many(store, 3, timeout=10)
    await store.succeed(GROUP, done.id, done.lease)
    await store.touch([held(stays)])
    wait(store, 5)
    await store.touch([held(stays)])
    await reap_after(store, 5)
    [again] = await store.next(1)
    await store.release_all([done, lost, stays])
    assert again.id == lost.id
    assert [await status_of(store, job) for job in (done, lost, stays)] == ["succeeded", "running", "queued"]
