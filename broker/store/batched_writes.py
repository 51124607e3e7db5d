"""The hot verbs beside `next`: what is asked in one turn of the loop leaves as one script for each verb and partition.

The scripts take many items anyway, and each item has its own outcome, so nobody notices whose call shared a run.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from broker.core.errors import LeaseLost, LimitReached, NotFound, WrongState
from broker.core.inline_task import begun
from broker.resp.partitions import Partitions, outcome
from broker.store.batcher import MOST_JOBS, Ticks
from broker.store.format.script_args import Ended, NewRun, finish_words, joined, touch_words
from broker.store.limits import Limits
from broker.store.staged_payloads import run_enqueue

Held = tuple[str, str, str]
"""A job that is touched: group, id, lease."""


class Hot:
    """Enqueue, touch and finish. `now` answers '' for the store's clock; in tests a time in ms.

    `limits` are what groups may have; `grace_ms`: how much longer than a job's timeout a short lease may last.
    `is_stepwise`: the store answers with futures only. `on_enqueue` is told a group
    when new jobs of it are on their way: what is asked then comes behind them, so `broker`, a name of our own, spares
    the store from telling us.
    """

    def __init__(
        self,
        partitions: Partitions,
        now: Callable[[], str],
        limits: Limits,
        grace_ms: int,
        *,
        broker: str,
        is_stepwise: bool,
    ) -> None:
        self.on_enqueue: Callable[[str | None], None] | None = None
        self._partitions = partitions
        self._now = now
        self._limits = limits
        self._grace_ms = grace_ms
        self.is_stepwise = is_stepwise
        self._broker = broker
        self._enqueues: dict[str, Ticks[Sequence[NewRun], int]] = self._ticks(self._enqueue)
        self._touches: dict[str, Ticks[Sequence[Held], list[Any]]] = self._ticks(self._touch)
        self._finishes: dict[str, Ticks[Sequence[Ended], list[Any]]] = self._ticks(self._finish)
        self._finishes_with_job: dict[str, Ticks[Sequence[Ended], list[Any]]] = self._ticks(self._finish_with_job)

    def enqueue(self, group: str, runs: Sequence[NewRun]) -> asyncio.Future[int]:
        """Put new jobs into a group; when, ms. Raises Invalid, TooLarge, LimitReached."""
        jobs = sum([len(run.ids) for run in runs])
        size_bytes = sum([len(spec) for run in runs for spec in run.specs])
        self._limits.check(jobs, size_bytes)
        return self._enqueues[self._partitions.of(group)].call(runs, jobs, size_bytes)

    async def touch(self, items: Sequence[Held]) -> list[Any]:
        """For each job the new end of its lease, ms, or its refusal."""
        return await self._spread(self._touches, items)

    async def finish(self, items: Sequence[Ended], want: str = "") -> list[Any]:
        """For each job its row if `want` is 'job', else 1; or its refusal."""
        return await self._spread(self._finishes_with_job if want else self._finishes, items)

    async def _spread(self, ticks: dict[str, Ticks[Sequence[Any], list[Any]]], items: Sequence[Any]) -> list[Any]:
        """Each item in the partition of its group, which it begins with, in lots that the store serves others between.

        The outcomes are in the order of the items.
        """
        if len(ticks) == 1 and len(items) <= MOST_JOBS:
            [only] = ticks.values()
            return await only.call(items, len(items))
        places: dict[str, list[int]] = {}
        for i, item in enumerate(items):
            places.setdefault(self._partitions.of(item[0]), []).append(i)
        lots = [(name, own[i : i + MOST_JOBS]) for name, own in places.items() for i in range(0, len(own), MOST_JOBS)]
        told = await asyncio.gather(*[ticks[name].call([items[i] for i in own], len(own)) for name, own in lots])
        outcomes: list[Any] = [None] * len(items)
        for (_, own), these in zip(lots, told, strict=True):
            for i, what in zip(own, these, strict=True):
                outcomes[i] = what
        return outcomes

    def _ticks(self, send: Callable[[str, Sequence[Any]], Coroutine[Any, Any, Any]]) -> dict[str, Ticks[Any, Any]]:
        return {name: Ticks(partial(send, name), is_stepwise=self.is_stepwise) for name in self._partitions.names}

    async def _enqueue(self, partition: str, parts: Sequence[Sequence[NewRun]]) -> list[Any]:
        """When, ms, for each part; or its refusal. A group that is at a limit does not hold up the others."""
        try:
            return await self._enqueue_all(partition, parts)
        except LimitReached:
            if len(parts) == 1:
                raise
        groups: dict[str, list[int]] = {}
        for i, part in enumerate(parts):
            groups.setdefault(part[0].group, []).append(i)
        lots = list(groups.values()) if len(groups) > 1 else [[i] for i in range(len(parts))]
        calls = (self._enqueue(partition, [parts[i] for i in lot]) for lot in lots)
        outcomes: list[Any] = [None] * len(parts)
        for lot, outcome_ in zip(lots, await asyncio.gather(*calls, return_exceptions=True), strict=True):
            for at, i in enumerate(lot):
                outcomes[i] = outcome_ if isinstance(outcome_, BaseException) else outcome_[at]
        return outcomes

    async def _enqueue_all(self, partition: str, parts: Sequence[Sequence[NewRun]]) -> list[int]:
        runs = joined(run for part in parts for run in part)
        total = sum(len(run.ids) for run in runs if not run.settings.delay)
        first = (self._now(), "", "", "", "", "", total, *self._limits)
        broker = "" if self.on_enqueue is None else self._broker
        enqueueing = begun(run_enqueue(self._partitions, partition, first, runs, broker), is_stepwise=self.is_stepwise)
        if self.on_enqueue is not None and total:
            for group in {run.group for run in runs}:
                self.on_enqueue(group)
        [created_at] = await enqueueing
        return [int(created_at)] * len(parts)

    async def _touch(self, partition: str, parts: Sequence[Sequence[Held]]) -> list[list[Any]]:
        words, places = touch_words(item for part in parts for item in part)
        return await self._outcomes("touch", partition, (self._now(), self._grace_ms, *words), places, parts)

    async def _finish(self, partition: str, parts: Sequence[Sequence[Ended]], want: str = "") -> list[list[Any]]:
        words, places = finish_words([item for part in parts for item in part])
        return await self._outcomes("finish", partition, (self._now(), want, *words), places, parts)

    async def _finish_with_job(self, partition: str, parts: Sequence[Sequence[Ended]]) -> list[list[Any]]:
        return await self._finish(partition, parts, "job")

    async def _outcomes(
        self,
        verb: str,
        partition: str,
        arguments: Sequence[str | int | bytes],
        places: Sequence[int],
        parts: Sequence[Any],
    ) -> list[list[Any]]:
        """The outcomes for each part; the script's reply is in the order of `places`."""
        try:
            reply = await self._partitions.run(verb, partition, *arguments)
        except (NotFound, WrongState, LeaseLost) as refused:
            if len(places) != 1:  # else the only item was refused
                raise
            reply = [refused]
        ordered: list[Any] = [None] * len(places)
        for i, row in zip(places, reply, strict=True):
            ordered[i] = outcome(row)
        outcomes = iter(ordered)
        return [[next(outcomes) for _ in part] for part in parts]
