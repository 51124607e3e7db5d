"""The metrics of groups and workers, from a sweep over the store: the same at every broker."""

from collections.abc import Iterable
from typing import get_args

from broker.diagnostics.snapshot import STATUSES, Snapshot
from broker.metrics.exposition import Family, Sample, gauge
from broker.metrics.group_labels import GroupLabels
from broker.models.workers import State
from broker.store.format.glances import GroupRow


class _Label:
    """What the groups of one label have together."""

    def __init__(self) -> None:
        self.counts = [0] * len(STATUSES)
        self.paused = 0
        self.oldest_at: int | None = None
        self.asked_at: int | None = None

    def add(self, row: GroupRow) -> None:
        self.counts = [a + b for a, b in zip(self.counts, row.counts, strict=True)]
        self.paused += row.limits.paused is True
        if row.oldest_at is not None:
            self.oldest_at = min(self.oldest_at or row.oldest_at, row.oldest_at)
        if row.queued and row.asked_at is not None:
            self.asked_at = row.asked_at if self.asked_at is None else min(self.asked_at, row.asked_at)


def group_families(snapshot: Snapshot, labels: GroupLabels) -> list[Family]:
    """Jobs, the oldest job, whether it is paused, and who asks for jobs, by the label of the group."""
    now = snapshot.as_of + round(1000 * snapshot.age_s)
    found = _by_label(snapshot.rows, labels)
    jobs = [
        Sample(n, {"group": label, "status": status})
        for label, one in found.items()
        for status, n in zip(STATUSES, one.counts, strict=True)
    ]
    oldest = [Sample(_since_s(one.oldest_at, now), {"group": label}) for label, one in found.items()]
    paused = [Sample(one.paused, {"group": label}) for label, one in found.items()]
    asked = [
        Sample(_since_s(one.asked_at or now - _HOUR_MS, now), {"group": label})
        for label, one in found.items()
        if one.asked_at is not None
    ]
    return [
        gauge("titan_group_jobs", "Jobs by group and status.", jobs),
        gauge("titan_group_oldest_seconds", "How long the oldest queued job of the group waits; 0: none does.", oldest),
        gauge("titan_group_paused", "Whether the group is paused; of several groups, how many are.", paused),
        gauge("titan_group_asked_seconds", "How long nobody asked for its queued jobs, an hour at most.", asked),
        gauge("titan_oldest_waiting_seconds", "How long the oldest queued job of all waits.", [_oldest(snapshot, now)]),
    ]


def worker_families(snapshot: Snapshot) -> list[Family]:
    """Workers by state, their slots, and how many of these are busy."""
    states = [Sample(snapshot.states[state], {"state": state}) for state in get_args(State)]
    return [
        gauge("titan_workers", "Workers of the last minute, by state.", states),
        gauge(
            "titan_worker_slots", "Jobs that all workers together can run at once.", [Sample(snapshot.workers.slots)]
        ),
        gauge("titan_worker_busy", "Slots of workers that run a job.", [Sample(snapshot.workers.busy)]),
    ]


_HOUR_MS = 3_600_000


def _by_label(rows: Iterable[GroupRow], labels: GroupLabels) -> dict[str, _Label]:
    """The sums by label. A group that has no job and is not paused is not active: it needs no label of its own."""
    found: dict[str, _Label] = {}
    for row in rows:
        if any(row.counts) or row.limits.paused is True:
            found.setdefault(labels.of(row.name), _Label()).add(row)
    return found


def _oldest(snapshot: Snapshot, now: int) -> Sample:
    return Sample(_since_s(snapshot.total.oldest_at, now))


def _since_s(at: int | None, now: int) -> float:
    return 0.0 if at is None else max(0, now - at) / 1000
