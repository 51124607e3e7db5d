"""Dispatches jobs for `next`.

Calls with the same filters share one script call. A call is limited to 128 jobs and 1 MiB, so that the store serves
other clients in between.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

from broker.core.errors import TitanError
from broker.core.ids import lease_token
from broker.models.jobs import Job
from broker.resp.partitions import ROUND_S, Partitions
from broker.store.batcher import MOST_JOBS, Batcher
from broker.store.clock import Clock
from broker.store.format.job_json import EncodedDelivery, handed_out
from broker.store.format.replies import field_of, job_of
from broker.store.image_dispatcher import ImageDispatcher
from broker.store.pagination import ANSWER_BYTES
from broker.store.undelivered import UndeliveredJobs

SCRIPT_BYTES = 1024 * 1024
"""One call of next.lua stops at this many bytes of jobs, as the store has them. lib/selection has the same number."""
_MOST_KEYS = 1000


class DequeueKey(NamedTuple):
    """What calls that share a script call have in common. lease_s: the length of the leases; `waits`: a long poll."""

    partition: str
    groups: tuple[str, ...]
    lease_s: int | None
    waits: bool


class Dispatcher:
    """Dequeues jobs, and requeues those that reached nobody.

    `broker`: our name, by which the store notifies us. `grace_ms`: how much longer than a job's timeout a short lease
    may last.
    """

    def __init__(self, partitions: Partitions, clock: Clock, broker: str, grace_ms: int) -> None:
        self._partitions = partitions
        self._clock = clock
        self._broker = broker
        self._grace_ms = grace_ms
        self._undelivered = UndeliveredJobs(partitions, clock)
        self._by_image = ImageDispatcher(partitions, clock, self._undelivered.begin, broker, grace_ms)
        self._turn = 0
        self._batches: dict[DequeueKey, Batcher[int, list[EncodedDelivery]]] = {}

    async def next(
        self,
        n: int,
        groups: Sequence[str] = (),
        lease_s: int | None = None,
        images: Sequence[str] = (),
        *,
        waits: bool = False,
    ) -> list[EncodedDelivery]:
        """Dequeue the first jobs, n at most. Partitions are asked in turn; a fault after some jobs ends the round.

        With `images` only jobs of these; a job that stands behind 200 of other images in its group is not found.
        When the caller is cancelled, what it would have got is requeued. `waits`: when there are none, the store is to
        notify this broker of jobs to come.
        """
        if images:
            return await self._by_image.next(n, list(dict.fromkeys(groups)), lease_s, images, waits=waits)
        return await self._next(n, tuple(dict.fromkeys(groups)), lease_s, waits=waits)

    async def start(self, group: str, job_id: str, lease: str = "", started_at: int | None = None) -> Job:
        """Say that a job runs; dequeue it when it is queued. Raises NotFound, WrongState, LeaseLost, LimitReached."""
        at: str | int = "" if started_at is None else started_at
        new_lease = lease_token()
        arguments = (self._clock.now, group, job_id, lease, new_lease, at, self._grace_ms)
        row = await self._partitions.run("start", self._partitions.of(group), *arguments)
        return job_of(row, is_handed_out=(field_of(row, "lease") or "").startswith(new_lease))

    def give_back(self, jobs: Sequence[EncodedDelivery]) -> None:
        """Requeue jobs that reached nobody, in the background; `settle` waits for it."""
        self._undelivered.begin(jobs)

    async def settle(self) -> None:
        """Wait until all jobs that reached nobody are requeued."""
        while waited := {*self._under_way, *self._undelivered.under_way}:
            await asyncio.wait(waited)

    @property
    def _under_way(self) -> set[asyncio.Future[None]]:
        """The calls that the store has not answered yet."""
        return {call for batch in self._batches.values() for call in batch.under_way}

    async def _next(
        self, n: int, groups: tuple[str, ...], lease_s: int | None, *, waits: bool
    ) -> list[EncodedDelivery]:
        names = self._partitions.names
        if len(names) == 1 and n <= MOST_JOBS:
            return await self._batch(DequeueKey(names[0], groups, lease_s, waits)).call(n, n)
        turn, self._turn = self._turn, (self._turn + 1) % len(names)
        end = time.monotonic() + ROUND_S
        jobs: list[EncodedDelivery] = []
        try:
            for name, here in self._partitions.round(turn, groups):
                await self._fill(jobs, n, DequeueKey(name, here, lease_s, waits), end)
                if len(jobs) == n:
                    break
        except TitanError:
            if not jobs:
                raise
        except BaseException:  # the caller is gone
            self._undelivered.begin(jobs)
            raise
        return jobs

    async def _fill(self, jobs: list[EncodedDelivery], n: int, wish: DequeueKey, end: float) -> None:
        """Add jobs of one partition, in lots, until there are n, its ready ones are gone, or they have many bytes.

        Or until `end`, by the monotonic clock in s.
        """
        size_bytes = _bytes_of(jobs)
        while (asked := min(n - len(jobs), MOST_JOBS)) and size_bytes < ANSWER_BYTES:
            lot = await self._batch(wish).call(asked, asked)
            jobs += lot
            size_bytes += _bytes_of(lot)
            if len(lot) < asked or time.monotonic() > end:
                break

    def _batch(self, wish: DequeueKey) -> Batcher[int, list[EncodedDelivery]]:
        batch = self._batches.get(wish)
        if batch is None:
            if len(self._batches) >= _MOST_KEYS:
                self._batches = {wish: batch for wish, batch in self._batches.items() if batch.is_busy}
            send = partial(self._send, wish)
            batch = self._batches[wish] = Batcher(send, self._undelivered.begin)
        return batch

    async def _send(self, wish: DequeueKey, parts: Sequence[int]) -> list[list[EncodedDelivery]]:
        n = sum(parts)
        lot = await self._run(wish, n)
        if len(lot) < n and not _is_last(lot, n):
            return await self._shared(wish, parts, lot)
        jobs = iter(lot)
        return [list(islice(jobs, part)) for part in parts]

    async def _shared(
        self, wish: DequeueKey, parts: Sequence[int], lot: list[EncodedDelivery]
    ) -> list[list[EncodedDelivery]]:
        """Jobs so large that one run does not bring them all: each part has its own, up to what an answer may have."""
        rest, is_last = deque(lot), False
        shares: list[list[EncodedDelivery]] = []
        for part in parts:
            share: list[EncodedDelivery] = []
            size_bytes = 0
            while len(share) < part and (rest or (not is_last and size_bytes < ANSWER_BYTES)):
                if not rest:
                    asked = part - len(share)
                    try:
                        rest.extend(await self._run(wish, asked))
                        is_last = _is_last(rest, asked)
                    except TitanError:  # what was handed out is delivered
                        is_last = True
                if rest:
                    share.append(rest.popleft())
                    size_bytes += len(share[-1].encoded)
            shares.append(share)
        return shares

    async def _run(self, wish: DequeueKey, n: int) -> list[EncodedDelivery]:
        lease, length = lease_token(), "" if wish.lease_s is None else wish.lease_s
        broker = self._broker if wish.waits else ""
        words = (self._clock.now, n, lease, length, self._grace_ms, broker, *wish.groups)
        reply = await self._partitions.run("next", wish.partition, *words)
        return handed_out(reply, lease, wish.lease_s, self._grace_ms)


def _bytes_of(jobs: Sequence[EncodedDelivery]) -> int:
    return sum([len(job.encoded) for job in jobs])


def _is_last(lot: Sequence[EncodedDelivery], n: int) -> bool:
    """Whether no jobs are left behind a run that was asked for n: there were fewer, and not since they are large."""
    return len(lot) < n and _bytes_of(lot) < SCRIPT_BYTES
