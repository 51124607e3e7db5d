"""Requeues jobs whose client disconnected before it received them."""

import asyncio
import logging
from collections.abc import Sequence

from broker.core.errors import TitanError
from broker.core.words import counted
from broker.models.jobs import Job
from broker.resp.partitions import Partitions
from broker.store.clock import Clock
from broker.store.format.job_json import EncodedDelivery
from broker.store.tally import Tally

_log = logging.getLogger(__name__)


class UndeliveredJobs:
    """Releases jobs that `next` dispatched to clients that have disconnected."""

    def __init__(self, partitions: Partitions, clock: Clock, tally: Tally) -> None:
        self.under_way: set[asyncio.Task[None]] = set()
        """Releases in progress."""
        self._partitions = partitions
        self._clock = clock
        self._tally = tally

    def begin(self, jobs: Sequence[EncodedDelivery]) -> None:
        """Release the jobs in the background; an error is logged."""
        if jobs:
            task = asyncio.get_running_loop().create_task(self._release(jobs))
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)

    async def release_all(self, jobs: Sequence[EncodedDelivery | Job]) -> None:
        """Release the jobs; those that are no longer running are skipped. Raises StoreUnavailable."""
        held = [(job.group_name, job.id, job.lease or "", 0, "") for job in jobs]
        rows = await self._partitions.run_items("release", (self._clock.now, ""), held)
        for job, row in zip(jobs, rows, strict=True):
            if not isinstance(row, TitanError):
                self._tally.released(job.group_name, job.id)

    async def _release(self, jobs: Sequence[EncodedDelivery]) -> None:
        try:
            await self.release_all(jobs)
        except TitanError as error:
            _log.warning(
                "%s of a disconnected client will be requeued when the lease ends: %s",
                counted(len(jobs), "job"),
                error,
            )
