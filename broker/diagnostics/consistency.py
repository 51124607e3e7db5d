"""`titan check`: reads all keys in small steps, and compares sets, records, heads and timers.

Each step is one script call, so it sees one moment, and may run during live traffic. It reports contradictions that an
eviction, a restore or a failover has left, and repairs them if asked: the sets are right.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

from broker.resp import keys
from broker.resp.replies_to_errors import translate_errors
from broker.resp.topology import Server
from broker.store.format.record import parts_of, split
from broker.store.format.replies import Finding
from broker.store.job_store import JobStore

STEP = 200
"""Jobs that one script call reads."""


async def check(
    store: JobStore, *, is_repair: bool = False, progress: Callable[[int], None] | None = None
) -> list[Finding]:
    """All findings; with `is_repair` each is repaired at once. `progress` gets the number of jobs of each step."""
    findings: dict[Finding, None] = {}  # several walks meet the same finding
    for number, partition in enumerate(store.partitions):
        groups: dict[str, None] = {}
        async for group, job_ids in _steps(store, partition):
            if not group or keys.partition_of(group, len(store.partitions)) != number:
                findings.update((Finding(group, job_id, "is not in its group's partition"), None) for job_id in job_ids)
                continue
            groups[group] = None
            if not job_ids:
                continue
            findings.update(dict.fromkeys(await store.maintenance.check(group, job_ids, is_repair=is_repair)))
            if progress is not None:
                progress(len(job_ids))
        async for job_ids in _rests(store, partition):
            findings.update(
                dict.fromkeys(await store.maintenance.check_leftovers(partition, job_ids, is_repair=is_repair))
            )
        for group in groups:
            findings.update(dict.fromkeys(await store.maintenance.check(group, (), is_repair=is_repair)))
    return list(findings)


async def _steps(store: JobStore, partition: str) -> AsyncIterator[tuple[str, list[str]]]:
    """Groups with some of their jobs: all jobs that are in a set or in `jobs`, and all groups in any key."""
    for walk in (_sets, _heads, _jobs):
        async for group, job_ids in walk(store, partition):
            yield group, job_ids


async def _sets(store: JobStore, partition: str) -> AsyncIterator[tuple[str, list[str]]]:
    server = store.topology.of(partition)
    async for names in _scan(server, keys.group(partition, "*")):
        for name in names:
            group, _, kind = name.removeprefix(keys.group(partition, "")).partition(":")
            yield group, []
            if kind:
                async for members in _members(server, name):
                    yield group, members


async def _heads(store: JobStore, partition: str) -> AsyncIterator[tuple[str, list[str]]]:
    for name in (keys.groups(partition), keys.ready(partition), keys.due(partition)):
        async for members in _members(store.topology.of(partition), name):
            for member in members:
                yield member.rpartition(":")[2], []


async def _jobs(store: JobStore, partition: str) -> AsyncIterator[tuple[str, list[str]]]:
    async for found in _fields(store.topology.of(partition), keys.jobs(partition)):
        groups: dict[str, list[str]] = {}
        for job_id, text in found:
            groups.setdefault(_group_in(text), []).append(job_id)
        for group, job_ids in groups.items():
            yield group, job_ids


async def _rests(store: JobStore, partition: str) -> AsyncIterator[list[str]]:
    """Ids that may be no job: all that are in `executions` or have their own hash."""
    server = store.topology.of(partition)
    async for found in _fields(server, keys.executions(partition)):
        yield [job_id for job_id, _ in found]
    async for names in _scan(server, keys.job(partition, "*")):
        yield [name.removeprefix(keys.job(partition, "")) for name in names]


async def _fields(server: Server, name: str) -> AsyncIterator[list[tuple[str, bytes]]]:
    """Fields of a hash with their values, STEP at a time."""
    cursor = 0
    while True:
        cursor, found = await translate_errors(server.redis.hscan(name, cursor, count=STEP))
        pairs = [(_text(field), value) for field, value in cast("dict[bytes, bytes]", found).items()]
        for at in range(0, len(pairs), STEP):
            yield pairs[at : at + STEP]
        if not cursor:
            return


async def _scan(server: Server, pattern: str) -> AsyncIterator[list[str]]:
    cursor = 0
    while True:
        cursor, names = await translate_errors(server.redis.scan(cursor, pattern, STEP))
        if names:
            yield [_text(name) for name in names]
        if not cursor:
            return


async def _members(server: Server, name: str) -> AsyncIterator[list[str]]:
    cursor = 0
    while True:
        cursor, pairs = await translate_errors(server.redis.zscan(name, cursor, count=STEP))
        found = [_text(member) for member, _ in pairs]
        for at in range(0, len(found), STEP):
            yield found[at : at + STEP]
        if not cursor:
            return


def _group_in(text: bytes) -> str:
    """The group in a record; '' if it is no record."""
    try:
        return parts_of(split(text)[0]).group_name.decode()
    except ValueError:
        return ""


def _text(value: Any) -> str:
    return cast("bytes", value).decode()
