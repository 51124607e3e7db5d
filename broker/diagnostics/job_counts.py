"""Metrics of the store, the same at every broker: jobs by partition and status, and how late its timers are.

The counts come from the sweep of broker/diagnostics/snapshot.py.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from broker.diagnostics.overdue import reaper_lag_ms
from broker.diagnostics.snapshot import Snapshot, Snapshots
from broker.metrics.exposition import Family, Sample, gauge
from broker.store.format.glances import EMPTY

if TYPE_CHECKING:
    from broker.store.job_store import JobStore

OLDEST_S = 10.0
"""The highest age of counts, in s, unless the sweep takes long."""
_PATIENCE_S = 0.5
_STORE_S = 1.0
"""How long all partitions together may take to report how late they are, in s: a scrape must not wait for a store."""


class JobCounts:
    """The metrics of a store."""

    def __init__(self, store: "JobStore", snapshots: Snapshots) -> None:
        self._store = store
        self._snapshots = snapshots

    async def families(self) -> list[Family]:
        """Which servers answer. If any does: jobs and groups by partition, and how overdue the oldest timers are."""
        overdue = await self._overdue()
        if not overdue:
            return [self._up(overdue)]
        snapshot = await self._snapshots.at_most(OLDEST_S, _PATIENCE_S)
        late = [Sample(max(0.0, ms / 1000), _partition(n)) for n, ms in overdue.items()]
        return [
            self._up(overdue),
            gauge("titan_overdue_seconds", "How late the oldest timer is. Above 1 no reaper works.", late),
            gauge("titan_order_fair", "Whether groups take turns, as this broker knows it.", self._fair()),
            *(_counted(snapshot) if snapshot is not None else ()),
        ]

    def _fair(self) -> list[Sample]:
        names = self._store.partitions
        return [Sample(int(self._store.modes.is_fair(name)), _partition(n)) for n, name in enumerate(names)]

    async def _overdue(self) -> dict[int, float]:
        """How late the partitions are, in ms, without those that do not answer in time. Calls end in the background."""
        asking = [asyncio.ensure_future(reaper_lag_ms(self._store, name)) for name in self._store.partitions]
        for call in asking:
            call.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait(asking, timeout=_STORE_S)
        return {n: call.result() for n, call in enumerate(asking) if call.done() and not call.exception()}

    def _up(self, overdue: Mapping[int, float]) -> Family:
        """Whether each server has answered for one of its partitions."""
        topology = self._store.topology
        answered = {topology.of(self._store.partitions[n]) for n in overdue}
        samples = [Sample(int(server in answered), {"server": topology.name_of(server)}) for server in topology.all]
        return gauge("titan_store_up", "Whether the server answers.", samples)


def _counted(snapshot: Snapshot) -> list[Family]:
    jobs = [Sample(n, _partition(number) | {"status": status}) for (number, status), n in snapshot.jobs.items()]
    groups = [Sample(n, _partition(number)) for number, n in snapshot.groups.items()]
    waits = [
        Sample(snapshot.waits[number, why], _partition(number) | {"for": why})
        for number in snapshot.groups
        for why in EMPTY.waits
    ]
    return [
        gauge("titan_jobs", "Jobs by partition and status.", jobs),
        gauge("titan_jobs_waiting", "Jobs that may not be delivered yet, by what they wait for.", waits),
        gauge("titan_groups", "Groups by partition.", groups),
        gauge("titan_jobs_age_seconds", "How old these counts are.", [Sample(snapshot.age_s)]),
    ]


def _partition(number: int) -> dict[str, str]:
    return {"partition": str(number)}
