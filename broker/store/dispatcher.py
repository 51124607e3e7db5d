"""Dispatches jobs for `next`.

Calls with the same filters share one script call. A call is limited to 128 jobs and 1 MiB, so that the store serves
other clients in between.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

from broker.core.errors import StoreUnavailable, TitanError
from broker.core.ids import lease_token
from broker.models.jobs import Job
from broker.resp.partitions import ROUND_S, Partitions
from broker.store.asked import Asked
from broker.store.batcher import MOST_JOBS, Batcher
from broker.store.clock import Clock
from broker.store.format.job_json import EncodedDelivery, dispatched_jobs
from broker.store.format.replies import field_of, job_of
from broker.store.image_dispatcher import ImageDispatcher
from broker.store.modes import Modes
from broker.store.pagination import ANSWER_BYTES
from broker.store.partition_order import PartitionOrder
from broker.store.tally import Tally
from broker.store.undelivered import UndeliveredJobs

SCRIPT_BYTES = 1024 * 1024
"""One call of next.lua stops at this many bytes of jobs, as the store has them. lib/selection has the same number."""
_MOST_KEYS = 1000


class DequeueKey(NamedTuple):
    """The filters that calls in one script call share. lease_s: length of the leases; `waits`: a long poll."""

    partition: str
    groups: tuple[str, ...]
    lease_s: int | None
    waits: bool


class Dispatcher:
    """Dequeues jobs, and requeues those that reached nobody.

    `broker`: our name, by which the store notifies us. `grace_ms`: how much longer than a job's timeout a short lease
    may last, ms. `modes` knows in which partitions groups take turns.
    """

    def __init__(
        self, partitions: Partitions, clock: Clock, tally: Tally, modes: Modes, broker: str, grace_ms: int
    ) -> None:
        self.asked = Asked(partitions, clock)
        self._partitions = partitions
        self._clock = clock
        self._tally = tally
        self._modes = modes
        self._broker = broker
        self._grace_ms = grace_ms
        self._undelivered = UndeliveredJobs(partitions, clock, tally)
        give_back = self._undelivered.begin
        self._by_image = ImageDispatcher(partitions, clock, tally, modes, give_back, broker, grace_ms)
        self._turn = 0
        self._order = PartitionOrder(partitions.names)
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
        """Dequeue the first jobs, n at most. A partition that fails counts as empty while another one answers.

        With `images` only jobs of these; a job after 200 jobs of other images in its group is not found. When the
        caller is cancelled, its jobs are requeued. `waits`: if there are no jobs, the store notifies this broker of
        later ones.
        """
        names = tuple(dict.fromkeys(groups))
        self.asked.note(names, tuple(images))
        if images:
            return await self._by_image.next(n, names, lease_s, images, waits=waits)
        return await self._next(n, names, lease_s, waits=waits)

    async def start(self, group: str, job_id: str, lease: str = "", started_at: int | None = None) -> Job:
        """Note that a job is running; dequeue a queued one. Raises NotFound, WrongState, LeaseLost, LimitReached."""
        at: str | int = "" if started_at is None else started_at
        new_lease = lease_token()
        arguments = (self._clock.now, group, job_id, lease, new_lease, at, self._grace_ms)
        row = await self._partitions.run("start", self._partitions.of(group), *arguments)
        is_dispatched = (field_of(row, "lease") or "").startswith(new_lease)
        if is_dispatched:
            self._tally.taken(group, 1, ids=(job_id,))
        return job_of(row, is_dispatched=is_dispatched)

    def give_back(self, jobs: Sequence[EncodedDelivery]) -> None:
        """Requeue jobs that reached nobody, in the background; `settle` waits for it."""
        self._undelivered.begin(jobs)

    async def settle(self) -> None:
        """Wait until all jobs that reached nobody are requeued."""
        while waited := {*self._under_way, *self._undelivered.under_way}:
            await asyncio.wait(waited)

    @property
    def _under_way(self) -> set[asyncio.Future[None]]:
        """Calls that the store has not answered yet."""
        return {call for batch in self._batches.values() for call in batch.under_way}

    async def _next(
        self, n: int, groups: tuple[str, ...], lease_s: int | None, *, waits: bool
    ) -> list[EncodedDelivery]:
        names = self._partitions.names
        if n <= MOST_JOBS and (len(names) == 1 or len(groups) == 1):
            name = names[0] if len(names) == 1 else self._partitions.of(groups[0])
            return await self._batch(DequeueKey(name, groups, lease_s, waits)).call(n, n)
        if groups:
            self._turn += 1
            order = self._partitions.rotated(self._turn)
            return await self._round([], n, order, DequeueKey("", groups, lease_s, waits))
        first, began = self._order.first(), time.monotonic()
        key = DequeueKey(first, (), lease_s, waits)
        if n > MOST_JOBS:
            return await self._round([], n, (first, *self._order.others(first)), key)
        jobs: list[EncodedDelivery] = []
        fault: StoreUnavailable | None = None
        try:
            jobs = await self._batch(key).call(n, n)
        except StoreUnavailable as error:
            fault = error
        if len(jobs) == n:
            return jobs
        self._order.note(first, is_empty=True)
        others = self._order.others(first)
        return await self._round(jobs, n, others, key, fault, began, has_answer=fault is None)

    async def _round(
        self,
        jobs: list[EncodedDelivery],
        n: int,
        order: Iterable[str],
        key: DequeueKey,
        fault: StoreUnavailable | None = None,
        began: float | None = None,
        *,
        has_answer: bool = False,
    ) -> list[EncodedDelivery]:
        """Add jobs of these partitions in turn, up to n.

        `began`, s by the monotonic clock, `fault` and `has_answer` are of partitions that were asked before.
        """
        began = began or time.monotonic()
        end = began + ROUND_S
        try:
            for name, here in self._partitions.round(order, key.groups, began):
                is_empty = True
                try:
                    is_empty = await self._fill(jobs, n, key._replace(partition=name, groups=here), end)
                    has_answer = True
                except StoreUnavailable as error:
                    fault = error
                if not key.groups:
                    self._order.note(name, is_empty=is_empty)
                if len(jobs) == n:
                    break
        except BaseException:  # the caller is gone
            self._undelivered.begin(jobs)
            raise
        if fault is not None and not has_answer and not jobs:
            raise fault
        return jobs

    async def _fill(self, jobs: list[EncodedDelivery], n: int, key: DequeueKey, end: float) -> bool:
        """Add jobs of one partition, in several script calls, up to n jobs or ANSWER_BYTES, or until none is ready.

        It also stops at `end`, by the monotonic clock in s. Whether none is ready any more.
        """
        size_bytes = _bytes_of(jobs)
        while (asked := min(n - len(jobs), MOST_JOBS)) and size_bytes < ANSWER_BYTES:
            dispatched = await self._batch(key).call(asked, asked)
            jobs += dispatched
            size_bytes += _bytes_of(dispatched)
            if len(dispatched) < asked:
                return True
            if time.monotonic() > end:
                break
        return False

    def _batch(self, key: DequeueKey) -> Batcher[int, list[EncodedDelivery]]:
        batch = self._batches.get(key)
        if batch is None:
            if len(self._batches) >= _MOST_KEYS:
                self._batches = {key: batch for key, batch in self._batches.items() if batch.is_busy}
            send = partial(self._send, key)
            batch = self._batches[key] = Batcher(send, self._undelivered.begin)
        return batch

    async def _send(self, key: DequeueKey, parts: Sequence[int]) -> list[list[EncodedDelivery]]:
        n = sum(parts)
        dispatched = await self._run(key, n)
        if len(dispatched) < n and not _is_last(dispatched, n):
            return await self._shared(key, parts, dispatched)
        jobs = iter(dispatched)
        return [list(islice(jobs, part)) for part in parts]

    async def _shared(
        self, key: DequeueKey, parts: Sequence[int], dispatched: list[EncodedDelivery]
    ) -> list[list[EncodedDelivery]]:
        """Divide jobs that are too large for one script call: further calls fill each part up to ANSWER_BYTES."""
        rest, is_last = deque(dispatched), False
        shares: list[list[EncodedDelivery]] = []
        for part in parts:
            share: list[EncodedDelivery] = []
            size_bytes = 0
            while len(share) < part and (rest or (not is_last and size_bytes < ANSWER_BYTES)):
                if not rest:
                    asked = part - len(share)
                    try:
                        rest.extend(await self._run(key, asked))
                        is_last = _is_last(rest, asked)
                    except TitanError:  # jobs that were dispatched before are delivered
                        is_last = True
                if rest:
                    share.append(rest.popleft())
                    size_bytes += len(share[-1].encoded)
            shares.append(share)
        return shares

    async def _run(self, key: DequeueKey, n: int) -> list[EncodedDelivery]:
        lease, length = lease_token(), "" if key.lease_s is None else key.lease_s
        broker = self._broker if key.waits else ""
        words = (self._clock.now, n, lease, length, self._grace_ms, broker, *key.groups)
        verb = "next_fair" if self._modes.is_fair(key.partition) else "next"
        reply = await self._partitions.run(verb, key.partition, *words)
        return dispatched_jobs(reply, lease, key.lease_s, self._grace_ms, self._tally)


def _bytes_of(jobs: Sequence[EncodedDelivery]) -> int:
    return sum([len(job.encoded) for job in jobs])


def _is_last(dispatched: Sequence[EncodedDelivery], n: int) -> bool:
    """Whether a call for n jobs emptied the queues: it returned fewer, and not because they are large."""
    return len(dispatched) < n and _bytes_of(dispatched) < SCRIPT_BYTES
