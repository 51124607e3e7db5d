"""Requests that wait for the ends of jobs."""

import asyncio
from collections.abc import Sequence

from broker.core.errors import NotFound, TitanError
from broker.core.ids import is_id
from broker.core.inline_task import start_inline
from broker.core.states import FINISHED
from broker.http.server.admission import AdmissionControl
from broker.models.batches import Batch
from broker.models.jobs import Job
from broker.store.ends import LOOK_S, Waiter
from broker.store.job_store import JobStore

JobKey = tuple[str, str]
"""A group and an id."""


class JobWaits:
    """Waits for jobs that this broker shows. While a request waits it does not count in admission control.

    A request awaits one future, and the work continues on its own: a request that awaits a reply of the store when its
    client hangs up is not cancelled if that reply has just come, and would wait for nobody.
    """

    def __init__(self, store: JobStore, admission: AdmissionControl) -> None:
        self._store = store
        self._admission = admission
        self.n_batches = 0
        """How many requests wait for batches."""

    async def one(self, group: str, job_id: str, wait_s: float, known: Job | None = None) -> Job:
        """The job as soon as it is finished, or after `wait_s` as it is.

        A job that was deleted meanwhile is answered as far as it is known, once; `known`: the job when it was enqueued.
        Raises NotFound for any other job that does not exist.
        """
        end = asyncio.get_running_loop().time() + wait_s
        with self._store.ends.waiting([(group, job_id)]) as waiter:
            return await start_inline(self._one(waiter, group, job_id, end, known))

    async def batch(self, group: str, batch_id: str, wait_s: float) -> Batch:
        """The batch as soon as it has ended, or after `wait_s` as it is. It looks each LOOK_S. Raises NotFound."""
        waiter, end = Waiter(), asyncio.get_running_loop().time() + wait_s
        self.n_batches += 1
        try:
            return await start_inline(self._batch(waiter, group, batch_id, end))
        finally:
            self.n_batches -= 1
            waiter.leave()

    async def several(self, jobs: Sequence[JobKey], wait_s: float, *, is_any_enough: bool) -> list[Job | TitanError]:
        """The jobs in order, once all or any of them are finished, or after `wait_s` as they are. NotFound is an end.

        Raises StoreUnavailable if a partition does not answer.
        """
        end = asyncio.get_running_loop().time() + wait_s
        keys = [key for key in dict.fromkeys(jobs) if is_id(key[1])]
        with self._store.ends.waiting(keys) as waiter:
            is_missing = is_any_enough and len(keys) < len(set(jobs))
            found = await start_inline(
                self._several(waiter, keys, 0 if is_missing else end, is_any_enough=is_any_enough)
            )
        return [found.get(key) or NotFound() for key in jobs]

    async def _batch(self, waiter: Waiter, group: str, batch_id: str, end: float) -> Batch:
        while True:
            batch, now = await self._store.batches.show(group, batch_id), asyncio.get_running_loop().time()
            if batch.ended_at or now >= end or waiter.is_gone or self._store.ends.is_stopped:
                return batch
            with self._admission.waiting(1):
                await waiter.until(min(end, now + LOOK_S))

    async def _one(self, waiter: Waiter, group: str, job_id: str, end: float, known: Job | None) -> Job:
        while True:
            try:
                known = await self._store.jobs.show(group, job_id)
            except NotFound:
                return _known(waiter, job_id, known)
            waiter.changed.discard(job_id)
            if known.status in FINISHED or not await self._woken(waiter, end):
                return known

    async def _several(
        self, waiter: Waiter, keys: Sequence[JobKey], end: float, *, is_any_enough: bool
    ) -> dict[JobKey, Job | TitanError]:
        found: dict[JobKey, Job | TitanError] = {}
        looked, has_time = list(keys), True
        while looked:
            for key, job in zip(looked, await self._shown(looked), strict=True):
                found[key] = _ended(waiter, key[1], found.get(key)) if isinstance(job, NotFound) else job
            left = [key for key, job in found.items() if not _is_over(job)]
            if not left or not has_time or (is_any_enough and len(left) < len(found)):
                break
            has_time = await self._woken(waiter, end)
            looked = [key for key in left if key[1] in waiter.changed] if has_time else left
            waiter.changed.clear()
        return found

    async def _woken(self, waiter: Waiter, end: float) -> bool:
        """Wait until something changed; False at the end of the wait, and when the broker stops."""
        if self._store.ends.is_stopped:
            return False
        with self._admission.waiting(1):
            return await waiter.until(end)

    async def _shown(self, jobs: Sequence[JobKey]) -> list[Job | NotFound]:
        shown = await asyncio.gather(
            *(self._store.jobs.show(group, job_id) for group, job_id in jobs), return_exceptions=True
        )
        for job in shown:
            if isinstance(job, BaseException) and not isinstance(job, NotFound):
                raise job
        return [job for job in shown if isinstance(job, Job | NotFound)]


def _known(waiter: Waiter, job_id: str, job: Job | None) -> Job:
    """A job that was deleted: with its end, if that is known. Raises NotFound if nothing is known."""
    ended = _ended(waiter, job_id, job)
    if isinstance(ended, TitanError):
        raise ended
    return ended


def _ended(waiter: Waiter, job_id: str, job: Job | TitanError | None) -> Job | TitanError:
    end = waiter.ends.get(job_id)
    return end.of(job) if isinstance(job, Job) and end is not None else NotFound()


def _is_over(job: Job | TitanError) -> bool:
    return isinstance(job, TitanError) or job.status in FINISHED
