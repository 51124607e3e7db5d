"""What was asked of this broker: how often, how it was answered, and how long that took."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from broker.metrics.exposition import BOUNDS_S, Family, Histogram, Sample, counter, histogram

NO_ROUTE = -1
"""The route of a request that has none: a 404 or 405."""
GONE = 499
"""The status of a request whose client hung up before its answer."""


class RequestCounts:
    """`observe` once a request. `verbs` are the routes' verbs; a route is an index into them, or NO_ROUTE."""

    __slots__ = ("_rows", "_verbs")

    def __init__(self, verbs: Sequence[str]) -> None:
        self._verbs = (*verbs, "none")
        self._rows: dict[int, Histogram] = {}

    def observe(self, route: int, status: int, seconds: float) -> None:
        """One request was answered."""
        try:
            row = self._rows[route * 1000 + status]
        except KeyError:
            row = self._rows[route * 1000 + status] = Histogram()
        row.counts[bisect_left(BOUNDS_S, seconds)] += 1  # a call of Histogram.observe would cost as much again
        row.total_s += seconds

    def families(self) -> list[Family]:
        """Requests by verb and status, and their times by verb."""
        times = [({"verb": verb}, row) for verb, row in self._times().items()]
        return [
            counter("titan_requests_total", "Requests by verb and status; 499: the client hung up.", self._counts()),
            histogram("titan_request_seconds", "Time to an answer; of next its wait for a job too.", times),
        ]

    def _counts(self) -> Iterator[Sample]:
        for kind, row in sorted(self._rows.items()):
            route, status = divmod(kind, 1000)
            yield Sample(sum(row.counts), {"verb": self._verbs[route], "status": str(status)})

    def _times(self) -> dict[str, Histogram]:
        times: dict[str, Histogram] = {}
        for kind, row in sorted(self._rows.items()):
            of_verb = times.setdefault(self._verbs[kind // 1000], Histogram())
            of_verb.counts = [a + b for a, b in zip(of_verb.counts, row.counts, strict=True)]
            of_verb.total_s += row.total_s
        return times
