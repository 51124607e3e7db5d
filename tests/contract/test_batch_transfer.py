"""Batches in an export: what comes into another store counts, ends and creates callbacks as in the first."""

from typing import Any

import pytest

from broker.core.errors import Invalid, NotFound
from broker.models.batches import Batch, CallbackJob, NewBatch
from broker.models.groups import GroupSettings
from broker.models.jobs import NewJob
from broker.resp.keys import partition_of
from broker.store import transfer
from broker.store.format.exported import callback_groups, read_line
from tests.contract.building import GROUP, dump, reap_after, wait
from tests.contract.flows import named, settle
from tests.contract.test_transfer import digest_of, position_behind
from tests.contract.transfers import lines_of, move, restore
from tests.stores import Store

CALLBACKS = {name: CallbackJob(image="post", payload=name) for name in ("on_failed", "on_succeeded", "on_over")}
MEMBER: dict[str, Any] = {"priority": 2}


async def create(store: Store, *jobs: NewJob, **fields: Any) -> Batch:
    return (await store.batches.create(GROUP, NewBatch(jobs=list(jobs), **(CALLBACKS | fields))))[0]


async def end_next(store: Store, *hows: str) -> None:
    """End the first queued jobs so, one after the other."""
    for how in hows:
        [job] = await store.next(1)
        if how == "failed":
            await store.fail(GROUP, job.id, job.lease, "bad_exit")
        else:
            await store.succeed(GROUP, job.id, job.lease)


async def batch_in(store: Store, batch: Batch) -> Batch:
    return await store.batches.show(GROUP, batch.id)


async def callbacks_of(store: Store, batch: Batch) -> list[str]:
    """The payloads of the callbacks of a batch that exist, each as often as it was created."""
    jobs, _ = await store.list(GROUP, 1000)
    return sorted(str(job.payload) for job in jobs if job.batch and job.batch.id == batch.id and job.batch.callback)


async def test_export_reads_batches_page_by_page(store: Store) -> None:
    """Each batch is on one page; a page ends where the next one begins, and one that is not full is the last."""
    made = [(await create(store, named("a"))).id for _ in range(5)]
    found, at, last = [], "", ""
    for size, is_last in ((2, False), (2, False), (1, True)):
        score, batch_id, *rows = await store._partitions.run("export_batches", store.partitions[0], GROUP, 2, at, last)
        found += [row[0].decode() for row in rows]
        assert len(rows) == size
        at, last = score.decode(), batch_id.decode()
        assert (last, bool(at)) == (("", False) if is_last else (found[-1], True))
    assert sorted(found) == sorted(made)


async def test_restore_of_a_batch_that_runs(store: Store, target: Store) -> None:
    """Its counts, its members and the callbacks are as they were; the rest happens in the new store, once."""
    jobs = [named(str(n), max_retries=int(n == 1), retries_delay=0, **MEMBER) for n in range(4)]
    batch = await create(store, *jobs, name="n")
    await end_next(store, "failed", "failed")  # the second one has a retry, which is a member in its place
    await settle(store)
    await store.next(1)  # this one is exported as queued
    before, members = await batch_in(store, batch), (await store.batches.members(GROUP, batch.id, 9))[0]
    assert (before.counts.over, set(before.callbacks)) == (1, {"on_failed"})
    await move(store, target)
    assert await batch_in(target, batch) == before
    moved, _ = await target.batches.members(GROUP, batch.id, 9)
    assert [(job.id, job.batch) for job in moved] == [(job.id, job.batch) for job in members]
    p = target.partitions[partition_of(GROUP, len(target.partitions))]
    assert not any(
        [await target.redis.hexists(f"{p}:job:{job.id}", "seat") for job in moved]
    )  # it has its use behind it
    await end_next(target, "failed", "succeeded", "succeeded")
    await settle(target)
    counts = (await batch_in(target, batch)).counts
    assert (counts.over, counts.failed, counts.succeeded) == (4, 2, 2)
    assert await callbacks_of(target, batch) == ["on_failed", "on_over"]


async def test_restore_of_an_end_that_is_not_settled(store: Store, target: Store) -> None:
    """The last end counts in the new store, and the callbacks follow there; an empty batch ends there as well."""
    batch, empty = await create(store, named("a", **MEMBER)), await create(store)
    await end_next(store, "succeeded")
    await move(store, target)
    await settle(target)
    for one in (batch, empty):
        assert (await batch_in(target, one)).state == "succeeded"
        assert await callbacks_of(target, one) == ["on_over", "on_succeeded"]


async def test_restore_of_a_batch_that_was_cancelled(store: Store, target: Store) -> None:
    """Members that were not cancelled yet are cancelled in the new store."""
    batch = await create(store, *(named(str(n), **MEMBER) for n in range(4)))
    await store.batches.cancel(GROUP, batch.id)
    await store.maintenance.settle(1)
    await move(store, target)
    await settle(target)
    found = await batch_in(target, batch)
    assert (found.state, found.counts.cancelled) == ("cancelled", 4)
    assert await callbacks_of(target, batch) == ["on_over"]


async def test_restore_of_members_after_their_batch(store: Store, target: Store) -> None:
    """A broker settles during an import: members that come later are counted, and cancelled with their batch."""
    batch, stopped = await create(store, named("a", **MEMBER)), await create(store, named("b", **MEMBER))
    await end_next(store, "succeeded")
    await store.batches.cancel(GROUP, stopped.id)
    lines = await lines_of(store)
    for line in lines:
        await restore(target, [line])
        await settle(target)
    assert ((await batch_in(target, batch)).state, await callbacks_of(target, batch)) == (
        "succeeded",
        ["on_over", "on_succeeded"],
    )
    assert ((await batch_in(target, stopped)).state, await callbacks_of(target, stopped)) == ("cancelled", ["on_over"])


async def test_restore_of_the_times_of_batches(store: Store, target: Store) -> None:
    """end_within holds in the new store, and a batch that has ended is deleted there when it would have been."""
    late, ended = await create(store, named("a", **MEMBER), end_within=10), await create(store)
    await settle(store)
    await move(store, target)
    await reap_after(target, 10)
    await settle(target)
    assert (await batch_in(target, late)).stopped == "end_within"
    assert (await batch_in(target, ended)).state == "succeeded"
    await reap_after(target, 3590)
    with pytest.raises(NotFound):
        await batch_in(target, ended)


async def test_restore_of_a_batch_without_a_deadline(store: Store, target: Store) -> None:
    """It is as unlimited in the new store: the reaper leaves it alone."""
    batch = await create(store, named("a", **MEMBER), open=True)
    await move(store, target)
    await reap_after(target, 86_400)
    await settle(target)
    found = await batch_in(target, batch)
    assert (found.state, found.stopped or "") == ("open", "")


async def test_restore_of_a_batch_leaves_its_group(store: Store, target: Store) -> None:
    """A group is as old as it was, though its batch is younger."""
    await store.configure(GROUP, GroupSettings(weight=2))
    wait(store, 60)
    await create(store, open=True)
    at = [await store.redis.zrange(f"{store.partitions[0]}:groups", 0, -1, withscores=True)]
    await move(store, target)
    p = target.partitions[partition_of(GROUP, len(target.partitions))]
    assert [await target.redis.zrange(f"{p}:groups", 0, -1, withscores=True)] == at


async def test_restore_of_a_batch_makes_its_group(store: Store, target: Store) -> None:
    """A group that has nothing but a batch exists."""
    await create(store, open=True)
    await restore(target, [line for line in await lines_of(store) if line.startswith(b'{"batch"')])
    assert [group.name for group in (await target.groups.list(9))[0]] == [GROUP]


async def test_restore_of_members_without_their_batch(store: Store, target: Store) -> None:
    """Where the batch is not, nobody is a member of it: nothing is kept that no batch would ever delete."""
    batch = await create(store, named("a", **MEMBER))
    await restore(target, [line for line in await lines_of(store) if not line.startswith(b'{"batch"')])
    assert [job.payload for job in await target.next(9)] == ["a"]
    p = target.settings.key_prefix
    assert not [key async for key in target.redis.scan_iter(f"{p}*:batch:{batch.id}*", 1000)]


async def test_restore_of_a_seat_that_no_export_has(store: Store, target: Store) -> None:
    """A job with nonsense for its seat, or with one of no batch, is a job, and no member."""
    batch, seat = await create(store, named("a", **MEMBER), open=True), b'"seat":"'
    lines = [line.replace(seat, seat + b"x") for line in await lines_of(store)]
    await restore(target, lines)
    assert (await target.batches.members(GROUP, batch.id, 9)) == ([], "")
    assert [job.payload for job in await target.next(9)] == ["a"]
    p = target.partitions[partition_of(GROUP, len(target.partitions))]
    await target.redis.hset(f"{p}:batch:{batch.id}", "total", 0)  # so that it is right again


async def test_restore_of_batches_again(store: Store, target: Store) -> None:
    """A second restore changes nothing, the digest is the same everywhere, and an export continues behind any line."""
    monkey = pytest.MonkeyPatch()
    monkey.setattr(transfer, "PAGE", 2)
    for n in range(5):
        await create(store, *(named(str(n), **MEMBER) for _ in range(2)), open=n == 3)
    await end_next(store, "failed")
    await settle(store)
    lines = await lines_of(store)
    assert sum(line.startswith(b'{"batch"') for line in lines) == 5
    for number in range(1, len(lines)):
        assert await lines_of(store, position_behind(lines[:number])) == lines[number:]
    monkey.undo()
    await restore(target, lines)
    assert digest_of(await lines_of(target)) == digest_of(lines)
    before = await dump(target)
    assert await restore(target, lines) == (0, 0, 0)
    assert await dump(target) == before
    await settle(target)
    await end_next(target, *["failed"] * 9)
    await settle(target)
    ended = (await target.batches.list(GROUP, 9))[0]
    await restore(target, [line for line in lines if line.startswith(b'{"batch"')])
    assert (await target.batches.list(GROUP, 9))[0] == ended


@pytest.mark.parametrize("backend", ["fake"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"total":"1"', b'"total":"x"'),
        (b'"total":"1"', b'"sum":"1"'),
        (b'"on_over":"mail ', b'"on_over":"'),
        (b'{\\"image\\"', b'{\\"imag\\"'),
        (b'"batch":{', b'"end":{"groups":1,"jobs":1,"digest":""},"batch":{'),
    ],
)
async def test_line_of_a_batch_that_no_export_has(store: Store, before: bytes, after: bytes) -> None:
    """A line that was written by hand is refused where it would damage a store."""
    await create(store, named("a"))
    line = (await lines_of(store))[1]
    batch = read_line(line).batch
    assert batch
    assert callback_groups(batch) == dict.fromkeys(CALLBACKS, GROUP)
    assert before.replace(b"mail", GROUP.encode()) in line
    with pytest.raises(Invalid):
        read_line(line.replace(before.replace(b"mail", GROUP.encode()), after, 1))
    await settle(store)
