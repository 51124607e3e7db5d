"""Requeues jobs whose client was gone before it got them."""

import asyncio
import logging
from collections.abc import Sequence

from broker.core.errors import TitanError
from broker.core.words import counted
from broker.models.jobs import Job
from broker.resp.partitions import Partitions
from broker.store.clock import Clock
from broker.store.format.job_json import EncodedDelivery

_log = logging.getLogger(__name__)


class UndeliveredJobs:
    """Releases jobs that `next` handed to clients that are gone."""

    def __init__(self, partitions: Partitions, clock: Clock) -> None:
        self.under_way: set[asyncio.Task[None]] = set()
        """Releases that have not ended."""
        self._partitions = partitions
        self._clock = clock

    def begin(self, jobs: Sequence[EncodedDelivery]) -> None:
        """Release the jobs in the background; a fault is logged."""
        if jobs:
            task = asyncio.get_running_loop().create_task(self._give_back(jobs))
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)

    async def release_all(self, jobs: Sequence[EncodedDelivery | Job]) -> None:
        """Release the jobs; what is no longer running is passed over. Raises StoreUnavailable."""
        held = [(job.group_name, job.id, job.lease or "", 0, "") for job in jobs]
        await self._partitions.run_items("release", (self._clock.now,), held)

    async def _give_back(self, jobs: Sequence[EncodedDelivery]) -> None:
        try:
            await self.release_all(jobs)
        except TitanError as error:
            _log.warning(
                "%s of a client that hung up, queued again when the lease ends: %s", counted(len(jobs), "job"), error
            )
