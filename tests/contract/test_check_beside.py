"""What is kept in addition to jobs (statistics, sessions, audit, bulks, who asks) does not concern check and export."""

from contextlib import suppress

import msgspec
import pytest
from redis.asyncio import Redis

from broker.core.errors import TitanError
from broker.diagnostics.consistency import Scope, check
from broker.models.brokers import BrokerAnnouncement
from broker.models.bulk import NewBulk
from broker.models.groups import GroupChanges
from broker.models.workers import Announcement
from broker.resp import keys
from broker.store.audit import Act
from broker.store.format.bulk_record import BulkSpec
from broker.store.format.exported import read_line
from tests.contract.building import GROUP, enqueue, lose, members_key, of_each_status, partition, queued, spread
from tests.stores import Store

pytestmark = pytest.mark.parametrize("partitions", [1, 3])
_OF_JOBS = {"", "job", "jobs", "executions", "groups", "ready", "due", "rates", "bytes", "discarded", "sequence"}
_MARKS = {"format", "version", "partitions"}


async def fill(store: Store) -> list[str]:
    """Jobs in every status, and one of each thing that is kept in addition; the groups."""
    groups = [GROUP, *spread(store, each=2)]
    await of_each_status(store)
    for group in groups:
        await queued(store, group)
        store.dispatcher.asked.note((group,), ("post",))
    await store.groups.adjust(GROUP, GroupChanges(paused=True, note="press"), "ann")
    await store.dispatcher.asked.flush()
    await store.counts.flush()
    await store.sessions.open("1", b"a" * 32, "word")
    await store.audit.note("batch", [Act("cancel", "ann", "127.0.0.1", GROUP)])
    await store.bulks.begin(BulkSpec(group=GROUP, given=NewBulk(action="cancel")), "us", "key")
    await store.workers.announce(Announcement(name="w", host="h", groups=[GROUP], images=["x"]))
    since = "2026-01-01T00:00:00Z"
    await store.brokers.announce(
        BrokerAnnouncement(name="b", version="1", address="a", since=since, reads=[1], writes=[1])
    )
    with suppress(TitanError):
        await store.cancel(GROUP, (await enqueue(store)).id)
    return groups


async def values(store: Store) -> dict[bytes, object]:
    """Every key with its type and its value as DUMP has it."""
    names = sorted([key async for key in store.redis.scan_iter(f"{store.settings.key_prefix}:*", 1000)])
    return {name: await store.redis.dump(name) for name in names}


async def test_check_with_statistics_and_all_else(store: Store) -> None:
    """Each scope finds nothing, with a repair too, and changes nothing."""
    groups = await fill(store)
    p = partition(store, GROUP)
    assert {kind for kind in keys.STATISTICS if await store.redis.exists(keys.statistics(p, GROUP, kind))} == {
        "minutes", "halves", "times",
    }  # fmt: skip
    before = await values(store)
    scopes = [
        Scope(),
        *(Scope(group=group) for group in groups),
        *(Scope(partition=n) for n in range(len(store.partitions))),
    ]
    for scope in scopes:
        assert await check(store, scope) == []
        assert await check(store, scope, is_repair=True) == []
    assert await values(store) == before


async def test_check_repairs_a_group_with_statistics(store: Store) -> None:
    """Damage is found and repaired as in a group without them, which stay as they are."""
    await fill(store)
    p = partition(store, GROUP)
    kept = {kind: await store.redis.hgetall(keys.statistics(p, GROUP, kind)) for kind in keys.STATISTICS}
    job = await enqueue(store)
    await store.redis.zrem(members_key(store, GROUP, "queued"), job.id)
    gone = await enqueue(store)
    await lose(store, gone)
    assert {finding.job_id for finding in await check(store)} >= {job.id, gone.id}
    await check(store, Scope(group=GROUP), is_repair=True)
    assert await check(store) == []
    assert {kind: await store.redis.hgetall(keys.statistics(p, GROUP, kind)) for kind in keys.STATISTICS} == kept


async def test_check_with_a_key_of_a_newer_build(store: Store) -> None:
    """A key of a group that a newer build keeps, of whichever type, is left alone."""
    job = await queued(store)
    p = partition(store, GROUP)
    names = [f"{p}:group:{GROUP}:colours", f"{p}:group:{GROUP}:a:b"]
    await store.redis.hset(names[0], "a", "b")
    await store.redis.set(names[1], "x")
    for scope in (Scope(), Scope(group=GROUP), Scope(partition=int(p.partition("{")[2][:-1]))):
        assert await check(store, scope, is_repair=True) == []
    assert await store.redis.exists(*names) == 2
    assert (await store.show(GROUP, job.id)).status == "queued"
    await store.redis.delete(*names)


@pytest.mark.parametrize("into", [1, 3])
async def test_export_has_jobs_and_groups_alone(store: Store, redis: Redis, backend: str, into: int) -> None:
    """What is kept in addition is not exported; a pause with its time, actor and note is."""
    await fill(store)
    settings = msgspec.structs.replace(store.settings, key_prefix=f"other-{store.settings.key_prefix}", partitions=into)
    other = Store(redis, settings, is_plain=backend == "fake")
    other.now = store.now
    await other.open()
    async for piece in store.transfer.export():
        lines = [read_line(line) for line in (piece.group, *piece.jobs) if line]
        made, jobs = [line.group for line in lines if line.group], [line.job for line in lines if line.job]
        p = other.transfer.partition_of(made[0].name if made else jobs[0].group)
        await other.transfer.restore(p, made, jobs)
    group = await other.groups.show(GROUP)
    assert (group.paused, group.paused_by, group.note) == (True, "ann", "press")
    kinds = set()
    async for key in redis.scan_iter(f"{settings.key_prefix}:*", 1000):
        place, _, rest = key.decode().removeprefix(f"{settings.key_prefix}:").partition(":")
        kind, _, more = rest.partition(":")
        kinds.add("" if kind == "group" else kind if rest else place)
        assert kind != "group" or more.partition(":")[2] not in keys.STATISTICS, key
    assert kinds <= _OF_JOBS | _MARKS
    assert await check(other) == []
