"""What the store does when it lost its scripts, when an answer is lost, and when its memory is full."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from broker.core.errors import StoreFull, StoreUnavailable
from broker.diagnostics.consistency import check
from broker.models.groups import GroupChanges, GroupSettings
from broker.models.jobs import Job
from broker.models.reports import Finish
from tests.contract.building import (
    GROUP,
    cancelled,
    delayed,
    dump,
    held,
    ids,
    new,
    queued,
    reap_after,
    running,
    running_many,
    spread,
    succeeded,
)
from tests.stores import Store

Act = Callable[[Store, Job], Awaitable[object]]
Full = Callable[[], AbstractAsyncContextManager[None]]

WHILE_FULL: list[tuple[str, Callable[[Store], Awaitable[Job]], Act]] = [
    ("next", queued, lambda store, _: store.next(1)),
    ("start", queued, lambda store, job: store.start(GROUP, job.id)),
    ("touch", running, lambda store, job: store.touch([held(job)])),
    ("succeed", running, lambda store, job: store.succeed(GROUP, job.id, job.lease)),
    ("fail", lambda store: running(store, max_retries=1), lambda store, job: store.fail(GROUP, job.id, job.lease)),
    ("release", running, lambda store, job: store.release(GROUP, job.id, job.lease)),
    ("cancel", queued, lambda store, job: store.cancel(GROUP, job.id)),
    ("promote", delayed, lambda store, job: store.promote(GROUP, job.id, "ann")),
    ("remove", succeeded, lambda store, job: store.remove(GROUP, job.id)),
    ("log", succeeded, lambda store, job: store.log(GROUP, job.id, 1)),
    ("reap", delayed, lambda store, _: reap_after(store, 60)),
    ("configure", queued, lambda store, _: store.configure(GROUP, GroupSettings(paused=True))),
    ("adjust", queued, lambda store, _: store.groups.adjust(GROUP, GroupChanges(paused=True))),
    ("delete_group", succeeded, lambda store, _: store.groups.delete_group(GROUP)),
    ("show", queued, lambda store, job: store.show(GROUP, job.id)),
    ("list", queued, lambda store, _: store.list(GROUP, 10)),
    ("groups", queued, lambda store, _: store.groups.list(10)),
    ("check", queued, lambda store, _: check(store)),
]
REFUSED_WHILE_FULL: list[tuple[str, Callable[[Store], Awaitable[Job]], Act]] = [
    ("enqueue", queued, lambda store, _: store.enqueue(GROUP, [new()])),
    ("retry", cancelled, lambda store, job: store.retry(GROUP, job.id)),
]


def _verb(value: object) -> str:
    return value if isinstance(value, str) else ""


@pytest.fixture
def full(store: Store) -> Full:
    """A stretch in which the store has no memory left."""

    @asynccontextmanager
    async def stretch() -> AsyncIterator[None]:
        await store.redis.config_set("maxmemory", 1)
        try:
            yield
        finally:
            await store.redis.config_set("maxmemory", 0)

    return stretch


@pytest.fixture
def lose_answers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection breaks after the store has done what it was asked."""
    partitions = store._partitions
    run = partitions.run

    async def run_and_break(*call: Any) -> None:
        await run(*call)
        monkeypatch.setattr(partitions, "run", run)
        raise StoreUnavailable

    monkeypatch.setattr(partitions, "run", run_and_break)


@pytest.mark.parametrize("partitions", [1, 3])
async def test_scripts_are_loaded_again(store: Store) -> None:
    """A store that has forgotten all scripts gets them again, and each call is done once."""
    made: list[str] = []
    for group in spread(store):
        await store.redis.script_flush()
        made += ids((await store.enqueue(group, [new(), new()])).jobs)
    await store.redis.script_flush()
    jobs = await store.next(100)
    await store.redis.script_flush()
    assert sorted(ids(jobs)) == sorted(made)
    assert all(isinstance(end, int) for end in await store.touch([held(job) for job in jobs]))
    await store.redis.script_flush()
    assert (await store.groups.list(100))[0][0].counts.running == 2


async def test_enqueue_with_an_unknown_outcome(store: Store, lose_answers: None) -> None:
    """If the answer is lost, the caller learns that the outcome is unknown; the same key then gets the jobs."""
    with pytest.raises(StoreUnavailable, match="not known"):
        await store.enqueue(GROUP, [new(), new()], "key")
    again = await store.enqueue(GROUP, [new(), new()], "key")
    assert again.is_replayed
    assert ids((await store.list(GROUP, 10))[0]) == ids(again.jobs)


async def test_succeed_with_an_unknown_outcome(store: Store, request: pytest.FixtureRequest) -> None:
    """A finish whose answer was lost is sent again without harm."""
    job = await running(store)
    request.getfixturevalue("lose_answers")
    with pytest.raises(StoreUnavailable):
        await store.succeed(GROUP, job.id, job.lease)
    assert (await store.succeed(GROUP, job.id, job.lease)).status == "succeeded"


async def test_call_is_carried_through_when_its_caller_is_gone(store: Store) -> None:
    """A call that has begun is done whole, and the connection's next answer is of the next call."""
    await store.enqueue("other", [new()])  # the connection is open and the script loaded, so a call begins at once
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(store.enqueue(GROUP, [new(), new()]), 0)
    async with asyncio.TaskGroup() as group:
        begun = group.create_task(store.enqueue(GROUP, [new() for _ in range(3)]))
        await asyncio.sleep(0)  # one loop iteration: the call is on its way
        begun.cancel()
    made: list[Job] = []
    async with asyncio.timeout(5):
        while not made:
            made, _ = await store.list(GROUP, 10)
    assert len(made) == 3


@pytest.mark.parametrize("backend", ["valkey", "redis"])
@pytest.mark.parametrize(("verb", "bring", "act"), WHILE_FULL, ids=_verb)
async def test_full_store_drains(
    store: Store, full: Full, verb: str, bring: Callable[[Store], Awaitable[Job]], act: Act
) -> None:
    """A full store continues to dispatch, finish and delete jobs."""
    job = await bring(store)
    async with full():
        await act(store, job)


@pytest.mark.parametrize("backend", ["valkey", "redis"])
@pytest.mark.parametrize(("verb", "bring", "act"), REFUSED_WHILE_FULL, ids=_verb)
async def test_full_store_takes_no_new_jobs(
    store: Store, full: Full, verb: str, bring: Callable[[Store], Awaitable[Job]], act: Act
) -> None:
    """A store without memory refuses new jobs, says when to try again, and changes nothing."""
    job = await bring(store)
    before = await dump(store)
    async with full():
        with pytest.raises(StoreFull) as refused:
            await act(store, job)
    assert refused.value.retry_after_s
    assert await dump(store) == before


@pytest.mark.parametrize("backend", ["valkey", "redis"])
async def test_full_store_finishes_in_bulk(store: Store, full: Full) -> None:
    """The bulk calls continue too."""
    jobs = await running_many(store, 3, max_retries=1)
    async with full():
        done = await store.finish(
            [Finish(group_name=GROUP, id=job.id, status="failed", lease=job.lease) for job in jobs]
        )
    assert done == [None] * 3
