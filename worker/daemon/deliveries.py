"""The deliveries of this worker: from `next` until the outcome is reported."""

import asyncio
import time
from contextlib import suppress
from typing import Literal, NamedTuple

from broker.core.timestamps import milliseconds
from broker.models.jobs import Job
from broker.models.reports import Held
from worker.jobs.outcome import Outcome
from worker.jobs.output import Output

_GATHER_S = 0.005
"""How long free slots wait for further ones, so that one call fills them all, s."""

_STOPPED_TWICE_S = 1.0
"""How long a run may continue that was stopped at its timeout and once more, s."""


class Event(NamedTuple):
    """An event of a job at this worker, for observers."""

    kind: Literal["started", "ended", "reported", "refused", "dropped", "logged"]
    job: Job
    outcome: Outcome | None = None


class Delivery:
    """One delivery of one job."""

    def __init__(self, job: Job, output: Output, lease_s: float) -> None:
        self.job = job
        self.output = output
        self.started_at = time.monotonic()
        self.ended_at = 0.0
        self.lease_until: float | None = self.started_at + lease_s
        """The known end of the lease, by the monotonic clock; None once the lease is considered lost."""
        self.end_at = self.started_at + _left_s(job) if job.end_before and job.started_at else None
        """When the job must have ended, by the monotonic clock; None if it has no such time."""
        self.is_late = False
        """Whether it was stopped at that time. The broker fails it then, too."""
        self.log_lock = asyncio.Lock()
        """Locked while its log is being sent."""
        self.log_sent_bytes = 0
        self.log_due_at = 0.0
        """How much of its log has been sent while it runs, and when the next part may be."""
        self.task: asyncio.Task[Outcome] | None = None
        self.forced_outcome: Outcome | None = None
        self.stopped_at: float | None = None
        """When it was stopped, by the monotonic clock; its outcome is then `forced_outcome`."""

    @property
    def run_s(self) -> float:
        """How long it ran, or has been running, s."""
        return (self.ended_at or time.monotonic()) - self.started_at

    @property
    def lease(self) -> str:
        """The token of this delivery; "" from a broker without tokens."""
        return self.job.lease or ""

    @property
    def touch_item(self) -> Held:
        """The item for touch_all, with how far the job is, if the broker does not have that yet."""
        said = self.output.progress.unsent()
        return Held(
            group_name=self.job.group_name,
            id=self.job.id,
            lease=self.lease or None,
            progress=said.percent,
            note=said.note or None,
        )

    def stop(self, outcome: Outcome) -> None:
        """Stop the job with this outcome; a job that has ended keeps its own."""
        if self.task is None or self.task.done():
            return
        self.forced_outcome = outcome
        self.stopped_at = self.stopped_at or time.monotonic()
        self.task.cancel()

    def is_stuck(self, end_s: float) -> bool:
        """Whether it still runs `end_s` after it was stopped or after its timeout."""
        now, timeout_at = time.monotonic(), self.started_at + self.job.timeout
        if self.stopped_at is None:
            return now >= timeout_at + end_s
        return now >= self.stopped_at + (end_s if self.stopped_at < timeout_at else min(end_s, _STOPPED_TWICE_S))


class Deliveries:
    """All deliveries. One is `running` while it uses a slot, and `unreported` until its outcome is reported."""

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._unreported: set[Delivery] = set()
        self._running: set[Delivery] = set()
        self._has_room = asyncio.Event()
        self._is_half_free = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_empty = asyncio.Event()
        for event in (self._has_room, self._is_half_free, self._is_idle, self._is_empty):
            event.set()

    @property
    def unreported(self) -> list[Delivery]:
        """Deliveries without a reported outcome; their leases must be renewed."""
        return list(self._unreported)

    @property
    def running(self) -> list[Delivery]:
        """Deliveries whose job is running."""
        return list(self._running)

    def started(self, delivery: Delivery) -> None:
        """Note that a job has started: it uses a slot."""
        self._unreported.add(delivery)
        self._running.add(delivery)
        self._is_idle.clear()
        self._is_empty.clear()
        if len(self._running) >= self._concurrency:
            self._has_room.clear()
        if len(self._running) * 2 > self._concurrency:
            self._is_half_free.clear()

    def ended(self, delivery: Delivery) -> None:
        """Note that a job has ended: its slot is free, its outcome is not reported yet."""
        delivery.ended_at = time.monotonic()
        self._running.discard(delivery)
        if not self._has_room.is_set():
            self._has_room.set()
        if not self._is_half_free.is_set() and len(self._running) * 2 <= self._concurrency:
            self._is_half_free.set()
        if not self._running:
            self._is_idle.set()

    def reported(self, delivery: Delivery) -> None:
        """Note that the broker has the outcome, or does not need it."""
        self._unreported.discard(delivery)
        if not self._unreported:
            self._is_empty.set()

    async def wait_for_slots(self) -> int:
        """Wait for a free slot, and a few ms more until half of them are free; the number of free slots."""
        await self._has_room.wait()
        if not self._is_half_free.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_GATHER_S):
                    await self._is_half_free.wait()
        return self._concurrency - len(self._running)

    async def wait_until_idle(self) -> None:
        """Wait until no job runs."""
        await self._is_idle.wait()

    async def wait_until_reported(self) -> None:
        """Wait until every outcome is reported."""
        await self._is_empty.wait()


def _left_s(job: Job) -> float:
    """The time from delivery until the job must have ended, s. Both times are those of the store's clock."""
    return (milliseconds(str(job.end_before)) - milliseconds(str(job.started_at))) / 1000
