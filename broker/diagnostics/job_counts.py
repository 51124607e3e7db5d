"""Metrics of the store, the same at every broker: jobs by status, groups, workers, how late its timers are, memory.

The counts come from the sweep of broker/diagnostics/snapshot.py.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from broker.diagnostics.group_metrics import group_families, worker_families
from broker.diagnostics.overdue import reaper_lag_ms
from broker.diagnostics.snapshot import Snapshot, Snapshots
from broker.diagnostics.store_memory import memory_families, memory_of
from broker.metrics.exposition import Family, Sample, gauge
from broker.metrics.group_labels import GroupLabels
from broker.store.format.glances import EMPTY

if TYPE_CHECKING:
    from broker.store.job_store import JobStore

T = TypeVar("T")

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
        overdue, memory = await asyncio.gather(self._overdue(), self._memory())
        if not overdue:
            return [self._up(overdue)]
        snapshot = await self._snapshots.at_most(OLDEST_S, _PATIENCE_S)
        late = [Sample(max(0.0, ms / 1000), _partition(n)) for n, ms in overdue.items()]
        return [
            self._up(overdue),
            gauge("titan_overdue_seconds", "How late the oldest timer is. Above 1 no reaper works.", late),
            gauge("titan_reaper_lag_seconds", "How late the oldest timer of the server is.", self._lags(overdue)),
            gauge("titan_order_fair", "Whether groups take turns, as this broker knows it.", self._fair()),
            *memory_families(memory),
            *(_counted(snapshot, self._store.counts.labels) if snapshot is not None else ()),
        ]

    def _lags(self, overdue: Mapping[int, float]) -> list[Sample]:
        topology, lags = self._store.topology, dict[str, float]()
        for number, ms in overdue.items():
            name = topology.name_of(topology.of(self._store.partitions[number]))
            lags[name] = max(lags.get(name, 0.0), ms / 1000)
        return [Sample(lag, {"server": name}) for name, lag in lags.items()]

    def _fair(self) -> list[Sample]:
        names = self._store.partitions
        return [Sample(int(self._store.modes.is_fair(name)), _partition(n)) for n, name in enumerate(names)]

    async def _overdue(self) -> dict[int, float]:
        """How late the partitions are, in ms, without those that do not answer in time. Calls end in the background."""
        return await _in_time([reaper_lag_ms(self._store, name) for name in self._store.partitions])

    async def _memory(self) -> dict[str, dict[str, Any]]:
        """What the servers say of their memory, without those that do not answer in time."""
        topology = self._store.topology
        found = await _in_time([memory_of(server) for server in topology.all])
        return {topology.name_of(topology.all[n]): info for n, info in found.items()}

    def _up(self, overdue: Mapping[int, float]) -> Family:
        """Whether each server has answered for one of its partitions."""
        topology = self._store.topology
        answered = {topology.of(self._store.partitions[n]) for n in overdue}
        samples = [Sample(int(server in answered), {"server": topology.name_of(server)}) for server in topology.all]
        return gauge("titan_store_up", "Whether the server answers.", samples)


async def _in_time(calls: Sequence[Coroutine[Any, Any, T]]) -> dict[int, T]:
    """The answers by the place of the call, without those that fail or come too late."""
    asking = [asyncio.ensure_future(call) for call in calls]
    for call in asking:
        call.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait(asking, timeout=_STORE_S)
    return {n: call.result() for n, call in enumerate(asking) if call.done() and not call.exception()}


def _counted(snapshot: Snapshot, labels: GroupLabels) -> list[Family]:
    jobs = [Sample(n, _partition(number) | {"status": status}) for (number, status), n in snapshot.jobs.items()]
    age = Sample(snapshot.age_s)
    groups = [Sample(n, _partition(number)) for number, n in snapshot.groups.items()]
    waits = [
        Sample(snapshot.waits[number, why], _partition(number) | {"for": why})
        for number in snapshot.groups
        for why in EMPTY.waits
    ]
    lanes = [Sample(snapshot.full_lanes[number], _partition(number)) for number in snapshot.groups]
    return [
        gauge("titan_jobs", "Jobs by partition and status.", jobs),
        gauge("titan_jobs_waiting", "Jobs that may not be delivered yet, by what they wait for.", waits),
        gauge("titan_lanes_full", "Keys of which jobs wait for a place; of a group 1,000 at most.", lanes),
        gauge("titan_groups", "Groups by partition.", groups),
        gauge("titan_jobs_age_seconds", "How old these counts are.", [age]),
        gauge("titan_snapshot_age_seconds", "How old the counts of jobs, groups and workers are.", [age]),
        *group_families(snapshot, labels),
        *worker_families(snapshot),
    ]


def _partition(number: int) -> dict[str, str]:
    return {"partition": str(number)}
