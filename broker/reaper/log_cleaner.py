"""Deletes the logs of deleted jobs, in a loop of its own, so that a log store that hangs does not stop the reaper."""

import asyncio
import logging

from broker.logs.storage import Logs
from broker.store.job_store import JobStore

_log = logging.getLogger(__name__)
AFTER_FAULT_S = 0.5


class LogCleaner:
    """Deletes logs after each call of `notify`. The reaper calls it in every step while logs must be deleted."""

    def __init__(self, store: JobStore, logs: Logs) -> None:
        self._store = store
        self._logs = logs
        self._has_work = asyncio.Event()

    def notify(self) -> None:
        """Report that the store has logs to delete."""
        self._has_work.set()

    async def run(self) -> None:
        """Delete logs until cancelled. The first of several errors in a row is logged."""
        is_failing = False
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            try:
                await self.delete_logs()
                is_failing = False
            except Exception as fault:  # noqa: BLE001 - it is logged, and the loop continues
                if not is_failing:
                    _log.warning("logs of deleted jobs are not deleted for now", exc_info=fault)
                is_failing = True
                await asyncio.sleep(AFTER_FAULT_S)

    async def delete_logs(self) -> None:
        """Delete the logs of all deleted jobs. Raises StoreUnavailable or LogStoreUnavailable."""
        while job_ids := await self._store.maintenance.discarded(self._store.settings.reap_batch):
            await self._logs.delete(job_ids)
            await self._store.maintenance.forget(job_ids)
