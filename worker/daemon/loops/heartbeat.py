"""touch: renews the leases of all unreported jobs, and stops jobs whose lease is lost.

The loop runs in a separate thread; it stops jobs through the event loop of the worker.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice

from broker.core.errors import GAVE_BACK, Invalid, LeaseLost, NotFound, TitanError, WrongState
from broker.models.fields import MAX_JOBS
from broker.models.results import Problem
from broker.models.workers import Orders
from worker.client import Client
from worker.daemon.backoff import Backoff, Outage
from worker.daemon.deliveries import Deliveries, Delivery, Event
from worker.jobs.outcome import Dropped, Failed
from worker.jobs.progress import NOTHING, Said

_LOST = frozenset(error.word.lower() for error in (NotFound, WrongState, LeaseLost))

_CANCELLED = "it was cancelled"
_CHECK_S = 0.5
_REPORT_S = 1.5
"""How long before the broker fails a job the worker kills it, in s."""

_log = logging.getLogger(__name__)


class TouchLoop:
    """One call each third of a lease, and one when cancels may have been missed.

    `job_loop`: the event loop of the jobs; `kill_after_s`: how long they may take to stop at their timeouts. `drops`:
    where runs are counted that were killed since their job was no longer held, `lost` or `cancelled`.
    """

    def __init__(
        self,
        client: Client,
        deliveries: Deliveries,
        lease_s: int,
        on_event: Callable[[Event], None],
        job_loop: asyncio.AbstractEventLoop,
        kill_after_s: float = 0.0,
        outage: Outage | None = None,
        drops: Counter[str] | None = None,
    ) -> None:
        self._client = client
        self._deliveries = deliveries
        self._lease_s = lease_s
        self._every_s = lease_s / 3
        self._on_event = on_event
        self._job_loop = job_loop
        self._kill_after_s = kill_after_s
        self._drops = Counter[str]() if drops is None else drops
        self._stop_grace_s = Orders().stop_grace_s
        self._is_grace_known = False
        self._is_due = asyncio.Event()
        self._backoff = Backoff("renewing leases", outage, max_s=self._every_s)

    async def run(self) -> None:
        """Run until cancelled."""
        touch_at = time.monotonic() + self._every_s
        while True:
            ends = [
                at
                for delivery in self._deliveries.unreported
                for at in (delivery.lease_until, delivery.end_at)
                if at is not None and not delivery.is_late
            ]
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_CHECK_S, max(0.0, min([touch_at, *ends]) - time.monotonic()))):
                    await self._is_due.wait()
            self.stop_late()
            self.drop_expired()
            self.kill_overdue()
            if self._is_due.is_set() or time.monotonic() >= touch_at:
                self._is_due.clear()
                touch_at = time.monotonic() + await self.touch_once()

    def handle_orders(self, orders: Orders) -> None:
        """Stop cancelled jobs, and touch all jobs now if others may be cancelled; note the grace of the broker."""
        cancelled = frozenset(orders.cancelled or ())
        for delivery in self._deliveries.unreported:
            if delivery.job.id in cancelled:
                self._job_loop.call_soon_threadsafe(self._drop, delivery, _CANCELLED)
        if orders.has_gap and self._deliveries.unreported:
            self._is_due.set()
        if not self._is_grace_known or orders.stop_grace_s != self._stop_grace_s:
            self._stop_grace_s, self._is_grace_known = orders.stop_grace_s, True
            if self._kill_after_s > self._longest_stop_s:
                _log.warning(
                    "jobs are killed %g s after their timeouts, not --kill-after-s %g: the broker waits %g s",
                    self._longest_stop_s,
                    self._kill_after_s,
                    self._stop_grace_s,
                )

    async def touch_once(self) -> float:
        """Touch all unreported jobs; how long to wait until the next time, in s."""
        held = iter(self._deliveries.unreported)
        try:
            while part := list(islice(held, MAX_JOBS)):
                await self._touch(part)
        except TitanError as error:
            return self._backoff.failed(error)
        self._backoff.succeeded()
        return self._every_s

    def stop_late(self) -> None:
        """Stop jobs that had to end by now. No lease goes past that time: the broker fails the job then."""
        now = time.monotonic()
        for delivery in self._deliveries.unreported:
            if delivery.end_at is not None and now >= delivery.end_at and not delivery.is_late:
                delivery.is_late = True
                self._job_loop.call_soon_threadsafe(self._stop_late, delivery)

    def drop_expired(self) -> None:
        """Stop jobs whose leases have ended by the clock of this machine: another worker may run them now."""
        now = time.monotonic()
        for delivery in self._deliveries.unreported:
            if delivery.lease_until is not None and now >= delivery.lease_until:
                delivery.lease_until = None
                self._job_loop.call_soon_threadsafe(
                    self._drop, delivery, "no touch succeeded for the length of its lease"
                )

    def kill_overdue(self) -> None:
        """Kill jobs shortly before the broker fails them: after that their retries may run."""
        now = time.monotonic()
        for delivery in self._deliveries.running:
            if (
                delivery.forced_outcome is None
                and now >= delivery.started_at + delivery.job.timeout + self._longest_stop_s
            ):
                _log.warning("job %s: killed, it did not stop within %g s", delivery.job.id, self._longest_stop_s)
                delivery.forced_outcome = Failed("timeout", f"ran longer than its timeout of {delivery.job.timeout} s")
                self._job_loop.call_soon_threadsafe(self._end, delivery)

    @property
    def _longest_stop_s(self) -> float:
        """How long after its timeout a job may still run: it must be reported before the broker fails it."""
        return max(0.0, self._stop_grace_s - _REPORT_S)

    async def _touch(self, part: Sequence[Delivery]) -> None:
        asked_at = time.monotonic()
        items = [delivery.touch_item for delivery in part]
        outcomes = await self._client.touch_all(items)
        again = []
        for delivery, item, outcome in zip(part, items, outcomes, strict=True):
            said = Said(item.progress, item.note or "")
            if outcome.error and outcome.error.code == Invalid.word.lower() and said != NOTHING:
                delivery.output.progress.is_refused = True
                again.append(delivery)
            elif outcome.error:
                self._job_loop.call_soon_threadsafe(self._refused, delivery, outcome.error)
            elif delivery.lease_until is not None:
                delivery.output.progress.sent(said)
                delivery.lease_until = asked_at + self._lease_s
        if again:  # an older broker, which knows no progress
            await self._touch(again)

    def _refused(self, delivery: Delivery, problem: Problem) -> None:
        if problem.code not in _LOST:
            return  # the store was unavailable: the next touch decides
        self._drop(delivery, problem.message)

    def _end(self, delivery: Delivery) -> None:
        if delivery.forced_outcome is not None and delivery.task is not None and not delivery.task.done():
            delivery.stop(delivery.forced_outcome)

    def _stop_late(self, delivery: Delivery) -> None:
        if delivery.task is not None and not delivery.task.done():
            _log.info("job %s: stopped, it had to end before %s", delivery.job.id, delivery.job.end_before)
            delivery.stop(Failed("timeout", f"did not end before {delivery.job.end_before}"))

    def _drop(self, delivery: Delivery, why: str) -> None:
        if delivery.task is None or delivery.task.done():
            return  # it has ended: its report decides
        if delivery.is_late:
            return  # it is being stopped
        if why == GAVE_BACK:
            _log.info("job %s: stopped, it gave the job back itself, and waits for others", delivery.job.id)
        else:
            _log.warning("job %s: killed, it is no longer held: %.4096r", delivery.job.id, why)
            self._drops["cancelled" if why == _CANCELLED or why.startswith("The job is cancelled") else "lost"] += 1
        delivery.stop(Dropped())
        self._on_event(Event("dropped", delivery.job))
