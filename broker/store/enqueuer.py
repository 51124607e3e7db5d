"""Enqueues new jobs. Calls made in one event-loop iteration share one script call for each partition."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from broker.core.errors import Duplicate, LimitReached, NotFound
from broker.core.ids import Ids
from broker.core.inline_task import start_inline
from broker.core.settings import BrokerSettings
from broker.models.jobs import PlainJob
from broker.resp import keys
from broker.resp.partitions import Partitions
from broker.resp.resp_connection import Word
from broker.resp.write_barrier import WriteBarrier
from broker.store.admitter import Admission, admission, admit, are_plain
from broker.store.batcher import Batcher
from broker.store.clock import Clock
from broker.store.format.answer_note import note_in, note_text
from broker.store.format.job_json import EncodedJobs, new_jobs
from broker.store.format.ranks import NO_BOOSTS
from broker.store.format.replies import job_of
from broker.store.format.script_args import NewBatch, enqueue_words, merged, new_batches
from broker.store.format.traces import traced
from broker.store.group_limits import GroupLimits, limits_of
from broker.store.modes import NO_MODE, Mode, Modes, boosts_of, with_default
from broker.store.staging import are_large, bytes_of, stage
from broker.store.tally import Tally
from titan.tracing import NO_TRACE, Trace

_PLAIN = ("image", "payload", "delay", "timeout", "priority", "max_retries", "retries_delay")
_encode = msgspec.json.Encoder().encode
_image_of = attrgetter("image")


class _Created(NamedTuple):
    """When jobs were created, ms, and how full their group is with them in percent; 0 below 80."""

    at: int
    full: int


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
        modes: Modes,
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
        self._modes = modes
        self._batches: Mapping[str, Batcher[Sequence[NewBatch], _Created]] = {
            name: Batcher(partial(self._send, name)) for name in partitions.names
        }

    async def enqueue(
        self, group: str, jobs: Sequence[PlainJob], key: str = "", trace: Trace = NO_TRACE
    ) -> EncodedJobs:
        """Add new jobs to a group, all or none; the jobs as the JSON of the answer. `key`: an Idempotency-Key.

        `trace`: that of jobs without one of their own. An Idempotency-Key goes with any trace.

        Raises Invalid (no image, no such job), IdempotencyMismatch, LimitReached, Duplicate; Invalid, TooLarge for more
        than a group may have.
        """
        plain, mode = are_plain(jobs), self._modes.of(group)
        ids, start_within_s = self._ids.take(len(jobs)), mode.start_within
        is_admitted = not plain or start_within_s is not None or mode.fair_keys
        given, jobs = jobs, traced(jobs, trace)
        if not key and not is_admitted and all(map(_image_of, jobs)):
            batches = new_batches(group, jobs, ids, "")
            created_at, full = await self._batched(group, batches, len(ids), mode)
            return EncodedJobs(new_jobs(batches, created_at), is_replayed=False, full=full)
        missing = next((i for i, job in enumerate(jobs) if not job.image), None)
        image = "" if missing is None else await self.image_of(group)
        first: list[Word] = [self._clock.now, "", "", "", "", ""]
        if key:
            digest = _digest(given, is_plain=plain)
            note = note_text(ids, image, start_within_s)
            first[1:5] = [f"{group}:{key}", digest, self._idempotency_ttl_ms, note]
        if missing is not None and not image:
            first[5] = f"jobs[{missing}].image"
        if is_admitted:
            asked = admission(group, with_default(jobs, start_within_s), ids, image)
            return await self._admit(group, jobs, asked, first, mode)
        batches = new_batches(group, jobs, ids, image)
        limits = mode.limits(self._limits)
        words = (*first, sum(1 for job in jobs if not job.delay), *limits)
        try:
            created_at, *more = await run_enqueue(
                self._partitions, self._partitions.of(group), words, batches, boosts=boosts_of({group: mode})
            )
        except LimitReached:
            limits.check(len(jobs), bytes_of(batches))
            raise
        if more and more[0] is not None:
            return await self._replayed(group, jobs, int(created_at), more[0])
        self._tally.enqueued(group, len(jobs), ids)
        full = _full_groups(more).get(group, 0)
        return EncodedJobs(new_jobs(batches, int(created_at)), is_replayed=False, full=full)

    async def _admit(
        self, group: str, jobs: Sequence[PlainJob], asked: Admission, first: Sequence[Word], mode: Mode
    ) -> EncodedJobs:
        broker, limits = "" if self.on_enqueue is None else self._broker, mode.limits(self._limits)
        admitting = start_inline(admit(self._partitions, first, limits, broker, asked, mode))
        if self.on_enqueue is not None:
            self.on_enqueue(group)
        try:
            created_at, noted, *new = await admitting
        except LimitReached:
            limits.check(len(jobs), bytes_of(asked.batches))
            raise
        except Duplicate:
            self._tally.duplicate(["refuse"])
            raise
        if not new:
            return await self._replayed(group, jobs, int(created_at), noted)
        outcomes = new[0].decode().split(",")
        made = asked.made(outcomes)
        self._tally.enqueued(group, len(made), made)
        self._tally.duplicate(asked.duplicates(outcomes))
        encoded = await self._encoded(asked, int(created_at), outcomes, is_replayed=False)
        return encoded._replace(full=new[1]) if new[1:] else encoded

    async def _replayed(self, group: str, jobs: Sequence[PlainJob], created_at: int, noted: bytes) -> EncodedJobs:
        """The answer to the first call with the same Idempotency-Key, whichever script created the jobs."""
        note = note_in(noted.decode())
        if not note.outcomes:
            return EncodedJobs(new_jobs(new_batches(group, jobs, note.ids, note.image), created_at), is_replayed=True)
        asked = admission(group, with_default(jobs, note.start_within_s), note.ids, note.image)
        return await self._encoded(asked, created_at, note.outcomes, is_replayed=True)

    async def _encoded(
        self, asked: Admission, created_at: int, outcomes: Sequence[str], *, is_replayed: bool
    ) -> EncodedJobs:
        encoded = asked.encoded(created_at, outcomes)
        jobs = [await self._duplicate(asked.group, job) if isinstance(job, str) else job for job in encoded]
        return EncodedJobs(jobs, is_replayed)

    async def _duplicate(self, group: str, job_id: str) -> bytes:
        """The JSON of a job that existed already and has the key of a new one. Raises Duplicate if it is gone."""
        try:
            job = job_of(await self._partitions.run("show", self._partitions.of(group), group, job_id))
        except NotFound:
            raise Duplicate(f"The job {job_id} that has the key was deleted meanwhile.") from None
        job.duplicate = True
        return _encode(job)

    async def enqueue_durably(
        self, group: str, jobs: Sequence[PlainJob], key: str = "", trace: Trace = NO_TRACE
    ) -> EncodedJobs:
        """Enqueue, and return once the jobs are on the store's disk. Raises NotDurable as well.

        If the disk was too slow, the jobs are enqueued nevertheless; if the store cannot confirm writes, none is.
        """
        # A task, since the barrier uses asyncio.timeout, which an inline task cannot.
        return await asyncio.get_running_loop().create_task(self._enqueue_durably(group, jobs, key, trace))

    async def _enqueue_durably(self, group: str, jobs: Sequence[PlainJob], key: str, trace: Trace) -> EncodedJobs:
        p = self._partitions.of(group)
        barrier = self._barriers(p)
        due = barrier.due()
        await barrier.check()
        enqueued = await self.enqueue(group, jobs, key, trace)
        await barrier.wait(p, due)
        return enqueued

    async def image_of(self, group: str) -> str:
        """The image of the group for jobs without one; '' if it has none."""
        p = self._partitions.of(group)
        image = await self._partitions.field(p, keys.group(p, group), "image")
        return (image or b"").decode()

    def _batched(self, group: str, batches: Sequence[NewBatch], jobs: int, mode: Mode) -> asyncio.Future[_Created]:
        """When the jobs were created; `jobs`: how many. Raises Invalid, TooLarge, LimitReached."""
        size_bytes = bytes_of(batches)
        limits = self._limits if mode is NO_MODE else mode.limits(self._limits)
        limits.check(jobs, size_bytes)
        return self._batches[self._partitions.of(group)].call(batches, jobs, size_bytes)

    async def _send(self, partition: str, parts: Sequence[Sequence[NewBatch]]) -> list[Any]:
        """When each part was created, or its refusal. A group at its limit does not block the others."""
        limits, boosts = self._limits, NO_BOOSTS
        if not self._modes.are_none and (modes := self._modes.any_of(part[0].group for part in parts)):
            by_limits: dict[GroupLimits, list[int]] = {}
            for i, part in enumerate(parts):
                by_limits.setdefault(modes.get(part[0].group, NO_MODE).limits(self._limits), []).append(i)
            if len(by_limits) > 1:
                return await self._send_shares(partition, parts, list(by_limits.values()))
            [limits], boosts = by_limits, boosts_of(modes)
        try:
            return await self._send_all(partition, parts, limits, boosts)
        except LimitReached:
            if len(parts) == 1:
                raise
        groups: dict[str, list[int]] = {}
        for i, part in enumerate(parts):
            groups.setdefault(part[0].group, []).append(i)
        shares = list(groups.values()) if len(groups) > 1 else [[i] for i in range(len(parts))]
        return await self._send_shares(partition, parts, shares)

    async def _send_shares(
        self, partition: str, parts: Sequence[Sequence[NewBatch]], shares: Sequence[Sequence[int]]
    ) -> list[Any]:
        """Send some parts apart from the others; `shares` has their positions."""
        calls = (self._send(partition, [parts[i] for i in share]) for share in shares)
        outcomes: list[Any] = [None] * len(parts)
        for share, outcome in zip(shares, await asyncio.gather(*calls, return_exceptions=True), strict=True):
            for at, i in enumerate(share):
                outcomes[i] = outcome if isinstance(outcome, BaseException) else outcome[at]
        return outcomes

    async def _send_all(
        self,
        partition: str,
        parts: Sequence[Sequence[NewBatch]],
        limits: GroupLimits,
        boosts: Mapping[str, int],
    ) -> list[_Created]:
        batches = merged(batch for part in parts for batch in part) if len(parts) > 1 else parts[0]
        immediate = sum(len(batch.ids) for batch in batches if not batch.settings.delay)
        first = (self._clock.now, "", "", "", "", "", immediate, *limits)
        broker = "" if self.on_enqueue is None else self._broker
        enqueueing = start_inline(run_enqueue(self._partitions, partition, first, batches, broker, boosts))
        if self.on_enqueue is not None and immediate:
            for group in {batch.group for batch in batches}:
                self.on_enqueue(group)
        created_at, *more = await enqueueing
        for batch in batches:
            self._tally.enqueued(batch.group, len(batch.ids), batch.ids)
        if not more:
            return [_Created(int(created_at), 0)] * len(parts)
        full = _full_groups(more)
        return [_Created(int(created_at), full.get(part[0].group, 0)) for part in parts]


async def run_enqueue(
    partitions: Partitions,
    partition: str,
    first: Sequence[Word],
    batches: Sequence[NewBatch],
    broker: str = "",
    boosts: Mapping[str, int] = NO_BOOSTS,
) -> Any:
    """The reply of enqueue.lua to these batches; `first`: its arguments before `broker`. Raises its refusal.

    Commands that this broker sends after this call batch after it, unless the specs are staged.
    """
    if not are_large(batches):
        return await partitions.run("enqueue", partition, *first, broker, *enqueue_words(batches, boosts))
    await stage(partitions, partition, batches)
    return await partitions.run("enqueue", partition, *first, "", *enqueue_words(batches, boosts, is_staged=True))


def _full_groups(more: Sequence[Any]) -> dict[str, int]:
    """How full groups are in percent, in the reply of enqueue.lua after the time and nil."""
    return {name.decode(): percent for name, percent in zip(more[1::2], more[2::2], strict=True)}


def _digest(jobs: Sequence[PlainJob], *, is_plain: bool) -> str:
    """The SHA-256 of a body. That of plain jobs is of the fields that they always had: older builds have the same."""
    fields = [_fields(job) for job in jobs] if is_plain else jobs
    return hashlib.sha256(_encode(fields)).hexdigest()


def _fields(job: PlainJob) -> dict[str, Any]:
    policy = getattr(job, "retry", None)
    return {name: getattr(job, name) for name in _PLAIN} | ({"retry": policy} if policy else {})
