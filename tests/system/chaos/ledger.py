"""The books of a run: what was acknowledged, handed out and finished; and what the store has in the end."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from broker.core.timestamps import milliseconds
from tests.system.chaos.windows import Span, Window, Windows


class Answer(NamedTuple):
    """The answer to one request; status 0 where none came. `span` is the time of the request."""

    status: int
    told: Any
    span: Span


class Delivery(NamedTuple):
    """One hand-out that a consumer saw. Times are ms by the store's clock; `ends` is the end of its lease."""

    job_id: str
    lease: str
    number: int
    at: int
    ends: int
    group: str = ""


class Ledger:
    """Everything that the load saw. `partition_of` is the partition of a group, by which windows tell losses apart."""

    def __init__(self, partition_of: Callable[[str], int] = lambda _: 0) -> None:
        self.sent: dict[str, int] = {}
        self.acknowledged: dict[str, list[str]] = {}
        self.spans: dict[str, Span] = {}
        self.deliveries: dict[str, list[Delivery]] = defaultdict(list)
        self.successes: dict[str, dict[str, Span | None]] = defaultdict(dict)
        self.failures: dict[str, set[str]] = defaultdict(set)
        self.waits: dict[str, set[str]] = defaultdict(set)
        self.statuses: Counter[int] = Counter()
        self.slowest_503_s = 0.0
        self.stale_sent = self.stale_refused = 0
        self._stale_accepted: list[tuple[Delivery, Span | None]] = []
        self.partition_of = partition_of

    def took(self, job: dict[str, Any]) -> Delivery:
        """A consumer was handed a job."""
        at = milliseconds(job["started_at"])
        ends = at + job["timeout"] * 1000
        delivery = Delivery(job["id"], job["lease"], job["deliveries"], at, ends, job["group_name"])
        self.deliveries[job["id"]].append(delivery)
        return delivery

    def answered(self, status: int, took_s: float) -> None:
        """A broker answered a request, after so long."""
        self.statuses[status] += 1
        if status == 503:
            self.slowest_503_s = max(self.slowest_503_s, took_s)

    def enqueued(self, batch: str, job_ids: list[str], span: Span | None = None) -> None:
        """A batch was acknowledged, with these ids."""
        self.acknowledged[batch] = job_ids
        if span is not None:
            self.spans[batch] = span

    def reported(self, delivery: Delivery, status: int, span: Span | None = None) -> None:
        """A success was reported and answered. Stale is one whose job was handed out anew in between, as we saw."""
        is_stale = any(other.number > delivery.number for other in self.deliveries[delivery.job_id])
        is_refused = status in {404, 409}
        self.stale_sent += is_stale
        self.stale_refused += is_stale and is_refused
        if is_stale and not is_refused:
            self._stale_accepted.append((delivery, span))
        if status == 200:
            self.successes[delivery.job_id][delivery.lease] = span

    def failed(self, delivery: Delivery) -> None:
        """A failure is being reported, which the policy of the group forgives; it may never arrive."""
        self.failures[delivery.job_id].add(delivery.lease)

    def waited(self, delivery: Delivery) -> None:
        """A consumer has its job wait for another one; the call may never arrive."""
        self.waits[delivery.job_id].add(delivery.lease)

    @property
    def backlog(self) -> int:
        """How many acknowledged jobs were not reported as finished."""
        return sum(map(len, self.acknowledged.values())) - len(self.successes)

    def judge(self, kept: Iterable[dict[str, Any]], windows: Windows | None = None) -> dict[str, Any]:
        """The figures, given all jobs that the store has in the end, and when it was allowed to lose something."""
        windows = windows or Windows()
        ids: dict[str, list[str]] = defaultdict(list)
        statuses: dict[str, str] = {}
        attempts: dict[str, int] = {}
        for job in kept:
            attempts[job["id"]] = job.get("attempts", 0)
            ids[job["payload"]].append(job["id"])
            statuses[job["id"]] = job["status"]
        there = {batch: [f"{batch}.{i}" for i in range(n) if f"{batch}.{i}" in ids] for batch, n in self.sent.items()}
        expected = {f"{batch}.{i}" for batch, n in self.sent.items() for i in range(n)}
        return {
            "acknowledged": sum(map(len, self.acknowledged.values())),
            **self._losses(statuses, windows),
            "unfinished": sum(status in {"delayed", "queued", "running"} for status in statuses.values()),
            "duplicated": sum(len(found) > 1 for found in ids.values()),
            "torn": sum(0 < len(there[batch]) < n for batch, n in self.sent.items()),
            "unexpected": sum(payload not in expected for payload in ids),
            "recovered": sum(bool(there[batch]) for batch in self.sent if batch not in self.acknowledged),
            "batches": len(self.sent),
            **self._redeliveries(),
            "failures reported": sum(map(len, self.failures.values())),
            "failures forgiven": sum(attempts.values()),
            "failures counted twice": sum(n > len(self.failures[job_id]) for job_id, n in attempts.items()),
            "stale reports": self.stale_sent,
            "stale reports refused": self.stale_refused,
            "slowest 503 s": round(self.slowest_503_s, 2),
            "answers": {str(status): count for status, count in sorted(self.statuses.items())},
        }

    def _losses(self, statuses: dict[str, str], windows: Windows) -> dict[str, Any]:
        """What is promised to be 0, and how much of it no window allows. A job that ended otherwise has no excuse."""
        lost = [
            (self.spans.get(batch) if job_id not in statuses else None)
            for batch, job_ids in self.acknowledged.items()
            for job_id in job_ids
            if statuses.get(job_id) in {None, "failed", "cancelled"}
        ]
        double = [
            self._span_of(before)
            for before, after in self._pairs()
            if after.at < before.ends and not self._has_ended(before)
        ]
        twice = [list(spans.values()) for spans in self.successes.values() if len(spans) > 1]
        is_excused = windows.covering
        return {
            "lost": len(lost),
            "lost outside windows": sum(not is_excused(span) for span in lost),
            "double": len(double),
            "double outside windows": sum(not is_excused(span) for span in double),
            "finished twice": len(twice),
            "finished twice outside windows": sum(sum(not is_excused(one) for one in spans) > 1 for spans in twice),
            "stale reports accepted outside windows": sum(
                self._is_stale(*one, windows) for one in self._stale_accepted
            ),
            "windows": [_shown(window, lost, double) for window in windows.all],
        }

    def _redeliveries(self) -> dict[str, Any]:
        lags = sorted(self._lags())
        return {
            "deliveries": sum(map(len, self.deliveries.values())),
            "redelivered": len(lags),
            "unseen deliveries": sum(self._unseen()),
            "redelivery lag p50 s": lags[len(lags) // 2] if lags else None,
            "redelivery lag max s": lags[-1] if lags else None,
        }

    def _is_stale(self, delivery: Delivery, span: Span | None, windows: Windows) -> bool:
        """Whether an accepted report was stale for the store: neither it nor all later deliveries were lost."""
        later = [other for other in self.deliveries[delivery.job_id] if other.number > delivery.number]
        are_lost = all(windows.covering(self._span_of(other)) for other in later)
        return not are_lost and not windows.covering(span)

    def _span_of(self, delivery: Delivery) -> Span:
        return Span(self.partition_of(delivery.group), delivery.at, delivery.at)

    def _pairs(self) -> Iterable[tuple[Delivery, Delivery]]:
        """Each delivery with the one that followed; where its lease had not ended, two held the job at once."""
        for deliveries in self.deliveries.values():
            in_order = sorted(deliveries, key=lambda delivery: (delivery.at, delivery.number))
            yield from pairwise(in_order)

    def _unseen(self) -> Iterable[int]:
        """Deliveries whose answer never came: the store did what a call asked, and the call was given up."""
        return (after.number - before.number - 1 for before, after in self._pairs() if after.number > before.number + 1)

    def _lags(self) -> Iterable[float]:
        """How long after the end of a lease the job was handed out again, s. A queue before it counts as well.

        Where a delivery in between was seen by nobody, its lease is no lag.
        """
        return (
            round((after.at - before.ends) / 1000, 3)
            for before, after in self._pairs()
            if after.number <= before.number + 1 and not self._has_ended(before)
        )

    def _has_ended(self, delivery: Delivery) -> bool:
        """Whether its consumer reported a failure or waited: the job may be handed out before the lease ends then."""
        return delivery.lease in self.failures[delivery.job_id] | self.waits[delivery.job_id]


def _shown(window: Window, lost: list[Span | None], double: list[Span]) -> dict[str, Any]:
    """A window as a figure: how much was lost in it, and how long after the fault the last of that was answered."""
    covered = [span.ends_ms for span in lost if span is not None and window.covers(span)]
    return {
        "fault": window.fault,
        "partitions": sorted(window.partitions),
        "allows s": [round((end - window.at_ms) / 1000, 3) for end in (window.begins_ms, window.ends_ms)],
        "lost": len(covered),
        "double": sum(window.covers(span) for span in double),
        "last lost after s": round((max(covered) - window.at_ms) / 1000, 3) if covered else None,
    }
