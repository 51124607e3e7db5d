"""Brings a store of an older layout to the next one, in steps that may be interrupted and repeated.

A store gets the number after all steps, so an interrupted migration starts again. lua/README.md has the layouts.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, cast

import msgspec

from broker.models.brokers import KEPT_S, BrokerAnnouncement
from broker.resp import keys
from broker.resp.bootstrap import raise_layout
from broker.resp.marks import check_partitions, lowest_marks
from broker.resp.replies_to_errors import translate_errors
from broker.resp.topology import Server
from broker.store.job_store import JobStore

_POLICIES = 2
STEP = 500
"""Fields that one command moves."""

Progress = Callable[[int], None]


class MigrationRefused(Exception):
    """The store cannot be migrated now. The text is a sentence that says why, and what to do."""


class Migration(NamedTuple):
    """The way from one layout to the next: `run` is called with each partition, its server and how to show progress.

    `blocked` says why it cannot run now; '' when it can.
    """

    before: int
    after: int
    what: str
    blocked: Callable[[Server, str], Awaitable[str]]
    run: Callable[[Server, str, Progress], Awaitable[None]]


async def migrate(store: JobStore, progress: Progress = lambda _: None) -> list[Migration]:
    """Run every migration that the store needs; those that were run. Raises MigrationRefused, PartitionsDiffer."""
    topology, prefix = store.topology, store.settings.key_prefix
    done: list[Migration] = []
    while True:
        marks = await lowest_marks(topology, prefix)
        check_partitions(marks, len(topology.partitions))
        before = marks.layout if marks.layout is not None or marks.is_empty else 0
        migration = next((one for one in MIGRATIONS if one.before == before), None)
        if migration is None:
            return done
        for partition in topology.partitions:
            if reason := await migration.blocked(topology.of(partition), partition):
                raise MigrationRefused(reason)
        for partition in topology.partitions:
            await migration.run(topology.of(partition), partition, progress)
        await raise_layout(topology, prefix, before or None, migration.after)
        done.append(migration)


async def _older_brokers(server: Server, partition: str) -> str:
    """Brokers of layout 0 listen on a channel that later ones do not have."""
    channel = f"{partition}:wake"
    [(_, listening)] = await translate_errors(server.redis.pubsub_numsub(channel))
    if not listening:
        return ""
    return f"{server.shown} has brokers of an older build, which listen on {channel}: stop them first."


async def _rename_keys(server: Server, partition: str, progress: Progress) -> None:
    """Rename `runs` and `place`, and delete the lists of pollers, which brokers write again within seconds."""
    runs, executions = f"{partition}:runs", f"{partition}:executions"
    if await translate_errors(server.redis.exists(runs)):
        if await translate_errors(server.redis.renamenx(runs, executions)):
            progress(int(await translate_errors(server.redis.hlen(executions))))
        else:
            await _merge(server, runs, executions, progress)
    await _rename_places(server, partition, progress)
    await translate_errors(server.redis.delete(f"{partition}:waiting", f"{partition}:awaited"))


async def _rename_places(server: Server, partition: str, progress: Progress) -> None:
    """Rename the field `place` of delayed jobs, which released jobs have, to `rank`."""
    async for group in _members(server, f"{partition}:groups"):
        async for job_id in _members(server, f"{partition}:group:{group}:delayed"):
            key = f"{partition}:job:{job_id}"
            place = await translate_errors(server.redis.hget(key, "place"))
            if place is None:
                continue
            pipe = server.redis.pipeline(transaction=True)
            pipe.hset(key, "rank", place)
            pipe.hdel(key, "place")
            await translate_errors(pipe.execute())
            progress(1)


async def _members(server: Server, name: str) -> AsyncIterator[str]:
    """The members of a sorted set, read STEP at a time."""
    cursor = 0
    while True:
        cursor, pairs = await translate_errors(server.redis.zscan(name, cursor, count=STEP))
        for member, _ in pairs:
            yield cast("bytes", member).decode()
        if not cursor:
            return


async def _merge(server: Server, source: str, target: str, progress: Progress) -> None:
    """Move the fields of one hash to another, which keeps those that it has already."""
    while True:
        _, values = await translate_errors(server.redis.hscan(source, 0, count=STEP))
        found = cast("dict[bytes, bytes]", values)
        if not found:
            return
        pipe = server.redis.pipeline(transaction=True)
        for field, value in found.items():
            pipe.hsetnx(target, field, value)
        pipe.hdel(source, *found)
        await translate_errors(pipe.execute())
        progress(len(found))


async def _brokers_of_layout_1(server: Server, partition: str) -> str:
    """Brokers that do not know layout 2, by what they announced in the last seconds."""
    seconds, _ = await translate_errors(server.redis.time())
    for said in (await translate_errors(server.redis.hgetall(keys.brokers(partition)))).values():
        seen_at, _, announcement = cast("bytes", said).partition(b" ")
        broker = msgspec.json.decode(announcement, type=BrokerAnnouncement)
        if _POLICIES not in broker.writes and int(seen_at) > (seconds - KEPT_S) * 1000:
            return f"{broker.name} is a broker of an older version, which does not know layout 2: stop it first."
    return ""


async def _change_nothing(server: Server, partition: str, progress: Progress) -> None:
    """Layout 2 adds fields to jobs and groups; what a store of layout 1 has stays as it is."""


MIGRATIONS: tuple[Migration, ...] = (
    Migration(0, 1, "keys and fields were renamed: runs, waiting, awaited and place", _older_brokers, _rename_keys),
    Migration(
        1, 2, "the number alone: jobs may have retry policies and deadlines", _brokers_of_layout_1, _change_nothing
    ),
)
"""In order, one a layout."""
