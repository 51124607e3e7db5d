"""`titan check`: compares the sets, records, executions, heads and timers of a store in small steps.

Each step is one script, so what it sees is of one moment, and it may run during live traffic. A step first surveys: it
reads about a thousand ids together and names those that do not look right. Only these are checked one by one, and
repaired when asked: the sets are the truth.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar, cast

from broker.core.errors import StoreDamaged
from broker.core.states import STATUSES
from broker.diagnostics.key_types import parts_of, wrong_types
from broker.resp import keys
from broker.resp.key_scan import literal, scan
from broker.resp.replies_to_errors import translate_errors
from broker.resp.topology import Server
from broker.store.format.maintenance_replies import Finding
from broker.store.job_store import JobStore

STEP = 200
"""Ids that one script checks one by one, and sets that one survey begins."""
SURVEYED = 1000
"""Ids that one survey reads."""
_AT_ONCE = 16
"""Groups that are checked at the same time: small groups cost a call each."""
_KNOWN = frozenset({"", "jobs", "expiring", *STATUSES})
"""What follows a group in the names of its keys: others are statistics, or of a newer build."""
T = TypeVar("T")
_FOREIGN = "is not in its group's partition"


class Scope(NamedTuple):
    """What is checked: one group, one partition by its number, or everything. A group has one partition."""

    group: str = ""
    partition: int | None = None


EVERYTHING = Scope()


async def check(
    store: JobStore,
    scope: Scope = EVERYTHING,
    *,
    is_repair: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[Finding]:
    """All findings; with `is_repair` each is repaired as it is found. `progress` gets how many ids each step read.

    Keys of a wrong type are the only findings where there are some.
    """
    checker = _Checker(store, scope.group, is_repair=is_repair, progress=progress or (lambda _: None))
    numbers = _numbers(store, scope)
    servers = dict.fromkeys(store.topology.of(store.partitions[number]) for number in numbers)
    names = [store.partitions[number] for number in numbers]
    prefix = store.settings.key_prefix
    damaged = [finding for server in servers for finding in await wrong_types(server, names, prefix, scope.group)]
    if damaged:  # the scripts of the check would fail on them
        return list(dict.fromkeys(damaged))  # servers of a cluster may share a node
    for number in numbers:
        await checker.check_records(number)
    seen = {number: _Seen({}, [], {}) for number in numbers}
    for server in servers:
        await checker.check_keys(server, seen)
    for number, found in seen.items():
        await checker.check_rest(number, found)
    return list(checker.findings.values())


async def steps_of(store: JobStore, scope: Scope = EVERYTHING) -> int:
    """How many ids a check will read, about: each record, each execution, and each job in two sets."""
    total = 0
    with suppress(StoreDamaged):  # the check will name the key
        for number in _numbers(store, scope):
            total += await _ids_of(store, store.partitions[number], scope.group)
    return total


async def _ids_of(store: JobStore, p: str, group: str) -> int:
    redis = store.topology.of(p).redis
    records = await translate_errors(redis.hlen(keys.jobs(p)))
    if group:
        return records + 2 * await translate_errors(redis.zcard(keys.jobs_of(p, group)))
    return 3 * records + await translate_errors(redis.hlen(keys.executions(p)))


def _numbers(store: JobStore, scope: Scope) -> list[int]:
    if scope.group:
        return [keys.partition_of(scope.group, len(store.partitions))]
    return list(range(len(store.partitions))) if scope.partition is None else [scope.partition]


class _Seen(NamedTuple):
    """Groups that are named anywhere in a partition, and their sets."""

    groups: dict[str, None]
    sets: list[tuple[str, str]]
    schedules: dict[tuple[str, str], None]
    """Group and name of each schedule that is named anywhere; '' for the name where a group has a list of them."""


class _Checker:
    """One run of a check. The same thing may be met on several ways; it is one finding."""

    def __init__(self, store: JobStore, group: str, *, is_repair: bool, progress: Callable[[int], None]) -> None:
        self.findings: dict[tuple[str, str, str], Finding] = {}
        self._store = store
        self._group = group
        self._is_repair = is_repair
        self._progress = progress

    async def check_records(self, number: int) -> None:
        """Every record: its set, its place in the index, its execution."""
        async for group, job_ids in self._survey(number, "jobs"):
            await self._check(number, group, job_ids)

    async def check_keys(self, server: Server, seen: dict[int, _Seen]) -> None:
        """Every key of a server: fields of jobs that are gone; and note the groups and sets of each partition."""
        names = {self._store.partitions[number]: number for number in seen}
        prefix = f"{self._store.settings.key_prefix}:{{" if len(names) > 1 else f"{next(iter(names))}:"
        async for found in scan(server, f"{literal(prefix)}*"):
            job_ids: dict[str, list[str]] = {}
            for partition, name in map(parts_of, found):
                kind, _, rest = name.partition(":")
                if partition in names and kind in {"job", "after", "inputs", "undone"} and not self._group:
                    job_ids.setdefault(partition, []).append(rest)
                elif partition in names and kind == "schedule":
                    group, _, schedule = rest.partition(":")
                    self._note_schedule(seen[names[partition]], group, schedule.partition(":")[0])
                elif partition in names and kind == "group":
                    group, _, set_name = rest.partition(":")
                    if set_name == "schedules":
                        self._note_schedule(seen[names[partition]], group, "")
                    if set_name in _KNOWN:
                        self._note(seen[names[partition]], group, set_name)
            for partition, own in job_ids.items():
                for some in _split(own, STEP):
                    self._add(await self._store.maintenance.check_leftovers(partition, some, is_repair=self._is_repair))

    async def check_rest(self, number: int, seen: _Seen) -> None:
        """Ids in sets and executions that are of no job, then what is kept of each group as a whole."""
        p = self._store.partitions[number]
        await self._note_indexes(p, seen)
        own = {group for group in seen.groups if self._is_home(group, number)}
        self._add(Finding(group, "", _FOREIGN) for group in seen.groups if group not in own)
        for some in _split([pair for pair in seen.sets if pair[0] in own], STEP):
            async for group, job_ids in self._survey_sets(p, some):
                await self._check(number, group, job_ids)
        await self._check_schedules(p, own, seen)
        if not self._group:
            async for _, job_ids in self._survey(number, "executions"):
                self._add(await self._store.maintenance.check_leftovers(p, job_ids, is_repair=self._is_repair))
        for groups in _split([group for group in seen.groups if group in own], _AT_ONCE):
            for found in await asyncio.gather(*(self._check_jobs(group, ()) for group in groups)):
                self._add(found)

    async def _note_indexes(self, p: str, seen: _Seen) -> None:
        for name in (keys.groups(p), keys.ready(p), keys.due(p)):
            async for members in _members(self._store.topology.of(p), name):
                for member in members:
                    self._note(seen, member.rpartition(":")[2], "")
        async for members in _members(self._store.topology.of(p), keys.schedules(p)):
            for member in members:
                group, _, schedule = member.partition(":")
                self._note_schedule(seen, group, schedule)

    def _is_home(self, group: str, number: int) -> bool:
        return bool(group) and keys.partition_of(group, len(self._store.partitions)) == number

    def _note(self, seen: _Seen, group: str, set_name: str) -> None:
        if not group or (self._group and group != self._group):  # the timer `settle:` is of no group
            return
        seen.groups[group] = None
        if set_name:
            seen.sets.append((group, set_name))

    def _note_schedule(self, seen: _Seen, group: str, name: str) -> None:
        self._note(seen, group, "")
        if group in seen.groups:
            seen.schedules[group, name] = None

    async def _check_schedules(self, p: str, own: set[str], seen: _Seen) -> None:
        """The schedules of groups that are at home; also those that only the list of their group has."""
        by_group: dict[str, set[str]] = {}
        for group, name in seen.schedules:
            by_group.setdefault(group, set()).add(name)
        for group in own & by_group.keys():
            async for members in _members(self._store.topology.of(p), keys.schedules_of(p, group)):
                by_group[group].update(members)
            for names in _split(sorted(by_group[group] - {""}), STEP):
                self._add(await self._store.maintenance.check_schedules(group, names, is_repair=self._is_repair))

    async def _check(self, number: int, group: str, job_ids: Sequence[str]) -> None:
        """Check jobs one by one. Where those belong that are in a foreign partition is for a person to say."""
        if not self._is_home(group, number):
            self._add(Finding(group, job_id, _FOREIGN) for job_id in job_ids)
            return
        for some in _split(job_ids, STEP):
            self._add(await self._check_jobs(group, some))

    async def _check_jobs(self, group: str, job_ids: Sequence[str]) -> list[Finding]:
        return await self._store.maintenance.check(group, job_ids, is_repair=self._is_repair)

    def _add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            known = self.findings.get(finding[:3])
            if known is None or finding.is_repaired:
                self.findings[finding[:3]] = finding

    async def _survey(self, number: int, kind: str) -> AsyncIterator[tuple[str, list[str]]]:
        """Walk one hash of a partition: groups with the ids that must be checked."""
        p, cursor = self._store.partitions[number], "0"
        while True:
            surveyed = await self._store.maintenance.survey(p, kind, SURVEYED, cursor, self._group)
            self._progress(surveyed.read)
            for found in surveyed.suspects:
                yield found
            cursor = surveyed.cursor
            if cursor == "0":
                return

    async def _survey_sets(self, p: str, sets: Sequence[tuple[str, str]]) -> AsyncIterator[tuple[str, list[str]]]:
        """Walk sets of groups: groups with the ids that must be checked."""
        after = ("", "")
        while sets:
            words = [word for i, pair in enumerate(sets) for word in (*pair, *(after if i == 0 else ("", "")))]
            surveyed = await self._store.maintenance.survey(p, "sets", SURVEYED, "0", self._group, words)
            self._progress(surveyed.read)
            for found in surveyed.suspects:
                yield found
            sets, after = sets[int(surveyed.cursor) :], surveyed.after


def _split(items: Sequence[T], n: int) -> Iterable[Sequence[T]]:
    return (items[at : at + n] for at in range(0, len(items), n))


async def _members(server: Server, name: str) -> AsyncIterator[list[str]]:
    cursor = 0
    while True:
        cursor, pairs = await translate_errors(server.redis.zscan(name, cursor, count=SURVEYED))
        yield [_text(member) for member, _ in pairs]
        if not cursor:
            return


def _text(value: Any) -> str:
    return cast("bytes", value).decode()
