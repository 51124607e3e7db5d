"""The reaper: promotes delayed jobs, requeues expired leases, deletes expired jobs, and sleeps until the next timer.

Each broker has one; any number is safe. A step is `reap_once` -> `maintenance.reap` -> reap.lua, which handles a
limited number of jobs and returns the time of the next timer.
"""

import asyncio
import contextlib
import logging

from broker.core.errors import TitanError
from broker.core.events import event
from broker.logs.storage import Logs
from broker.metrics.exposition import Family, Sample, counter, gauge
from broker.reaper.log_cleaner import LogCleaner
from broker.reaper.scheduler import Scheduler
from broker.resp.notifier import Notifier
from broker.store.format.maintenance_replies import Reaped, Unsettled
from broker.store.job_store import JobStore
from broker.store.settlement import SETTLED

_log = logging.getLogger(__name__)
LONGEST_SLEEP_S = 0.5
"""The reaper also runs without a message from the store, because a half-open connection delivers none. A job whose
lease ended must be queued again within a second."""
AFTER_FAULT_S = 0.5


class Reaper:
    """Runs until cancelled. It runs the log cleaner and the scheduler as well.

    `fault`: why it does not work now, or ''. `unsettled`: ends of jobs that the last step left to be
    settled, and how old they are. `late_ms`: how late the oldest timer was at the last step. `done`: the number of
    jobs that it moved, by kind.
    """

    def __init__(self, store: JobStore, logs: Logs, notifier: Notifier) -> None:
        self.fault = ""
        self.late_ms = 0
        self.unsettled = Unsettled()
        self._away = 0
        self.done = {"queued": 0, "requeued": 0, "failed": 0, "expired": 0}
        self._store = store
        self._log_cleaner = LogCleaner(store, logs)
        self._scheduler = Scheduler(store)
        self._wake = asyncio.Event()
        notifier.on_timer(self._wake.set)

    async def run(self) -> None:
        """Reap until cancelled. After an error, which is logged and kept in `fault`, it tries again."""
        others = [asyncio.create_task(self._log_cleaner.run()), asyncio.create_task(self._scheduler.run())]
        try:
            while True:
                try:
                    wait_s = await self.reap_due()
                    self._works()
                except TitanError as fault:
                    wait_s = self._failed(fault.message)
                except Exception:  # noqa: BLE001 - it is logged, and the loop continues
                    _log.exception("the reaper crashed and starts again", extra=event("reaper.failed"))
                    wait_s = self._failed("it crashed; the broker's log has the reason")
                await self._sleep(wait_s)
        finally:
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def reap_due(self) -> float:
        """Process all timers that are due; returns the time until the next one, s."""
        before = list(self.done.values())
        try:
            while True:
                reaped = await self.reap_once()
                waits_ms = [ms for ms in (reaped.wait_ms, reaped.fires_in_ms) if ms is not None and ms > 0]
                if reaped.wait_ms is None or reaped.wait_ms > 0:
                    return min(waits_ms, default=LONGEST_SLEEP_S * 1000) / 1000
        finally:
            done = [now - then for now, then in zip(self.done.values(), before, strict=True)]
            if any(done):
                moved = event("reaper.moved", **dict(zip(self.done, done, strict=True)))
                _log.info("reaped: %s queued, %s requeued, %s failed, %s expired", *done, extra=moved)

    async def reap_once(self) -> Reaped:
        """Process a limited number of jobs whose timers are due."""
        self._wake.clear()
        reaped = await self._store.maintenance.reap(self._store.settings.reap_batch)
        self.late_ms = reaped.late_ms
        if not reaped.unsettled:
            self.unsettled = Unsettled()
        else:
            self.unsettled = await self._store.maintenance.settle(SETTLED)
            reaped = reaped._replace(wait_ms=0)  # what was settled may have made a timer
        if reaped.away != self._away:
            self._away = reaped.away
            _log.warning("partitions whose server does not answer: %d", reaped.away)
        for what, count in zip(self.done, reaped[:4], strict=True):
            self.done[what] += count
        if reaped.discarded:
            self._log_cleaner.notify()
        if reaped.fires_in_ms is not None and reaped.fires_in_ms <= 0:
            self._scheduler.notify()
        return reaped

    def families(self) -> list[Family]:
        """The metrics of this reaper."""
        done = [Sample(count, {"what": what}) for what, count in self.done.items()]
        return [
            gauge("titan_reaper_up", "Whether this broker's reaper works.", [Sample(0 if self.fault else 1)], "min"),
            gauge(
                "titan_reaper_late_seconds",
                "How late the oldest timer was at its last step.",
                [Sample(self.late_ms / 1000)],
                "max",
            ),
            gauge(
                "titan_settle_waiting",
                "Ends of jobs that were left to be settled at its last step.",
                [Sample(self.unsettled.n)],
                "max",
            ),
            gauge(
                "titan_settle_waiting_seconds",
                "How long ago the first of these ends was, at its last step.",
                [Sample(self.unsettled.age_ms / 1000)],
                "max",
            ),
            counter(
                "titan_batches_created_total",
                "Batches that were created at this broker.",
                [Sample(self._store.batches.created)],
            ),
            counter(
                "titan_batches_ended_total",
                "Batches that this broker's reaper has ended.",
                [Sample(self._store.maintenance.batches["ended"])],
            ),
            counter(
                "titan_batch_callbacks_total",
                "Callbacks of batches that this broker's reaper has created.",
                [Sample(self._store.maintenance.batches["callbacks"])],
            ),
            counter(
                "titan_dead_letters_total",
                "Jobs that failed for good at this broker and were copied into the group for dead letters.",
                [Sample(self._store.maintenance.dead_letters)],
            ),
            counter("titan_reaped_total", "Jobs that this broker's reaper moved, by kind.", done),
            *self._scheduler.families(),
        ]

    async def _sleep(self, wait_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(wait_s, LONGEST_SLEEP_S)):
                await self._wake.wait()

    def _works(self) -> None:
        if self.fault:
            # As severe as the fault, so that a log which shows the one shows the other.
            _log.warning("the reaper works again", extra=event("reaper.recovered"))
        self.fault = ""

    def _failed(self, message: str) -> float:
        if not self.fault:
            _log.warning("the reaper does not work: %s", message, extra=event("reaper.failed"))
        self.fault = message
        return AFTER_FAULT_S
