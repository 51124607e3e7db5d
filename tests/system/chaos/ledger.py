"""The books of a run: what was acknowledged, handed out and finished; and what the store has in the end."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from broker.core.timestamps import milliseconds


class Delivery(NamedTuple):
    """One hand-out that a consumer saw. Times are ms by the store's clock; `ends` is the end of its lease."""

    job_id: str
    lease: str
    number: int
    at: int
    ends: int


class Ledger:
    """Everything that the load saw."""

    def __init__(self) -> None:
        self.sent: dict[str, int] = {}
        self.acknowledged: dict[str, list[str]] = {}
        self.deliveries: dict[str, list[Delivery]] = defaultdict(list)
        self.successes: dict[str, set[str]] = defaultdict(set)
        self.statuses: Counter[int] = Counter()
        self.slowest_503_s = 0.0
        self.stale_sent = self.stale_refused = 0

    def took(self, job: dict[str, Any]) -> Delivery:
        """A consumer was handed a job."""
        at = milliseconds(job["started_at"])
        delivery = Delivery(job["id"], job["lease"], job["deliveries"], at, at + job["timeout"] * 1000)
        self.deliveries[job["id"]].append(delivery)
        return delivery

    def answered(self, status: int, took_s: float) -> None:
        """A broker answered a request, after so long."""
        self.statuses[status] += 1
        if status == 503:
            self.slowest_503_s = max(self.slowest_503_s, took_s)

    def reported(self, delivery: Delivery, status: int) -> None:
        """A success was reported and answered. Stale is one whose job was handed out anew in between, as we saw."""
        is_stale = any(other.number > delivery.number for other in self.deliveries[delivery.job_id])
        self.stale_sent += is_stale
        self.stale_refused += is_stale and status in {404, 409}
        if status == 200:
            self.successes[delivery.job_id].add(delivery.lease)

    @property
    def backlog(self) -> int:
        """How many acknowledged jobs were not reported as finished."""
        return sum(map(len, self.acknowledged.values())) - len(self.successes)

    def judge(self, kept: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """The figures, given all jobs that the store has in the end. What is promised to be 0 comes second."""
        ids: dict[str, list[str]] = defaultdict(list)
        statuses: dict[str, str] = {}
        for job in kept:
            ids[job["payload"]].append(job["id"])
            statuses[job["id"]] = job["status"]
        acknowledged = [job_id for batch in self.acknowledged.values() for job_id in batch]
        there = {batch: [f"{batch}.{i}" for i in range(n) if f"{batch}.{i}" in ids] for batch, n in self.sent.items()}
        expected = {f"{batch}.{i}" for batch, n in self.sent.items() for i in range(n)}
        lags = sorted(self._lags())
        return {
            "acknowledged": len(acknowledged),
            "lost": sum(statuses.get(job_id) in {None, "failed", "cancelled"} for job_id in acknowledged),
            "unfinished": sum(status in {"delayed", "queued", "running"} for status in statuses.values()),
            "duplicated": sum(len(found) > 1 for found in ids.values()),
            "double": sum(self._doubles()),
            "finished twice": sum(len(leases) > 1 for leases in self.successes.values()),
            "torn": sum(0 < len(there[batch]) < n for batch, n in self.sent.items()),
            "unexpected": sum(payload not in expected for payload in ids),
            "recovered": sum(bool(there[batch]) for batch in self.sent if batch not in self.acknowledged),
            "batches": len(self.sent),
            "deliveries": sum(map(len, self.deliveries.values())),
            "redelivered": len(lags),
            "unseen deliveries": sum(self._unseen()),
            "redelivery lag p50 s": lags[len(lags) // 2] if lags else None,
            "redelivery lag max s": lags[-1] if lags else None,
            "stale reports": self.stale_sent,
            "stale reports refused": self.stale_refused,
            "slowest 503 s": round(self.slowest_503_s, 2),
            "answers": {str(status): count for status, count in sorted(self.statuses.items())},
        }

    def _pairs(self) -> Iterable[tuple[Delivery, Delivery]]:
        for deliveries in self.deliveries.values():
            in_order = sorted(deliveries, key=lambda delivery: (delivery.at, delivery.number))
            yield from pairwise(in_order)

    def _doubles(self) -> Iterable[bool]:
        """A job was handed out while the lease of the one before had not ended, by the store's clock."""
        return (after.at < before.ends for before, after in self._pairs())

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
            if after.number <= before.number + 1
        )
