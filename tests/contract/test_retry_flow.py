"""A job that failed, and all that was cancelled because of that, are made again and wait for each other as before."""

from typing import Any

import pytest

from broker.core.errors import Duplicate, Invalid, LimitReached, NotFound, WrongState
from broker.diagnostics.consistency import check
from broker.models.jobs import Job
from broker.models.unique import Unique
from broker.resp import keys
from broker.store.format.exported import read_line
from tests.contract.building import GROUP, configure, running, status_of
from tests.contract.flows import enqueue_flow, keyed, named, settle
from tests.contract.schedules import end, fire_next, made, put, shown
from tests.contract.test_inputs import end_with
from tests.stores import Store


async def failed_diamond(store: Store) -> list[Job]:
    """A diamond whose job `a` failed, a job that only waits for the end of its last one, and one behind it."""
    first = await running(store, payload="first")
    jobs = await enqueue_flow(
        store,
        named("a", ref="a", after=[first.id]),
        named("b", ref="b", after=[first.id]),
        named("last", ref="last", after=["a", "b"]),
        named("after last", after=["last"], after_on="over"),
        named("far", after=["last"]),
    )
    await end_with(store, first, '"first"')
    await settle(store)
    for job in await store.next(2, [GROUP]):
        if job.payload == "a":
            await store.fail(GROUP, job.id, job.lease, "bad_exit")
        else:
            await end_with(store, job, '"b"')
    await settle(store)
    return [first, *jobs]


async def run_all(store: Store) -> list[str]:
    """Run what is queued until nothing is; the payloads in their order."""
    order = []
    while taken := await store.next(10, [GROUP]):
        for job in taken:
            order.append(str(job.payload))
            await end_with(store, job, f'"{job.payload} again"')
        await settle(store)
    return order


async def test_a_flow_continues_where_it_failed(store: Store) -> None:
    """What had succeeded is not run again, and its results are inputs; what was cancelled runs in its order."""
    _, a, b, last, after_last, far = await failed_diamond(store)
    assert [(await store.show(GROUP, job.id)).status for job in (last, far)] == ["cancelled", "cancelled"]
    await store.start(GROUP, after_last.id)
    await store.remove(GROUP, b.id)

    new, others = await store.jobs.retry_flow(GROUP, a.id)

    made = {other.retry_of: other.id for other in others}
    assert (new.retry_of, new.status, set(made)) == (a.id, "queued", {last.id, far.id})
    again = await store.show(GROUP, made[last.id])
    assert (again.status, again.after, again.waits_for.jobs) == ("delayed", [new.id, b.id], 1)
    assert (await store.show(GROUP, made[far.id])).after == [made[last.id]]
    assert await run_all(store) == ["a", "last", "far"]
    kept = await store.jobs.inputs(GROUP, made[last.id])
    assert [bytes(one.result) for one in kept] == [b'"a again"', b'"b"']


async def test_a_flow_that_fails_again_is_repeated_again(store: Store) -> None:
    """The new jobs are cancelled as the old ones were, and made again from the new job."""
    _, a, *_ = await failed_diamond(store)
    new, others = await store.jobs.retry_flow(GROUP, a.id)
    await store.cancel(GROUP, new.id)
    await settle(store)
    assert {(await store.show(GROUP, other.id)).reason for other in others} == {"dependency"}
    third, more = await store.jobs.retry_flow(GROUP, new.id)
    assert ({one.retry_of for one in more}, third.retry_of) == ({one.id for one in others}, new.id)


async def test_two_that_failed(store: Store) -> None:
    """Of two parents that failed one is repeated: the dependant is cancelled again, and comes with the other one."""
    x, y = await running(store, payload="x"), await running(store, payload="y")
    await enqueue_flow(store, named("both", after=[x.id, y.id]))
    for job in (x, y):
        await store.fail(GROUP, job.id, job.lease, "bad_exit")
    await settle(store)
    new_x, [both] = await store.jobs.retry_flow(GROUP, x.id)
    await settle(store)
    assert (await store.show(GROUP, both.id)).status == "cancelled"
    _, [again] = await store.jobs.retry_flow(GROUP, y.id)
    assert (again.retry_of, (await store.show(GROUP, again.id)).after[0]) == (both.id, new_x.id)
    assert sorted(await run_all(store)) == ["both", "x", "y"]


async def test_a_job_without_dependants(store: Store) -> None:
    """Then it is a retry as any other; refused are a second one, and one of a job that is not finished or not there."""
    with pytest.raises(NotFound):
        await store.jobs.retry_flow(GROUP, "0" * 16)
    job = await running(store)
    with pytest.raises(WrongState):
        await store.jobs.retry_flow(GROUP, job.id)
    await store.fail(GROUP, job.id, job.lease, "bad_exit")
    new, others = await store.jobs.retry_flow(GROUP, job.id)
    assert (new.retry_of, new.max_retries, others) == (job.id, job.max_retries, [])
    assert [event.what for event in (await store.jobs.history(GROUP, job.id)).events][-1] == "retried"
    with pytest.raises(WrongState):
        await store.jobs.retry_flow(GROUP, job.id)


async def test_the_history_says_who_repeated_it(store: Store) -> None:
    """The old job and each that was cancelled because of it name the actor, the status, and the job that repeats it."""
    first, child = await failed_pair(store)
    new, [other] = await store.jobs.retry_flow(GROUP, first.id, "ann")
    for job, status, new_id in ((first, "failed", new.id), (child, "cancelled", other.id)):
        event = (await store.jobs.history(GROUP, job.id)).events[-1]
        assert (event.what, event.by, event.from_, event.to, event.job) == ("retried", "ann", status, status, new_id)


async def test_nothing_is_made_when_one_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another job holds the unique key of one of them, or there is no room, or too many wait, nothing is made."""
    parent = await running(store)
    await enqueue_flow(store, named("child", after=[parent.id], unique=Unique(key="k")))
    await store.fail(GROUP, parent.id, parent.lease, "bad_exit")
    await settle(store)
    await enqueue_flow(store, named("holder", unique=Unique(key="k")))
    with pytest.raises(Duplicate):
        await store.jobs.retry_flow(GROUP, parent.id)
    monkeypatch.setattr("broker.store.jobs.MOST_DEPENDANTS", 0)
    with pytest.raises(LimitReached):
        await store.jobs.retry_flow(GROUP, parent.id)
    monkeypatch.undo()
    monkeypatch.setattr("broker.store.jobs.MOST_EDGES", 0)
    with pytest.raises(Invalid, match="more than 0 entries in `after`") as refused:
        await store.jobs.retry_flow(GROUP, parent.id)
    assert refused.value.fields == "dependants"
    assert not (await store.show(GROUP, parent.id)).retry_at


async def failed_pair(store: Store, **fields: Any) -> tuple[Job, Job]:
    """A job that failed, and one with these fields that was cancelled because of that."""
    first = await running(store, payload="first")
    [child] = await enqueue_flow(store, named("child", after=[first.id], **fields))
    await store.fail(GROUP, first.id, first.lease, "bad_exit")
    await settle(store)
    return first, child


async def test_as_many_as_may_be(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow of exactly as many jobs as may be, with as many entries in `after`, is made again."""
    first, child = await failed_pair(store)
    monkeypatch.setattr("broker.store.jobs.MOST_DEPENDANTS", 1)
    monkeypatch.setattr("broker.store.jobs.MOST_EDGES", 1)
    _, [other] = await store.jobs.retry_flow(GROUP, first.id)
    assert other.retry_of == child.id
    assert await run_all(store) == ["first", "child"]


async def test_what_was_retried_already_is_not_made_again(store: Store) -> None:
    """A dependant that somebody retried alone has its retry."""
    first, child = await failed_pair(store)
    again = await store.retry(GROUP, child.id)
    _, others = await store.jobs.retry_flow(GROUP, first.id)
    assert others == []
    assert (await store.show(GROUP, child.id)).retry_at == again.id


async def test_all_jobs_of_a_group_need_room(store: Store) -> None:
    """A limit counts them together, and their bytes too; those of a group without a limit of bytes are not counted."""
    first, child = await failed_pair(store)
    [other] = await enqueue_flow(store, named("other", after=[child.id]), group="other")
    await settle(store)
    size_bytes = sum(len(b'{"image":"post","payload":"%b"}' % name) for name in (b"first", b"child"))
    for limit in ({"max_jobs": 1}, {"max_bytes": size_bytes - 1}):
        await configure(store, **limit)
        with pytest.raises(LimitReached):
            await store.jobs.retry_flow(GROUP, first.id)
    await configure(store, max_jobs=2, max_bytes=size_bytes)
    _, others = await store.jobs.retry_flow(GROUP, first.id)
    assert {one.retry_of for one in others} == {child.id, other.id}
    sums = await store.redis.zrange(f"{store.partitions[0]}:bytes", 0, -1, withscores=True)
    assert sums == [(GROUP.encode(), size_bytes)]


async def test_the_new_job_holds_the_unique_key(store: Store) -> None:
    """Its end frees the key, as that of every holder does."""
    first, child = await failed_pair(store, unique=Unique(key="k"))
    _, [new] = await store.jobs.retry_flow(GROUP, first.id)
    [duplicate] = await enqueue_flow(store, keyed("more", key="k"))
    assert (duplicate.id, duplicate.retry_of) == (new.id, child.id)
    assert await run_all(store) == ["first", "child"]
    assert not await store.redis.exists(keys.unique(store.partitions[0], GROUP))


async def test_two_with_the_same_key(store: Store) -> None:
    """Two jobs that had a unique key one after the other cannot both have it: nothing is made."""
    first, _ = await failed_pair(store, unique=Unique(key="k"))
    await enqueue_flow(store, named("child too", after=[first.id], unique=Unique(key="k")))
    await settle(store)
    with pytest.raises(Duplicate, match="Two of the jobs"):
        await store.jobs.retry_flow(GROUP, first.id)
    assert not (await store.show(GROUP, first.id)).retry_at


async def test_the_new_job_has_a_place_of_its_key(store: Store) -> None:
    """Its end gives the place on."""
    await configure(store, key_concurrency=1)
    job = await running(store, key="k")
    await store.fail(GROUP, job.id, job.lease, "bad_exit")
    await settle(store)
    new, _ = await store.jobs.retry_flow(GROUP, job.id)
    [held] = await enqueue_flow(store, named("held", key="k"))
    assert await status_of(store, held) == "delayed"
    await end(store, new)
    await settle(store)
    assert await status_of(store, held) == "queued"


async def test_the_new_job_is_of_the_same_fire(store: Store) -> None:
    """Its end is the outcome of its schedule."""
    await put(store)
    await fire_next(store)
    [job] = await made(store)
    await end(store, job, "failed")
    await settle(store)
    new, _ = await store.jobs.retry_flow(GROUP, job.id)
    await end(store, new)
    await settle(store)
    assert (await shown(store)).last.outcome == "succeeded"


async def test_what_was_undone_is_exported_and_deleted(store: Store) -> None:
    """It is brought into another store, and goes with its job."""
    _, a, *_ = await failed_diamond(store)
    pieces = [piece async for piece in store.transfer.export()]
    await store.redis.delete(*[key async for key in store.redis.scan_iter(f"{store.partitions[0]}:*", 1000)])
    lines = [read_line(line) for piece in pieces for line in piece.jobs]
    await store.transfer.restore(store.partitions[0], [], [line.job for line in lines if line.job])
    assert await check(store) == []
    _, others = await store.jobs.retry_flow(GROUP, a.id)
    assert len(others) == 2
    await store.remove(GROUP, a.id)
    assert not await store.redis.exists(keys.undone(store.partitions[0], a.id))


async def test_what_is_not_settled_yet_is_repeated_too(store: Store) -> None:
    """A retry between the failure of a job and its settlement finds all that is cancelled because of the failure."""
    first = await running(store, payload="first")
    [second, third] = await enqueue_flow(store, named("b", ref="b", after=[first.id]), named("c", after=["b"]))
    await store.fail(GROUP, first.id, first.lease, "bad_exit")

    new, others = await store.jobs.retry_flow(GROUP, first.id)

    assert {other.retry_of for other in others} == {second.id, third.id}
    assert await run_all(store) == ["first", "b", "c"]
    assert (await store.show(GROUP, new.id)).status == "succeeded"
    assert await check(store) == []
