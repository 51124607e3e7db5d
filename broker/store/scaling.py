"""Reads what the number of workers depends on: what waits, what comes, and how long jobs run."""

import asyncio
from collections.abc import Sequence

from msgspec import UNSET

from broker.models.scale import Scale
from broker.resp import keys
from broker.resp.partitions import Partitions
from broker.store.clock import Clock
from broker.store.format.glances import RECENT, glanced
from broker.store.format.scale import Goal, Load, scale_of
from broker.store.group_counts import IN, TAKEN
from broker.store.statistics import TEN_MS, Fields, fields_of_hash, histogram, mean_s

_NOW_TENS, _HOUR_TENS = 2, 6
"""How many histograms of ten minutes the mean is made of: those of now, or those of the hour."""


class Scaling:
    """Says how many workers groups need. A group that does not exist needs none."""

    def __init__(self, partitions: Partitions, clock: Clock) -> None:
        self._partitions = partitions
        self._clock = clock

    async def scale(self, groups: Sequence[str], goal: Goal) -> Scale:
        """How many workers these groups need together, at least one group.

        Raises StoreUnavailable if one of them cannot be read: a sum without it would stop workers that have jobs.
        """
        names = list(dict.fromkeys(groups))
        loads = await asyncio.gather(*(self._read(group, goal.ahead_s) for group in names))
        return scale_of(loads, goal)

    async def _read(self, group: str, ahead_s: int) -> Load:
        p = self._partitions.of(group)
        now, rows = glanced(await self._partitions.run("glance", p, self._clock.now, 0, "", "", group), is_whole=True)
        if not rows:
            return Load()
        [row] = rows
        until = now + ahead_s * 1000
        commands = [
            ("ZCOUNT", keys.members(p, group, "delayed"), "-inf", until),
            ("HGETALL", keys.statistics(p, group, "times")),
        ]
        due_soon, times = await self._partitions.read(p, commands)
        return Load(
            row.queued,
            row.running,
            int(due_soon),
            row.recent[IN] / (RECENT * 60),
            _run_s(fields_of_hash(times), now),
            0.0 if row.oldest_at is None else max(0, now - row.oldest_at) / 1000,
            row.limits.paused,
            None if row.limits.max_concurrency is UNSET else row.limits.max_concurrency,
        )


def _run_s(times: Fields, now: int) -> float:
    for number in (_NOW_TENS, _HOUR_TENS):
        buckets = histogram(times, "rm", now // TEN_MS, number, _HOUR_TENS)
        if any(buckets[:TAKEN]):
            return mean_s(buckets[:TAKEN])
    return 1.0
