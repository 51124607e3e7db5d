"""next: dequeues jobs for the free slots, and starts them."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable

from broker.core.errors import TitanError
from broker.models.fields import MAX_JOBS
from broker.models.jobs import Job
from titan.errors import SpeaksDialect
from worker.client import Client
from worker.daemon.backoff import Backoff, Outage
from worker.daemon.deliveries import Deliveries
from worker.daemon.loops.upload_logs import LogUploads
from worker.settings import WorkerSettings
from worker.table.table import Tables

_EMPTY_S = 1.0
_MOST_IMAGES = 100
_MANY_SLOTS = 100
"""From this number of slots on, one call fills half of them: the next call is sent while those jobs run."""


class NextLoop:
    """One long poll at a time, for as many jobs as there are free slots."""

    def __init__(
        self,
        client: Client,
        deliveries: Deliveries,
        uploads: LogUploads,
        settings: WorkerSettings,
        tables: Tables,
        start: Callable[[Job], None],
        outage: Outage | None = None,
    ) -> None:
        self._client = client
        self._deliveries = deliveries
        self._uploads = uploads
        self._settings = settings
        self._tables = tables
        self._start = start
        slots = settings.concurrency
        self._max_jobs = min(MAX_JOBS, slots if slots < _MANY_SLOTS else slots // 2)
        self._backoff = Backoff("asking for jobs", outage)
        self._has_answered = False
        self.polls: Counter[str] = Counter(jobs=0, empty=0, failed=0)
        """Calls by answer."""

    async def run(self) -> None:
        """Run until cancelled. Raises SpeaksDialect if the first broker that answers speaks a dialect.

        Later it is a failure as any other: the worker has jobs to report, and another broker may take them.
        """
        while True:
            await self._uploads.wait_for_room()
            await self.next_once(await self._deliveries.wait_for_slots())

    async def next_once(self, n: int) -> int:
        """Call once, and wait after a failure or an immediate empty answer; how many jobs were started.

        The first call after a failure does not wait for jobs, so that the end of an outage is known at once.
        """
        asked_at = time.monotonic()
        settings = self._settings
        wait_s = 0 if self._backoff.is_failing else settings.wait_s
        try:
            jobs = await self._client.next(
                min(n, self._max_jobs), settings.group, self._images, wait_s=wait_s, lease_s=settings.lease_s
            )
        except SpeaksDialect as error:
            self.polls["failed"] += 1
            if not self._has_answered:
                raise
            await asyncio.sleep(self._backoff.failed(error))
            return 0
        except TitanError as error:
            self.polls["failed"] += 1
            await asyncio.sleep(self._backoff.failed(error))
            return 0
        self._has_answered = True
        self._backoff.succeeded()
        self.polls["jobs" if jobs else "empty"] += 1
        for job in jobs:
            self._start(job)
        if not jobs and time.monotonic() < asked_at + _EMPTY_S:
            await asyncio.sleep(random.uniform(_EMPTY_S / 2, _EMPTY_S))  # noqa: S311 -- no secret
        return len(jobs)

    @property
    def _images(self) -> list[str]:
        """The images to ask for; none with patterns or too many names: then jobs that cannot run are released."""
        names = self._tables.current.names or []
        return names if len(names) <= _MOST_IMAGES else []
