"""Batches: groups of jobs whose ends are counted; callback jobs follow."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from broker.core.errors import Duplicate, Invalid, LimitReached
from broker.core.ids import Ids
from broker.core.settings import BrokerSettings
from broker.core.states import Status
from broker.models.batches import Batch, CallbackJob, NewBatch
from broker.models.jobs import Job, NewJob, PlainJob
from broker.resp.partitions import Partitions
from broker.resp.resp_connection import Word
from broker.store.admitter import BatchMembership, admission, admit
from broker.store.clock import Clock
from broker.store.format.answer_note import note_in, note_text
from broker.store.format.batches import CALLBACKS, batch_of
from broker.store.format.job_json import EncodedJobs
from broker.store.format.record import settings_text
from broker.store.format.replies import job_of
from broker.store.format.script_args import new_batches
from broker.store.format.traces import traced, traced_job
from broker.store.group_limits import limits_of
from broker.store.modes import Modes, with_default
from broker.store.pagination import cursor_of, position
from broker.store.staging import bytes_of
from broker.store.tally import Tally
from titan.tracing import NO_TRACE, Trace

RETRIED = 500
"""Members that one call of batch_retry.lua reads."""
NO_FIELDS = (
    "after",
    "after_on",
    "ref",
    "unique",
    "key",
    "run_at",
    "start_within",
    "start_before",
    "end_within",
    "end_before",
)
"""Fields that a callback may not have."""
_encode = msgspec.json.Encoder().encode


class Batches:
    """Creates, shows, lists, closes, cancels and retries batches, and adds members."""

    def __init__(
        self,
        partitions: Partitions,
        clock: Clock,
        ids: Ids,
        tally: Tally,
        settings: BrokerSettings,
        image_of: Callable[[str], Awaitable[str]],
        broker: str,
        modes: Modes,
    ) -> None:
        self._partitions = partitions
        self._clock = clock
        self._ids = ids
        self._tally = tally
        self._ttl_ms = settings.idempotency_ttl_s * 1000
        self._limits = limits_of(settings)
        self._image_of = image_of
        self._broker = broker
        self.created = 0
        """How many batches were created at this broker."""
        self._modes = modes

    async def create(self, group: str, new: NewBatch, key: str = "", trace: Trace = NO_TRACE) -> tuple[Batch, bool]:
        """Open a batch with its first members, all or nothing; whether the answer is of an earlier call with the key.

        `trace`: that of members and callbacks without one of their own. Raises Invalid, IdempotencyMismatch,
        LimitReached, Duplicate.
        """
        [batch_id] = self._ids.take(1)
        fields: list[Word] = ["open", int(new.open)]
        if new.name:
            fields += ["name", new.name]
        if new.end_within:
            fields += ["end_within", new.end_within]
        if self._modes.of(group).limits(self._limits).bytes:
            fields += ["counts", 1]
        for name in CALLBACKS:
            job = getattr(new, name)
            if job is not None:
                fields += [name, await self._callback(group, name, traced_job(job, trace))]
        digest = hashlib.sha256(_encode(new)).hexdigest()
        membership = BatchMembership(batch_id, fields)
        found, is_replayed = await self._admit(group, traced(new.jobs, trace), membership, key, digest, "batch.jobs")
        self.created += not is_replayed
        return await self.show(group, found[0]), is_replayed

    async def add(
        self,
        group: str,
        batch_id: str,
        jobs: Sequence[NewJob],
        member: str = "",
        lease: str = "",
        key: str = "",
        trace: Trace = NO_TRACE,
    ) -> tuple[EncodedJobs, bool]:
        """Add members to an open batch, or with the lease of a running member to any unfinished one.

        Raises NotFound, WrongState, LeaseLost, Invalid, IdempotencyMismatch, LimitReached, Duplicate.
        """
        digest = hashlib.sha256(_encode((batch_id, jobs))).hexdigest()
        asked = f"{batch_id} {member} {lease}" if member else batch_id
        (_, encoded), is_replayed = await self._admit(
            group, traced(jobs, trace), BatchMembership(asked), key, digest, "jobs"
        )
        return encoded, is_replayed

    async def show(self, group: str, batch_id: str) -> Batch:
        """The batch. Raises NotFound."""
        return await self._batch(group, batch_id, "show")

    async def close(self, group: str, batch_id: str) -> Batch:
        """Add no more members. Raises NotFound."""
        return await self._batch(group, batch_id, "close")

    async def cancel(self, group: str, batch_id: str) -> Batch:
        """Have the unfinished members cancelled, step by step. Raises NotFound, WrongState."""
        return await self._batch(group, batch_id, "cancel")

    async def retry_batch(self, group: str, batch_id: str, actor: str = "", key: str = "") -> tuple[Batch, bool]:
        """Create a new batch that repeats the members that failed; whether an earlier call with the key did so.

        A call that was cut off is continued by the next one. Raises NotFound, WrongState, LimitReached.
        """
        new_batch, *callbacks = self._ids.take(1 + len(CALLBACKS))
        words = (group, batch_id, new_batch, key, *self._limits, actor, " ".join(callbacks))
        while True:
            reply = await self._run("batch_retry", group, self._clock.now, *words, *self._ids.take(RETRIED))
            made, what, n = reply[0].decode(), reply[1].decode(), int(reply[2])
            self._tally.repeated(group, "bulk", n=n)
            if what != "more":
                self.created += what == "last"
                return await self.show(group, made), what == "replayed"

    async def members(
        self, group: str, batch_id: str, n: int, cursor: str = "", statuses: Sequence[Status] = ()
    ) -> tuple[list[Job], str]:
        """A page of its members by creation, n of them read at most, and the cursor. Raises NotFound."""
        words = (group, batch_id, n, " ".join(statuses), *position(cursor))
        score, after, *rows = await self._run("batch_jobs", group, *words)
        return [job_of(row) for row in rows], cursor_of(score, after)

    async def list(self, group: str, n: int, cursor: str = "", order: str = "asc") -> tuple[list[Batch], str]:
        """A page of the batches of a group by creation, and the cursor."""
        score, after, *rows = await self._run("batches", group, group, n, order, *position(cursor))
        return [batch_of(row) for row in rows], cursor_of(score, after)

    async def _batch(self, group: str, batch_id: str, what: str) -> Batch:
        return batch_of(await self._run("batch", group, self._clock.now, group, batch_id, what))

    async def _run(self, verb: str, group: str, *words: Word) -> Any:
        return await self._partitions.run(verb, self._partitions.of(group), *words)

    async def _callback(self, group: str, name: str, job: CallbackJob) -> bytes:
        """The words of a callback job, as settle.lua creates it."""
        path, of = f"batch.{name}", job.group_name or group
        refused = next((field for field in NO_FIELDS if getattr(job, field)), None)
        if refused:
            raise Invalid(f"A callback may not have {refused}.", fields=f"{path}.{refused}")
        if self._partitions.of(of) != self._partitions.of(group):
            raise Invalid(f"The group {of} is in another partition.", fields=f"{path}.group_name")
        image = job.image or await self._image_of(of)
        if not image:
            raise Invalid("An image is needed: the group has none of its own.", fields=f"{path}.image")
        [job_id], own = self._ids.take(1), msgspec.structs.replace(job, delay=None)
        [made] = new_batches(of, [own], [job_id], image)
        due = f"+{job.delay * 1000}" if job.delay else "-"
        words = (of, job_id, str(made.settings.priority), due, settings_text(made.settings).decode() or "-")
        return " ".join(words).encode() + b" " + made.specs[0]

    async def _admit(
        self, group: str, jobs: Sequence[PlainJob], membership: BatchMembership, key: str, digest: str, field: str
    ) -> tuple[tuple[str, EncodedJobs], bool]:
        """The id of the batch and its new members; whether they are of an earlier call."""
        missing = next((i for i, job in enumerate(jobs) if not job.image), None)
        image = "" if missing is None else await self._image_of(group)
        ids, mode = self._ids.take(len(jobs)), self._modes.of(group)
        start_within_s, limits = mode.start_within, mode.limits(self._limits)
        first: list[Word] = [self._clock.now, "", "", "", "", ""]
        batch_id = membership.asked.partition(" ")[0]
        if key:
            note = note_text([batch_id, *ids], image, start_within_s)
            first[1:5] = [f"{group}:{key}", digest, self._ttl_ms, note]
        if missing is not None and not image:
            first[5] = f"{field}[{missing}].image"
        try:
            asked = admission(group, with_default(jobs, start_within_s), ids, image, membership)
            created_at, noted, *new = await admit(self._partitions, first, limits, "", asked, mode)
        except LimitReached:
            limits.check(len(jobs), bytes_of(asked.batches))
            raise
        except (Invalid, Duplicate) as error:
            if isinstance(error, Duplicate):
                self._tally.duplicate(["refuse"])
            raise _placed(error, field) from None
        if new:
            outcomes = new[0].decode().split(",") if new[0] else []
        else:
            (batch_id, *ids), image, start_within_s, outcomes = note_in(noted.decode())
            own = membership._replace(asked=batch_id)
            asked = admission(group, with_default(jobs, start_within_s), ids, image, own)
        if new:
            made = asked.made(outcomes)
            self._tally.enqueued(group, len(made), made)
            self._tally.duplicate(asked.duplicates(outcomes))
        encoded = [await self._holder(group, one) for one in asked.encoded(int(created_at), outcomes)]
        return (batch_id, EncodedJobs(encoded, is_replayed=not new, full=new[1] if new[1:] else 0)), not new

    async def _holder(self, group: str, job: bytes | str) -> bytes:
        """The JSON of a new job; of the one that has its unique key, if it was not created. Raises NotFound."""
        if isinstance(job, bytes):
            return job
        holder = job_of(await self._run("show", group, group, job))
        holder.duplicate = True
        return _encode(holder)


def _placed(error: Invalid | Duplicate, field: str) -> Invalid | Duplicate:
    """The refusal of new jobs, which names `jobs[0].after[0]`, with the path of the jobs in the body: `field`."""
    if not error.fields.startswith("jobs["):
        return error
    return type(error)(error.message.replace("jobs[", f"{field}[", 1), fields=error.fields.replace("jobs", field, 1))
