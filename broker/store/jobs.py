"""The verbs of one job that need no lease, and the list of a group's jobs."""

import time
from collections.abc import Coroutine, Sequence
from typing import Any

from broker.core.ids import Ids
from broker.core.states import Status
from broker.models.jobs import Job
from broker.resp.partitions import ROUND_S, Partitions
from broker.resp.resp_connection import Word
from broker.store.clock import Clock
from broker.store.enqueuer import GroupLimits
from broker.store.format.replies import Followed, field_of, followed_of, job_of
from broker.store.pagination import ANSWER_BYTES, PIECE, cursor_in, cursor_of, place, set_of


class Jobs:
    """Shows, cancels, retries, removes and lists jobs, and notes their logs."""

    def __init__(self, partitions: Partitions, clock: Clock, ids: Ids, limits: GroupLimits) -> None:
        self._partitions = partitions
        self._clock = clock
        self._ids = ids
        self._limits = limits

    async def show(self, group: str, job_id: str) -> Job:
        """The job. Raises NotFound."""
        return job_of(await self._run("show", group, group, job_id), is_shown=True)

    async def has_log(self, group: str, job_id: str) -> bool:
        """Whether a log is stored for the job. Raises NotFound."""
        return field_of(await self._run("show", group, group, job_id), "log_bytes") is not None

    async def cancel(self, group: str, job_id: str) -> Job:
        """End a job that is not finished. Raises NotFound, WrongState."""
        return job_of(await self._run("cancel", group, self._clock.now, group, job_id))

    async def retry(self, group: str, job_id: str) -> Job:
        """Do a finished job again: the new job. Raises NotFound, WrongState, LimitReached."""
        [new_id] = self._ids.take(1)
        return job_of(await self._run("retry", group, self._clock.now, group, job_id, new_id, *self._limits))

    async def remove(self, group: str, job_id: str) -> bool:
        """Forget a finished job; True when its log is left to delete. Raises NotFound, WrongState."""
        return bool(await self._run("remove", group, self._clock.now, group, job_id))

    async def log(
        self, group: str, job_id: str, size_bytes: int | None = None, lease: str = "", *, is_more: bool = False
    ) -> Job:
        """Note that the job's log is stored, or with no size that it is about to be. Raises NotFound, WrongState.

        `is_more`: it is the beginning of the log of a running job. With a `lease` raises LeaseLost for another's job.
        """
        size = "" if size_bytes is None else size_bytes
        arguments = (group, job_id, size, lease, "more" if is_more else "")
        return job_of(await self._run("log", group, self._clock.now, *arguments))

    async def follow(self, group: str, job_id: str) -> Followed:
        """What a follower of the job's log must know. Raises NotFound."""
        return followed_of(await self._run("follow", group, self._clock.now, group, job_id))

    def _run(self, verb: str, group: str, *arguments: Word) -> Coroutine[Any, Any, Any]:
        """A script in the partition of the group. Raises its refusal."""
        return self._partitions.run(verb, self._partitions.of(group), *arguments)

    async def list(  # the last method: below it the word would no longer mean the type
        self,
        group: str,
        n: int,
        *,
        created_after: int | None = None,
        cursor: str = "",
        statuses: Sequence[Status] = (),
        newest_first: bool = False,
    ) -> tuple[list[Job], str]:
        """A page of a group's jobs by creation, or of some statuses; and the cursor, '' at the end.

        Statuses come one after the other as they are given, each in its set's own order. Looks at n jobs at most, so a
        page that is narrowed by both status and created_after may be short of n; and so may one of large jobs, or of a
        slow store.
        """
        after: str | int = "" if created_after is None else created_after
        order = "desc" if newest_first else "asc"
        sets = tuple(dict.fromkeys(statuses)) or ("jobs",)
        i, begin = set_of(cursor, sets)
        jobs: list[Job] = []
        left, size_bytes, end, is_full = n, 0, time.monotonic() + ROUND_S, False
        while i < len(sets):
            # of a full page a look at one job tells whether the next set has any: the last page has no cursor
            arguments = (group, sets[i], 1 if is_full else min(left, PIECE), after, order, *place(begin))
            score, last, looked, piece_bytes, *rows = await self._run("list", group, *arguments)
            if is_full and looked:
                return jobs, cursor_in(sets, i, "")
            jobs += [job_of(row) for row in rows]
            begin = cursor_of(score, last)
            left, size_bytes = left - looked, size_bytes + piece_bytes
            is_full = left <= 0 or size_bytes >= ANSWER_BYTES or time.monotonic() > end
            if begin and is_full:
                return jobs, cursor_in(sets, i, begin)
            i += not begin
        return jobs, ""
