"""When a schedule is due: the times of a cron expression, an interval or a single time."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Literal

import msgspec

from broker.schedules.cron import Cron
from broker.schedules.errors import TimetableError
from broker.schedules.series import CronUnion, Interval, Once, Series
from broker.schedules.words import explain
from broker.schedules.zones import Zone, tzdata_version

__all__ = ["Due", "Timetable", "TimetableError", "explain", "tzdata_version"]
_END = 253_370_764_800_000
"""The year 9999: later times are no times."""
_HORIZON_MS = 100 * 366 * 86_400_000
"""How far a list looks ahead, as an expression may come once in 28 years."""
_MAX_CRONS = 10
_MAX_EVERY_S = 31_536_000
_MAX_JITTER_S = 3600


class Due(msgspec.Struct, frozen=True):
    """A time at which a schedule is due.

    `at` is the time itself and `fires_at` the time with its jitter, both in ms since 1970. `local` is `at` as RFC 3339
    with the offset of the zone. `moved` is `gap` if the local time was skipped by a jump of the clock, and `at` is
    therefore the instant of the jump.
    """

    at: int
    fires_at: int
    local: str
    moved: Literal["gap"] | None = None


class Timetable:
    """The times of a schedule, in order, each once. All times are ms since 1970.

    Work is bounded: an interval is divided, and a cron expression steps from time to time in both directions.
    """

    def __init__(
        self, series: Series, zone: Zone, *, jitter: int = 0, name: str = "", starts_at: int = 0, ends_at: int = _END
    ) -> None:
        self._series = series
        self._zone = zone
        self._jitter_ms = jitter * 1000
        self._name = name
        self._starts_at = starts_at
        self._ends_at = ends_at

    @classmethod
    def of(
        cls,
        *,
        cron: Sequence[str] | None = None,
        every: int | None = None,
        at: int | None = None,
        zone: str = "UTC",
        gap: Literal["run", "skip"] = "run",
        offset: int = 0,
        jitter: int = 0,
        name: str = "",
        starts_at: int | None = None,
        ends_at: int | None = None,
    ) -> "Timetable":
        """Read the fields of a schedule: exactly one of cron, every (s) and at (ms); offset and jitter in s.

        Times are due from starts_at on and before ends_at. `name` is `group/name`, from which jitter is made. Raises
        TimetableError, which names the field.
        """
        place = Zone.of(zone)
        series = _series(cron, every, at, place, gap, offset)
        _check_jitter(jitter, series)
        for field, value in (("starts_at", starts_at), ("ends_at", ends_at)):
            _check(field, value is None or 0 <= value <= _END, "must be a time from 1970 to 9998.")
        window = {"starts_at": starts_at or 0, "ends_at": _END if ends_at is None else ends_at}
        _check("ends_at", window["starts_at"] < window["ends_at"], "must be after starts_at.")
        made = cls(series, place, jitter=jitter, name=name, **window)
        if made.next(-1) is None:
            raise TimetableError("ends_at" if at is None else "at", "no time is from starts_at on and before ends_at.")
        return made

    def next(self, after_ms: int) -> Due | None:
        """The first due time after another, or None if there is none."""
        return next(self._times(after_ms), None)

    def upcoming(self, after_ms: int, n: int) -> list[Due]:
        """The next n due times after another, within a hundred years."""
        return list(islice(self._times(after_ms, after_ms + _HORIZON_MS), n))

    def missed(self, after_ms: int, until_ms: int, limit: int) -> list[Due]:
        """The first `limit` due times after one time that fire up to another, the oldest first."""
        return list(islice((due for due in self._times(after_ms, until_ms) if due.fires_at <= until_ms), limit))

    def latest(self, after_ms: int, until_ms: int) -> Due | None:
        """The last due time after one time that fires up to another."""
        until, first = min(until_ms, self._ends_at - 1), max(after_ms + 1, self._starts_at)
        while until >= first and (found := self._series.last(until)) is not None and found[0] >= first:
            due = self._due(*found)
            if due.fires_at <= until_ms:
                return due
            until = due.at - 1
        return None

    def to_come(self, after_ms: int, now_ms: int) -> Due | None:
        """The first due time after one time that fires later than `now_ms`.

        A time that has come, and whose jitter has not, is still to come: `next(now_ms)` would leave it out.
        """
        passed = self.latest(after_ms, now_ms)
        return self.next(after_ms if passed is None else passed.at)

    def lost(self, after_ms: int, until_ms: int) -> list[int]:
        """The jumps after one time, up to another, that swallowed a local time. Only with gap `skip`, and 100 at most.

        They are what a history shows as skipped.
        """
        first, end = max(after_ms + 1, self._starts_at), min(until_ms + 1, self._ends_at)
        jumps = self._zone.jumps(-(-first // 1000), -(-end // 1000))
        return list(islice((jump * 1000 for jump in jumps if self._series.lost(jump * 1000)), 100))

    def _times(self, after_ms: int, until_ms: int = _END) -> Iterator[Due]:
        if after_ms >= _END:
            return  # zones and expressions know no later times
        for at, moved in self._series.times(max(after_ms, self._starts_at - 1)):
            if at >= self._ends_at or at > until_ms:
                return
            yield self._due(at, moved)

    def _due(self, at: int, moved: bool) -> Due:
        fires_at = at
        if self._jitter_ms:
            digest = blake2b(f"{self._name}@{at}".encode(), digest_size=8).digest()
            fires_at += int.from_bytes(digest) % (self._jitter_ms + 1)
        return Due(at, fires_at, self._zone.rfc3339(at), "gap" if moved else None)


def _series(cron: Sequence[str] | None, every: int | None, at: int | None, zone: Zone, gap: str, offset: int) -> Series:
    given = [name for name, value in (("cron", cron), ("every", every), ("at", at)) if value is not None]
    _check(given[1] if len(given) > 1 else "cron", len(given) == 1, "a schedule has exactly one of cron, every and at.")
    _check("gap", gap in {"run", "skip"}, "must be run or skip.")
    _check("offset", every is not None or offset == 0, "is only valid with every.")
    if cron is not None:
        _check("cron", 1 <= len(cron) <= _MAX_CRONS, f"must have 1 to {_MAX_CRONS} expressions.")
        runs = gap == "run"
        return CronUnion([Cron(text, zone, runs_in_gap=runs, field=f"cron[{i}]") for i, text in enumerate(cron)])
    if every is not None:
        _check("every", 1 <= every <= _MAX_EVERY_S, f"must be 1 to {_MAX_EVERY_S} seconds.")
        _check("offset", 0 <= offset < every, f"must be 0 to {every - 1} seconds, less than every.")
        return Interval(every, offset)
    assert at is not None  # noqa: S101
    _check("at", 0 <= at < _END, "must be a time from 1970 to 9998.")
    return Once(at)


def _check_jitter(jitter: int, series: Series) -> None:
    _check("jitter", 0 <= jitter <= _MAX_JITTER_S, f"must be 0 to {_MAX_JITTER_S} seconds.")
    if jitter and (least := series.least_distance_s()) is not None:
        _check("jitter", jitter < least, f"must be less than the least distance between two times, {least} s.")


def _check(field: str, is_valid: bool, otherwise: str) -> None:
    if not is_valid:
        raise TimetableError(field, otherwise)
