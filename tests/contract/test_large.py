"""Jobs so large that a whole page of them would block the store: an answer is bounded in bytes too."""

import asyncio
from typing import Any

import pytest

from broker.core.errors import StoreUnavailable
from broker.models.reports import Finish
from broker.resp import keys
from tests.contract.building import GROUP, Run, enqueue, ids, members_key, new, now_ms, wait
from tests.stores import Store

MIB = 1024 * 1024
"""A script that has read this number of bytes of jobs reads no further one; an answer takes eight times this number, or
four times with `?image=`."""
PAYLOAD = "x" * 1_000_000
JOBS = 20


async def enqueue_large(store: Store) -> list[str]:
    """Ids of jobs that together are larger than an answer may be, in their order."""
    return [job_id for _ in range(JOBS) for job_id in ids((await store.enqueue(GROUP, [new(payload=PAYLOAD)])).jobs)]


async def test_next_of_large_jobs(store: Store) -> None:
    """A call dispatches the jobs that fit into an answer, in order, and the next call continues; none is skipped."""
    made = await enqueue_large(store)
    calls = []
    while jobs := await store.next(JOBS):
        calls.append(ids(jobs))
    assert [job_id for call in calls for job_id in call] == made
    assert [len(call) for call in calls] == [10, 10]


async def test_list_of_large_jobs(store: Store) -> None:
    """A page has as many as fit into an answer, and its cursor leads to the others, in both orders."""
    made = await enqueue_large(store)
    for newest_first in (False, True):
        pages, cursor = [], ""
        while not pages or cursor:
            jobs, cursor = await store.list(GROUP, JOBS, cursor=cursor, newest_first=newest_first)
            pages.append(ids(jobs))
        listed = [job_id for page in pages for job_id in page]
        assert listed == (made[::-1] if newest_first else made)
        assert [len(page) for page in pages] == [10, 10]


async def enqueue_bytes(store: Store, size: int) -> None:
    """A job whose spec has exactly this number of bytes."""
    await enqueue(store, payload="x" * (size - len('{"image":"post","payload":""}')))


@pytest.mark.parametrize(("size", "number"), [(MIB - 1, 2), (MIB, 1)])
@pytest.mark.parametrize("group", [GROUP, "other"])
async def test_next_at_the_limit_of_a_script(store: Store, run: Run, size: int, number: int, group: str) -> None:
    """A run with room for a byte takes another job, of the same group or the next one; a full one does not."""
    await enqueue_bytes(store, size - len(f"{GROUP} {now_ms(store)} "))
    await enqueue(store, group)
    _, *groups = await run("next", now_ms(store), 2, "token", "", 0, "")
    assert sum(len(told[2:]) // 4 for told in groups) == number
    assert len(await store.next(2)) == 2 - number


@pytest.mark.parametrize(
    ("images", "size", "number"),
    [((), 8 * MIB - 500, 2), ((), 8 * MIB, 1), (("post",), 4 * MIB - 1, 2), (("post",), 4 * MIB, 1)],
)
@pytest.mark.parametrize("group", [GROUP, "other"])
async def test_next_at_the_limit(store: Store, images: tuple[str, ...], size: int, number: int, group: str) -> None:
    """An answer with some room takes another job, of the same group or the next one; a full one does not."""
    await enqueue_bytes(store, size - len(f"{GROUP} {now_ms(store)} "))
    await enqueue(store, group)
    assert len(await store.next(2, images=images)) == number


async def test_next_of_large_jobs_for_many(store: Store) -> None:
    """Calls that share a script call each get what they asked for, in order, however large; none is answered empty."""
    made = await enqueue_large(store)
    given = await asyncio.gather(*(store.next(n) for n in (1, 12, 1, 2)))
    assert [len(jobs) for jobs in given] == [1, 9, 1, 2]
    assert [job_id for jobs in given for job_id in ids(jobs)] == made[:13]
    [rest] = await asyncio.gather(store.next(JOBS))
    assert ids(rest) == made[13:]


async def test_next_of_large_jobs_when_the_store_fails(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs dispatched before a fault are delivered; only callers that would get nothing get the fault."""
    made = await enqueue_large(store)
    run, calls = store._partitions.run, []

    async def fail_later(verb: str, *arguments: Any) -> Any:
        calls.append(verb)
        if len(calls) > 3:
            raise StoreUnavailable
        return await run(verb, *arguments)

    monkeypatch.setattr(store._partitions, "run", fail_later)
    assert ids(await store.next(JOBS)) == made[:6]
    with pytest.raises(StoreUnavailable):
        await store.next(JOBS)


async def test_a_reap_of_more_jobs_than_one_command_reads(store: Store) -> None:
    """Each is deleted and counted once, while the end of another one must be settled yet."""
    await store.enqueue(GROUP, [new()] * 1002)
    while jobs := await store.next(1000, [GROUP]):
        await store.finish([Finish(group_name=GROUP, id=job.id, lease=job.lease, status="succeeded") for job in jobs])
    await store.redis.zadd(keys.settle(store.partitions[0]), {"batch:elsewhere": now_ms(store)})
    wait(store, 86_400)
    assert (await store.reap(2000)).expired == 1002
    assert await store.redis.exists(members_key(store, GROUP, "succeeded"), keys.executions(store.partitions[0])) == 0


@pytest.mark.parametrize(("size", "number"), [(8 * MIB - 1, 2), (8 * MIB, 1)])
async def test_list_at_the_limit(store: Store, size: int, number: int) -> None:
    """A page with room for a byte takes another job; a full one ends, and its cursor leads on."""
    await enqueue_bytes(store, size)
    await enqueue(store)
    jobs, cursor = await store.list(GROUP, 2)
    assert (len(jobs), bool(cursor)) == (number, number == 1)
