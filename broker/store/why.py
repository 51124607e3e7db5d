"""Explains why a job, or the first job of a group, does not run. It reads a bounded number of values."""

import time
from collections.abc import Sequence

import msgspec

from broker.models.fields import MAX_JOBS
from broker.models.why import Explanation
from broker.models.workers import Departed, Worker
from broker.resp.partitions import Partitions
from broker.store.asked import Asked
from broker.store.clock import Clock
from broker.store.format.reasons import explanation_of
from broker.store.format.why_facts import facts_of
from broker.store.workers import Workers

WORKERS_S = 2.0
"""How long the list of workers is used again, in s."""


class Why:
    """Explains with one script call, and a list of the first 1,000 workers that is read once in 2 s at most."""

    def __init__(self, partitions: Partitions, clock: Clock, workers: Workers, asked: Asked) -> None:
        self._partitions = partitions
        self._clock = clock
        self._workers = workers
        self._asked = asked
        self._listed: Sequence[Worker] = ()
        self._departed: Sequence[Departed] = ()
        self._listed_at = -WORKERS_S

    async def why(self, group: str, job_id: str = "", waiting_requests: int = 0) -> Explanation:
        """Why a job does not run; without an id, why the first queued job of the group does not.

        `waiting_requests`: how many requests wait at this broker. Raises NotFound.
        """
        reply = await self._partitions.run("why", self._partitions.of(group), self._clock.now, group, job_id)
        facts = facts_of(group, reply, self._asked.pairs, is_of_group=not job_id)
        workers = await self._seen()
        known = msgspec.structs.replace(
            facts, workers=workers, departed=self._departed, waiting_requests=waiting_requests
        )
        return explanation_of(known)

    async def _seen(self) -> Sequence[Worker]:
        now = time.monotonic()
        if now - self._listed_at >= WORKERS_S:
            self._listed, _ = await self._workers.list(MAX_JOBS)
            self._departed = await self._workers.departed()
            self._listed_at = now
        return self._listed
