"""What schedulers got wrong about times, each trap by its number and the name of the report: ours must not."""

from datetime import datetime, timedelta

import pytest

from broker.schedules.timetable import Timetable, TimetableError
from tests.unit.wall_clock import ms

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SPRING, AUTUMN = ms("2027-03-28T01:00Z"), ms("2027-10-31T01:00Z")
"""The transitions of Europe/Berlin in 2027: clocks jump from 02:00 to 03:00, and from 03:00 back to 02:00."""


def berlin(*cron, **fields):
    return Timetable.of(cron=cron, zone="Europe/Berlin", **fields)


def fired(table, now, last):
    """What a broker fires that looks each minute for a day: it asks with the time that it fired last."""
    times = []
    for minute in range(24 * 60):
        while (due := table.next(last)) is not None and due.fires_at <= now + minute * 60_000:
            times.append(due)
            last = due.at
    return times


@pytest.mark.parametrize("cron", ["30 2 * * *", "0 30 2 * * *", "30 2-2 * * SUN"])
def test_twice_at_the_end_of_daylight_saving_time(cron):
    """A1: a time in the repeated hour comes once, at its first pass (node-cron#563, aiocron#28, agent-os#2472)."""
    dues = berlin(cron).missed(AUTUMN - DAY_MS // 2, AUTUMN + DAY_MS // 2, 10)
    assert [due.local for due in dues] == ["2027-10-31T02:30:00.000+02:00"]


@pytest.mark.parametrize("cron", ["30 2 * * *", "0 30 2 * * *", "*/10 2 * * *", "* * 2 * * *"])
def test_not_at_all_at_the_begin_of_daylight_saving_time(cron):
    """A2: times in the gap make one run, at the instant of the jump, however many they are (node-cron#563)."""
    [due] = berlin(cron).missed(SPRING - HOUR_MS, SPRING + HOUR_MS, 10)
    assert (due.at, due.local, due.moved) == (SPRING, "2027-03-28T03:00:00.000+02:00", "gap")
    assert berlin(cron, gap="skip").missed(SPRING - HOUR_MS, SPRING + HOUR_MS, 10) == []
    assert berlin(cron, gap="skip").lost(SPRING - HOUR_MS, SPRING + HOUR_MS) == [SPRING]


def test_a_time_at_the_jump_and_one_in_the_gap():
    """At the instant of the jump there is one run; it was not moved when the schedule has that time anyway."""
    for table in (berlin("30 2 * * *", "0 3 * * *"), berlin("0,30 2,3 * * *"), berlin("0,30 2,3 * * *", gap="skip")):
        due = table.next(SPRING - 1)
        assert (due.at, due.moved) == (SPRING, None)
        assert table.next(SPRING).at > SPRING
        assert table.latest(SPRING - 1, SPRING) == due
        assert table.lost(SPRING - HOUR_MS, SPRING + HOUR_MS) == []


@pytest.mark.parametrize("jump", [SPRING, AUTUMN])
def test_every_15_seconds_stops_for_the_repeated_hour(jump):
    """A3: a star in the hour means elapsed time, without a stop or a double (node-red-contrib-cron-plus#108)."""
    start = jump - 2 * HOUR_MS
    dues = berlin("*/15 * * * * *").missed(start, jump + 2 * HOUR_MS, 2000)
    assert [due.at for due in dues] == list(range(start + 15_000, jump + 2 * HOUR_MS + 1, 15_000))


@pytest.mark.parametrize("cron", ["* 2 * * *", "30 2 * * *", "15 * * * *"])
def test_fires_without_end_for_an_hour(cron):
    """A4: in the repeated hour the next time is later than the last one, never in the past (meteor-synced-cron#152)."""
    times = fired(berlin(cron), AUTUMN - DAY_MS // 2, AUTUMN - DAY_MS // 2)
    assert len(times) == {"* 2 * * *": 60, "30 2 * * *": 1, "15 * * * *": 24}[cron]


@pytest.mark.parametrize("jump", [SPRING, AUTUMN])
def test_an_hour_off_from_then_on(jump):
    """A5: after a transition the local time is that of the expression (action-scheduler#885, croniter#25)."""
    dues = berlin("30 7 * * *").upcoming(jump - 3 * DAY_MS, 7)
    assert [due.local[11:16] for due in dues] == ["07:30"] * 7


@pytest.mark.parametrize("clock", ["00:00", "00:30", "02:30", "23:30"])
@pytest.mark.parametrize("jump", [SPRING, AUTUMN])
def test_a_day_is_left_out_by_adding_86400_seconds(clock, jump):
    """A6: days of 23 and of 25 hours have one run each (cronie#218, cronie#217)."""
    hour, minute = clock.split(":")
    dues = berlin(f"{minute} {hour} * * *").upcoming(jump - 3 * DAY_MS - HOUR_MS, 6)
    days = [datetime.fromisoformat(due.local).date() for due in dues]
    assert days == [days[0] + timedelta(days=number) for number in range(6)]


def test_the_first_of_march_is_lost():
    """A7: `*/10` in the day field begins with the first of each month, after a short February too (croniter#1)."""
    dues = Timetable.of(cron=["0 0 */10 * *"]).upcoming(ms("2027-02-20T12:00Z"), 4)
    assert [due.local[:10] for due in dues] == ["2027-02-21", "2027-03-01", "2027-03-11", "2027-03-21"]


def test_a_timer_is_eight_seconds_early():
    """A8: nothing is due early, and after a fire the next time counts from it, not from a clock (node-cron#180)."""
    table = berlin("0 4 * * *")
    due = table.next(SPRING)
    assert table.latest(SPRING, due.at - 8000) is None
    assert table.next(due.at - 8000) == due
    assert table.next(due.at).at == due.at + DAY_MS


def test_due_again_and_again():
    """A10: the time after a due time is later, so no time is due 32,000 times (celery#4041)."""
    table = Timetable.of(cron=["0 0 1 1 *", "0 0 29 2 *"], zone="America/Sao_Paulo")
    times = [due.at for due in table.upcoming(0, 100)]
    assert times == sorted(set(times))
    assert len(fired(table, times[0], times[0])) == 0


@pytest.mark.parametrize("minutes", [0, 1, 29, 30, 31, 59])
def test_a_start_inside_the_second_pass(minutes):
    """A12: from inside the second pass the answer is the next day, not a time before (cronsim's fold)."""
    start = AUTUMN + minutes * 60_000
    due = berlin("30 2 * * *").next(start)
    assert due.local == "2027-11-01T02:30:00.000+01:00"
    assert berlin("*/30 * * * *").next(start).at == start - start % 1_800_000 + 1_800_000
    assert berlin("30 2 * * *").latest(AUTUMN - DAY_MS // 2, start).at == AUTUMN - 1_800_000


def test_a_weekly_schedule_under_daily_restarts():
    """A14: the next time is the same whenever it is computed, so a restart does not put it off (river#791)."""
    for table in (Timetable.of(every=7 * 86_400), berlin("@weekly")):
        due = table.next(SPRING)
        assert {table.next(at) for at in range(SPRING, due.at, DAY_MS // 3)} == {due}


def test_more_than_100_missed_times():
    """A15: after thousands of missed times the latest is known at once (kubernetes#42649, kubernetes#36311)."""
    table = berlin("* * * * *")
    assert table.latest(SPRING, SPRING + 90 * DAY_MS).at == SPRING + 90 * DAY_MS
    assert len(table.missed(SPRING, SPRING + 90 * DAY_MS, 100)) == 100


def test_two_weeks_off_then_a_flood():
    """A16: all that is missed is read in steps, each from the last time of the one before (river#1035)."""
    table, last, steps = Timetable.of(every=3600), SPRING, []
    while step := table.missed(last, SPRING + 14 * DAY_MS, 100):
        steps.append(len(step))
        last = step[-1].at
    assert steps == [100, 100, 100, 36]


def test_the_same_body_loses_the_jittered_run():
    """A17: a schedule that is put again has the same moment, also while a time waits for its jitter (temporal#4866)."""
    fields = {"every": 3600, "jitter": 3000, "name": "mail/digest"}
    due = Timetable.of(**fields).next(SPRING)
    waiting = (due.at + due.fires_at) // 2
    assert Timetable.of(**fields).latest(SPRING, waiting) is None
    assert Timetable.of(**fields).latest(SPRING, due.fires_at) == due


@pytest.mark.parametrize("cron", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *"])
def test_an_expression_that_never_comes(cron):
    """A23: it is refused, and the search for a time ends."""
    with pytest.raises(TimetableError, match=r"^cron\[0\]: .* never comes\.$"):
        Timetable.of(cron=[cron])


def test_a_gap_at_midnight():
    """A day that begins at 01:00 has its midnight run then, and its hourly ones are 23."""
    day = ms("2017-10-15T00:00-03:00")
    daily, hourly = (Timetable.of(cron=[cron], zone="America/Sao_Paulo") for cron in ("@daily", "@hourly"))
    assert [(due.local, due.moved) for due in daily.missed(day - HOUR_MS, day + HOUR_MS, 5)] == [
        ("2017-10-15T01:00:00.000-02:00", "gap")
    ]
    assert len([due for due in hourly.upcoming(day - 5 * HOUR_MS, 40) if due.local.startswith("2017-10-15")]) == 23


def test_a_day_that_does_not_exist():
    """Apia had no 30 December 2011: all its local times make one run as the 31st begins."""
    jump = ms("2011-12-30T10:00Z")
    table = Timetable.of(cron=["0 6,12 * * *"], zone="Pacific/Apia")
    assert [(due.local[:16], due.moved) for due in table.upcoming(jump - 10 * HOUR_MS, 3)] == [
        ("2011-12-31T00:00", "gap"),
        ("2011-12-31T06:00", None),
        ("2011-12-31T12:00", None),
    ]


def test_half_an_hour_is_repeated():
    """Lord Howe repeats 01:30 to 02:00: a star in the hour has both passes, and 02:00 comes (cronsim misses it)."""
    start = ms("2027-04-04T01:10+11:00")
    times = Timetable.of(cron=["0,45 */2 * * *"], zone="Australia/Lord_Howe").upcoming(start, 2)
    assert [due.local for due in times] == ["2027-04-04T02:00:00.000+10:30", "2027-04-04T02:45:00.000+10:30"]
    passes = Timetable.of(cron=["45 * * * *"], zone="Australia/Lord_Howe").upcoming(start, 2)
    assert [due.local for due in passes] == ["2027-04-04T01:45:00.000+11:00", "2027-04-04T01:45:00.000+10:30"]
