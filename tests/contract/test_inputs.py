"""Inputs: a job gets how the jobs that it waited for ended, and what they made, and keeps it when they are gone."""

import pytest
from msgspec import UNSET, Raw

from broker.core.errors import NotFound
from broker.diagnostics.consistency import check
from broker.models.inputs import MAX_INPUT_BYTES, MAX_INPUTS_BYTES, Input
from broker.models.jobs import Job
from broker.models.reports import Finish
from broker.models.unique import Unique
from broker.resp import keys
from broker.store.format.exported import read_line
from tests.contract.building import GROUP, running, status_of
from tests.contract.flows import enqueue_flow, move, named, settle
from tests.stores import Store


async def made(store: Store, result: str = "") -> Job:
    """A job that has succeeded with this result, JSON."""
    return await end_with(store, await running(store), result)


async def end_with(store: Store, job: Job, result: str = "") -> Job:
    """End a job with this result, JSON; the job."""
    given = {"group_name": GROUP, "id": job.id, "lease": job.lease}
    await store.completer.succeed(Finish(status="succeeded", **given, result=Raw(result.encode()) if result else UNSET))
    return await store.show(GROUP, job.id)


async def seen(store: Store, job: Job) -> list[tuple[str, bytes, int]]:
    """The inputs of a job, without their ids."""
    return [(one.status or "", bytes(one.result or b""), one.left_out_bytes or 0) for one in await inputs(store, job)]


async def inputs(store: Store, job: Job) -> list[Input]:
    """The inputs of a job."""
    return await store.jobs.inputs(GROUP, job.id)


async def test_a_result_is_kept_when_its_job_is_gone(store: Store) -> None:
    """The settlement copies it, so the parent may be deleted before the child runs."""
    parent = await running(store)
    [child] = await enqueue_flow(store, named("child", after=[parent.id]))
    assert await inputs(store, child) == [Input(id=parent.id)]
    await end_with(store, parent, '{"pages":3}')
    await settle(store)
    await store.remove(GROUP, parent.id)
    [kept] = await inputs(store, child)
    assert (kept.id, kept.status, bytes(kept.result)) == (parent.id, "succeeded", b'{"pages":3}')


async def test_inputs_of_jobs_that_had_ended(store: Store) -> None:
    """A job whose parents have ended already has their results at once, in the order of `after`."""
    first, second, third = await made(store, "1"), await made(store, '"two"'), await made(store)
    [child] = await enqueue_flow(store, named("child", after=[second.id, first.id, third.id]))
    assert child.status == "queued"
    assert [one.id for one in await inputs(store, child)] == [second.id, first.id, third.id]
    assert await seen(store, child) == [("succeeded", b'"two"', 0), ("succeeded", b"1", 0), ("succeeded", b"", 0)]


async def test_any_end_is_an_input(store: Store) -> None:
    """With `over` a failed and a cancelled parent are inputs without a result."""
    failed, cancelled = await running(store), await running(store)
    [child] = await enqueue_flow(store, named("child", after=[failed.id, cancelled.id], after_on="over"))
    await store.fail(GROUP, failed.id, failed.lease, "bad_exit")
    await store.cancel(GROUP, cancelled.id)
    await settle(store)
    assert await seen(store, child) == [("failed", b"", 0), ("cancelled", b"", 0)]


async def test_a_retry_of_a_parent_is_its_input(store: Store) -> None:
    """The result of an automatic retry stands under the id in `after`, also that of the last one there may be."""
    parent = await running(store, max_retries=25, retries_delay=0)
    [child] = await enqueue_flow(store, named("child", after=[parent.id]))
    for _ in range(25):
        await store.fail(GROUP, parent.id, parent.lease, "bad_exit")
        [parent] = await store.next(1, [GROUP])
    await end_with(store, parent, "7")
    await settle(store)
    assert [one.id for one in await inputs(store, child)] == child.after
    assert await seen(store, child) == [("succeeded", b"7", 0)]


async def test_a_large_result_is_left_out(store: Store) -> None:
    """One byte more than fits is left out, with its size; the job runs nevertheless."""
    fits, large = "1" * MAX_INPUT_BYTES, "1" * (MAX_INPUT_BYTES + 1)
    parents = [await made(store, fits), await made(store, large)]
    [child] = await enqueue_flow(store, named("child", after=[parent.id for parent in parents]))
    assert await seen(store, child) == [
        ("succeeded", fits.encode(), 0),
        ("succeeded", b"", MAX_INPUT_BYTES + 1),
    ]


async def test_all_inputs_have_a_limit(store: Store) -> None:
    """Results are kept as long as they fit; a small one fits after a large one that did not."""
    n = MAX_INPUTS_BYTES // MAX_INPUT_BYTES
    results = ["2" * MAX_INPUT_BYTES] * (n - 1) + ["3" * (MAX_INPUT_BYTES - 1), "44", "5"]
    parents = [await made(store, result) for result in results]
    [child] = await enqueue_flow(store, named("child", after=[parent.id for parent in parents]))
    assert [left_out for _, _, left_out in await seen(store, child)] == [0] * n + [2, 0]


async def test_a_result_counts_once(store: Store) -> None:
    """An end that is settled again, since another job came to wait for it, changes no input."""
    parent = await running(store)
    [child] = await enqueue_flow(store, named("child", after=[parent.id], after_on="over"))
    await store.fail(GROUP, parent.id, parent.lease, "bad_exit")
    await settle(store)
    before = await inputs(store, child)
    await enqueue_flow(store, named("late", after=[parent.id]))
    await settle(store)
    assert await inputs(store, child) == before


async def test_a_result_counts_once_for_a_job_that_waits_again(store: Store) -> None:
    """A job that waits for an ended one twice has its result once, and the bytes of it."""
    done, open_ = await made(store, "123"), await running(store)
    job = await running(store)
    await store.completer.wait(GROUP, job.id, [done.id], "over", job.lease)
    [job] = await store.next(1, [GROUP])
    await store.completer.wait(GROUP, job.id, [done.id, open_.id], "over", job.lease)
    assert await seen(store, job) == [("succeeded", b"123", 0), ("", b"", 0)]
    assert await store.redis.hget(keys.inputs(store.partitions[0], job.id), "bytes") == b"3"


@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_retry_has_the_inputs(store: Store, *, by_hand: bool) -> None:
    """A job that is retried, automatically or by hand, has what it waited for, and its inputs."""
    parent = await made(store, "[1]")
    [child] = await enqueue_flow(
        store, named("child", after=[parent.id], max_retries=0 if by_hand else 1, retries_delay=0)
    )
    [taken] = await store.next(1, [GROUP])
    await store.fail(GROUP, child.id, taken.lease, "bad_exit")
    if by_hand:
        await store.retry(GROUP, child.id)
    [again] = await store.next(1, [GROUP])
    assert (again.has_inputs, again.retry_of, again.deliveries) == (True, child.id, 1)
    assert (await store.show(GROUP, again.id)).after == [parent.id]
    assert await inputs(store, again) == await inputs(store, child)
    assert await seen(store, again) == [("succeeded", b"[1]", 0)]


async def test_a_replaced_job_keeps_its_inputs(store: Store) -> None:
    """A job that gets the fields of another one with its unique key still has its inputs, and so has its retry."""
    parent = await made(store, "1")
    [child] = await enqueue_flow(store, named("child", after=[parent.id], unique=Unique(key="k")))
    await enqueue_flow(store, named("new", unique=Unique(key="k", on_conflict="replace")))
    assert (await store.show(GROUP, child.id)).payload == "new"
    assert await seen(store, child) == [("succeeded", b"1", 0)]


async def test_inputs_go_with_their_job(store: Store) -> None:
    """A deleted job leaves no inputs."""
    parent = await made(store, "1")
    [child] = await enqueue_flow(store, named("child", after=[parent.id]))
    await store.cancel(GROUP, child.id)
    await store.remove(GROUP, child.id)
    assert not await store.redis.exists(keys.inputs(store.partitions[0], child.id))


async def test_jobs_without_inputs(store: Store) -> None:
    """A job that waits for none has none, and costs no key; a job that does not exist is not found."""
    job = await running(store)
    assert await inputs(store, job) == []
    follower = await enqueue_flow(store, named("child"))
    assert not await store.redis.exists(keys.inputs(store.partitions[0], follower[0].id))
    with pytest.raises(NotFound):
        await store.jobs.inputs(GROUP, "0" * 16)


async def test_check_finds_inputs_without_a_job(store: Store) -> None:
    """Inputs that are left of a job are found, and deleted."""
    key = keys.inputs(store.partitions[0], "V" * 16)
    await store.redis.hset(key, "W" * 16, "succeeded 1")
    assert [finding.what for finding in await check(store)] == ["has inputs but is no job"]
    await check(store, is_repair=True)
    assert not await store.redis.exists(key)


async def test_an_export_has_inputs(store: Store) -> None:
    """Imported elsewhere, a job has the same inputs, and their bytes count as before."""
    parents = [await made(store, "1"), await made(store, "2" * (MAX_INPUT_BYTES + 1))]
    waiting = await running(store)
    [child] = await enqueue_flow(store, named("child", after=[*(parent.id for parent in parents), waiting.id]))
    before = await inputs(store, child)
    key = keys.inputs(store.partitions[0], child.id)
    kept = await store.redis.hgetall(key)
    fields = await store.redis.hgetall(keys.job(store.partitions[0], child.id))
    pieces = [piece async for piece in store.transfer.export()]
    await store.redis.delete(*[key async for key in store.redis.scan_iter(f"{store.partitions[0]}:*", 1000)])
    lines = [read_line(line) for piece in pieces for line in piece.jobs]
    exported = {line.job.id: line.job for line in lines if line.job}
    assert sorted(exported[child.id].fields["inputs"].split("\n")) == sorted(
        f"{one.id} succeeded {'1' if one == parents[0] else f'!{MAX_INPUT_BYTES + 1}'}" for one in parents
    )
    await store.transfer.restore(store.partitions[0], [], list(exported.values()))
    assert await inputs(store, child) == before
    assert await store.redis.hgetall(key) == kept
    assert await store.redis.hgetall(keys.job(store.partitions[0], child.id)) == fields
    assert await status_of(store, child) == "delayed"


async def test_an_export_ends_a_page_where_inputs_have_many_bytes(store: Store) -> None:
    """What a job got from others counts as its payload does: a page has about a megabyte."""
    each = MAX_INPUTS_BYTES // MAX_INPUT_BYTES
    parents = [(await made(store, "1" * MAX_INPUT_BYTES)).id for _ in range(each)]
    await enqueue_flow(store, *(named("child", after=parents) for _ in range(6)))
    pages = [len(piece.jobs) async for piece in store.transfer.export()]
    assert pages == [each + 4, 2]


async def test_an_export_has_inputs_without_results(store: Store) -> None:
    """A job whose parents made nothing has their ends, and no bytes."""
    parent = await made(store)
    [child] = await enqueue_flow(store, named("child", after=[parent.id]))
    key = keys.inputs(store.partitions[0], child.id)
    kept = await store.redis.hgetall(key)
    await move(store)
    assert await store.redis.hgetall(key) == kept == {parent.id.encode(): b"succeeded "}
