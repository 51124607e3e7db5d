"""Verbs for one job that need no lease, and the list of the jobs of a group."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from broker.core.errors import NotFound, WrongState
from broker.core.ids import Ids
from broker.core.states import Status
from broker.models.history import History
from broker.models.inputs import Input
from broker.models.jobs import MOST_DEPENDANTS, MOST_EDGES, Job, RetriedJob
from broker.resp import keys
from broker.resp.partitions import ROUND_S, Partitions
from broker.resp.resp_connection import Word
from broker.store.clock import Clock
from broker.store.ends import Ends, JobEnd
from broker.store.format.history import history_of
from broker.store.format.record import parts_of, split
from broker.store.format.replies import Followed, field_of, followed_of, inputs_of, job_of, status_of
from broker.store.group_limits import GroupLimits
from broker.store.maintenance import UNSETTLED
from broker.store.pagination import ANSWER_BYTES, PIECE, cursor_in, cursor_of, position, set_of
from broker.store.settlement import SETTLED, count_settled
from broker.store.tally import Tally

_SETTLED_FIRST = 200
"""Steps of settle, of 100 ends each, before a retry of a flow at most: ends of other jobs may be settled first."""


class Jobs:
    """Shows, cancels, retries, promotes, removes and lists jobs, and notes their logs."""

    def __init__(
        self, partitions: Partitions, clock: Clock, ids: Ids, tally: Tally, limits: GroupLimits, ends: Ends
    ) -> None:
        self._partitions = partitions
        self._clock = clock
        self._ids = ids
        self._tally = tally
        self._limits = limits
        self._ends = ends

    async def show(self, group: str, job_id: str) -> Job:
        """The job. Raises NotFound."""
        return job_of(await self._run("show", group, group, job_id), is_shown=True)

    async def find(self, job_id: str) -> str:
        """The name of the group that has the job, in whichever partition. Raises NotFound.

        Raises StoreUnavailable when no partition that answered has the job, and one did not answer.
        """
        names = self._partitions.names
        records = await asyncio.gather(
            *(self._partitions.field(p, keys.jobs(p), job_id) for p in names), return_exceptions=True
        )
        for record in records:
            if isinstance(record, bytes):
                return _group_of(record)
        for fault in records:
            if isinstance(fault, BaseException):
                raise fault
        raise NotFound("There is no such job.")

    async def statuses(self, group: str, job_ids: Sequence[str]) -> list[Status | None]:
        """The statuses of jobs, up to 1,000; None for one that the group does not have."""
        p = self._partitions.of(group)
        reads = [("HMGET", keys.jobs(p)), ("HMGET", keys.executions(p)), ("ZMSCORE", keys.members(p, group, "delayed"))]
        replies = await self._partitions.read(p, [(*read, *job_ids) for read in reads])
        return [
            status_of(execution, is_delayed=due is not None) if record and _group_of(record) == group else None
            for record, execution, due in zip(*replies, strict=True)
        ]

    async def has_log(self, group: str, job_id: str) -> bool:
        """Whether a log is stored for the job. Raises NotFound."""
        return field_of(await self._run("show", group, group, job_id), "log_bytes") is not None

    async def history(self, group: str, job_id: str) -> History:
        """What happened to the job. Raises NotFound."""
        return history_of(await self._run("show", group, group, job_id))

    async def inputs(self, group: str, job_id: str) -> list[Input]:
        """What the job got from those that it waits for, in the order of `after`. Raises NotFound."""
        return inputs_of(await self._run("inputs", group, group, job_id))

    async def cancel(self, group: str, job_id: str, actor: str = "", *, may_repeat: bool = True) -> Job:
        """Cancel an unfinished job. `actor` is named in its history. Raises NotFound, WrongState.

        A job that is cancelled already stays as it is; without `may_repeat` it is a WrongState.
        """
        row = await self._run("cancel", group, self._clock.now, group, job_id, actor)
        job = job_of(row)
        if field_of(row, "repeated") is None:
            self._tally.cancelled(group, 1, (job_id,), actor)
            self._ends.ended(group, job_id, JobEnd("cancelled", reason=job.reason or ""))
        elif not may_repeat:
            raise WrongState(f"The job is cancelled, since {job.completed_at}.")
        return job

    async def retry(self, group: str, job_id: str, actor: str = "") -> Job:
        """Create a job that repeats a finished one; the new job. `actor` is named in its history.

        Raises NotFound, WrongState, LimitReached.
        """
        [new_id] = self._ids.take(1)
        row = await self._run("retry", group, self._clock.now, group, job_id, new_id, *self._limits, actor)
        self._tally.repeated(group, "manual", (new_id,), (job_id,), actor)
        return job_of(row)

    async def retry_flow(self, group: str, job_id: str, actor: str = "") -> tuple[Job, list[RetriedJob]]:
        """Repeat a finished job, and the jobs that were cancelled since it did not succeed; they are wired as before.

        The new job, and which job repeats which of the others. Raises NotFound, WrongState, Invalid, LimitReached,
        Duplicate.
        """
        for _ in range(_SETTLED_FIRST):  # else jobs would be cancelled after the retry, and not be repeated
            if not count_settled(self._tally, await self._run("settle", group, self._clock.now, SETTLED)).n:
                break
        new_ids = self._ids.take(1 + MOST_DEPENDANTS)
        row, *words = await self._run(
            "retry_flow", group, self._clock.now, group, job_id, *self._limits, actor, MOST_EDGES, *new_ids
        )
        texts = [word.decode() for word in words]
        others = [RetriedJob(*three) for three in zip(*[iter(texts)] * 3, strict=True)]
        for name in (group, *(other.group_name for other in others)):
            self._tally.repeated(name, "manual")
        self._tally.noted("retried", group, (job_id,), actor)
        return job_of(row), others

    async def promote(self, group: str, job_id: str, actor: str = "") -> Job:
        """Queue a delayed job now. `actor` is named in its history. Raises NotFound, WrongState."""
        job = job_of(await self._run("promote", group, self._clock.now, group, job_id, actor))
        self._tally.promoted(group, (job_id,), actor)
        return job

    async def remove(self, group: str, job_id: str) -> bool:
        """Delete a finished job; True if it has a log to delete. Raises NotFound, WrongState."""
        while (reply := await self._run("remove", group, self._clock.now, group, job_id)) == UNSETTLED:
            count_settled(self._tally, await self._run("settle", group, self._clock.now, SETTLED))
        return bool(reply)

    async def clock(self, group: str) -> int:
        """The clock of the server that has the group, in µs."""
        return int(await self._run("clock", group))

    async def log(
        self, group: str, job_id: str, size_bytes: int | None = None, lease: str = "", *, is_more: bool = False
    ) -> Job:
        """Note that the log of a job is stored, or, without a size, will be. Raises NotFound, WrongState.

        `is_more`: it is the first part of the log of a running job. Raises LeaseLost if `lease` has lost the job.
        """
        size = "" if size_bytes is None else size_bytes
        arguments = (group, job_id, size, lease, "more" if is_more else "")
        return job_of(await self._run("log", group, self._clock.now, *arguments))

    async def follow(self, group: str, job_id: str) -> Followed:
        """The fields that a follower of the log needs. Raises NotFound."""
        return followed_of(await self._run("follow", group, self._clock.now, group, job_id))

    def _run(self, verb: str, group: str, *arguments: Word) -> Coroutine[Any, Any, Any]:
        """Run a script in the partition of the group. Raises its refusal."""
        return self._partitions.run(verb, self._partitions.of(group), *arguments)

    async def list(  # the last method: after it `list` would no longer be the type
        self,
        group: str,
        n: int,
        *,
        created_after: int | None = None,
        cursor: str = "",
        statuses: Sequence[Status] = (),
        newest_first: bool = False,
        has_results: bool = False,
    ) -> tuple[list[Job], str]:
        """A page of a group's jobs by creation, or of some statuses; and the cursor, '' at the end.

        Statuses follow each other in the given order, each in the order of its set. It reads n jobs at most: a page
        with both filters may have fewer than n, and so may a page of large jobs or of a slow store. `has_results`: each
        job has its result.
        """
        after: str | int = "" if created_after is None else created_after
        order = "desc" if newest_first else "asc"
        sets = tuple(dict.fromkeys(statuses)) or ("jobs",)
        i, begin = set_of(cursor, sets)
        jobs: list[Job] = []
        left, size_bytes, end, is_full = n, 0, time.monotonic() + ROUND_S, False
        while i < len(sets):
            # the page is full: one job of the next set shows whether a cursor is needed
            most = 1 if is_full else min(left, PIECE)
            arguments = (group, sets[i], most, after, order, *position(begin), "result" if has_results else "")
            score, last, looked, piece_bytes, *rows = await self._run("list", group, *arguments)
            if is_full and looked:
                return jobs, cursor_in(sets, i, "")
            jobs += [job_of(row, has_result=has_results) for row in rows]
            begin = cursor_of(score, last)
            left, size_bytes = left - looked, size_bytes + piece_bytes
            is_full = left <= 0 or size_bytes >= ANSWER_BYTES or time.monotonic() > end
            if begin and is_full:
                return jobs, cursor_in(sets, i, begin)
            i += not begin
        return jobs, ""


def _group_of(record: bytes) -> str:
    """The group in a record."""
    return parts_of(split(record)[0]).group_name.decode()
