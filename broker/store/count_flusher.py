"""Brings the counts of a broker to the store: every 10 s, and when the broker stops.

The cost depends on the number of groups that were active, not on the number of jobs. If a flush takes the store more
than 20 ms, the time between two of them doubles, up to a minute. What was counted since the last flush is lost when
the broker is killed.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from broker.core.errors import TitanError
from broker.core.events import event
from broker.core.words import counted
from broker.metrics.exposition import Family, Sample, counter, gauge
from broker.metrics.group_labels import GroupLabels
from broker.resp.partitions import Partitions
from broker.resp.resp_connection import Word
from broker.store.clock import Clock
from broker.store.group_counts import TAKEN, GroupCounts
from broker.store.tally import Tally

EVERY_S, LONGEST_S, JITTER_S = 10.0, 60.0, 1.0
"""The time between two flushes, the longest one, and how much it varies, so that brokers do not flush together."""
MOST_STORE_S = 0.02
"""A flush that takes the store longer doubles the time until the next one."""
PIECE = 100
"""Groups in one call of count.lua."""
LAST_S = 1.0
"""How long the flush at a stop may take, in s."""

_log = logging.getLogger(__name__)


class _Piece(NamedTuple):
    """One call of count.lua. A call without an answer is repeated with the same number, and counts once."""

    number: int
    groups: Sequence[tuple[str, GroupCounts]]


class CountFlusher:
    """Takes what the tally has and sends it, partition by partition.

    `broker`: the sender. `most`: groups with statistics of their own, a partition.
    """

    def __init__(self, partitions: Partitions, clock: Clock, tally: Tally, broker: str, most: int) -> None:
        self.every_s = EVERY_S
        self._partitions = partitions
        self._clock = clock
        self._tally = tally
        self._broker = broker
        self._most = most
        self._number = 0
        self._took_s = 0.0
        self._flushed_at = time.monotonic()
        self._pieces: dict[str, deque[_Piece]] = {name: deque() for name in partitions.names}
        self._turn = asyncio.Lock()

    def label_groups(self, patterns: Sequence[str], shared: Path | None) -> None:
        """Choose which groups are labels of metrics, before the first job; see broker/metrics/group_labels.py."""
        self._tally.totals.labels = GroupLabels(patterns, shared)

    @property
    def labels(self) -> GroupLabels:
        """The labels of groups."""
        return self._tally.totals.labels

    async def run(self) -> None:
        """Flush until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(self.every_s + random.uniform(-JITTER_S, JITTER_S))  # noqa: S311 - no secret
                await self.flush()
        finally:
            try:
                async with asyncio.timeout(LAST_S):
                    await self.flush()
            except TimeoutError:
                pass
            if lost := len(self._tally.groups) + sum(map(len, self._pieces.values())):
                words = "counts.dropped: the counts of %s or more did not reach the store"
                _log.warning(words, counted(lost, "group"), extra=event("counts.dropped", groups=lost))

    async def flush(self) -> bool:
        """Send what was counted; whether all of it is in the store. What is not is sent by the next flush."""
        async with self._turn:
            self._cut()
            self._took_s, waiting = 0.0, set(self._partitions.names)
            while names := [name for name in self._pieces if name in waiting and self._pieces[name]]:
                waiting -= await self._send(names)
            if self._took_s > MOST_STORE_S:
                self.every_s = min(2 * self.every_s, LONGEST_S)
            elif self._took_s < MOST_STORE_S / 4:
                self.every_s = max(self.every_s / 2, EVERY_S)
            is_whole = not any(self._pieces.values())
            if is_whole:
                self._flushed_at = time.monotonic()
            return is_whole

    def families(self) -> list[Family]:
        """What happened to jobs since the start, and how long the last flush took, as metrics."""
        took = [Sample(self._took_s)]
        duplicates = [Sample(n, {"policy": policy}) for policy, n in self._tally.duplicates.items()]
        return [
            gauge("titan_count_flush_seconds", "How long the last flush of counts took.", took, "max"),
            gauge("titan_count_flush_age_seconds", "How old the last flush that succeeded is.", self._age(), "max"),
            counter("titan_duplicates_total", "New jobs whose unique key a job held, by on_conflict.", duplicates),
            *self._tally.totals.families(self._tally.groups),
        ]

    def _age(self) -> list[Sample]:
        return [Sample(time.monotonic() - self._flushed_at)]

    async def _send(self, names: Sequence[str]) -> set[str]:
        """Send the next piece of each of these partitions; those that did not take it."""
        head = (self._clock.now, self._broker)
        pieces = [self._pieces[name][0] for name in names]
        arguments = [(*head, piece.number, self._most, *_words(piece.groups)) for piece in pieces]
        began = time.monotonic()
        try:
            replies = await self._partitions.run_where("count", names, arguments)
        except TitanError as fault:
            replies = [fault] * len(names)
        self._took_s += time.monotonic() - began
        failed = set()
        for name, reply in zip(names, replies, strict=True):
            if isinstance(reply, TitanError):
                _log.debug("counts are sent later: %s", reply)
                failed.add(name)
            else:
                self._pieces[name].popleft()
        return failed

    def _cut(self) -> None:
        """Make pieces of what was counted. Counts of a partition that has pieces left stay in the tally."""
        rows: dict[str, list[tuple[str, GroupCounts]]] = {}
        groups, kept = self._tally.groups, {}
        for group, counts in groups.items():
            name = self._partitions.of(group) if group else self._partitions.names[0]
            if self._pieces[name]:
                kept[group] = counts
            else:
                rows.setdefault(name, []).append((group, counts))
                self._tally.totals.add(group, counts)
        if groups:
            self._tally.acted_at = time.monotonic()
        self._tally.groups = kept
        for name, own in rows.items():
            for at in range(0, len(own), PIECE):
                self._number += 1
                self._pieces[name].append(_Piece(self._number, own[at : at + PIECE]))


def _words(rows: Sequence[tuple[str, GroupCounts]]) -> list[Word]:
    """The totals of these groups, then the groups. '' is in the totals only."""
    total = GroupCounts()
    for _, counts in rows:
        total.add(counts)
    return [word for group, counts in [("", total), *rows] if group or counts is total for word in _row(group, counts)]


def _row(group: str, counts: GroupCounts) -> tuple[Word, ...]:
    return group, " ".join(map(str, counts.counts)), _buckets(counts.waits), _buckets(counts.runs)


def _buckets(histogram: Sequence[int] | None) -> str:
    return " ".join(f"{bucket}:{n}" for bucket, n in enumerate((histogram or ())[: TAKEN + 1]) if n)
