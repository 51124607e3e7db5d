"""What a worker has done since its start, in plain numbers; they become metrics when /metrics is read."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

from broker.metrics.exposition import Family, Sample, bucket_samples, counter, gauge, histogram_of
from worker.daemon.deliveries import Deliveries, Delivery, Event
from worker.jobs.outcome import Dropped, Failed, Outcome, Released, Succeeded, Waiting

BOUNDS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 21_600.0, 86_400.0)
"""The upper bounds of the buckets of a run, s."""
_OUTCOMES: Mapping[type[Outcome], str] = {
    Succeeded: "succeeded",
    Failed: "failed",
    Released: "released",
    Waiting: "waiting",
    Dropped: "dropped",
}
_CALLS = {
    "asking for jobs": "next",
    "renewing leases": "touch",
    "the heartbeat": "announce",
    "reporting outcomes": "finish",
    "releasing a job": "release",
    "uploading a log": "log",
}
"""The verb of the API for what a loop says that it does."""


class WorkerCounts:
    """The counts of one worker. `drops`: runs that were killed since their job was no longer held, by why."""

    def __init__(self) -> None:
        self.started = 0
        self.drops: Counter[str] = Counter(lost=0, cancelled=0)
        self.refused = 0
        self._log_bytes = 0
        self._runs = {name: [0] * (len(BOUNDS_S) + 1) for name in _OUTCOMES.values()}
        self._run_s = dict.fromkeys(_OUTCOMES.values(), 0.0)

    def ended(self, delivery: Delivery, outcome: Outcome) -> None:
        """Count a run that has ended."""
        name, run_s = _OUTCOMES[type(outcome)], delivery.run_s
        self._runs[name][bisect_left(BOUNDS_S, run_s)] += 1
        self._run_s[name] += run_s
        self._log_bytes += delivery.output.size_bytes

    def observe(self, event: Event) -> None:
        """Count an event of a job."""
        self.started += event.kind == "started"
        self.refused += event.kind == "refused"

    def families(
        self, slots: int, deliveries: Deliveries, polls: Mapping[str, int], failures: Mapping[str, int]
    ) -> list[Family]:
        """The metrics. `failures`: calls of the broker that failed, by what a loop says that it does."""
        busy, unreported = len(deliveries.running), len(deliveries.unreported)
        runs = [Sample(sum(buckets), {"outcome": name}) for name, buckets in self._runs.items()]
        times = [
            sample
            for name, buckets in self._runs.items()
            for sample in bucket_samples(BOUNDS_S, buckets, self._run_s[name], {"outcome": name})
        ]
        asked = [Sample(n, {"answer": answer}) for answer, n in polls.items()]
        by_call = Counter(dict.fromkeys(_CALLS.values(), 0))
        for what, n in dict(failures).items():
            by_call[_CALLS.get(what, "other")] += n
        failed = [Sample(n, {"call": call}) for call, n in by_call.items()]
        lost, cancelled = [Sample(self.drops["lost"])], [Sample(self.drops["cancelled"])]
        return [
            gauge("titan_worker_slots", "Jobs that this worker can run at once.", [Sample(slots)]),
            gauge("titan_worker_busy", "Jobs that this worker runs.", [Sample(busy)]),
            gauge("titan_worker_unreported", "Runs whose outcome the broker does not have yet.", [Sample(unreported)]),
            counter("titan_worker_started_total", "Runs that this worker started.", [Sample(self.started)]),
            counter("titan_worker_runs_total", "Runs that ended, by outcome.", runs),
            histogram_of("titan_worker_run_seconds", "How long runs took, by outcome.", times),
            counter("titan_worker_log_bytes_total", "Bytes of output of runs that ended.", [Sample(self._log_bytes)]),
            counter("titan_worker_leases_lost_total", "Runs that were killed because their lease was lost.", lost),
            counter("titan_worker_cancelled_total", "Runs that were killed for a cancel.", cancelled),
            counter("titan_worker_refused_total", "Outcomes that the broker refused.", [Sample(self.refused)]),
            counter("titan_worker_polls_total", "Calls for jobs, by answer.", asked),
            counter("titan_worker_errors_total", "Calls of the broker that failed, by call.", failed),
        ]
