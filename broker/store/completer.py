"""Touches and finishes running jobs.

Calls made in one event-loop iteration share one script call for each verb and partition.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from broker.core.errors import Invalid, LeaseLost, NotFound, TitanError, WrongState
from broker.core.ids import Ids
from broker.core.timestamps import milliseconds
from broker.models.jobs import Job
from broker.models.reports import Finish, Held
from broker.models.workers import Receipt
from broker.resp.partitions import Partitions, outcome
from broker.resp.resp_connection import Word
from broker.store.batcher import MOST_JOBS, Batcher
from broker.store.clock import Clock
from broker.store.ends import Ends, end_of
from broker.store.format.job_json import finished
from broker.store.format.replies import field_of, job_of
from broker.store.format.script_args import (
    HeldWords,
    Report,
    finish_words,
    held_words,
    receipt_text,
    report_of,
    touch_words,
)
from broker.store.tally import Tally

_Batches = Mapping[str, Batcher[Sequence[Any], list[Any]]]


class Completer:
    """Takes what consumers report of running jobs: touch, succeed, fail, finish, release and wait.

    `grace_ms`: how much longer than a job's timeout a short lease may last.
    """

    def __init__(self, partitions: Partitions, clock: Clock, ids: Ids, tally: Tally, grace_ms: int, ends: Ends) -> None:
        self._partitions = partitions
        self._clock = clock
        self._ids = ids
        self._tally = tally
        self._grace_ms = grace_ms
        self._ends = ends
        self._touches = self._batches(self._send_touches)
        self._finishes = self._batches(self._send_finishes)
        self._finishes_with_job = self._batches(partial(self._send_finishes, reply_with="job"))

    async def touch(self, items: Sequence[Held]) -> list[int | TitanError]:
        """Renew leases: for each item the end of its lease, ms, or NotFound, WrongState, LeaseLost."""
        return await self._spread(self._touches, [held_words(item) for item in items])

    async def succeed(self, report: Finish) -> bytes:
        """Mark a running job as succeeded; the job as JSON. Raises NotFound, WrongState, LeaseLost."""
        return await self._finish_one(report)

    async def fail(self, report: Finish) -> bytes:
        """Mark a running job as failed, with its automatic retry, or have it wait for its next try; the job as JSON.

        Raises as `succeed` does.
        """
        return await self._finish_one(report)

    async def finish(self, items: Sequence[Finish]) -> list[TitanError | None]:
        """Succeed and fail many jobs: for each item None, or NotFound, WrongState, LeaseLost."""
        rows = await self._spread(self._finishes, [self._report(item) for item in items])
        return [row if isinstance(row, TitanError) else None for row in rows]

    async def release(
        self,
        group: str,
        job_id: str,
        lease: str = "",
        delay: int = 0,
        receipt: Receipt | None = None,
        actor: str = "",
    ) -> Job:
        """Requeue a running job; the delivery is not counted. `actor` is named in its history.

        Raises NotFound, WrongState, LeaseLost.
        """
        arguments = (self._clock.now, actor, group, job_id, lease, delay, receipt_text(receipt, "released"))
        [row] = await self._partitions.run("release", self._partitions.of(group), *arguments)
        self._tally.released(group, job_id, actor)
        return job_of(row)

    async def wait(
        self,
        group: str,
        job_id: str,
        after: Sequence[str],
        after_on: str = "over",
        lease: str = "",
        receipt: Receipt | None = None,
        actor: str = "",
    ) -> Job:
        """Give a running job back until other jobs have ended; the delivery is not counted.

        A repeat with the same lease changes nothing. `actor` is named in its history. Raises NotFound, WrongState,
        LeaseLost, Invalid, LimitReached.
        """
        names = (" ".join(dict.fromkeys(after)), after_on, receipt_text(receipt, "waited"))
        arguments = (self._clock.now, actor, group, job_id, lease, *names)
        try:
            row = await self._partitions.run("wait", self._partitions.of(group), *arguments)
        except Invalid as error:
            if error.fields not in after:
                raise
            fields = f"after[{after.index(error.fields)}]"
            raise Invalid(f"{fields}: {error.message}", fields=fields) from None
        if field_of(row, "repeated") is None:
            self._tally.released(group, job_id, actor)
        return job_of(row)

    async def _finish_one(self, report: Finish) -> bytes:
        [row] = await self._spread(self._finishes_with_job, [self._report(report)])
        if isinstance(row, TitanError):
            raise row
        return finished(report.id, row)

    def _report(self, item: Finish) -> Report:
        completed_at = milliseconds(item.completed_at) if item.completed_at else ""
        if item.status != "failed":
            return report_of(item, completed_at, "")
        [new_id] = self._ids.take(1)
        return report_of(item, completed_at, f"!{new_id}" if item.retry is False else new_id)

    def _batches(self, send: Callable[[str, Sequence[Any]], Coroutine[Any, Any, Any]]) -> _Batches:
        return {name: Batcher(partial(send, name)) for name in self._partitions.names}

    async def _spread(self, batches: _Batches, items: Sequence[Any]) -> list[Any]:
        """The outcomes of items in their order. Each goes to the partition of its group, with which it begins.

        While some partitions answer, items of the others have StoreUnavailable as outcome. A call takes MOST_JOBS at
        most, so that the store serves other clients in between.
        """
        if len(batches) == 1 and len(items) <= MOST_JOBS:
            [only] = batches.values()
            return await only.call(items, len(items))
        partition_of = {group: self._partitions.of(group) for group in {item[0] for item in items}}
        if len(items) <= MOST_JOBS and len(names := set(partition_of.values())) == 1:
            return await batches[names.pop()].call(items, len(items))
        positions: dict[str, list[int]] = {}
        for i, item in enumerate(items):
            positions.setdefault(partition_of[item[0]], []).append(i)
        pieces = [
            (name, own[i : i + MOST_JOBS]) for name, own in positions.items() for i in range(0, len(own), MOST_JOBS)
        ]
        calls = [batches[name].call([items[i] for i in own], len(own)) for name, own in pieces]
        replies = await asyncio.gather(*calls, return_exceptions=True)
        _raise_if_none_answered(replies)
        outcomes: list[Any] = [None] * len(items)
        for (_, own), reply in zip(pieces, replies, strict=True):
            for i, one in zip(own, [reply] * len(own) if isinstance(reply, BaseException) else reply, strict=True):
                outcomes[i] = one
        return outcomes

    async def _send_touches(self, partition: str, parts: Sequence[Sequence[HeldWords]]) -> list[list[Any]]:
        words, positions = touch_words(item for part in parts for item in part)
        return await self._outcomes("touch", partition, (self._clock.now, self._grace_ms, *words), positions, parts)

    async def _send_finishes(
        self, partition: str, parts: Sequence[Sequence[Report]], *, reply_with: str = ""
    ) -> list[list[Any]]:
        words, positions = finish_words([item for part in parts for item in part])
        count = self._tally.finished_with_jobs if reply_with else self._tally.finished
        arguments = (self._clock.now, reply_with, *words)
        outcomes = await self._outcomes("finish", partition, arguments, positions, parts, partial(count, words))
        if self._ends.is_awaited:
            self._wake(parts, outcomes)
        return outcomes

    def _wake(self, parts: Sequence[Sequence[Report]], outcomes: Sequence[Sequence[Any]]) -> None:
        """Wake the clients that wait for jobs that have just ended."""
        for part, ended in zip(parts, outcomes, strict=True):
            for (group, status, words), reply in zip(part, ended, strict=True):
                if not isinstance(reply, TitanError):
                    self._ends.ended(group, str(words[0]), end_of(status, words))

    async def _outcomes(
        self,
        verb: str,
        partition: str,
        arguments: Sequence[Word],
        positions: Sequence[int],
        parts: Sequence[Any],
        count: Callable[[Sequence[Any]], None] | None = None,
    ) -> list[list[Any]]:
        """The outcomes for each part; the script's reply is in the order of `positions`. `count` gets that reply."""
        try:
            reply = await self._partitions.run(verb, partition, *arguments)
            if count is not None:
                count(reply)
        except (NotFound, WrongState, LeaseLost) as refused:
            if len(positions) != 1:  # else the only item was refused
                raise
            reply = [refused]
        ordered: list[Any] = [None] * len(positions)
        for i, row in zip(positions, reply, strict=True):
            ordered[i] = outcome(row)
        outcomes = iter(ordered)
        return [[next(outcomes) for _ in part] for part in parts]


def _raise_if_none_answered(replies: Sequence[list[Any] | BaseException]) -> None:
    """Raise an error that is no TitanError, and the first error if every reply is one."""
    faults = [reply for reply in replies if isinstance(reply, BaseException)]
    for fault in faults:
        if len(faults) == len(replies) or not isinstance(fault, TitanError):
            raise fault
