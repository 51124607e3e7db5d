"""Time zones from the package tzdata, not from the operating system, so that all brokers of a version agree.

Times are whole seconds since 1970. A local time is seconds too: what a clock on the wall of the zone shows, read as if
it were UTC.
"""

import difflib
import re
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from importlib import resources
from typing import NamedTuple
from zoneinfo import ZoneInfo

import tzdata

from broker.schedules.errors import TimetableError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_S = 86_400
_BLOCK_S = 1 << 23
"""Offsets are looked up for 97 days at once."""
_LAST_S = 253_402_128_000
"""The last day but one of the year 9999. Later there is no datetime in each zone: offsets stay as they are then."""
_STEP_S = 2 * DAY_S
"""No zone changes its offset twice in this time: a test looks."""
_RULE = "A time zone is a name such as 'Europe/Berlin', or 'UTC'."
_OFFSET = re.compile(r"(UTC|GMT|Z)?[+-]?\d.*|(UTC|GMT)[+-].*")
_ABBREVIATION = re.compile(r"[A-Z]{1,5}([0-9+-][A-Z0-9+-]*)?|Zulu|Universal")


def tzdata_version() -> str:
    """The version of the tz database that this broker computes with, such as `2026f`. Later ones are greater."""
    return str(tzdata.IANA_VERSION)


class Period(NamedTuple):
    """A stretch of time in which a zone has one offset: from `start` up to, but not including, `end`.

    It may start or end where the offset does not change, but never within two days after a change.
    """

    start: int
    end: int
    offset: int


class Zone:
    """A zone of the tz database."""

    def __init__(self, name: str) -> None:
        with resources.files(tzdata).joinpath("zoneinfo", *name.split("/")).open("rb") as file:
            self._info = ZoneInfo.from_file(file, key=name)
        self._blocks = lru_cache(maxsize=64)(self._block)

    @staticmethod
    def of(name: str) -> "Zone":
        """Raise TimetableError for a name that is an offset, an abbreviation, or not in the tz database."""
        if name not in zone_names():
            raise TimetableError("zone", _unknown(name))
        if name != "UTC" and _ABBREVIATION.fullmatch(name):
            raise TimetableError("zone", f"{name!r} is an abbreviation. {_RULE}")
        return _loaded(name)

    @property
    def as_tzinfo(self) -> tzinfo:
        """The zone for datetimes."""
        return self._info

    def offset(self, at: int) -> int:
        """How far local time is ahead of UTC, in seconds."""
        return _seconds((EPOCH + timedelta(seconds=min(at, _LAST_S))).astimezone(self._info).utcoffset())

    def period(self, at: int) -> Period:
        """The period that a time is in."""
        bounds, offsets = self._blocks(at // _BLOCK_S)
        index = bisect_right(bounds, at) - 1
        return Period(bounds[index], bounds[index + 1], offsets[index])

    def instant(self, local: int) -> tuple[int, bool]:
        """When a local time comes, the first time if it comes twice; and whether it is in a gap.

        A local time in a gap never comes: the answer is the instant of the jump.
        """
        wall = (EPOCH + timedelta(seconds=min(local, _LAST_S))).replace(tzinfo=self._info)
        offset = _seconds(wall.utcoffset())
        period = self.period(local - offset)
        return (local - offset, False) if period.offset == offset else (period.start, True)

    def local(self, at: int) -> int:
        """The last local time whose instant is `at` or before.

        In the second pass of a repeated hour that is the last local time of the first pass.
        """
        start, _, offset = self.period(at)
        return max(at + offset, start + self.offset(start - 1) - 1)

    def jumps(self, start: int, end: int) -> Iterator[int]:
        """When clocks are put forward, from `start` on and before `end`."""
        while start < end:
            at, after, offset = self.period(start)
            if at == start and offset > self.offset(at - 1):
                yield at
            start = after

    def rfc3339(self, at_ms: int) -> str:
        """1806195600000 -> '2027-03-28T03:00:00.000+02:00'."""
        return (EPOCH + timedelta(milliseconds=at_ms)).astimezone(self._info).isoformat(timespec="milliseconds")

    def _block(self, number: int) -> tuple[list[int], list[int]]:
        """Where periods of a block begin, with the block's end, and their offsets."""
        start, end = number * _BLOCK_S - _STEP_S, (number + 1) * _BLOCK_S
        bounds, offsets = [start], [self.offset(start)]
        for at in range(start, end, _STEP_S):
            upper = min(at + _STEP_S, end - 1)
            while self.offset(upper) != offsets[-1]:
                bounds.append(self._change(max(at, bounds[-1]), upper, offsets[-1]))
                offsets.append(self.offset(bounds[-1]))
        return [*bounds, end], offsets

    def _change(self, low: int, high: int, offset: int) -> int:
        """The first time with another offset than at `low`."""
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.offset(middle) == offset else (low, middle)
        return high


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """All names of the tz database, with those of before."""
    return frozenset(resources.files(tzdata).joinpath("zones").read_text("utf-8").split())


@lru_cache(maxsize=1024)
def _loaded(name: str) -> Zone:
    return Zone(name)


def _unknown(name: str) -> str:
    if _OFFSET.fullmatch(name.upper()):
        return f"{name!r} is an offset, which knows no daylight saving time. {_RULE}"
    nearest = _nearest(name)
    return f"{name!r} is not a time zone. " + (f"Do you mean {nearest!r}?" if nearest else _RULE)


def _nearest(name: str) -> str | None:
    known = {zone.casefold(): zone for zone in sorted(zone_names()) if "/" in zone or zone == "UTC"}
    cities = {zone.rpartition("/")[2]: whole for zone, whole in known.items()}
    asked = name.strip().replace(" ", "_").casefold()
    for names in (known, cities):
        if found := difflib.get_close_matches(asked, names, n=1, cutoff=0.8):
            return names[found[0]]
    return None


def _seconds(offset: timedelta | None) -> int:
    return int(offset.total_seconds()) if offset is not None else 0
