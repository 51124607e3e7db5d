"""Promote: a delayed job is queued now, and its history says who asked for it."""

import msgspec

from broker.resp import keys
from broker.store.format.exported import read_line
from tests.contract.building import GROUP, delayed, enqueue, ids, now_ms, queued, reap_after, running, wait
from tests.stores import Store


async def history_of(store: Store, job_id: str) -> list[dict[str, object]]:
    """The lines of a job's history."""
    text = await store.redis.hget(keys.job(store.partitions[0], job_id), "history")
    return [msgspec.json.decode(line) for line in (text or b"").splitlines()]


async def test_promote_joins_the_end_of_the_queue(store: Store) -> None:
    """A promoted job is queued behind those that were queued before it, as if its delay had ended now."""
    later = await enqueue(store, delay=30)
    first = await queued(store)
    promoted = await store.promote(GROUP, later.id, "ann")
    last = await queued(store)
    assert (promoted.status, promoted.delay, promoted.id) == ("queued", 30, later.id)
    assert ids(await store.next(3)) == [first.id, later.id, last.id]


async def test_promote_keeps_the_priority(store: Store) -> None:
    """A promoted job goes before queued ones of a lower priority."""
    later = await enqueue(store, delay=30, priority=1)
    first = await queued(store)
    await store.promote(GROUP, later.id)
    assert ids(await store.next(2)) == [later.id, first.id]


async def test_promote_a_released_job_keeps_its_rank(store: Store) -> None:
    """A job that was released with a delay returns to its old rank, and nothing is left of that."""
    job = await running(store)
    last = await queued(store)
    await store.release(GROUP, job.id, job.lease, 30)
    await store.promote(GROUP, job.id)
    assert not await store.redis.hexists(keys.job(store.partitions[0], job.id), "rank")
    assert ids(await store.next(2)) == [job.id, last.id]


async def test_promote_is_not_reaped_again(store: Store) -> None:
    """When the delay would have ended nothing happens to the job any more."""
    job = await delayed(store)
    await store.promote(GROUP, job.id)
    [taken] = await store.next(1)
    await reap_after(store, 31)
    assert (await store.show(GROUP, job.id)).status == "running"
    assert taken.id == job.id


async def test_promote_notes_who_and_when(store: Store) -> None:
    """The history has one line with the time and the actor; without an actor it has none."""
    named, nameless = await delayed(store), await delayed(store)
    wait(store, 5)
    await store.promote(GROUP, named.id, 'ann "x" \\ ü\t')
    await store.promote(GROUP, nameless.id)
    expected = {"at": now_ms(store), "what": "promoted", "from": "delayed", "to": "queued"}
    assert await history_of(store, named.id) == [{**expected, "by": 'ann "x" \\ ü\t'}]
    assert await history_of(store, nameless.id) == [expected]


async def test_history_shows_a_promotion(store: Store) -> None:
    """A promoted job was never due, and its history says who promoted it."""
    job = await delayed(store)
    wait(store, 5)
    await store.promote(GROUP, job.id, "ann")
    [taken] = await store.next(1)
    found = await store.jobs.history(GROUP, job.id)
    assert [(event.what, event.from_, event.to, event.by) for event in found.events] == [
        ("created", None, "delayed", ""),
        ("promoted", "delayed", "queued", "ann"),
        ("taken", "queued", "running", ""),
    ]
    assert (taken.id, found.is_whole) == (job.id, True)


async def test_history_of_a_promoted_job_is_exported(store: Store) -> None:
    """The line of a job in an export has its history."""
    job = await delayed(store)
    await store.promote(GROUP, job.id, "ann")
    pieces = [piece async for piece in store.transfer.export()]
    [line] = [read_line(text).job for piece in pieces for text in piece.jobs]
    assert line is not None
    assert msgspec.json.decode(line.fields["history"])["by"] == "ann"
