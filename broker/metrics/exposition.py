"""Metric families as plain values. `broker/metrics/prometheus.py` makes the text that Prometheus reads of them."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Literal

from msgspec import Struct, field, structs

BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""The upper bounds of a histogram's buckets, in s. One more bucket has no bound."""

Over = Literal["sum", "max", "min", "each"]
"""How the numbers of several processes of one broker become one number; `each`: they stay apart, with a label."""


class Sample(Struct, frozen=True):
    """One number. A histogram adds `suffix` to the name of the family."""

    value: float
    labels: dict[str, str] = field(default_factory=dict)
    suffix: str = ""


class Family(Struct, frozen=True):
    """The samples of one metric, which differ by their labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    means: str
    samples: list[Sample]
    over: Over = "sum"


class Histogram:
    """Counts times by buckets."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one time, in s."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds

    def samples(self, labels: Mapping[str, str]) -> Iterator[Sample]:
        """The count of times up to each bound, the count of all, and their sum."""
        yield from bucket_samples(BOUNDS_S, self.counts, self.total_s, labels)


def bucket_samples(
    bounds_s: Sequence[float], counts: Sequence[int], total_s: float, labels: Mapping[str, str]
) -> Iterator[Sample]:
    """The samples of one histogram. `counts`: by bucket, one more than bounds. `total_s`: the sum of all times."""
    sums = list(accumulate(counts))
    for bound, count in zip((*map(str, bounds_s), "+Inf"), sums, strict=True):
        yield Sample(count, {**labels, "le": bound}, "_bucket")
    yield Sample(sums[-1], dict(labels), "_count")
    yield Sample(total_s, dict(labels), "_sum")


def counter(name: str, means: str, samples: Iterable[Sample], over: Over = "sum") -> Family:
    """A family of numbers that only rise."""
    return Family(name, "counter", means, list(samples), over)


def gauge(name: str, means: str, samples: Iterable[Sample], over: Over = "sum") -> Family:
    """A family of numbers that rise and fall."""
    return Family(name, "gauge", means, list(samples), over)


def histogram(name: str, means: str, rows: Iterable[tuple[Mapping[str, str], Histogram]]) -> Family:
    """A family of histograms with their labels."""
    return histogram_of(name, means, [sample for labels, row in rows for sample in row.samples(labels)])


def histogram_of(name: str, means: str, samples: Iterable[Sample]) -> Family:
    """A family of histograms, from the samples of `bucket_samples`."""
    return Family(name, "histogram", means, list(samples))


def labelled(families: Iterable[Family], **labels: str) -> list[Family]:
    """The families with more labels on each sample."""
    return [
        structs.replace(one, samples=[Sample(s.value, {**labels, **s.labels}, s.suffix) for s in one.samples])
        for one in families
    ]
