"""`list`: order, pages and cursors, also while jobs come and go between two pages."""

import asyncio
import locale
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.core.errors import Invalid
from broker.core.states import STATUSES, Status
from broker.diagnostics.consistency import check
from broker.models.jobs import Job
from broker.resp import keys
from broker.store.pagination import PIECE
from tests.contract.building import (
    GROUP,
    enqueue,
    ids,
    lose,
    new,
    now_ms,
    of_each_status,
    queued,
    running,
    running_many,
    succeeded,
    wait,
)
from tests.stores import Store

each_order = pytest.mark.parametrize("newest_first", [False, True])


async def pages(store: Store, n: int, **query: object) -> AsyncIterator[list[Job]]:
    """The pages of a list one after another; the test may change the store between two."""
    cursor = ""
    while True:
        jobs, cursor = await store.list(GROUP, n, cursor=cursor, **query)
        yield jobs
        if not cursor:
            return


async def whole(store: Store, n: int, **query: object) -> list[str]:
    """The ids of all pages."""
    return [job.id async for page in pages(store, n, **query) for job in page]


async def made(store: Store, n: int, *, each_ms: int = 1) -> list[str]:
    """N jobs, `each_ms` of them in every millisecond; their ids."""
    jobs: list[Job] = []
    while len(jobs) < n:
        jobs += (await store.enqueue(GROUP, [new(payload=str(len(jobs))) for _ in range(each_ms)])).jobs
        wait(store, 0.001)
    return ids(jobs)


async def test_list_of_an_unknown_group(store: Store) -> None:
    """A group that does not exist has no jobs, and a read does not create it."""
    assert await store.list("unknown", 10) == ([], "")
    assert await store.groups.list(10) == ([], "")


async def test_list_shows_whole_jobs(store: Store) -> None:
    """A list shows each job as `show` does."""
    await of_each_status(store)
    jobs, _ = await store.list(GROUP, 10)
    assert jobs == [await store.show(GROUP, job.id) for job in jobs]
    assert {job.status for job in jobs} == set(STATUSES)


async def test_list_is_of_one_group(store: Store) -> None:
    """Jobs of other groups are not in it."""
    job = await queued(store)
    await queued(store, "other")
    assert ids((await store.list(GROUP, 10))[0]) == [job.id]


@each_order
@pytest.mark.parametrize("each_ms", [1, 3, 12])
@pytest.mark.parametrize("n", [1, 4, 11, 12, 1000])
async def test_list_pages(store: Store, n: int, each_ms: int, newest_first: bool) -> None:
    """Page by page every job comes once, by creation, also where many were made in one millisecond."""
    wanted = await made(store, 12, each_ms=each_ms)
    assert await whole(store, n, newest_first=newest_first) == (wanted[::-1] if newest_first else wanted)


async def test_list_cursor_at_the_end(store: Store) -> None:
    """The last page has no cursor, also when it is full."""
    await made(store, 4)
    assert (await store.list(GROUP, 4))[1] == ""
    _, cursor = await store.list(GROUP, 3)
    assert (await store.list(GROUP, 1, cursor=cursor))[1] == ""


async def test_list_oldest_first(store: Store) -> None:
    """Creation decides, not priority, status or delay."""
    first = await enqueue(store, priority=0, delay=9)
    wait(store, 1)
    second = await succeeded(store, priority=2)
    wait(store, 1)
    third = await queued(store, priority=1)
    assert ids((await store.list(GROUP, 9))[0]) == [first.id, second.id, third.id]


@each_order
async def test_list_while_jobs_come(store: Store, newest_first: bool) -> None:
    """New jobs between two pages shift nothing: oldest first they come last, newest first they do not come."""
    old = await made(store, 6, each_ms=3)
    seen: list[str] = []
    new_ones: list[str] = []
    async for page in pages(store, 2, newest_first=newest_first):
        seen += ids(page)
        if len(new_ones) < 4:
            new_ones += await made(store, 2)
    assert seen == (old[::-1] if newest_first else old + new_ones)


@each_order
@pytest.mark.parametrize("each_ms", [1, 12])
async def test_list_while_jobs_go(store: Store, newest_first: bool, each_ms: int) -> None:
    """Jobs that are removed between two pages, that of the cursor too, shift nothing: no other is missed or twice."""
    order = await made(store, 12, each_ms=each_ms)
    if newest_first:
        order.reverse()
    for job_id in order:
        await store.cancel(GROUP, job_id)
    gone_between = {4: [order[0], order[3], order[4]], 8: [order[8], order[10]]}
    seen: list[str] = []
    async for page in pages(store, 4, newest_first=newest_first):
        seen += ids(page)
        for job_id in gone_between.get(len(seen), ()):
            await store.remove(GROUP, job_id)
    assert seen == [job_id for job_id in order if job_id not in (order[4], order[10])]


async def test_list_when_all_that_is_left_is_gone(store: Store) -> None:
    """A cursor behind which there is nothing any more leads to an empty last page."""
    order = await made(store, 4)
    _, cursor = await store.list(GROUP, 2)
    for job_id in order[1:]:
        await store.cancel(GROUP, job_id)
        await store.remove(GROUP, job_id)
    assert await store.list(GROUP, 2, cursor=cursor) == ([], "")


@each_order
@pytest.mark.parametrize("n", [1, 2, 100])
async def test_list_created_after(store: Store, n: int, newest_first: bool) -> None:
    """`created_after` leaves out what was made at that millisecond or before it."""
    began = now_ms(store)
    order = await made(store, 9, each_ms=3)
    for passed_ms, left in ((-1, 9), (0, 6), (1, 3), (2, 0), (10**6, 0)):
        wanted = order[9 - left :]
        found = await whole(store, n, newest_first=newest_first, created_after=began + passed_ms)
        first, _ = await store.list(GROUP, n, newest_first=newest_first, created_after=began + passed_ms)
        assert ids(first) == found[:n]
        assert found == (wanted[::-1] if newest_first else wanted)


@pytest.mark.parametrize("status", STATUSES)
async def test_list_status(store: Store, status: Status) -> None:
    """A list of one status has the jobs that are in it now, and no others."""
    wanted = (await of_each_status(store))[status]
    assert sorted(await whole(store, 1, statuses=[status])) == sorted(ids(wanted))


@each_order
async def test_list_queued(store: Store, newest_first: bool) -> None:
    """The queued jobs are in the order in which they would be dispatched."""
    priorities = (0, 1, 2, 0, 1, 2)
    jobs = [await queued(store, priority=priority) for priority in priorities]
    wanted = [jobs[i].id for i in (2, 5, 1, 4, 0, 3)]
    found = await whole(store, 4, statuses=["queued"], newest_first=newest_first)
    assert found == (wanted[::-1] if newest_first else wanted)


@each_order
@pytest.mark.parametrize("n", [1, 2, 10])
async def test_list_finished(store: Store, n: int, newest_first: bool) -> None:
    """Finished jobs are in the order in which they ended."""
    first, second, third = await running_many(store, 3)
    wanted = []
    for job in (second, third, first):
        wait(store, 1)
        await store.succeed(GROUP, job.id, job.lease)
        wanted.append(job.id)
    found = await whole(store, n, statuses=["succeeded"], newest_first=newest_first)
    assert found == (wanted[::-1] if newest_first else wanted)


async def test_list_running(store: Store) -> None:
    """Running jobs are in the order in which their leases end."""
    wanted = [(await running(store, timeout=timeout)).id for timeout in (10, 20, 30)]
    last = await running(store, timeout=5)
    assert await whole(store, 2, statuses=["running"]) == [last.id, *wanted]


async def test_list_status_created_after(store: Store) -> None:
    """Both filters apply together; a page may be short, and its cursor continues the list."""
    await made(store, 3)
    after = now_ms(store) - 1
    young = await made(store, 3)
    assert await whole(store, 2, statuses=["queued"], created_after=after) == young
    assert await whole(store, 2, statuses=["queued"], created_after=after, newest_first=True) == young[::-1]
    page, cursor = await store.list(GROUP, 3, statuses=["queued"], created_after=after)
    assert (page, bool(cursor)) == ([], True)


@each_order
@pytest.mark.parametrize("n", [1, 2, 3, 4, 100])
async def test_list_several_statuses(store: Store, n: int, newest_first: bool) -> None:
    """A list of several statuses is their lists one after the other, in the order given; each status once."""
    for _ in range(3):
        await of_each_status(store)
        wait(store, 1)
    given: list[Status] = ["failed", "delayed", "queued"]
    wanted = [job_id for s in given for job_id in await whole(store, 100, statuses=[s], newest_first=newest_first)]
    assert len(wanted) >= 9
    assert await whole(store, n, statuses=[*given, "failed"], newest_first=newest_first) == wanted
    assert await whole(store, n, statuses=["queued", "queued"]) == await whole(store, n, statuses=["queued"])


async def test_list_several_statuses_ends_without_a_cursor(store: Store) -> None:
    """A full page has a cursor exactly when a status behind it has a job."""
    first, second = await queued(store), await queued(store)
    page, cursor = await store.list(GROUP, 2, statuses=["failed", "queued", "running", "succeeded"])
    assert (ids(page), cursor) == ([first.id, second.id], "")
    page, cursor = await store.list(GROUP, 2, statuses=["queued", "failed", "delayed"])
    assert (ids(page), cursor) == ([first.id, second.id], "")
    third = await enqueue(store, delay=9)
    page, cursor = await store.list(GROUP, 2, statuses=["queued", "failed", "delayed"])
    assert ids(page) == [first.id, second.id]
    rest, end = await store.list(GROUP, 2, statuses=["queued", "failed", "delayed"], cursor=cursor)
    assert (ids(rest), end) == ([third.id], "")


async def test_list_several_statuses_created_after(store: Store) -> None:
    """Both filters hold together over all of the statuses."""
    await of_each_status(store)
    after = now_ms(store)
    wait(store, 1)
    young = await of_each_status(store)
    wanted = ids(young["cancelled"]) + ids(young["delayed"])
    assert await whole(store, 2, statuses=["cancelled", "delayed"], created_after=after) == wanted


async def test_list_with_a_cursor_of_other_statuses(store: Store) -> None:
    """A cursor continues only a list with its statuses; any other is refused by name."""
    await of_each_status(store)
    await of_each_status(store)
    several: list[Status] = ["failed", "queued"]
    _, of_several = await store.list(GROUP, 1, statuses=several)
    _, of_one = await store.list(GROUP, 1, statuses=["queued"])
    for cursor, statuses in (
        (of_several, ["queued"]),
        (of_several, []),
        (of_one, several),
        (of_several, ["queued", "running"]),
    ):
        with pytest.raises(Invalid) as refused:
            await store.list(GROUP, 1, statuses=statuses, cursor=cursor)
        assert refused.value.fields == "cursor"


@pytest.mark.parametrize("cursor", ["x", "!", "ü", "MQ", "YQ==", "MTIgYS9i", "bmFuIDEyMw", "0" * 300])
async def test_list_with_a_cursor_of_ones_own(store: Store, cursor: str) -> None:
    """A cursor that no list gave is refused by name."""
    with pytest.raises(Invalid) as refused:
        await store.list(GROUP, 10, cursor=cursor)
    assert refused.value.fields == "cursor"


async def test_list_passes_over_what_is_no_job_of_the_group(store: Store) -> None:
    """An id of no job, or of another group's, is in no page, and ends none."""
    gone, kept = await queued(store), await queued(store)
    foreign = await queued(store, "other")
    await store.redis.zadd(keys.jobs_of(store.partitions[0], GROUP), {foreign.id: now_ms(store)})
    await lose(store, gone)
    assert ids((await store.list(GROUP, 3))[0]) == [kept.id]
    assert ids((await store.list(GROUP, 3, statuses=["queued"]))[0]) == [kept.id]
    await check(store, is_repair=True)


@pytest.mark.parametrize("backend", ["fake"])
async def test_list_pages_in_a_locale(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store in a locale where b comes before B pages like any other, though Lua's < follows the locale."""
    make = ["localedef", "-i", "en_US", "-f", "UTF-8", str(tmp_path / "en_US.UTF-8")]
    if shutil.which("localedef") is None or await asyncio.to_thread(subprocess.call, make, stderr=subprocess.DEVNULL):
        pytest.skip("no locale can be made here: apt-get install locales")
    wanted = await made(store, 124, each_ms=124)
    monkeypatch.setenv("LOCPATH", str(tmp_path))
    before = locale.setlocale(locale.LC_COLLATE)
    locale.setlocale(locale.LC_COLLATE, "en_US.UTF-8")
    try:
        assert await whole(store, 7) == wanted
        assert await whole(store, 7, newest_first=True) == wanted[::-1]
    finally:
        locale.setlocale(locale.LC_COLLATE, before)


@each_order
@pytest.mark.parametrize("statuses", [[], ["queued"], ["failed", "queued", "running"]], ids=len)
async def test_list_in_pieces(
    store: Store, monkeypatch: pytest.MonkeyPatch, newest_first: bool, statuses: list[Status]
) -> None:
    """A page of more jobs than one script reads is whole and in order, and its cursor leads to the rest."""
    monkeypatch.setattr("broker.store.jobs.ROUND_S", 100.0)  # however slow the machine is
    made = ids((await store.enqueue(GROUP, [new() for _ in range(2 * PIECE + 3)])).jobs)
    expected = made[::-1] if newest_first else made
    for n in (PIECE, PIECE + 1, 2 * PIECE, len(made)):
        page, cursor = await store.list(GROUP, n, statuses=statuses, newest_first=newest_first)
        assert ids(page) == expected[:n]
        assert bool(cursor) == (n < len(made))
        if cursor:
            rest, end = await store.list(GROUP, 1000, cursor=cursor, statuses=statuses, newest_first=newest_first)
            assert (ids(rest), end) == (expected[n:], "")
