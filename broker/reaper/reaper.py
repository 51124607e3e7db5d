"""The reaper: queues delayed jobs, requeues or fails jobs whose lease ended, deletes jobs after their retention.

Each broker runs one; any number is safe. A lost job is requeued here: `reap_once` -> `maintenance.reap` -> reap.lua,
which handles a limited number of jobs and returns the time of the next timer. A second task deletes the logs of deleted
jobs, so that a slow log store delays nothing.
"""

import asyncio
import contextlib
import logging

from broker.core.errors import TitanError
from broker.logs.storage import Logs
from broker.metrics.exposition import Family, Sample, counter, gauge
from broker.resp.notifier import Notifier
from broker.store.format.replies import Reaped
from broker.store.job_store import JobStore

_log = logging.getLogger(__name__)
LONGEST_SLEEP_S = 0.5
"""The longest sleep, s. A half-open connection brings no notification of a new timer, and a lost job must be requeued
within a second nevertheless."""
AFTER_FAULT_S = 0.5


class Reaper:
    """Runs until cancelled. `fault`: why it does not work now, or ''; `late_ms`: how late the oldest timer is.

    `done` counts the jobs that it has handled.
    """

    def __init__(self, store: JobStore, logs: Logs, notifier: Notifier) -> None:
        self.fault = ""
        self.late_ms = 0
        self.done = {"queued": 0, "requeued": 0, "failed": 0, "expired": 0}
        self._store = store
        self._logs = logs
        self._sooner = asyncio.Event()
        self._has_discarded = asyncio.Event()
        notifier.on_timer(self._sooner.set)

    async def run(self) -> None:
        """Reap until cancelled. After an error, which is logged and kept in `fault`, it tries again."""
        deleting = asyncio.create_task(self._delete_logs_for_ever())
        try:
            while True:
                try:
                    wait_s = await self.reap_due()
                    self.fault = ""
                except TitanError as fault:
                    wait_s = self._faulted(fault.message)
                except Exception:  # noqa: BLE001 - it is logged, and the loop continues
                    _log.exception("the reaper crashed and starts again")
                    wait_s = self._faulted("it crashed; the log says why")
                await self._sleep(wait_s)
        finally:
            deleting.cancel()
            await asyncio.gather(deleting, return_exceptions=True)

    async def reap_due(self) -> float:
        """Handle everything that is due now; the time until the next timer, in s."""
        before = list(self.done.values())
        try:
            while True:
                reaped = await self.reap_once()
                if reaped.wait_ms is None:
                    return LONGEST_SLEEP_S
                if reaped.wait_ms > 0:
                    return reaped.wait_ms / 1000
        finally:
            done = [now - then for now, then in zip(self.done.values(), before, strict=True)]
            if any(done):
                _log.info("reaped: %s queued, %s requeued, %s failed, %s expired", *done)

    async def reap_once(self) -> Reaped:
        """Handle one batch of jobs that are due."""
        self._sooner.clear()
        reaped = await self._store.maintenance.reap(self._store.settings.reap_batch)
        self.late_ms = reaped.late_ms
        for what, count in zip(self.done, reaped[:4], strict=True):
            self.done[what] += count
        if reaped.discarded:
            self._has_discarded.set()
        return reaped

    def families(self) -> list[Family]:
        """Its metrics."""
        done = [Sample(count, {"what": what}) for what, count in self.done.items()]
        return [
            gauge("titan_reaper_up", "Whether this broker's reaper works.", [Sample(0 if self.fault else 1)]),
            gauge("titan_reaper_late_seconds", "How late its last step was.", [Sample(self.late_ms / 1000)]),
            counter("titan_reaped_total", "Jobs that it moved.", done),
        ]

    async def delete_logs(self) -> None:
        """Delete the logs of all deleted jobs. Raises StoreUnavailable or LogStoreUnavailable."""
        while gone := await self._store.maintenance.discarded(self._store.settings.reap_batch):
            await self._logs.delete(gone)
            await self._store.maintenance.forget(gone)

    async def _delete_logs_for_ever(self) -> None:
        is_failing = False
        while True:
            await self._has_discarded.wait()
            self._has_discarded.clear()
            try:
                await self.delete_logs()
                is_failing = False
            except Exception as fault:  # noqa: BLE001 - it is logged, and the loop continues
                if not is_failing:
                    _log.warning("logs of deleted jobs are not deleted for now", exc_info=fault)
                is_failing = True
                await asyncio.sleep(AFTER_FAULT_S)

    async def _sleep(self, wait_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(wait_s, LONGEST_SLEEP_S)):
                await self._sooner.wait()

    def _faulted(self, message: str) -> float:
        if not self.fault:
            _log.warning("the reaper does not work: %s", message)
        self.fault = message
        return AFTER_FAULT_S
