"""Metric families, and the Prometheus text format (0.0.4)."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Literal

from msgspec import Struct, field

BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""The upper bounds of a histogram's buckets, in s. One more bucket has no bound."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


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
        sums = list(accumulate(self.counts))
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), sums, strict=True):
            yield Sample(count, {**labels, "le": bound}, "_bucket")
        yield Sample(sums[-1], dict(labels), "_count")
        yield Sample(self.total_s, dict(labels), "_sum")


def counter(name: str, means: str, samples: Iterable[Sample]) -> Family:
    """A family of numbers that only rise."""
    return Family(name, "counter", means, list(samples))


def gauge(name: str, means: str, samples: Iterable[Sample]) -> Family:
    """A family of numbers that rise and fall."""
    return Family(name, "gauge", means, list(samples))


def histogram(name: str, means: str, rows: Iterable[tuple[Mapping[str, str], Histogram]]) -> Family:
    """A family of histograms with their labels."""
    return Family(name, "histogram", means, [sample for labels, row in rows for sample in row.samples(labels)])


def text(families: Iterable[Family]) -> str:
    """The families in the text format. Families of the same name are merged."""
    merged: dict[str, list[Family]] = {}
    for one in families:
        merged.setdefault(one.name, []).append(one)
    lines: list[str] = []
    for name, same in merged.items():
        lines += [f"# HELP {name} {same[0].means}", f"# TYPE {name} {same[0].kind}"]
        lines += [_line(name, sample) for one in same for sample in one.samples]
    return "\n".join([*lines, ""])


def labelled(families: Iterable[Family], **labels: str) -> list[Family]:
    """The families with more labels on each sample."""
    return [
        Family(one.name, one.kind, one.means, [Sample(s.value, {**labels, **s.labels}, s.suffix) for s in one.samples])
        for one in families
    ]


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(f'{label}="{value.translate(_ESCAPED)}"' for label, value in sample.labels.items())
    value = f"{sample.value:.9g}" if sample.value % 1 else f"{sample.value:.0f}"
    return f"{name}{sample.suffix}{'{' + labels + '}' if labels else ''} {value}"
