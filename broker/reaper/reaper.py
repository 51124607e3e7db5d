"""The reaper: in each broker, safe in any number. It asks the store to do what is due and sleeps until the next timer.

A lost job is requeued here: `reap_once` -> `maintenance.reap` -> reap.lua, which handles a bounded number and says when
the next timer is. The logs of jobs that are gone are deleted beside that, so that a log store that hangs stops nothing.
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
"""A look behind the timers that the store says: a connection that is half open brings no word, and a lost job must be
back within a second all the same."""
AFTER_FAULT_S = 0.5


class Reaper:
    """Runs for ever. `fault` is '' or says why it does not work now; `late_ms` is how late the oldest timer is.

    `done` counts what it did.
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
        """Reap until cancelled. A fault is logged, shown in `fault`, and tried again."""
        deleting = asyncio.create_task(self._delete_logs_for_ever())
        try:
            while True:
                try:
                    wait_s = await self.reap_due()
                    self.fault = ""
                except TitanError as fault:
                    wait_s = self._faulted(fault.message)
                except Exception:  # noqa: BLE001 - it is logged, and the loop goes on
                    _log.exception("the reaper crashed and starts again")
                    wait_s = self._faulted("it crashed; the log says why")
                await self._sleep(wait_s)
        finally:
            deleting.cancel()
            await asyncio.gather(deleting, return_exceptions=True)

    async def reap_due(self) -> float:
        """Do all that is due now; how long until the next timer, in s."""
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
        """One bounded step: jobs that are due."""
        self._sooner.clear()
        reaped = await self._store.maintenance.reap(self._store.settings.reap_batch)
        self.late_ms = reaped.late_ms
        for what, count in zip(self.done, reaped[:4], strict=True):
            self.done[what] += count
        if reaped.discarded:
            self._has_discarded.set()
        return reaped

    def families(self) -> list[Family]:
        """How it does, as metrics."""
        done = [Sample(count, {"what": what}) for what, count in self.done.items()]
        return [
            gauge("titan_reaper_up", "Whether this broker's reaper works.", [Sample(0 if self.fault else 1)]),
            gauge("titan_reaper_late_seconds", "How late its last step was.", [Sample(self.late_ms / 1000)]),
            counter("titan_reaped_total", "Jobs that it moved.", done),
        ]

    async def delete_logs(self) -> None:
        """Delete the logs of all jobs that are gone. Raises StoreUnavailable, of either store."""
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
            except Exception as fault:  # noqa: BLE001 - it is logged, and the loop goes on
                if not is_failing:
                    _log.warning("logs of jobs that are gone are not deleted for now", exc_info=fault)
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
