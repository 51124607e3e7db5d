"""Reads the statistics that count.lua writes: a group's, or those of all groups."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from broker.core.errors import NotFound, TitanError
from broker.core.timestamps import rfc3339
from broker.models.stats import Slot, Stats, Times, Window
from broker.resp import keys
from broker.resp.partitions import Partitions
from broker.resp.resp_connection import Word
from broker.store.clock import Clock
from broker.store.group_counts import BOUNDS_MS, TAKEN

MINUTE_MS, TEN_MS, HALF_MS, HOUR_MS = 60_000, 600_000, 1_800_000, 3_600_000
_COUNTS = Slot.__struct_fields__[1:]
"""The counts of a slot, in the order of the store."""
_SLOTS: Mapping[Window, tuple[int, int]] = {"1h": (MINUTE_MS, 60), "24h": (HALF_MS, 48)}
"""Length of a slot, ms, and number of slots."""
_PARTS: Mapping[Window, tuple[str, int, int]] = {"1h": ("m", TEN_MS, 6), "24h": ("", HOUR_MS, 24)}
"""The histograms of a window: the letter in the names of their fields, their length, ms, and their number."""

Fields = Mapping[str, str]
Counts = dict[int, list[int]]
"""Counts by the number of the slot since 1970."""


class _Kept(NamedTuple):
    """What is kept of one group, or of the groups of one partition. Histograms have one number a bucket, and TAKEN."""

    now: int
    counts: Counts
    waits: Sequence[int]
    runs: Sequence[int]


class Statistics:
    """Statistics by group. Methods may raise StoreUnavailable."""

    def __init__(self, partitions: Partitions, clock: Clock) -> None:
        self._partitions = partitions
        self._clock = clock

    async def of_group(self, group: str, window: Window) -> Stats:
        """The statistics of a group. Raises NotFound."""
        exists, kept = await self._of_group(group, window)
        if not exists:
            raise NotFound("There is no such group.")
        return _stats([kept], window)

    async def of_groups(self, groups: Sequence[str], window: Window) -> Stats:
        """The sum of the statistics of some groups. A group that does not exist counts nothing."""
        numbers = [self._partitions.names.index(self._partitions.of(group)) for group in groups]
        return await self._summed(numbers, [self._kept_of(group, window) for group in groups], window)

    async def of_all(self, window: Window) -> Stats:
        """The statistics of all groups. Partitions that do not answer are left out, and named."""
        names = self._partitions.names
        return await self._summed(range(len(names)), [self._of_partition(name, window) for name in names], window)

    async def _summed(
        self, numbers: Sequence[int], reads: Sequence[Coroutine[Any, Any, _Kept]], window: Window
    ) -> Stats:
        """The sum of what these reads find. `numbers`: the partition of each."""
        replies = await asyncio.gather(*reads, return_exceptions=True)
        away = {n for n, reply in zip(numbers, replies, strict=True) if isinstance(reply, TitanError)}
        faults = [reply for reply in replies if isinstance(reply, BaseException)]
        for fault in faults:
            if not isinstance(fault, TitanError) or len(faults) == len(replies):
                raise fault
        stats = _stats([reply for reply in replies if isinstance(reply, _Kept)], window)
        return msgspec.structs.replace(stats, away=sorted(away) or UNSET)

    async def _kept_of(self, group: str, window: Window) -> _Kept:
        return (await self._of_group(group, window))[1]

    async def _of_group(self, group: str, window: Window) -> tuple[bool, _Kept]:
        """Whether the group exists, and what is kept of it."""
        p = self._partitions.of(group)
        kind = "minutes" if window == "1h" else "halves"
        commands: list[Sequence[Word]] = [
            ("ZSCORE", keys.groups(p), group),
            ("HGETALL", keys.statistics(p, group, kind)),
            ("HGETALL", keys.statistics(p, group, "times")),
        ]
        now, score, counts, times = await self._read(p, commands)
        return score is not None, _found(now, _counts([counts]), times, window)

    async def _of_partition(self, p: str, window: Window) -> _Kept:
        """What is kept of all groups of a partition."""
        hours = 2 if window == "1h" else 25
        [now] = await self._read(p, [])
        keys_of_hours = [keys.total(p, now // HOUR_MS - n) for n in range(hours)]
        commands = [("HGETALL", key) for key in (keys.total_times(p), *keys_of_hours)]
        _, times, *counts = await self._read(p, commands)
        return _found(now, _counts(counts, 1 if window == "1h" else HALF_MS // MINUTE_MS), times, window)

    async def _read(self, p: str, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """The store's time, ms, and the replies to these commands."""
        time, *replies = await self._partitions.read(p, [("TIME",), *commands])
        now = self._clock.now or int(time[0]) * 1000 + int(time[1]) // 1000
        return [int(now), *replies]


def percentile(histogram: Sequence[int], part: float) -> float:
    """The time, in s, that this part of the jobs did not exceed. `histogram` has at least one job."""
    left = part * sum(histogram)
    low = 0
    for high, n in zip(BOUNDS_MS, histogram, strict=False):
        if n and left <= n:
            return round((low + (high - low) * left / n) / 1000, 4)
        left, low = left - n, high
    return low / 1000  # in the bucket without a bound


def histogram(fields: Fields, name: str, last: int, number: int, kept: int) -> list[int]:
    """The sum of the last `number` histograms of the `kept` ones, up to that with the number `last` since 1970."""
    total = [0] * (TAKEN + 1)
    for part in range(last - number + 1, last + 1):
        stamp, *buckets = fields.get(f"{name}{part % kept}", "0").split()
        if int(stamp) == part:
            for bucket in buckets:
                place, _, n = bucket.partition(":")
                total[int(place)] += int(n)
    return total


def mean_s(buckets: Sequence[int]) -> float:
    """The mean of a histogram without TAKEN, in s; it has one job at least.

    It is as if each job took two thirds of its bucket: better a worker too many than one too few.
    """
    highs = (*BOUNDS_MS, BOUNDS_MS[-1])
    times = ((low + 2 * high) / 3 for low, high in zip((0, *BOUNDS_MS), highs, strict=True))
    return sum(time * n for time, n in zip(times, buckets, strict=True)) / sum(buckets) / 1000


def numbers_in(text: str) -> tuple[int, list[int]]:
    """The number of a slot since 1970, and its counts."""
    stamp, *counts = map(int, text.split())
    return stamp, counts


def fields_of_hash(reply: Any) -> Fields:
    """The fields of a hash. redis-py replies with a dict, the multiplexer with a flat list."""
    flat = [word for pair in reply.items() for word in pair] if isinstance(reply, dict) else reply
    texts = [word.decode() for word in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _counts(replies: Iterable[Any], joined: int = 1) -> Counts:
    """The counts in these hashes. `joined`: the number of slots of the store that become one."""
    kept: Counts = {}
    for reply in replies:
        for text in fields_of_hash(reply).values():
            stamp, counts = numbers_in(text)
            before = kept.get(stamp // joined)
            kept[stamp // joined] = counts if before is None else _sums(before, counts)
    return kept


def _found(now: int, counts: Counts, times: Any, window: Window) -> _Kept:
    letter, length_ms, number = _PARTS[window]
    fields, last = fields_of_hash(times), now // length_ms
    waits, runs = (histogram(fields, kind + letter, last, number, number) for kind in "wr")
    return _Kept(now, counts, waits, runs)


def _stats(found: Sequence[_Kept], window: Window) -> Stats:
    """The sum of what was found, as the answer; at least one was found."""
    length_ms, number = _SLOTS[window]
    last = max(each.now for each in found) // length_ms
    slots = []
    for stamp in range(last - number + 1, last + 1):
        sums = [0] * len(_COUNTS)
        for each in found:
            if stamp in each.counts:
                sums = _sums(sums, each.counts[stamp])
        slots.append(Slot(at=rfc3339(stamp * length_ms), **dict(zip(_COUNTS, sums, strict=True))))
    waits, runs = [0] * (TAKEN + 1), [0] * (TAKEN + 1)
    for each in found:
        waits, runs = _sums(waits, each.waits), _sums(runs, each.runs)
    return Stats(
        window=window,
        slots=slots,
        wait=_times(waits),
        run=_times(runs),
        sampled=any(histogram[TAKEN] < sum(histogram[:TAKEN]) for histogram in (waits, runs)),
    )


def _times(histogram: Sequence[int]) -> Times:
    buckets = histogram[:TAKEN]
    if not any(buckets):
        return Times()
    p50, p95, p99 = (percentile(buckets, part) for part in (0.5, 0.95, 0.99))
    return Times(n=sum(buckets), p50=p50, p95=p95, p99=p99)


def _sums(one: Sequence[int], other: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)]
