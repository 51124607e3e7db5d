"""The history of a job: what is known of each, and the lines that rare events add."""

import msgspec
import pytest

from broker.core.errors import NotFound
from broker.core.timestamps import milliseconds
from broker.models.history import History, JobEvent
from broker.models.jobs import Job, WaitsFor
from broker.models.unique import Unique
from broker.models.workers import Receipt
from broker.resp import keys
from broker.store.format.exported import read_line
from tests.conftest import NOW
from tests.contract.building import (
    GROUP,
    Run,
    clock,
    configure,
    enqueue,
    failed,
    queued,
    reap_after,
    running,
    succeeded,
    wait,
)
from tests.contract.flows import enqueue_flow, named, settle
from tests.stores import Store


async def history(store: Store, job: Job) -> History:
    return await store.jobs.history(GROUP, job.id)


async def told(store: Store, job: Job) -> list[str]:
    """The events in short: seconds since NOW, what, delivery and by."""
    found = await history(store, job)
    assert found.is_whole
    return [_short(event) for event in found.events]


def _short(event: JobEvent) -> str:
    text = f"{(milliseconds(event.at) - NOW) / 1000:g} {event.what}"
    return text + (f" {event.delivery}" if event.delivery else "") + (f" by {event.by}" if event.by else "")


async def lines(store: Store, job: Job) -> list[bytes]:
    """The lines that the store keeps."""
    return (await store.redis.hget(keys.job(store.partitions[0], job.id), "history") or b"").split(b"\n")


async def test_history_of_a_plain_job(store: Store) -> None:
    """A job that only runs and succeeds has its whole history without a line of its own, and so no byte more."""
    job = await enqueue(store)
    assert await told(store, job) == ["0 created"]
    wait(store, 2)
    [taken] = await store.next(1)
    assert await told(store, job) == ["0 created", "2 taken 1"]
    wait(store, 3)
    await store.succeed(GROUP, job.id, taken.lease)
    assert await told(store, job) == ["0 created", "2 taken 1", "5 succeeded 1"]
    assert await store.redis.exists(keys.job(store.partitions[0], job.id)) == 0


async def test_history_names_statuses(store: Store) -> None:
    """Each event has the statuses before and after it, and an end its reason and receipt."""
    job = await running(store)
    receipt = Receipt(worker="w1", exit_code=2)
    await store.fail(GROUP, job.id, job.lease, "bad_exit", receipt=receipt)
    at = clock(store)
    assert (await history(store, job)).events == [
        JobEvent(at=at, what="created", to="queued"),
        JobEvent(at=at, what="taken", by="w1", delivery=1, from_="queued", to="running"),
        JobEvent(
            at=at,
            what="failed",
            delivery=1,
            from_="running",
            to="failed",
            reason="bad_exit",
            receipt=msgspec.structs.replace(receipt, outcome="failed"),
        ),
    ]


async def test_history_of_a_delayed_job(store: Store) -> None:
    """The end of the delay is an event once the job was queued by it, and not before."""
    job = await enqueue(store, delay=9)
    early = await enqueue(store, delay=9)
    assert await told(store, job) == ["0 created"]
    wait(store, 1)
    await store.cancel(GROUP, early.id)
    assert await told(store, early) == ["0 created", "1 cancelled"]
    await reap_after(store, 9)
    assert await told(store, job) == ["0 created", "9 due"]
    await store.next(1)
    assert await told(store, job) == ["0 created", "9 due", "10 taken 1"]


async def test_history_of_lost_leases(store: Store) -> None:
    """Each delivery whose lease was lost has its beginning and its end; the last one fails the job."""
    await configure(store, delivery_limit=2)
    job = await running(store, timeout=10, max_retries=1)
    await reap_after(store, 10)
    assert await told(store, job) == ["0 created", "0 taken 1", "10 lease_lost 1"]
    wait(store, 1)
    await store.next(1)
    assert await told(store, job) == ["0 created", "0 taken 1", "10 lease_lost 1", "11 taken 2"]
    await reap_after(store, 20)
    ends = ["31 lease_lost 2", "31 failed 2", "31 retried"]
    assert await told(store, job) == ["0 created", "0 taken 1", "10 lease_lost 1", "11 taken 2", *ends]
    events = (await history(store, job)).events
    assert [(event.from_, event.to) for event in events if event.what == "lease_lost"] == [
        ("running", "queued"),
        ("running", "failed"),
    ]
    assert events[-2].reason == "timeout"
    assert events[-1].job == (await store.show(GROUP, job.id)).retry_at
    retry = await store.show(GROUP, events[-1].job)
    assert (await history(store, retry)).events[0].job == job.id


async def test_history_of_releases(store: Store) -> None:
    """A released delivery is in the history although it does not count, each with its own receipt."""
    job = await running(store)
    for number, (worker, delay) in enumerate([("w1", 0), ("", 0), ("w3", 1)]):
        wait(store, 1)
        receipt = Receipt(worker=worker, delivery=1) if worker else None
        await store.release(GROUP, job.id, job.lease, delay, receipt, f"token {number}")
        if not delay:
            [job] = await store.next(1)
    assert await told(store, job) == [
        *("0 created", "0 taken 1 by w1", "1 released 1 by token 0"),
        *("1 taken 1", "2 released 1 by token 1"),
        *("2 taken 1 by w3", "3 released 1 by token 2"),
    ]
    events = (await history(store, job)).events
    assert [event.to for event in events if event.what == "released"] == ["queued", "queued", "delayed"]
    assert [event.receipt.worker for event in events if event.receipt] == ["w1", "w3"]
    await reap_after(store, 5)
    [job] = await store.next(1)
    await store.succeed(GROUP, job.id, job.lease, receipt=Receipt(worker="w4"))
    assert (await told(store, job))[-2:] == ["8 taken 1 by w4", "8 succeeded 1"]


async def test_history_of_a_release_and_a_delivery_at_once(store: Store) -> None:
    """A job that is taken again in the millisecond of its release has both deliveries."""
    job = await running(store)
    await store.release(GROUP, job.id, job.lease)
    await store.next(1)
    assert await told(store, job) == ["0 created", "0 taken 1", "0 released 1", "0 taken 1"]


async def test_history_says_who_cancelled(store: Store) -> None:
    """A cancel has its actor, once; one that changes nothing adds no event."""
    job, held = await queued(store), await queued(store)
    wait(store, 1)
    await store.cancel(GROUP, job.id, "ann")
    await store.cancel(GROUP, job.id, "bob")
    assert await told(store, job) == ["0 created", "1 cancelled by ann"]
    [event] = (await history(store, job)).events[1:]
    assert (event.from_, event.to, event.reason) == ("queued", "cancelled", "client_request")
    await store.next(1)
    await reap_after(store, 60)
    await store.next(1)
    wait(store, 1)
    await store.cancel(GROUP, held.id, "bob")
    events = ["0 created", "1 taken 1", "61 lease_lost 1", "61 taken 2", "62 cancelled 2 by bob"]
    assert await told(store, held) == events


async def test_history_says_who_retried(store: Store) -> None:
    """A retry by hand has its actor and the id of the new job, after the end of the old one."""
    job = await succeeded(store)
    wait(store, 5)
    new = await store.retry(GROUP, job.id, "ann")
    assert await told(store, job) == ["0 created", "0 taken 1", "0 succeeded 1", "5 retried by ann"]
    assert (await history(store, job)).events[-1].job == new.id
    assert await told(store, new) == ["5 created"]


@pytest.mark.parametrize("actor", ['"', "\\", 'a"b\\\n\t\x00\x1fé', "x" * 128, "é" * 128, "\x7f"])
async def test_history_with_any_actor(store: Store, actor: str) -> None:
    """Whatever characters an actor has, the line is JSON and has all of them."""
    job = await queued(store)
    await store.cancel(GROUP, job.id, actor)
    [line] = await lines(store, job)
    assert msgspec.json.decode(line)["by"] == actor
    assert (await history(store, job)).events[-1].by == actor


async def test_history_keeps_ten_lines(store: Store) -> None:
    """Of more than ten lines the last ten are kept, and the history says that it is not whole."""
    job = await running(store)
    for number in range(12):
        assert (await history(store, job)).is_whole == (number < 11)
        assert [msgspec.json.decode(line).get("n", 1) for line in await lines(store, job) if line] == list(
            range(max(1, number - 9), number + 1)
        )
        await store.release(GROUP, job.id, job.lease, actor=f"token {number}")
        [job] = await store.next(1)
    events = (await history(store, job)).events
    assert [event.by for event in events if event.by] == [f"token {number}" for number in range(2, 12)]


async def test_history_keeps_two_kib(store: Store) -> None:
    """Long names leave room for fewer lines; the last line is always there."""
    job = await running(store)
    for number in range(9):
        await store.release(GROUP, job.id, job.lease, actor="é" * 127 + str(number))
        [job] = await store.next(1)
        kept = await lines(store, job)
        size = len(b"\n".join(kept))
        assert size <= 2048
        assert len(kept) == number + 1 or size + len(kept[-1]) + 1 > 2048
        assert msgspec.json.decode(kept[-1])["by"].endswith(str(number))
    assert not (await history(store, job)).is_whole


async def test_history_of_exactly_two_kib(store: Store, run: Run) -> None:
    """Lines of 2,048 bytes together are kept whole, and with one byte more the oldest is left out."""
    first = '{"at":1,"what":"released","by":"' + "x" * 100 + '"}'
    before = f"{first}\n{first}"
    for extra, n in ((0, 3), (1, 2)):
        job = await running(store)
        await store.redis.hset(keys.job(store.partitions[0], job.id), "history", before)
        line = await _length_of_line(store)
        await run("release", NOW, "y" * (2048 - len(before) - 1 - line + extra), GROUP, job.id, job.lease, 0, "")
        kept = await lines(store, job)
        assert (len(kept), len(b"\n".join(kept))) == (n, 2048 if n == 3 else 2049 - len(first) - 1)
        await store.redis.hdel(keys.job(store.partitions[0], job.id), "history")
        await store.cancel(GROUP, job.id)


async def _length_of_line(store: Store) -> int:
    other = await running(store, "other")
    await store.release("other", other.id, other.lease, actor="")
    [line] = await lines(store, other)
    await store.cancel("other", other.id)
    return len(line) + len(',"by":"","n":2')


async def test_history_without_the_lines_of_an_older_version(store: Store) -> None:
    """A job whose releases, cancels or retries have no line shows what is known, and says that it is not whole."""
    retried, stopped, lost = await failed(store), await queued(store), await running(store, "x")
    await store.retry(GROUP, retried.id)
    await store.cancel(GROUP, stopped.id)
    await reap_after(store, 60)
    for job in (retried, stopped, lost):
        await store.redis.hdel(keys.job(store.partitions[0], job.id), "history")
    found = [await history(store, retried), await history(store, stopped), await store.jobs.history("x", lost.id)]
    assert [each.is_whole for each in found] == [False, False, False]
    assert [each.events[-1].what for each in found] == ["retried", "cancelled", "created"]


async def test_history_is_exported(store: Store) -> None:
    """An export has the lines, and a restored job the same history."""
    job = await queued(store)
    await store.cancel(GROUP, job.id, "ann")
    before = await history(store, job)
    pieces = [piece async for piece in store.transfer.export()]
    await store.redis.delete(*[key async for key in store.redis.scan_iter(f"{store.partitions[0]}:*", 1000)])
    jobs = [read_line(line).job for piece in pieces for line in piece.jobs]
    await store.transfer.restore(store.partitions[0], [], jobs)
    assert await history(store, job) == before


async def test_history_of_no_job(store: Store) -> None:
    """A job that does not exist has none."""
    with pytest.raises(NotFound):
        await store.jobs.history(GROUP, "0" * 16)


async def last_move(store: Store, job: Job) -> tuple[str, str | None, WaitsFor | None]:
    """The last event of a job: what, the status that it led to, and what the job waits for."""
    event = (await history(store, job)).events[-1]
    return event.what, event.to, event.waits_for


async def test_history_of_a_job_that_is_held_for_its_key(store: Store) -> None:
    """While it is held its creation names the key that it waits for; the job that has the place was queued."""
    await configure(store, key_concurrency=1)
    first, held = await enqueue_flow(store, named("first", key="acme"), named("held", key="acme"))
    assert await last_move(store, first) == ("created", "queued", None)
    assert await last_move(store, held) == ("created", "delayed", WaitsFor(key="acme"))
    [taken] = await store.next(1)
    await store.succeed(GROUP, first.id, taken.lease)
    await settle(store)
    assert await last_move(store, held) == ("created", "queued", None)


async def test_history_of_a_job_that_is_held_for_others(store: Store) -> None:
    """It says for how many jobs it waits; that of a follower of a unique key that it was delayed first, also later."""
    key = Unique(key="k", on_conflict="follow")
    [holder] = await enqueue_flow(store, named("holder", unique=key))
    [follower] = await enqueue_flow(store, named("follower", unique=key))
    [child] = await enqueue_flow(store, named("child", after=[holder.id, follower.id]))
    assert await last_move(store, child) == ("created", "delayed", WaitsFor(jobs=2))
    assert await last_move(store, follower) == ("created", "delayed", WaitsFor(jobs=1))
    [taken] = await store.next(1)
    await store.succeed(GROUP, holder.id, taken.lease)
    await settle(store)
    assert await last_move(store, child) == ("created", "delayed", WaitsFor(jobs=1))
    assert await last_move(store, follower) == ("created", "delayed", None)
