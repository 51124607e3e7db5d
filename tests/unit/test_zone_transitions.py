"""All transitions of eight zones from 1990 to 2037: the times around them, against a look at every minute."""

from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise

import pytest

from broker.schedules.timetable import Timetable
from broker.schedules.zones import Zone, zone_names
from tests.unit.wall_clock import EPOCH, ZONES, due_minutes, recorded_changes, transitions, wall

MINUTE_MS = 60_000
AROUND = 4 * 60
"""Minutes before and after a transition that are looked at."""
EXPRESSIONS = {
    "30 2 * * *": lambda local: (local.hour, local.minute) == (2, 30),
    "*/20 1-3 * * *": lambda local: local.hour in {1, 2, 3} and local.minute % 20 == 0,
    "* 1 * * *": lambda local: local.hour == 1,
    "0 0,3 * * *": lambda local: local.hour in {0, 3} and local.minute == 0,
    "0 12 30,31 * *": lambda local: local.hour == 12 and local.minute == 0 and local.day >= 30,
    "15 * * * *": lambda local: local.minute == 15,
    "0 */2 * * *": lambda local: local.hour % 2 == 0 and local.minute == 0,
    "*/7 */3 * * SUN,MON": lambda local: local.isoweekday() in {7, 1} and local.hour % 3 == 0 and local.minute % 7 == 0,
}


@cache
def timetable(expression, zone, gap):
    return Timetable.of(cron=[expression], zone=zone, gap=gap)


def expression_of(days, hours, minutes):
    """An expression of some days, hours and minutes, and the rule that it stands for."""
    text = " ".join(",".join(map(str, sorted(values))) for values in (minutes, hours, days))
    return f"{text} * *", lambda local: local.day in days and local.hour in hours and local.minute in minutes


def at_the_change(shown):
    """An expression for the first and the last local minute that a jump repeats or leaves out."""
    for (_, before), (_, local) in pairwise(shown):
        if local - before != timedelta(minutes=1):
            first, end = sorted([before + timedelta(minutes=1), local])
            last = end - timedelta(minutes=1)
            times = {(first.day, first.hour, first.minute), (last.day, last.hour, last.minute)}
            return expression_of(*(set(column) for column in zip(*times, strict=True)))
    raise AssertionError("no change")


@pytest.mark.parametrize("zone", ZONES)
def test_what_is_due_around_every_transition(zone):
    """Each time comes once, in order, and forwards as backwards; a gap makes one run, or none."""
    seen = 0
    for change in transitions(zone):
        first, end = change - AROUND, change + AROUND
        shown = wall(zone, first, end)
        expression, matches = at_the_change(shown)
        assert timetable(expression, zone, "run").lost(first * MINUTE_MS, end * MINUTE_MS) == []
        for text, rule in [*EXPRESSIONS.items(), (expression, matches)]:
            is_elapsed = "*" in text.split()[1]
            for gap in ("run",) if is_elapsed else ("run", "skip"):
                table = timetable(text, zone, gap)
                expected = due_minutes(shown, rule, is_elapsed=is_elapsed, runs_in_gap=gap == "run")
                found = table.missed(first * MINUTE_MS - 1, (end - 1) * MINUTE_MS, 1000)
                assert [(due.at // MINUTE_MS, due.moved == "gap") for due in found] == expected, (text, gap, change)
                latest = [table.latest(first * MINUTE_MS - 1, due.at + 1) for due in found[:1] + found[-2:]]
                assert latest == found[:1] + found[-2:], (text, gap, change)
                seen += len(expected)
    assert seen > 30 * len(transitions(zone))


@pytest.mark.parametrize("zone", ZONES)
def test_lost_names_each_gap_that_swallowed_a_time(zone):
    """With gap `skip` a history can show the jumps of all years at which a time did not come."""
    expected = []
    for change in transitions(zone):
        shown = wall(zone, change - 2, change + 2)
        expression, matches = at_the_change(shown)
        missing = due_minutes(shown, matches, is_elapsed=False, runs_in_gap=True)
        if any(moved for _, moved in missing):
            expected.append(change)
            table = timetable(expression, zone, "skip")
            assert table.lost(change * MINUTE_MS - 1, change * MINUTE_MS) == [change * MINUTE_MS]
            assert table.lost(change * MINUTE_MS, change * MINUTE_MS + 1) == []
    assert len(expected) >= 10


@pytest.mark.parametrize("zone", ZONES)
def test_periods_begin_at_every_transition(zone):
    """A period begins where the offset changes, and the offset is the same in the whole of it."""
    place = Zone.of(zone)
    for change in (minute * 60 for minute in transitions(zone)):
        before, after = place.period(change - 1), place.period(change)
        assert (before.end, after.start) == (change, change)
        assert before.offset != after.offset
        assert after.offset == place.offset(change) == place.offset(after.end - 1)


def test_no_zone_changes_its_offset_twice_within_days():
    """Transitions are looked for every two days: a tz database with two in that time would need smaller steps."""
    gaps = []
    for name in zone_names():
        changes = list(recorded_changes(name))
        gaps += [later - earlier for earlier, later in pairwise(changes)]
    assert len(gaps) > 10_000
    assert min(gaps) > 4 * 86_400


def test_a_jump_far_ahead_is_known():
    """Years beyond those that the tz database records follow the rule of the zone."""
    table = Timetable.of(cron=["30 2 * * *"], zone="Europe/Berlin")
    late = (datetime(2400, 3, 26, tzinfo=EPOCH.tzinfo) - EPOCH) // timedelta(milliseconds=1)
    assert [due.local for due in table.upcoming(late - 86_400_000, 3)] == [
        "2400-03-25T02:30:00.000+01:00",
        "2400-03-26T03:00:00.000+02:00",
        "2400-03-27T02:30:00.000+02:00",
    ]
