"""Fires schedules that are due, in a loop of its own, so that a large number of them does not delay the reaper.

Each broker has one; any number is safe, since fire.lua compares what the broker read with what the store has. Only the
clock of the store decides which ones are due.
"""

import asyncio
import logging
from contextlib import suppress

from broker.core.errors import TitanError
from broker.metrics.exposition import Family, Sample, counter, gauge
from broker.store.job_store import JobStore
from broker.store.schedule_fires import Fired

_log = logging.getLogger(__name__)
STEP = 100
"""Schedules of a partition that one step fires at most."""
AFTER_FAULT_S = 0.5
REFRESH_AGAIN_S = 5.0
"""When schedules of a partition that was away are looked at again."""


class Scheduler:
    """Fires after each call of `notify`. The reaper calls it in every step while schedules are due.

    `late_ms`: how late the latest fire of the last step was. `done`: how often what happened, at this broker.
    """

    def __init__(self, store: JobStore) -> None:
        self.late_ms = 0
        self.done = {"fired": 0, "skipped": 0, "missed": 0}
        self._store = store
        self._is_due = asyncio.Event()

    def notify(self) -> None:
        """Report that schedules are due."""
        self._is_due.set()

    async def run(self) -> None:
        """Fire until cancelled. The first of several errors in a row is logged."""
        refreshing = asyncio.create_task(self.refresh())
        try:
            await self._fire_always()
        finally:
            refreshing.cancel()

    async def refresh(self) -> None:
        """Set the next times again that a broker with an older tz database computed. Once, when this broker starts."""
        left = list(self._store.partitions)
        while left:
            for partition in tuple(left):
                with suppress(TitanError):
                    if n := await self._store.schedules.refresh_all(partition):
                        _log.info("the time zones of this broker are newer: next times of schedules set again: %d", n)
                    left.remove(partition)
            if left:
                await asyncio.sleep(REFRESH_AGAIN_S)

    async def _fire_always(self) -> None:
        is_failing = False
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            try:
                await self.fire_due()
                is_failing = False
            except Exception as fault:  # noqa: BLE001 - it is logged, and the loop continues
                if not is_failing:
                    trace = None if isinstance(fault, TitanError) else fault
                    _log.warning("schedules do not fire for now: %s", fault, exc_info=trace)
                is_failing = True
                await asyncio.sleep(AFTER_FAULT_S)

    async def fire_due(self) -> None:
        """Fire all schedules that are due. Raises StoreUnavailable."""
        while fired := await self._store.schedule_fires.fire_due(STEP):
            self._count(fired)

    def families(self) -> list[Family]:
        """The metrics of this broker's schedules."""
        done = [Sample(count, {"what": what}) for what, count in self.done.items()]
        return [
            counter("titan_schedule_fires_total", "Times of schedules that this broker handled, by kind.", done),
            gauge(
                "titan_schedule_late_seconds",
                "How late the latest fire of a schedule was, in the last step that fired any.",
                [Sample(self.late_ms / 1000)],
                "max",
            ),
        ]

    def _count(self, fired: list[Fired]) -> None:
        self.late_ms = max(one.late_ms for one in fired)
        for one in fired:
            self.done["missed"] += one.missed
            if one.what in {"fired", "skipped"}:
                self.done[one.what] += 1
