"""Reaps jobs that are due, settles the ends of jobs, checks the store, and lists the logs of deleted jobs."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, cast

from broker.core.errors import TitanError
from broker.core.ids import Ids
from broker.resp import keys
from broker.resp.partitions import Partitions
from broker.resp.replies_to_errors import translate_errors
from broker.resp.resp_connection import Word
from broker.resp.topology import Topology
from broker.store.clock import Clock
from broker.store.format.maintenance_replies import Finding, Reaped, Surveyed, Unsettled, ends_of, reaped_of
from broker.store.settlement import count_settled
from broker.store.tally import Tally

UNSETTLED = 2
"""The reply of remove.lua for a job whose end must be settled first."""


class Maintenance:
    """Reaps, settles, checks, and keeps the list of logs to delete."""

    def __init__(self, topology: Topology, partitions: Partitions, clock: Clock, ids: Ids, tally: Tally) -> None:
        self._topology = topology
        self._partitions = partitions
        self._clock = clock
        self._ids = ids
        self._tally = tally

    @property
    def batches(self) -> dict[str, int]:
        """How many batches this broker has `ended`, and how many `callbacks` it has created."""
        return self._tally.batches

    @property
    def dead_letters(self) -> int:
        """How many copies of jobs that failed for good this broker has created."""
        return self._tally.dead_letters

    async def reap(self, limit: int) -> Reaped:
        """Handle jobs that are due, `limit` a partition at most. `away` counts partitions that do not answer.

        Raises StoreUnavailable if none answers.
        """
        replies = await self._reap(limit, self._partitions.names)
        answers = [reply for reply in replies if not isinstance(reply, TitanError)]
        faults = [reply for reply in replies if isinstance(reply, TitanError)]
        if faults and not answers:
            raise faults[0]
        for reply in answers:
            for ends in ends_of(reply):
                self._tally.lost(*ends)
        return reaped_of(answers)._replace(away=len(faults))

    async def settle(self, limit: int) -> Unsettled:
        """Carry out what the ends of jobs mean for those that wait for them, `limit` jobs a partition at most.

        Returns which ends must still be settled. Raises StoreUnavailable if no partition answers.
        """
        arguments: list[list[Word]] = [[self._clock.now, limit] for _ in self._partitions.names]
        replies = await self._partitions.run_where("settle", self._partitions.names, arguments)
        answers = [reply for reply in replies if not isinstance(reply, TitanError)]
        if not answers:
            raise replies[0]
        found = [count_settled(self._tally, answer) for answer in answers]
        return Unsettled(sum(one.n for one in found), max(one.age_ms for one in found))

    async def ready(self) -> list[str]:
        """Run a script that may write on every server; those that do not answer. Raises StoreUnavailable for all."""
        servers = self._topology.all
        replies = await self._reap(0, [self._topology.partitions_of(server)[0] for server in servers])
        faults = [reply for reply in replies if isinstance(reply, TitanError)]
        if len(faults) == len(servers):
            raise faults[0]
        return [
            self._topology.name_of(server)
            for server, reply in zip(servers, replies, strict=True)
            if isinstance(reply, TitanError)
        ]

    async def _reap(self, limit: int, names: Sequence[str]) -> list[Any]:
        arguments: list[list[Word]] = [[self._clock.now, limit, *self._ids.take(limit)] for _ in names]
        return await self._partitions.run_where("reap", names, arguments)

    async def check(self, group: str, job_ids: Sequence[str], *, is_repair: bool) -> list[Finding]:
        """Contradictions about these jobs of a group, or without ids about the group."""
        mode = "repair" if is_repair else ""
        return _findings(
            group,
            await self._partitions.run("check", self._partitions.of(group), self._clock.now, mode, group, *job_ids),
        )

    async def check_leftovers(self, partition: str, job_ids: Sequence[str], *, is_repair: bool) -> list[Finding]:
        """Keys of the partition that still have these ids although they are no jobs."""
        mode = "repair" if is_repair else ""
        return _findings("", await self._partitions.run("check", partition, self._clock.now, mode, "", *job_ids))

    async def check_schedules(self, group: str, names: Sequence[str], *, is_repair: bool) -> list[Finding]:
        """Contradictions about these schedules of a group."""
        mode = "repair" if is_repair else ""
        partition = self._partitions.of(group)
        return _findings(
            group, await self._partitions.run("check_schedules", partition, self._clock.now, mode, group, *names)
        )

    async def survey(
        self, partition: str, kind: str, n: int, cursor: str, group: str, sets: Sequence[str] = ()
    ) -> Surveyed:
        """Read about n ids from the cursor on; which of them `check` must look at."""
        reply = await self._partitions.run("survey", partition, kind, n, cursor, group, *sets)
        at, score, member, read, *suspects = reply
        found = [(name.decode(), [job_id.decode() for job_id in own]) for name, *own in suspects]
        return Surveyed(at.decode(), (score.decode(), member.decode()), read, found)

    async def discarded(self, n: int) -> list[str]:
        """Ids of deleted jobs whose logs must still be deleted, n a partition at most."""
        pages = [
            await translate_errors(asyncio.shield(self._topology.of(p).redis.zrange(keys.discarded(p), 0, n - 1)))
            for p in self._partitions.names
        ]
        return [cast("bytes", job_id).decode() for page in pages for job_id in page]

    async def forget(self, job_ids: Sequence[str]) -> None:
        """Note that the logs of these deleted jobs are deleted."""
        if job_ids:
            for p in self._partitions.names:
                await translate_errors(asyncio.shield(self._topology.of(p).redis.zrem(keys.discarded(p), *job_ids)))


def _findings(group: str, rows: Iterable[tuple[bytes, bytes, int]]) -> list[Finding]:
    return [Finding(group, job_id.decode(), what.decode(), bool(is_repaired)) for job_id, what, is_repaired in rows]
