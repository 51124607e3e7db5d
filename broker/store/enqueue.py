"""Enqueue: new jobs into a group, all or none."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from broker.core.errors import LimitReached
from broker.models.jobs import Job, NewJob
from broker.resp import keys
from broker.store.context import Ground
from broker.store.format.job_json import EncodedJobs, new_jobs, struct_of
from broker.store.format.script_args import new_runs
from broker.store.staged_payloads import run_enqueue


class Enqueued(NamedTuple):
    """New jobs; or, `is_replayed`, those of an earlier call with the same Idempotency-Key."""

    jobs: list[Job]
    is_replayed: bool


class Enqueueing(Ground):
    """Puts new jobs into groups."""

    async def enqueue(self, group: str, jobs: Sequence[NewJob], key: str = "") -> Enqueued:
        """Put new jobs into a group, all or none.

        Raises Invalid (no image), IdempotencyMismatch, LimitReached; Invalid, TooLarge for more than a group may have.
        """
        made = await self.enqueue_encoded(group, jobs, key)
        return Enqueued([struct_of(encoded) for encoded in made.jobs], made.is_replayed)

    async def enqueue_encoded(self, group: str, jobs: Sequence[NewJob], key: str = "") -> EncodedJobs:
        """Do the same; the jobs as the JSON of the answer."""
        missing = next((i for i, job in enumerate(jobs) if not job.image), None)
        ids = self._ids.take(len(jobs))
        if missing is None and not key:
            runs = new_runs(group, jobs, ids, "")
            return EncodedJobs(new_jobs(runs, await self.hot.enqueue(group, runs)), is_replayed=False)
        image = "" if missing is None else await self._image(group)
        runs = new_runs(group, jobs, ids, image)
        arguments: list[str | int | bytes] = [self.now, "", "", "", "", "", len(jobs) - sum(1 for j in jobs if j.delay)]
        if key:
            digest = hashlib.sha256(msgspec.json.encode(jobs)).hexdigest()
            note = f"{','.join(ids)} {image}"
            arguments[1:5] = [f"{group}:{key}", digest, self.settings.idempotency_ttl_s * 1000, note]
        if missing is not None and not image:
            arguments[5] = f"jobs[{missing}].image"
        try:
            p = self._partitions.of(group)
            created_at, *noted = await run_enqueue(self._partitions, p, [*arguments, *self._limits], runs)
        except LimitReached:
            self._limits.check(len(jobs), sum(len(spec) for run in runs for spec in run.specs))
            raise
        if noted:
            first_ids, _, image = noted[0].decode().partition(" ")
            runs = new_runs(group, jobs, first_ids.split(","), image)
        return EncodedJobs(new_jobs(runs, int(created_at)), is_replayed=bool(noted))

    async def enqueue_durably(self, group: str, jobs: Sequence[NewJob], key: str = "") -> EncodedJobs:
        """Enqueue, and return once the jobs are on the store's disk. Raises NotDurable as well.

        When the disk was too slow the jobs are enqueued all the same; when the store cannot tell, nothing is.
        """
        return await asyncio.get_running_loop().create_task(self._enqueue_durably(group, jobs, key))

    async def _enqueue_durably(self, group: str, jobs: Sequence[NewJob], key: str) -> EncodedJobs:
        p = self._partitions.of(group)
        fences = self._fences[self.servers.of(p)]
        due = fences.due()
        await fences.check()
        enqueued = await self.enqueue_encoded(group, jobs, key)
        await fences.wait(p, due)
        return enqueued

    async def _image(self, group: str) -> str:
        p = self._partitions.of(group)
        image = await self._partitions.field(p, keys.group(p, group), "image")
        return (image or b"").decode()
