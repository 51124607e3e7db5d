"""What happened to the jobs of one group: eight counts, and histograms of how long jobs waited and ran."""

from bisect import bisect_left
from collections.abc import Sequence

BOUNDS_MS = (
    *(5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000),
    *(1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000),
)
"""The upper bounds of the buckets of a histogram, ms. One more bucket has no bound."""
TAKEN = len(BOUNDS_MS) + 1
"""The place of a histogram that has the number of times that were taken. Each stands for as many jobs as the buckets
count."""
SUM_MS = TAKEN + 1
"""The place of a histogram that has the sum of the times, ms. It stays in the broker, for /metrics."""
_SIZE = SUM_MS + 1

IN, OUT, SUCCEEDED, FAILED, BACK, CANCELLED, LOST, RETRIED = range(8)


class GroupCounts:
    """The counts of one group since the last flush, and its histograms: one number a bucket, TAKEN and SUM_MS.

    `failed_runs`: the part of `runs` that failed.
    """

    __slots__ = ("counts", "failed_runs", "runs", "waits")

    def __init__(self) -> None:
        self.counts = [0] * 8
        self.waits: list[int] | None = None
        self.runs: list[int] | None = None
        self.failed_runs: list[int] | None = None

    def wait(self, ms: int, weight: int) -> None:
        """Count the time that a job waited, for `weight` jobs."""
        if self.waits is None:
            self.waits = [0] * _SIZE
        self.waits[bisect_left(BOUNDS_MS, ms)] += weight
        self.waits[TAKEN] += 1
        self.waits[SUM_MS] += ms * weight

    def run(self, execution: bytes, weight: int) -> None:
        """Count the time that a finished job ran, for `weight` jobs. `execution`: the text in the store."""
        words = execution.split(b" ")
        if words[2] == b"-":  # it never ran
            return
        if self.runs is None:
            self.runs = [0] * _SIZE
        ms = int(words[-1]) - int(words[2])
        self.runs[bisect_left(BOUNDS_MS, ms)] += weight
        self.runs[TAKEN] += 1
        self.runs[SUM_MS] += ms * weight

    def failed_run(self, execution: bytes, weight: int) -> None:
        """Count the same of a job that failed."""
        before, self.runs = self.runs, self.failed_runs
        self.run(execution, weight)
        self.failed_runs, self.runs = self.runs, before
        self.run(execution, weight)

    def add(self, other: "GroupCounts") -> None:
        """Add the counts of another group."""
        self.counts = _sums(self.counts, other.counts)
        self.waits = _both(self.waits, other.waits)
        self.runs = _both(self.runs, other.runs)
        self.failed_runs = _both(self.failed_runs, other.failed_runs)


def _both(one: list[int] | None, other: list[int] | None) -> list[int] | None:
    """The sum of two histograms, which may be missing."""
    if one and other:
        return _sums(one, other)
    return list(one or other or ()) or None


def _sums(one: Sequence[int], other: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)]
