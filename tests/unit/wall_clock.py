"""When a cron expression is due by the stated rule, found by looking at every minute: no arithmetic, and no cronsim.

A wall is what clocks of a zone show during some hours: pairs of a UTC minute since 1970 and the local time.
"""

import struct
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from itertools import pairwise
from zoneinfo import ZoneInfo

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Antarctica/Troll",
    "Europe/Dublin",
    "Pacific/Apia",
    "Africa/Casablanca",
)
"""A usual one, one of the other hemisphere's side, 30 minutes, a gap at midnight, 2 hours, a negative daylight saving
time, a day that did not exist, and one that is put back during Ramadan."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def ms(text):
    """An RFC 3339 time as ms since 1970."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1)


@cache
def zone_info(name):
    """A zone of the package tzdata."""
    with _file(name).open("rb") as file:
        return ZoneInfo.from_file(file, name)


def recorded_changes(name):
    """The seconds since 1970 at which a file of the tz database says that the offset changes."""
    data = _file(name).read_bytes()
    is_utc, is_std, leaps, times, types, chars = struct.unpack(">6l", data[20:44])
    second = 44 + times * 5 + types * 6 + chars + leaps * 8 + is_std + is_utc
    times, types = struct.unpack(">2l", data[second + 32 : second + 40])
    body = second + 44
    ats = struct.unpack(f">{times}q", data[body : body + 8 * times])
    kinds = data[body + 8 * times : body + 9 * times]
    offsets = [struct.unpack(">l", data[body + 9 * times + 6 * kind :][:4])[0] for kind in range(types)]
    before = offsets[0]
    for at, kind in zip(ats, kinds, strict=True):
        if offsets[kind] != before and at >= 0:
            yield at
        before = offsets[kind]


@cache
def transitions(name, first=1990, last=2037):
    """The UTC minutes of some years at which the offset of a zone changes."""
    zone = zone_info(name)
    start, end = (_minute(datetime(year, 1, 1, tzinfo=UTC)) for year in (first, last + 1))
    steps = ((at, at + 360) for at in range(start, end, 360))
    return tuple(_first_change(zone, *step) for step in steps if _offset(zone, step[0]) != _offset(zone, step[1]))


def wall(name, first, end):
    """What clocks show at each minute from `first` on and before `end`."""
    zone = zone_info(name)
    return [(at, (EPOCH + at * MINUTE).astimezone(zone).replace(tzinfo=None)) for at in range(first, end)]


def due_minutes(shown, matches, *, is_elapsed, runs_in_gap):
    """The minutes of a wall at which something is due, each with whether it was moved out of a gap.

    `matches` says whether a local time is one of the expression. With elapsed time each minute counts; else each local
    time counts at its first minute, and one that is not shown counts at the first minute after the gap.
    """
    if is_elapsed:
        return [(at, False) for at, local in shown if matches(local)]
    first_minutes, moved = {}, set()
    for at, local in shown:
        first_minutes.setdefault(local, at)
    for (_, before), (at, local) in pairwise(shown):
        gap = [before + n * MINUTE for n in range(1, (local - before) // MINUTE)]
        if runs_in_gap and any(matches(skipped) for skipped in gap):
            moved.add(at)
    own = {at for local, at in first_minutes.items() if matches(local)}
    return sorted([(at, False) for at in own] + [(at, True) for at in moved - own])


def _file(name):
    return resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))


def _first_change(zone, start, end):
    return next(at for at in range(start, end + 1) if _offset(zone, at) != _offset(zone, start))


def _minute(at):
    return (at - EPOCH) // MINUTE


def _offset(zone, minute):
    return (EPOCH + minute * MINUTE).astimezone(zone).utcoffset()
