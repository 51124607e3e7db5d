"""Metrics of the store, the same at every broker: jobs by partition and status, and how late its timers are.

Jobs are counted group by group, in small steps during live traffic, and only as often as costs the store little.
"""

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, cast

import msgspec

from broker.core.errors import TitanError
from broker.diagnostics.overdue import reaper_lag_ms
from broker.metrics.exposition import Family, Sample, gauge
from broker.models.groups import Counts
from broker.resp import keys

if TYPE_CHECKING:
    from broker.store.job_store import JobStore

STATUSES = Counts.__struct_fields__
PAGE = 200
"""Groups that one call counts."""
OLDEST_S = 10.0
"""The highest age of counts, in s, unless counting takes long."""
REST = 50
"""After a count it pauses for this many times as long as it took."""
_PATIENCE_S = 0.5
_STORE_S = 1.0
"""How long all partitions together may take to report how late they are, in s: a scrape must not wait for a store."""


class JobCounts:
    """Counts when asked, and keeps the counts for a while."""

    def __init__(self, store: "JobStore") -> None:
        self._store = store
        self._counts: Counter[tuple[int, str]] = Counter()
        self._groups: Counter[int] = Counter()
        self._counted_at: float | None = None
        self._took_s = 0.0
        self._counting: asyncio.Task[None] | None = None

    async def families(self) -> list[Family]:
        """Jobs and groups by partition, the age of the counts, and how overdue the oldest timers are; or store_up 0."""
        overdue = await self._overdue()
        if overdue is None:
            return [_up(0)]
        self._count_again()
        if self._counting is not None and self._counted_at is None:
            await asyncio.wait([self._counting], timeout=_PATIENCE_S)
        late = [Sample(max(0.0, ms / 1000), _partition(n)) for n, ms in enumerate(overdue)]
        return [
            _up(1),
            gauge("titan_overdue_seconds", "How late the oldest timer is. Above 1 no reaper works.", late),
            *(self._counted(self._counted_at) if self._counted_at is not None else ()),
        ]

    async def _overdue(self) -> list[float] | None:
        """How late the partitions are; None if the store does not answer in time. The call ends in the background."""
        asking = asyncio.ensure_future(reaper_lag_ms(self._store))
        asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.wait_for(asyncio.shield(asking), _STORE_S)
        except (TitanError, TimeoutError):
            return None

    async def close(self) -> None:
        """Stop counting."""
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.gather(self._counting, return_exceptions=True)

    def _counted(self, at: float) -> list[Family]:
        jobs = [Sample(n, _partition(number) | {"status": status}) for (number, status), n in self._counts.items()]
        groups = [Sample(n, _partition(number)) for number, n in self._groups.items()]
        return [
            gauge("titan_jobs", "Jobs by partition and status.", jobs),
            gauge("titan_groups", "Groups by partition.", groups),
            gauge("titan_jobs_age_seconds", "How old these counts are.", [Sample(time.monotonic() - at)]),
        ]

    def _count_again(self) -> None:
        is_counting = self._counting is not None and not self._counting.done()
        oldest_s = max(OLDEST_S, REST * self._took_s)
        if not is_counting and (self._counted_at is None or time.monotonic() - self._counted_at > oldest_s):
            self._counting = asyncio.create_task(self._count())

    async def _count(self) -> None:
        began, number = time.monotonic(), len(self._store.partitions)
        groups = Counter(dict.fromkeys(range(number), 0))
        jobs: Counter[tuple[int, str]] = Counter({(n, status): 0 for n in range(number) for status in STATUSES})
        cursor = ""
        try:
            while True:
                page, cursor = await self._store.groups.list(PAGE, cursor)
                for group in page:
                    partition = keys.partition_of(group.name, number)
                    groups[partition] += 1
                    for status, count in msgspec.structs.asdict(group.counts).items():
                        jobs[partition, status] += cast("int", count)
                if not cursor:
                    break
        except TitanError:
            return
        self._counts, self._groups = jobs, groups
        self._counted_at = time.monotonic()
        self._took_s = self._counted_at - began


def _up(value: int) -> Family:
    return gauge("titan_store_up", "Whether the store answers.", [Sample(value)])


def _partition(number: int) -> dict[str, str]:
    return {"partition": str(number)}
