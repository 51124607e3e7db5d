"""Enqueues new jobs. Calls made in one event-loop iteration share one script call for each partition."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from broker.core.errors import Invalid, LimitReached, TooLarge
from broker.core.ids import Ids
from broker.core.inline_task import start_inline
from broker.core.settings import BrokerSettings
from broker.models.jobs import NewJob
from broker.resp import keys
from broker.resp.partitions import Partitions
from broker.resp.resp_connection import Word
from broker.resp.write_barrier import WriteBarrier
from broker.store.batcher import Batcher
from broker.store.clock import Clock
from broker.store.format.job_json import EncodedJobs, new_jobs
from broker.store.format.script_args import NewBatch, enqueue_words, merged, new_batches
from broker.store.tally import Tally

LARGE_BYTES = 1024 * 1024
"""Specs of one call with more bytes in all are staged: sent before the script.

A script that carries megabytes blocks the store while it copies them several times. A staged spec goes into the hash of
its job by a command of its own, and the store serves other clients between two of them.
"""
KEPT_MS = 60_000
"""A staged spec expires after this time, unless the script creates its job, ms."""


class GroupLimits(NamedTuple):
    """Limits for the unfinished jobs of a group: their number, and the bytes of images and payloads; 0: no limit."""

    jobs: int
    bytes: int

    def check(self, jobs: int, size_bytes: int) -> None:
        """Raise Invalid or TooLarge for one enqueue that alone exceeds a limit: a client must not repeat it."""
        if 0 < self.jobs < jobs:
            raise Invalid(f"A group may have {self.jobs} unfinished jobs at most.", fields="jobs")
        if 0 < self.bytes < size_bytes:
            raise TooLarge(f"The unfinished jobs of a group may have {self.bytes} bytes at most.")


def limits_of(settings: BrokerSettings) -> GroupLimits:
    """The limits of every group at this broker."""
    return GroupLimits(settings.max_group_jobs, settings.max_group_bytes)


class Enqueuer:
    """Adds new jobs to groups.

    `barriers`: the write barrier of each partition. `on_enqueue` is called with a group when its new jobs were sent: a
    `next` that is sent after that finds them. So the store does not notify `broker`, our own name.
    """

    def __init__(
        self,
        partitions: Partitions,
        clock: Clock,
        ids: Ids,
        tally: Tally,
        settings: BrokerSettings,
        barriers: Callable[[str], WriteBarrier],
        broker: str,
    ) -> None:
        self.on_enqueue: Callable[[str | None], None] | None = None
        self._partitions = partitions
        self._clock = clock
        self._ids = ids
        self._tally = tally
        self._idempotency_ttl_ms = settings.idempotency_ttl_s * 1000
        self._limits = limits_of(settings)
        self._barriers = barriers
        self._broker = broker
        self._batches: Mapping[str, Batcher[Sequence[NewBatch], int]] = {
            name: Batcher(partial(self._send, name)) for name in partitions.names
        }

    async def enqueue(self, group: str, jobs: Sequence[NewJob], key: str = "") -> EncodedJobs:
        """Add new jobs to a group, all or none; the jobs as the JSON of the answer. `key`: an Idempotency-Key.

        Raises Invalid (no image), IdempotencyMismatch, LimitReached; Invalid, TooLarge for more than a group may have.
        """
        missing = next((i for i, job in enumerate(jobs) if not job.image), None)
        ids = self._ids.take(len(jobs))
        if missing is None and not key:
            batches = new_batches(group, jobs, ids, "")
            return EncodedJobs(new_jobs(batches, await self._batched(group, batches)), is_replayed=False)
        image = "" if missing is None else await self._image(group)
        batches = new_batches(group, jobs, ids, image)
        immediate = len(jobs) - sum(1 for job in jobs if job.delay)
        arguments: list[Word] = [self._clock.now, "", "", "", "", "", immediate]
        if key:
            digest = hashlib.sha256(msgspec.json.encode(jobs)).hexdigest()
            note = f"{','.join(ids)} {image}"
            arguments[1:5] = [f"{group}:{key}", digest, self._idempotency_ttl_ms, note]
        if missing is not None and not image:
            arguments[5] = f"jobs[{missing}].image"
        try:
            p = self._partitions.of(group)
            created_at, *noted = await run_enqueue(self._partitions, p, [*arguments, *self._limits], batches)
        except LimitReached:
            self._limits.check(len(jobs), _bytes_of(batches))
            raise
        if noted:
            first_ids, _, image = noted[0].decode().partition(" ")
            batches = new_batches(group, jobs, first_ids.split(","), image)
        else:
            self._tally.enqueued(group, len(jobs))
        return EncodedJobs(new_jobs(batches, int(created_at)), is_replayed=bool(noted))

    async def enqueue_durably(self, group: str, jobs: Sequence[NewJob], key: str = "") -> EncodedJobs:
        """Enqueue, and return once the jobs are on the store's disk. Raises NotDurable as well.

        If the disk was too slow, the jobs are enqueued nevertheless; if the store cannot confirm writes, none is.
        """
        # A task, since the barrier uses asyncio.timeout, which an inline task cannot.
        return await asyncio.get_running_loop().create_task(self._enqueue_durably(group, jobs, key))

    async def _enqueue_durably(self, group: str, jobs: Sequence[NewJob], key: str) -> EncodedJobs:
        p = self._partitions.of(group)
        barrier = self._barriers(p)
        due = barrier.due()
        await barrier.check()
        enqueued = await self.enqueue(group, jobs, key)
        await barrier.wait(p, due)
        return enqueued

    async def _image(self, group: str) -> str:
        p = self._partitions.of(group)
        image = await self._partitions.field(p, keys.group(p, group), "image")
        return (image or b"").decode()

    def _batched(self, group: str, batches: Sequence[NewBatch]) -> asyncio.Future[int]:
        """The creation time of the jobs, ms. Raises Invalid, TooLarge, LimitReached."""
        jobs = sum([len(batch.ids) for batch in batches])
        size_bytes = _bytes_of(batches)
        self._limits.check(jobs, size_bytes)
        return self._batches[self._partitions.of(group)].call(batches, jobs, size_bytes)

    async def _send(self, partition: str, parts: Sequence[Sequence[NewBatch]]) -> list[Any]:
        """The creation time of each part, ms, or its refusal. A group at its limit does not block the others."""
        try:
            return await self._send_all(partition, parts)
        except LimitReached:
            if len(parts) == 1:
                raise
        groups: dict[str, list[int]] = {}
        for i, part in enumerate(parts):
            groups.setdefault(part[0].group, []).append(i)
        shares = list(groups.values()) if len(groups) > 1 else [[i] for i in range(len(parts))]
        calls = (self._send(partition, [parts[i] for i in share]) for share in shares)
        outcomes: list[Any] = [None] * len(parts)
        for share, outcome in zip(shares, await asyncio.gather(*calls, return_exceptions=True), strict=True):
            for at, i in enumerate(share):
                outcomes[i] = outcome if isinstance(outcome, BaseException) else outcome[at]
        return outcomes

    async def _send_all(self, partition: str, parts: Sequence[Sequence[NewBatch]]) -> list[int]:
        batches = merged(batch for part in parts for batch in part)
        immediate = sum(len(batch.ids) for batch in batches if not batch.settings.delay)
        first = (self._clock.now, "", "", "", "", "", immediate, *self._limits)
        broker = "" if self.on_enqueue is None else self._broker
        enqueueing = start_inline(run_enqueue(self._partitions, partition, first, batches, broker))
        if self.on_enqueue is not None and immediate:
            for group in {batch.group for batch in batches}:
                self.on_enqueue(group)
        [created_at] = await enqueueing
        for batch in batches:
            self._tally.enqueued(batch.group, len(batch.ids))
        return [int(created_at)] * len(parts)


async def run_enqueue(
    partitions: Partitions, partition: str, first: Sequence[Word], batches: Sequence[NewBatch], broker: str = ""
) -> Any:
    """The reply of enqueue.lua to these batches; `first`: its arguments before `broker`. Raises its refusal.

    Commands that this broker sends after this call batch after it, unless the specs are staged.
    """
    is_large = _bytes_of(batches) > LARGE_BYTES
    if is_large:
        await partitions.send(partition, list(_staging(partition, batches)))
        broker = ""
    return await partitions.run("enqueue", partition, *first, broker, *enqueue_words(batches, is_staged=is_large))


def _staging(partition: str, batches: Sequence[NewBatch]) -> Iterator[Sequence[Word]]:
    for batch in batches:
        for job_id, spec in zip(batch.ids, batch.specs, strict=True):
            key = keys.job(partition, job_id)
            yield "HSET", key, "spec", spec
            yield "PEXPIRE", key, KEPT_MS


def _bytes_of(batches: Sequence[NewBatch]) -> int:
    return sum([len(spec) for batch in batches for spec in batch.specs])
