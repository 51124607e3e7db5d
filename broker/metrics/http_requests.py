"""Counts the HTTP requests of this broker by verb and status, and their times."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from broker.metrics.exposition import BOUNDS_S, Family, Histogram, Sample, counter, histogram

NO_ROUTE = -1
"""The route of a request that has none: a 404 or 405."""
GONE = 499
"""The status of a request whose client closed the connection before its response."""


class RequestCounts:
    """Call `observe` once for each request. A route is an index into `verbs`, or NO_ROUTE."""

    __slots__ = ("_rows", "_verbs")

    def __init__(self, verbs: Sequence[str]) -> None:
        self._verbs = (*verbs, "none")
        self._rows: dict[int, Histogram] = {}

    def observe(self, route: int, status: int, seconds: float) -> None:
        """Count one request. `seconds` is its time to the response."""
        try:
            row = self._rows[route * 1000 + status]
        except KeyError:
            row = self._rows[route * 1000 + status] = Histogram()
        row.counts[bisect_left(BOUNDS_S, seconds)] += 1  # inlined: a call of Histogram.observe would double the cost
        row.total_s += seconds

    def families(self) -> list[Family]:
        """The requests by verb and status, and their times by verb."""
        times = [({"verb": verb}, row) for verb, row in self._times().items()]
        return [
            counter("titan_requests_total", "Requests by verb and status; 499: the client hung up.", self._counts()),
            histogram("titan_request_seconds", "Time to an answer; of next its wait for a job too.", times),
        ]

    def _counts(self) -> Iterator[Sample]:
        numbers: dict[tuple[str, int], int] = {}  # two routes may have one verb; its sample comes once
        for kind, row in sorted(self._rows.items()):
            route, status = divmod(kind, 1000)
            sample = self._verbs[route], status
            numbers[sample] = numbers.get(sample, 0) + sum(row.counts)
        for (verb, status), number in numbers.items():
            yield Sample(number, {"verb": verb, "status": str(status)})

    def _times(self) -> dict[str, Histogram]:
        times: dict[str, Histogram] = {}
        for kind, row in sorted(self._rows.items()):
            of_verb = times.setdefault(self._verbs[kind // 1000], Histogram())
            of_verb.counts = [a + b for a, b in zip(of_verb.counts, row.counts, strict=True)]
            of_verb.total_s += row.total_s
        return times
