"""Reaps jobs that are due, checks the store for contradictions, and lists the logs of deleted jobs."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import cast

from broker.core.ids import Ids
from broker.resp import keys
from broker.resp.partitions import Partitions
from broker.resp.replies_to_errors import translate_errors
from broker.resp.topology import Topology
from broker.store.clock import Clock
from broker.store.format.replies import Finding, Reaped, reaped_of


class Maintenance:
    """Reaps, checks, and keeps the list of logs to delete."""

    def __init__(self, topology: Topology, partitions: Partitions, clock: Clock, ids: Ids) -> None:
        self._topology = topology
        self._partitions = partitions
        self._clock = clock
        self._ids = ids

    async def reap(self, limit: int) -> Reaped:
        """Handle jobs that are due, `limit` a partition at most."""
        arguments: list[list[str | int]] = [
            [self._clock.now, limit, *self._ids.take(limit)] for _ in self._partitions.names
        ]
        return reaped_of(await self._partitions.run_each("reap", arguments))

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


def _findings(group: str, rows: Iterable[tuple[bytes, bytes]]) -> list[Finding]:
    return [Finding(group, job_id.decode(), what.decode()) for job_id, what in rows]
