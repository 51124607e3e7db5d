"""The reply of glance.lua as rows: what the overview knows of each group."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import UNSET, Struct, UnsetType, structs

from broker.core.timestamps import rfc3339
from broker.models.overview import DispatchLimits
from broker.store.format.rates import rate_in
from broker.store.statistics import numbers_in

NUMBERS = 8
"""Counts of a slot: in, out, succeeded, failed, back, cancelled, lost, retried."""
MINUTES, RECENT = 60, 5
"""The slots of the last hour, and those from which rates are made."""
_MINUTE_MS, _HALF_MS = 60_000, 1_800_000
_NO_LIMITS = DispatchLimits()
_NONE = (0,) * NUMBERS


class GroupRow(Struct, frozen=True, gc=False):
    """One group. Times are ms; `oldest_at`: since when its oldest queued job is due.

    `recent` are the counts of the last five minutes. `hour` are those of the last hour: exactly if all minutes were
    read, and then `spark` has the jobs that were taken in each of them. Else it has this half hour, the one before, and
    as much of the third as belongs to the hour, as if its jobs had come evenly. `waiting`: how many jobs wait for other
    jobs, for a place of their key, and for the rate limit. `full_lanes`: of how many keys jobs wait for a place, as far
    as the script looks.
    """

    name: str
    created_at: str
    counts: tuple[int, ...]
    oldest_at: int | None
    asked_at: int | None
    limits: DispatchLimits
    recent: tuple[int, ...]
    hour: tuple[int, ...]
    spark: tuple[int, ...] | UnsetType = UNSET
    waiting: tuple[int, ...] = (0, 0, 0)
    full_lanes: int = 0

    @property
    def waits(self) -> dict[str, int]:
        """How many jobs wait, by what for: other jobs, a place of their key, or what stops the whole group."""
        jobs, key, rate = self.waiting
        limits = self.limits
        most = limits.max_concurrency
        full = self.queued if most is not UNSET and self.running >= most else 0
        return {"jobs": jobs, "key": key, "rate": rate, "concurrency": full, "pause": self.queued * limits.paused}

    @property
    def queued(self) -> int:
        """The number of queued jobs."""
        return self.counts[1]

    @property
    def running(self) -> int:
        """The number of running jobs."""
        return self.counts[2]


class Glanced(NamedTuple):
    """The rows of one reply, and the store's time, ms."""

    now: int
    rows: list[GroupRow]


EMPTY = GroupRow("", "0", (0,) * 6, None, None, _NO_LIMITS, _NONE, _NONE)
"""A group without jobs."""


def total_of(rows: Iterable[GroupRow]) -> GroupRow:
    """The sums of the counts of groups, and the oldest of their oldest jobs."""
    counts, recent, hour, oldest = [EMPTY.counts], [_NONE], [_NONE], []
    for row in rows:
        counts.append(row.counts)
        recent.append(row.recent)
        hour.append(row.hour)
        if row.oldest_at is not None:
            oldest.append(row.oldest_at)
    return structs.replace(
        EMPTY, counts=_sums(counts), recent=_sums(recent), hour=_sums(hour), oldest_at=min(oldest, default=None)
    )


def glanced(reply: Sequence[Any], *, is_whole: bool = False) -> Glanced:
    """The reply of glance.lua. `is_whole`: groups were named, so the reply has all minutes."""
    now, any_asked, is_asked_known, *rows = reply
    nobody = 0 if is_asked_known else None
    asked = int(any_asked) if any_asked else nobody
    return Glanced(now, [_row(now, row, asked, is_whole=is_whole) for row in rows])


def _row(now: int, row: Sequence[Any], any_asked: int | None, *, is_whole: bool) -> GroupRow:
    name, created_at, *rest = row
    if not rest and not is_whole:  # as most of many groups
        return structs.replace(EMPTY, name=name.decode(), created_at=created_at.decode(), asked_at=any_asked)
    asked, settings, jobs, *slots = rest or (None, None, None)
    counts = jobs[: len(EMPTY.counts)] if jobs else EMPTY.counts
    more: Sequence[Any] = jobs[len(EMPTY.counts) :] if jobs else ()
    minutes, halves = slots or ((), ())
    minute = now // _MINUTE_MS
    by_minute = _slots(minutes)
    recent = _NONE  # as in most of many groups
    if by_minute:
        recent = _sums([by_minute[stamp] for stamp in range(minute - RECENT + 1, minute + 1) if stamp in by_minute])
    spark: tuple[int, ...] | UnsetType = UNSET
    if is_whole:
        last = [by_minute.get(stamp, _NONE) for stamp in range(minute - MINUTES + 1, minute + 1)]
        hour, spark = _sums(last), tuple([counts[1] for counts in last])
    else:
        hour = _last_hour(now, _slots(halves))
    full_lanes = int(jobs[-1]) if jobs and len(more) > 1 else 0
    return GroupRow(
        name.decode(),
        created_at.decode(),
        tuple(counts),
        int(more[0]) if more and more[0] else None,
        max(int(asked or 0), any_asked or 0) if any_asked is not None else None,
        _limits(settings) if settings else _NO_LIMITS,
        recent,
        hour,
        spark,
        tuple(more[1:4]) or EMPTY.waiting,
        full_lanes,
    )


def _last_hour(now: int, by_half: Mapping[int, Sequence[int]]) -> tuple[int, ...]:
    half, rest = divmod(now, _HALF_MS)
    found = [by_half[stamp] for stamp in (half, half - 1) if stamp in by_half]
    first = by_half.get(half - 2)
    if first is not None:
        found.append([round(n * (1 - rest / _HALF_MS)) for n in first])
    return tuple(found[0]) if len(found) == 1 else _sums(found)


def _slots(texts: Iterable[bytes | None]) -> dict[int, Sequence[int]]:
    """The counts by the number of their slot."""
    return dict(numbers_in(text.decode()) for text in texts if text)


def _sums(rows: Sequence[Sequence[int]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*rows, strict=True))) if rows else _NONE


def _limits(settings: Sequence[bytes | None]) -> DispatchLimits:
    paused, max_concurrency, rate_limit, paused_at, paused_by, note, _ = settings
    return DispatchLimits(
        paused=paused is not None,
        max_concurrency=int(max_concurrency) if max_concurrency else UNSET,
        rate_limit=rate_in(rate_limit.decode()) if rate_limit else UNSET,
        paused_at=rfc3339(int(paused_at)) if paused_at else UNSET,
        paused_by=_text(paused_by),
        note=_text(note),
    )


def _text(value: bytes | None) -> str | UnsetType:
    return value.decode() if value else UNSET
