"""Exports groups and jobs, and restores them: the way to another prefix, number of partitions, server or cluster."""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import msgspec

from broker.core.errors import Invalid
from broker.resp import keys
from broker.resp.partitions import Partitions
from broker.resp.replies_to_errors import translate_errors
from broker.resp.resp_connection import Word
from broker.resp.topology import Topology
from broker.store.clock import Clock
from broker.store.format.exported import (
    ExportedBatch,
    ExportedGroup,
    ExportedJob,
    batch_line,
    exported_schedule,
    group_line,
    job_line,
    words_of_batch,
    words_of_group,
    words_of_job,
)
from broker.store.format.exported_fields import ScheduleField
from broker.store.schedules import Schedules

PAGE = 500
"""Jobs that one script exports at most, and groups, and batches."""
CALL_BYTES = 1024 * 1024
"""A call of restore that has this many bytes takes no more jobs, so that the store serves others in between."""


class Position(NamedTuple):
    """Where an export is: behind this group of a partition, or in the group behind this batch, or else this job.

    Scores are created_at.
    """

    partition: int = 0
    group: tuple[str, str] = ("", "")
    job: tuple[str, str] | None = None
    batch: tuple[str, str] | None = None


BEGINNING = Position()


class Exported(NamedTuple):
    """A piece of an export."""

    group: bytes
    """The line of the group; empty where the piece continues one."""
    jobs: list[bytes]
    requeued: int
    damaged: list[tuple[str, str]]
    """Group and id of jobs and batches that do not agree with the rest of the store."""
    batches: Sequence[bytes] = ()


class Restored(NamedTuple):
    """What a restore did. `kept` groups exist with other settings, and keep them."""

    groups: int = 0
    kept: int = 0
    jobs: int = 0


class Transfer:
    """Exports and restores."""

    def __init__(self, topology: Topology, partitions: Partitions, clock: Clock, schedules: Schedules) -> None:
        self._schedules = schedules
        self._topology = topology
        self._partitions = partitions
        self._clock = clock

    async def export(self, after: Position = BEGINNING) -> AsyncIterator[Exported]:
        """Everything behind a position, piece by piece: partition by partition, groups and their jobs by creation."""
        for number in range(after.partition, len(self._partitions.names)):
            p, last = self._partitions.names[number], after if number == after.partition else Position(number)
            if last.job is not None:
                async for piece in self._rest_of(p, last):
                    yield piece
            score, name = last.group
            has_schedules = await translate_errors(self._topology.of(p).redis.exists(keys.schedules(p)))
            while rows := await self._partitions.run("groups", p, "", PAGE, score, name):
                for row in rows:
                    group = row[0].decode()
                    line = group_line(row, await self._schedules_of(group) if has_schedules else None)
                    whole = Position(number, ("", group), ("", ""), ("", ""))
                    async for piece in self._rest_of(p, whole, line):
                        yield piece
                score, name = rows[-1][1].decode(), rows[-1][0].decode()

    async def _rest_of(self, p: str, after: Position, line: bytes = b"") -> AsyncIterator[Exported]:
        """The batches and jobs of a group behind a position in it; with the line of the group if there is one."""
        group = after.group[1]
        if after.batch is not None:
            async for piece in self._batches(p, group, after.batch, line):
                yield piece
                line = b""
        async for piece in self._jobs(p, group, after.job or ("", ""), line):
            yield piece

    async def _schedules_of(self, group: str) -> dict[str, dict[ScheduleField, str]]:
        return {stored.name: exported_schedule(stored.fields) async for stored in self._schedules.all_of(group)}

    async def _batches(self, p: str, group: str, after: tuple[str, str], line: bytes) -> AsyncIterator[Exported]:
        score, batch_id = after
        while True:
            at, last, *rows = await self._partitions.run("export_batches", p, group, PAGE, score, batch_id)
            lines, damaged = [], []
            for row in rows:
                try:
                    lines.append(batch_line(row))
                except (ValueError, Invalid):
                    damaged.append((group, row[0].decode()))
            if rows:
                yield Exported(line, [], 0, damaged, lines)
            score, batch_id, line = at.decode(), last.decode(), b""
            if not batch_id:
                return

    async def _jobs(self, p: str, group: str, after: tuple[str, str], line: bytes = b"") -> AsyncIterator[Exported]:
        score, job_id = after
        while True:
            at, last, running, *rows = await self._partitions.run("export", p, group, PAGE, score, job_id)
            lines, damaged = [], []
            for row in rows:
                try:
                    lines.append(job_line(row))
                except (ValueError, Invalid):
                    damaged.append((group, row[0].decode()))
            yield Exported(line, lines, running, damaged)
            score, job_id, line = at.decode(), last.decode(), b""
            if not job_id:
                return

    async def restore(
        self,
        partition: str,
        groups: Sequence[ExportedGroup],
        jobs: Sequence[ExportedJob],
        batches: Sequence[ExportedBatch] = (),
    ) -> Restored:
        """Bring in groups, batches and jobs of one partition. Members come with their batch or after it.

        Raises Invalid for an id that another job has; nothing is done.
        """
        words: list[Word] = [self._clock.now, len(groups), len(batches)]
        for group in groups:
            words += words_of_group(self._placed(group))
        for batch in batches:
            words += words_of_batch(batch)
        for job in jobs:
            words += words_of_job(job)
        restored = Restored(*await self._partitions.run("restore", partition, *words))
        for group in groups:
            for name, fields in (group.schedules or {}).items():
                await self._schedules.restore(group.name, name, {str(field): text for field, text in fields.items()})
        return restored

    def _placed(self, group: ExportedGroup) -> ExportedGroup:
        """The group without a dead_letter_to that is in another partition here."""
        to = group.settings.get("dead_letter_to")
        if to is None or self._partitions.of(to) == self._partitions.of(group.name):
            return group
        settings = {name: value for name, value in group.settings.items() if name != "dead_letter_to"}
        return msgspec.structs.replace(group, settings=settings)

    def partition_of(self, group: str) -> str:
        """The partition that a group is restored into."""
        return self._partitions.of(group)

    async def jobs(self) -> int:
        """How many jobs the store has."""
        found = [self._topology.of(p).redis.hlen(keys.jobs(p)) for p in self._partitions.names]
        return sum([await translate_errors(number) for number in found])

    async def brokers(self) -> int:
        """How many connections of brokers listen to the store: more than 0 while any broker runs."""
        found = 0
        for server in self._topology.all:
            channel = keys.timer(self._topology.partitions_of(server)[0])
            [(_, listeners)] = await translate_errors(server.redis.pubsub_numsub(channel))
            found += listeners
        return found

    async def imported(self) -> str:
        """The id of the export that was imported here last; '' for none."""
        p = self._partitions.names[0]
        kept = await translate_errors(self._topology.of(p).redis.get(keys.imported(p)))
        return kept.decode() if isinstance(kept, bytes) else ""

    async def note_import(self, export_id: str) -> None:
        """Keep the id of the export that is imported from now on."""
        p = self._partitions.names[0]
        await translate_errors(self._topology.of(p).redis.set(keys.imported(p), export_id))
