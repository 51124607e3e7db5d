"""Export and restore: what comes into another store is what was in the first, whatever its partitions."""

import msgspec
import pytest
from msgspec import Raw
from redis.asyncio import Redis

from broker.core.errors import Invalid
from broker.core.settings import BrokerSettings
from broker.core.states import STATUSES
from broker.diagnostics.consistency import check
from broker.models.groups import Retentions
from broker.models.jobs import Job
from broker.models.reports import Finish
from broker.resp import keys
from broker.store import transfer
from broker.store.format.exported import Digest, read_line
from broker.store.transfer import Position
from tests.conftest import somebody_waits
from tests.contract.building import (
    DAY_S,
    GROUP,
    LARGE_SPEC,
    WAYS_TO,
    cancelled,
    configure,
    delayed,
    dump,
    enqueue,
    failed,
    ids,
    lose,
    members_key,
    new,
    of_each_status,
    queued,
    reap_after,
    running,
    running_many,
    spread,
    status_of,
    succeeded,
    wait,
)
from tests.contract.listening import listen
from tests.contract.transfers import PARTITIONS, lines_of, move, restore
from tests.stores import Store


def digest_of(lines: list[bytes]) -> str:
    digest = Digest()
    for line in lines:
        digest.add(line, is_group=line.startswith(b'{"group"'), is_batch=line.startswith(b'{"batch"'))
    return digest.end().digest


async def shown(store: Store, job: Job) -> Job:
    return await store.show(job.group_name, job.id)


@pytest.mark.parametrize("partitions", PARTITIONS)
async def test_restore_of_jobs_in_every_status(store: Store, target: Store) -> None:
    """Every field of every job is as it was, but for the lease of those that ran: these are queued."""
    groups = spread(store, each=2)
    await configure(store, groups[0], max_concurrency=3, retention=Retentions(failed=7), env_vars={"A": "b c"})
    made = [job for jobs in (await of_each_status(store)).values() for job in jobs]
    for group in groups:
        made += [await running(store, group), await enqueue(store, group, priority=2, max_retries=3, delay=9)]
    before = {job.id: await shown(store, job) for job in made}
    await move(store, target)
    for job in made:
        then, now = before[job.id], await shown(target, job)
        if then.status == "running":
            assert (now.status, now.deliveries) == ("queued", then.deliveries)
            then.status, then.expires_at, then.started_at = now.status, now.expires_at, now.started_at
        assert now == then
    assert (await target.groups.show(groups[0])).retention == Retentions(failed=7)


@pytest.mark.parametrize("partitions", PARTITIONS)
async def test_export_has_the_same_digest_everywhere(store: Store, target: Store) -> None:
    """The digest depends on neither prefix nor partitions nor the order, and shows a line that is lost or doubled."""
    for group in spread(store, each=2):
        await enqueue(store, group)
        await running(store, group)
    await of_each_status(store)
    lines = await lines_of(store)
    await restore(target, lines)
    again = await lines_of(target)
    assert sorted(lines) == sorted(again)
    assert digest_of(lines) == digest_of(again) == digest_of(lines[::-1])
    others = [lines[1:], [*lines, lines[0]], [*lines, lines[0], lines[0]], lines[:-1]]
    assert len({digest_of(some) for some in [lines, *others]}) == 5


async def test_restore_again(store: Store, target: Store) -> None:
    """Jobs that exist already stay as they are, also when they changed since; nothing is made twice."""
    await of_each_status(store)
    lines = await lines_of(store)
    groups = sum(line.startswith(b'{"group"') for line in lines)
    assert await restore(target, lines) == (groups, 0, len(lines) - groups)
    before = await dump(target)
    assert await restore(target, lines) == (0, 0, 0)
    assert await dump(target) == before
    [job] = await target.next(1)
    await target.succeed(job.group_name, job.id, job.lease or "")
    before = await dump(target)
    assert await restore(target, lines + lines) == (0, 0, 0)
    assert await dump(target) == before


async def test_restore_of_another_job_with_the_same_id(store: Store, target: Store) -> None:
    """An id that another job has is refused by its name, and nothing of the call is done."""
    job = await queued(store)
    lines = await lines_of(store)
    await restore(target, lines)
    before = await dump(target)
    other = lines[-1].replace(b'"post"', b'"past"')
    more = other.replace(job.id.encode(), b"0" * 16)
    with pytest.raises(Invalid, match="Another job") as refused:
        await restore(target, [more, other])
    assert refused.value.fields == job.id
    assert await dump(target) == before


async def test_restore_of_a_result(store: Store, target: Store) -> None:
    """What a job made is in the export, and comes back as it was."""
    job = await running(store)
    result = Raw(b'{"pages":[1.50,null]}')
    report = Finish(group_name=GROUP, id=job.id, lease=job.lease or None, status="succeeded", result=result)
    assert await store.finish([report]) == [None]
    await move(store, target)
    assert (await shown(target, job)).result == result


async def test_restore_keeps_the_order(store: Store, target: Store) -> None:
    """Jobs go out in their old order, those that ran first; a new job comes behind them."""
    held = await running_many(store, 2)
    rest = [await enqueue(store, priority=priority) for priority in (0, 1, 0)]
    await move(store, target)
    late = await enqueue(target)
    assert ids(await target.next(9)) == ids([rest[1], *held, rest[0], rest[2], late])


async def test_restore_of_a_released_job(store: Store, target: Store) -> None:
    """A job that was released with a delay comes back to its old place."""
    job = await running(store)
    later = await queued(store)
    await store.release(GROUP, job.id, job.lease or "", delay=30)
    await move(store, target)
    assert ids(await target.next(1)) == [later.id]
    await reap_after(target, 30)
    last = await queued(target)
    assert ids(await target.next(9)) == [job.id, last.id]


async def test_restore_sets_the_timers(store: Store, target: Store) -> None:
    """Delayed jobs are due when they were, finished ones are kept as long as their group says."""
    waiting, done = await delayed(store), await succeeded(store)
    other = await failed(store)
    await configure(store, retention=Retentions(failed=40))
    await move(store, target)
    assert (await target.reap(10)).wait_ms == 30_000
    await reap_after(target, 30)
    assert await status_of(target, waiting) == "queued"
    await reap_after(target, 10)
    assert await status_of(target, other) is None
    await reap_after(target, DAY_S - 40)
    assert await status_of(target, done) is None


async def test_restore_wakes_those_who_wait(store: Store, target: Store) -> None:
    """A long poll on the store is notified of the jobs."""
    await queued(store)
    await somebody_waits(target)
    async for heard in listen(target, keys.notify(target.transfer.partition_of(GROUP))):
        await move(store, target)
        assert GROUP in await heard()


async def test_restore_of_large_jobs(store: Store, target: Store, way: str) -> None:
    """A large spec comes over whole, carried by its enqueue or staged; a page ends where it has many bytes."""
    assert way
    jobs = [await queued(store, payload=f"{number}" * size) for number, size in enumerate((LARGE_SPEC, 400_000, 5, 9))]
    jobs += (await store.enqueue(GROUP, [new(payload="x" * 400_000)] * 4)).jobs
    pieces = [piece async for piece in store.transfer.export()]
    assert len([piece for piece in pieces if piece.jobs]) == 2
    for piece in pieces:
        await restore(target, ([piece.group] if piece.group else []) + piece.jobs)
    assert [(await shown(target, job)).payload for job in jobs] == [(await shown(store, job)).payload for job in jobs]
    assert await restore(target, await lines_of(store)) == (0, 0, 0)


async def test_export_of_many_jobs(store: Store, target: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of jobs and of groups follow each other without a gap, and can be continued behind any of their lines."""
    monkeypatch.setattr(transfer, "PAGE", 3)
    for number in range(5):
        await store.enqueue(f"g{number}", [new() for _ in range(2 * number + 1)])
        wait(store, 0.001)
    lines = await lines_of(store)
    assert len(lines) == len(set(lines)) == 30
    for number in range(1, len(lines)):
        assert await lines_of(store, position_behind(lines[:number])) == lines[number:]
    await restore(target, lines)
    assert sorted(await lines_of(target)) == sorted(lines)


def position_behind(lines: list[bytes]) -> Position:
    position = transfer.BEGINNING
    for line in map(read_line, lines):
        if line.group:
            position = Position(0, (str(line.group.created_at), line.group.name), ("", ""), ("", ""))
        elif line.batch:
            position = position._replace(batch=(str(line.batch.created_at), line.batch.id))
        elif line.job:
            position = position._replace(job=(str(line.job.created_at), line.job.id), batch=None)
    return position


async def test_export_leaves_out_what_is_damaged(store: Store) -> None:
    """A job without a record, in two sets, or without a lease that says its place, is named and left out."""
    lost, doubled, placeless, sound = [await queued(store) for _ in range(4)]
    await lose(store, lost)
    await store.redis.zadd(members_key(store, GROUP, "failed"), {doubled.id: 5})
    await store.redis.zrem(members_key(store, GROUP, "queued"), placeless.id)
    await store.redis.zadd(members_key(store, GROUP, "running"), {placeless.id: 5})
    await store.redis.hset(keys.executions(store.partitions[0]), placeless.id, "x 1 7")
    [piece] = [piece async for piece in store.transfer.export()]
    assert [job_id for _, job_id in piece.damaged] == ids([lost, doubled, placeless])
    assert sound.id.encode() in piece.jobs[0]
    assert len(piece.jobs) == 1
    await check(store, is_repair=True)


async def test_restore_counts_the_bytes_of_a_group(store: Store, target: Store, redis: Redis, backend: str) -> None:
    """Jobs that count towards max_group_bytes do so in the new store."""
    limited = Store(redis, msgspec.structs.replace(store.settings, max_group_bytes=10_000), is_plain=backend == "fake")
    limited.now = store.now
    await queued(limited, payload="x" * 50)
    await cancelled(limited, payload="x" * 70)
    await move(store, target)
    p = target.transfer.partition_of(GROUP)
    there = await store.redis.zscore(f"{store.partitions[0]}:bytes", GROUP)
    assert await target.redis.zscore(f"{p}:bytes", GROUP) == there > 50


async def test_restore_of_a_group_that_exists(store: Store, target: Store) -> None:
    """A group keeps its settings, and is counted if they differ; a paused one that is new hands nothing out."""
    await configure(store, GROUP, paused=True)
    await configure(store, "other", max_concurrency=3)
    await queued(store)
    await configure(target, "other", max_concurrency=4)
    for both in (store, target):
        for group in ("same", "alike"):
            await configure(both, group, max_concurrency=3, delivery_limit=7)
    assert await restore(target, await lines_of(store)) == (1, 1, 1)
    assert (await target.groups.show("other")).max_concurrency == 4
    assert await target.next(1) == []


async def test_restore_of_a_job_without_its_group(store: Store, target: Store) -> None:
    """A job whose group has no line makes the group, as an enqueue does."""
    job = await queued(store)
    await restore(target, (await lines_of(store))[1:])
    assert ids(await target.next(1)) == [job.id]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"queued"', b'"running"'),
        (b'"queued"', b'"failed"'),
        (b'"score":', b'"score":-'),
        (b'"id":"', b'"id":"*'),
        (b'"group":"', b'"group":" '),
        (b'"settings":{}', b'"settings":{"tries":1}'),
        (b'"settings":{}', b'"settings":{"delay": 1}'),
        (b'"spec":{"image":"post"}', b'"spec":{"payload":"x"}'),
        (b'"spec":{"image":"post"}', b'"spec":[]'),
        (b'"spec":', b'"execution":"x 1","spec":'),
        (b'"spec":', b'"fields":{"log":"1"},"spec":'),
        (b'{"job":', b'{"jobs":'),
        (b'{"job":', b'{"end":{"groups":1,"jobs":1,"digest":""},"job":'),
        (b"}}", b"}"),
    ],
)
async def test_line_that_no_export_has(store: Store, before: bytes, after: bytes) -> None:
    """A line that was written by hand is refused where it would damage a store."""
    await queued(store)
    line = (await lines_of(store))[-1]
    assert read_line(line).job
    assert before in line
    with pytest.raises(Invalid):
        read_line(line.replace(before, after, 1))


async def test_export_tells_what_ran(store: Store) -> None:
    """How many jobs run is said, since these will run again elsewhere."""
    await of_each_status(store)
    assert sum([piece.requeued async for piece in store.transfer.export()]) == len(WAYS_TO["running"])
    assert set(STATUSES) - {"running"} == {
        line.job.status for line in map(read_line, await lines_of(store)) if line.job
    }


async def test_restored_settings_are_those_of_the_broker(settings: BrokerSettings) -> None:
    """A line of a group with settings that the store does not have is refused."""
    assert settings
    line = b'{"group":{"name":"mail","created_at":1,"settings":{"max_concurrency":"many"}}}'
    with pytest.raises(Invalid):
        read_line(line)
