"""touch: renews the leases of all held jobs, and stops jobs whose lease is lost.

The loop runs in a separate thread; it stops jobs through the event loop of the worker.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice

from broker.core.errors import LeaseLost, NotFound, TitanError, WrongState
from broker.models.fields import MAX_JOBS
from broker.models.results import Problem
from broker.models.workers import Orders
from worker.client import Client
from worker.daemon.backoff import Backoff
from worker.daemon.deliveries import Deliveries, Delivery, Event
from worker.jobs.outcome import Dropped, Failed

_LOST = frozenset(error.word.lower() for error in (NotFound, WrongState, LeaseLost))

_LOOK_S = 0.5
_REPORT_S = 1.5
"""How long before the broker fails a job the worker kills it, in s."""

_log = logging.getLogger(__name__)


class TouchLoop:
    """One call each third of a lease, and one when cancels may have been missed.

    `home`: the event loop of the jobs; `kill_after_s`: how long they may take to stop at their timeouts.
    """

    def __init__(
        self,
        client: Client,
        runs: Deliveries,
        lease_s: int,
        on_event: Callable[[Event], None],
        home: asyncio.AbstractEventLoop,
        kill_after_s: float = 0.0,
    ) -> None:
        self._client = client
        self._runs = runs
        self._lease_s = lease_s
        self._every_s = lease_s / 3
        self._on_event = on_event
        self._home = home
        self._kill_after_s = kill_after_s
        self._stop_grace_s = Orders().stop_grace_s
        self._is_grace_known = False
        self._is_due = asyncio.Event()
        self._backoff = Backoff("touch", most_s=self._every_s)

    async def run(self) -> None:
        """Run until cancelled."""
        touch_at = time.monotonic() + self._every_s
        while True:
            ends = [run.kept_until for run in self._runs.held if run.kept_until is not None]
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_LOOK_S, max(0.0, min([touch_at, *ends]) - time.monotonic()))):
                    await self._is_due.wait()
            self.give_up_lost()
            self.end_overdue()
            if self._is_due.is_set() or time.monotonic() >= touch_at:
                self._is_due.clear()
                touch_at = time.monotonic() + await self.touch_once()

    def hear(self, orders: Orders) -> None:
        """Stop cancelled jobs, and touch all jobs now if others may be cancelled; note the grace of the broker."""
        cancelled = frozenset(orders.cancelled or ())
        for run in self._runs.held:
            if run.job.id in cancelled:
                self._home.call_soon_threadsafe(self._drop, run, "it was cancelled")
        if orders.has_gap and self._runs.held:
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
        """Touch all held jobs; how long to wait until the next time, in s."""
        held = iter(self._runs.held)
        try:
            while part := list(islice(held, MAX_JOBS)):
                await self._touch(part)
        except TitanError as error:
            return self._backoff.failed(error)
        self._backoff.succeeded()
        return self._every_s

    def give_up_lost(self) -> None:
        """Stop jobs whose leases have ended by the clock of this machine: another worker may run them now."""
        now = time.monotonic()
        for run in self._runs.held:
            if run.kept_until is not None and now >= run.kept_until:
                run.kept_until = None
                self._home.call_soon_threadsafe(self._drop, run, "no touch succeeded for the length of its lease")

    def end_overdue(self) -> None:
        """Kill jobs shortly before the broker fails them: after that their retries may run."""
        now = time.monotonic()
        for run in self._runs.running:
            if run.instead is None and now >= run.started_at + run.job.timeout + self._longest_stop_s:
                _log.warning("job %s: killed, it did not stop within %g s", run.job.id, self._longest_stop_s)
                run.instead = Failed("timeout", f"ran longer than its timeout of {run.job.timeout} s")
                self._home.call_soon_threadsafe(self._end, run)

    @property
    def _longest_stop_s(self) -> float:
        """How long after its timeout a job may still run: it must be reported before the broker fails it."""
        return max(0.0, self._stop_grace_s - _REPORT_S)

    async def _touch(self, part: Sequence[Delivery]) -> None:
        asked_at = time.monotonic()
        outcomes = await self._client.touch_all([run.held for run in part])
        for run, outcome in zip(part, outcomes, strict=True):
            if outcome.error:
                self._home.call_soon_threadsafe(self._refused, run, outcome.error)
            elif run.kept_until is not None:
                run.kept_until = asked_at + self._lease_s

    def _refused(self, run: Delivery, problem: Problem) -> None:
        if problem.code not in _LOST:
            return  # the store was unavailable: the next touch decides
        self._drop(run, problem.message)

    def _end(self, run: Delivery) -> None:
        if run.instead is not None and run.task is not None and not run.task.done():
            run.stop(run.instead)

    def _drop(self, run: Delivery, why: str) -> None:
        if run.task is None or run.task.done():
            return  # it has ended: its report decides
        _log.warning("job %s: killed, it is no longer held: %.4096r", run.job.id, why)
        run.stop(Dropped())
        self._on_event(Event("dropped", run.job))
