"""What happened to jobs since this broker started, by the label of their group: the metrics of jobs.

The tally counts each job; here its counts are added up at each flush, and with those since the last flush when /metrics
is read. No call of a job passes here, except the rare ones that the tally does not distinguish.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from broker.metrics.exposition import Family, Sample, bucket_samples, counter, histogram_of
from broker.metrics.group_labels import GroupLabels
from broker.store.group_counts import (
    BACK,
    BOUNDS_MS,
    CANCELLED,
    FAILED,
    IN,
    LOST,
    OUT,
    RETRIED,
    SUCCEEDED,
    SUM_MS,
    TAKEN,
    GroupCounts,
)

_KINDS = ("lost", "promoted", "manual", "bulk")


class JobTotals:
    """The sums. `labels` decides which groups are labels; a broker sets it before its first job."""

    def __init__(self) -> None:
        self.labels = GroupLabels()
        self._groups: dict[str, GroupCounts] = {}
        self._rare: dict[str, Counter[str]] = {kind: Counter() for kind in _KINDS}

    def rarely(self, kind: str, group: str, n: int = 1) -> None:
        """Count jobs whose lease was `lost` and that failed, that were `promoted`, or repeated, `manual` or `bulk`."""
        self._rare[kind][self.labels.of(group)] += n

    def add(self, group: str, counts: GroupCounts) -> None:
        """Add the counts of a group, which the tally then forgets."""
        label = self.labels.of(group)
        before = self._groups.get(label)
        if before is None:
            before = self._groups[label] = GroupCounts()
        before.add(counts)

    def families(self, unflushed: Mapping[str, GroupCounts]) -> list[Family]:
        """The metrics of jobs. `unflushed`: what the tally has counted since the last flush."""
        now = self._with(unflushed)
        for kind in self._rare.values():
            for label in kind:
                now.setdefault(label, [0] * 8)
        return [
            counter("titan_jobs_enqueued_total", "Jobs that came into a group, retries too.", _column(now, IN)),
            counter("titan_jobs_taken_total", "Deliveries of jobs to consumers.", _column(now, OUT)),
            counter("titan_jobs_finished_total", "Jobs that ended, by status; each failed try counts.", _ended(now)),
            counter("titan_jobs_released_total", "Jobs that a consumer released.", self._released(now)),
            counter("titan_jobs_promoted_total", "Delayed jobs that a person queued.", self._kind("promoted", now)),
            counter("titan_jobs_retried_total", "Jobs that were retried, by who did it.", self._retried(now)),
            counter("titan_leases_lost_total", "Leases that ended, and what became of the job.", self._lost(now)),
            *self._times(unflushed),
        ]

    def _with(self, unflushed: Mapping[str, GroupCounts]) -> dict[str, list[int]]:
        now = {label: list(counts.counts) for label, counts in self._groups.items()}
        for group, counts in unflushed.items():
            label = self.labels.of(group)
            before = now.get(label)
            now[label] = [a + b for a, b in zip(before, counts.counts, strict=True)] if before else list(counts.counts)
        return now

    def _kind(self, kind: str, now: Iterable[str]) -> Iterator[Sample]:
        return (Sample(self._rare[kind][label], {"group": label}) for label in now)

    def _released(self, now: Mapping[str, list[int]]) -> Iterator[Sample]:
        for label, counts in now.items():
            requeued = counts[LOST] - self._rare["lost"][label]
            yield Sample(max(0, counts[BACK] - requeued), {"group": label})

    def _retried(self, now: Mapping[str, list[int]]) -> Iterator[Sample]:
        for label, counts in now.items():
            yield Sample(counts[RETRIED], {"group": label, "how": "automatic"})
            for how in ("manual", "bulk"):
                yield Sample(self._rare[how][label], {"group": label, "how": how})

    def _lost(self, now: Mapping[str, list[int]]) -> Iterator[Sample]:
        for label, counts in now.items():
            failed = self._rare["lost"][label]
            yield Sample(max(0, counts[LOST] - failed), {"group": label, "then": "requeued"})
            yield Sample(failed, {"group": label, "then": "failed"})

    def _times(self, unflushed: Mapping[str, GroupCounts]) -> list[Family]:
        """The histograms; by group only if the labels are patterns that somebody chose."""
        sums: dict[str, GroupCounts] = {}
        for label, counts in [*self._groups.items(), *((self.labels.of(name), one) for name, one in unflushed.items())]:
            sums.setdefault(label if self.labels.patterns else "", GroupCounts()).add(counts)
        waits = [sample for label, one in sums.items() for sample in _buckets(one.waits, _labels(label))]
        runs: list[Sample] = []
        for label, one in sums.items():
            failed = one.failed_runs
            good = one.runs and [a - b for a, b in zip(one.runs, failed or [0] * len(one.runs), strict=True)]
            for status, times in (("succeeded", good), ("failed", failed)):
                runs += _buckets(times, {**_labels(label), "status": status})
        return [
            histogram_of("titan_job_wait_seconds", "Time from due to delivery, of a sample of the jobs.", waits),
            histogram_of("titan_job_run_seconds", "Time from delivery to the end, of a sample of the jobs.", runs),
        ]


def _labels(label: str) -> dict[str, str]:
    return {"group": label} if label else {}


def _column(now: Mapping[str, list[int]], column: int) -> Iterator[Sample]:
    return (Sample(counts[column], {"group": label}) for label, counts in now.items())


def _ended(now: Mapping[str, list[int]]) -> Iterator[Sample]:
    for label, counts in now.items():
        for status, column in (("succeeded", SUCCEEDED), ("failed", FAILED), ("cancelled", CANCELLED)):
            yield Sample(counts[column], {"group": label, "status": status})


def _buckets(times: list[int] | None, labels: Mapping[str, str]) -> Iterable[Sample]:
    """The samples of a histogram of the tally: its buckets, the number of times taken, and their sum in ms."""
    if times is None:
        return ()
    return bucket_samples([ms / 1000 for ms in BOUNDS_MS], times[:TAKEN], times[SUM_MS] / 1000, labels)
