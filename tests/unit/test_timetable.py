"""When schedules are due: rules that hold for all timetables, and what is refused."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.schedules.timetable import Timetable, TimetableError, explain, tzdata_version
from tests.unit.wall_clock import ZONES, due_minutes, transitions, wall

MINUTE_MS = 60_000
NOW = 1_795_461_794_165
YEAR_S = 365 * 86_400


def fields(first, last, common=None):
    """A field of an expression and the numbers that it stands for; single ones are up to `common`."""
    numbers = st.integers(first, common or last)
    one = numbers.map(lambda n: (str(n), {n}))
    every = st.just(("*", set(range(first, last + 1))))
    step = st.integers(1, 9).map(lambda n: (f"*/{n}", set(range(first, last + 1, n))))
    spans = st.tuples(numbers, numbers, st.integers(1, 4)).map(lambda span: (*sorted(span[:2]), span[2]))
    span = spans.map(lambda span: (f"{span[0]}-{span[1]}/{span[2]}", set(range(span[0], span[1] + 1, span[2]))))
    several = st.lists(st.one_of(one, span), min_size=2, max_size=3).map(
        lambda terms: (",".join(text for text, _ in terms), set().union(*(numbers for _, numbers in terms)))
    )
    return st.one_of(one, every, step, span, several)


@st.composite
def expressions(draw):
    """An expression with the rule that it stands for, days by Debian's: both must match if one begins with a star."""
    texts, numbers = zip(
        *(draw(fields(*bounds)) for bounds in ((0, 59), (0, 23), (1, 31, 28), (1, 12), (0, 7))), strict=True
    )
    minutes, hours, days, months, weekdays = numbers
    weekdays = {weekday % 7 for weekday in weekdays}
    both = texts[2][0] == "*" or texts[4][0] == "*"

    def matches(local):
        on = [local.day in days, local.isoweekday() % 7 in weekdays]
        return (
            local.minute in minutes and local.hour in hours and local.month in months and (all(on) if both else any(on))
        )

    return " ".join(texts), matches


CHANGES = st.sampled_from(ZONES).flatmap(lambda zone: st.tuples(st.just(zone), st.sampled_from(transitions(zone))))


@settings(max_examples=100, deadline=None)
@given(expressions(), CHANGES, st.integers(0, 6 * 60), st.sampled_from(["run", "skip"]))
def test_any_expression_is_due_by_the_rule(expression, change, before, gap):
    """Around any transition, starting at any minute: the times are those of a look at every minute."""
    (text, matches), (zone, at) = expression, change
    shown = wall(zone, at - 360, at + 360)
    is_elapsed = "*" in text.split()[1]
    expected = due_minutes(shown, matches, is_elapsed=is_elapsed, runs_in_gap=gap == "run")
    start = at - 180 + before
    table = Timetable.of(cron=[text], zone=zone, gap=gap)
    found = table.missed(start * MINUTE_MS, (at + 359) * MINUTE_MS, 1000)
    later = [(minute, moved) for minute, moved in expected if minute > start]
    assert [(due.at // MINUTE_MS, due.moved == "gap") for due in found] == later
    assert table.latest(start * MINUTE_MS, (at + 359) * MINUTE_MS) == (found[-1] if found else None)


@st.composite
def tables(draw):
    """The fields of a schedule that is due at least once an hour or so."""
    if draw(st.booleans()):
        every = draw(st.integers(1, 10_000))
        return {
            "every": every,
            "offset": draw(st.integers(0, every - 1)),
            "jitter": draw(st.integers(0, min(every - 1, 3600))),
        }
    minutes = draw(st.lists(st.integers(0, 59), min_size=1, max_size=3))
    hours = draw(st.sampled_from(["*", "0-23", "*/2", "1-3"]))
    seconds = draw(st.sampled_from(["", "30 ", "*/20 "]))
    crons = [f"{seconds}{minute} {hours} * * *" for minute in minutes]
    return {"cron": crons, "zone": draw(st.sampled_from(ZONES)), "gap": draw(st.sampled_from(["run", "skip"]))}


AFTER = st.one_of(
    st.integers(0, 2_000_000_000_000),
    st.tuples(CHANGES, st.integers(-7_200_000, 7_200_000)).map(lambda near: near[0][1] * MINUTE_MS + near[1]),
)


@settings(max_examples=100, deadline=None)
@given(tables(), AFTER)
def test_times_increase_and_all_questions_agree(fields, after):
    """Times increase strictly from after the start on; `next` from between two of them is the second."""
    table = Timetable.of(**fields, name="mail/digest")
    dues = table.upcoming(after, 12)
    assert len(dues) == 12
    for earlier, later in pairwise([table.next(after - 1), *dues]):
        assert later.at > earlier.at or (earlier == later and earlier.at > after)
    assert dues[0].at > after
    for earlier, later in pairwise(dues):
        for between in (earlier.at, (earlier.at + later.at) // 2, later.at - 1):
            assert table.next(between) == later
    until = dues[6].at
    assert table.missed(after, until, 100) == [due for due in dues[:7] if due.fires_at <= until]
    assert table.missed(after, until, 2) == [due for due in dues[:7] if due.fires_at <= until][:2]
    assert table.latest(after, dues[6].fires_at) == max(
        (due for due in dues[:11] if due.fires_at <= dues[6].fires_at), key=lambda due: due.at
    )
    assert table.latest(after, after) is None


@settings(max_examples=40, deadline=None)
@given(
    st.lists(expressions().map(lambda expression: expression[0]), min_size=2, max_size=4), st.sampled_from(ZONES), AFTER
)
def test_a_list_is_the_union_of_its_expressions(crons, zone, after):
    """Several expressions are due at the times of each, once; a time that one of them has unmoved was not moved."""
    whole = Timetable.of(cron=crons, zone=zone)
    alone = [Timetable.of(cron=[cron], zone=zone) for cron in crons]
    expected = {}
    for due in (due for table in alone for due in table.upcoming(after, 20)):
        expected[due.at] = due if due.at not in expected or due.moved is None else expected[due.at]
    assert whole.upcoming(after, 20) == [expected[at] for at in sorted(expected)[:20]]
    until = sorted(expected)[10]
    assert whole.latest(after, until) == expected[until]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 900), st.text(max_size=20), st.integers(0, 2_000_000_000_000))
def test_jitter_is_bounded_and_stays(jitter, name, after):
    """A time fires at most `jitter` later, always at the same moment, and in the order of the times."""
    table, again = (Timetable.of(every=901, jitter=jitter, name=name) for _ in range(2))
    dues = table.upcoming(after, 5)
    assert dues == again.upcoming(after, 5)
    assert all(0 <= due.fires_at - due.at <= jitter * 1000 for due in dues)
    assert all(earlier.fires_at < later.fires_at for earlier, later in pairwise(dues))


def test_jitter_depends_on_name_and_time():
    """Two schedules of one cron expression fire apart; a moment is the same in each process and each version."""
    fires = {
        name: [due.fires_at - due.at for due in Timetable.of(cron=["@daily"], jitter=3600, name=name).upcoming(NOW, 4)]
        for name in ("mail/a", "mail/b")
    }
    assert fires == {"mail/a": [1276183, 1852951, 667218, 400243], "mail/b": [750551, 1285649, 2980221, 1832932]}


def test_jitter_delays_what_was_missed():
    """A time whose jitter is not through yet is not missed: it fires when it is."""
    table = Timetable.of(every=3600, jitter=3000, name="mail/a")
    due = table.next(NOW)
    before = table.latest(0, due.at)
    assert due.fires_at > due.at
    assert table.latest(NOW, due.fires_at - 1) is None
    assert table.missed(NOW, due.fires_at - 1, 10) == []
    assert table.missed(NOW, due.fires_at, 10) == [due] == [table.latest(NOW, due.fires_at)]
    assert table.latest(0, due.fires_at - 1) == before


@pytest.mark.parametrize(
    ("least", "crons"), [(60, ["* * * * *"]), (2400, ["0,40 8 * * *"]), (600, ["50 23 * * *", "0 0 * * *"])]
)
def test_jitter_is_less_than_the_least_distance(least, crons):
    """The distance counts over all expressions, and over midnight."""
    assert Timetable.of(cron=crons, jitter=least - 1).next(NOW) is not None
    with pytest.raises(TimetableError, match=f"least distance between two times, {least} s"):
        Timetable.of(cron=crons, jitter=least)


def test_an_interval_counts_from_the_epoch():
    """The times of an interval do not depend on when it is asked, or on any zone."""
    table = Timetable.of(every=900, offset=60, zone="Europe/Berlin")
    due = table.next(NOW)
    assert due.at % 900_000 == 60_000
    assert due.local == "2026-11-23T20:31:00.000+01:00"


def test_a_single_time_comes_once():
    """`at` is due at its millisecond, and then never."""
    table = Timetable.of(at=NOW, zone="America/New_York")
    assert [due.at for due in table.upcoming(0, 5)] == [NOW]
    assert table.next(NOW - 1).local == "2026-11-23T14:23:14.165-05:00"
    assert table.next(NOW) is None
    assert table.latest(NOW - 1, NOW) == table.next(0)
    assert table.latest(NOW, NOW + 1) is None


def test_times_are_from_starts_at_on_and_before_ends_at():
    """The first moment belongs to a schedule, and the last does not."""
    window = {"starts_at": 7_200_000, "ends_at": 18_000_000}
    for table in (Timetable.of(every=3600, **window), Timetable.of(cron=["@hourly"], **window)):
        assert [due.at for due in table.upcoming(-1, 9)] == [7_200_000, 10_800_000, 14_400_000]
        assert [due.at for due in table.missed(0, NOW, 9)] == [7_200_000, 10_800_000, 14_400_000]
        assert table.latest(0, NOW).at == 14_400_000
        assert table.latest(0, 7_199_999) is None
        assert table.next(14_400_000) is None


def test_work_is_bounded_however_long_the_broker_was_away():
    """A second's interval and a cron expression of each second answer at once after thirty years."""
    for table in (Timetable.of(every=1), Timetable.of(cron=["* * * * * *"], zone="Europe/Berlin")):
        assert table.latest(0, NOW).at == NOW // 1000 * 1000
        assert [due.at for due in table.missed(0, NOW, 3)] == [1000, 2000, 3000]


@pytest.mark.parametrize(
    ("shorthand", "local"),
    [
        ("@hourly", "2026-11-23T21:00"),
        ("@daily", "2026-11-24T00:00"),
        ("@weekly", "2026-11-29T00:00"),
        ("@monthly", "2026-12-01T00:00"),
        ("@Yearly", "2027-01-01T00:00"),
    ],
)
def test_shorthands(shorthand, local):
    """Shorthands are those of cron, in the zone of the schedule."""
    assert Timetable.of(cron=[shorthand], zone="Europe/Berlin").next(NOW).local.startswith(local)


@pytest.mark.parametrize(
    ("cron", "local"),
    [
        ("0 9 L * *", "2026-11-30T09:00"),
        ("0 9 LW * *", "2026-11-30T09:00"),
        ("0 9 * * 5L", "2026-11-27T09:00"),
        ("0 9 * dec mon#2", "2026-12-14T09:00"),
        ("15 0 9 * * *", "2026-11-24T09:00:15"),
        ("0 0 */2 * 1", "2026-12-07T00:00"),
        ("0 0 2 * 1", "2026-11-30T00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
        ("0 0 * 2 7#5", "2032-02-29T00:00"),
    ],
)
def test_syntax(cron, local):
    """Last days, nth weekdays, seconds; `*/2` in a day field restricts the days of the other, as in Debian's cron."""
    assert Timetable.of(cron=[cron], zone="Europe/Berlin").next(NOW).local.startswith(local)


FIVE = "An expression has 5: minute, hour, day of the month, month and day of the week; or 6, with the second first."


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({}, "cron", "a schedule has exactly one of cron, every and at."),
        ({"cron": ["@daily"], "every": 5}, "every", "a schedule has exactly one of cron, every and at."),
        ({"every": 5, "at": NOW}, "at", "a schedule has exactly one of cron, every and at."),
        ({"cron": []}, "cron", "must have 1 to 10 expressions."),
        ({"cron": ["@daily"] * 11}, "cron", "must have 1 to 10 expressions."),
        ({"cron": ["@daily", "1 2 3"]}, "cron[1]", f"'1 2 3' has 3 fields. {FIVE}"),
        ({"cron": ["abc"]}, "cron[0]", f"'abc' has 1 field. {FIVE}"),
        ({"cron": ["* * * * * * *"]}, "cron[0]", f"'* * * * * * *' has 7 fields. {FIVE}"),
        ({"cron": ["* 25 * * *"]}, "cron[0]", "the hour '25' is not valid. It is 0 to 23,"),
        ({"cron": ["*/0 * * * *"]}, "cron[0]", "the minute '*/0' is not valid."),
        ({"cron": ["* * * * FRI-MON"]}, "cron[0]", "the day of the week 'FRI-MON' is not valid."),
        ({"cron": ["60 * * * * *"]}, "cron[0]", "the second '60' is not valid."),
        ({"cron": ["* * ? * *"]}, "cron[0]", "the day of the month '?' is not valid."),
        ({"cron": ["0 0 30 2 *"]}, "cron[0]", "'0 0 30 2 *' never comes."),
        ({"cron": ["0 0 31 4,6 *"]}, "cron[0]", "'0 0 31 4,6 *' never comes."),
        ({"cron": ["0 0 */20 * MON#5"]}, "cron[0]", "'0 0 */20 * MON#5' never comes."),
        ({"cron": ["@dayly"]}, "cron[0]", "'@dayly' is not a shorthand. Do you mean @daily?"),
        ({"cron": ["@reboot"]}, "cron[0]", "'@reboot' is not a shorthand. The shorthands are @hourly, @daily,"),
        ({"cron": ["*" + ",1" * 250 + " * * * *"]}, "cron[0]", "must have at most 500 characters."),
        ({"every": 0}, "every", "must be 1 to 31536000 seconds."),
        ({"every": YEAR_S + 1}, "every", "must be 1 to 31536000 seconds."),
        ({"every": 60, "offset": 60}, "offset", "must be 0 to 59 seconds, less than every."),
        ({"cron": ["@daily"], "offset": 1}, "offset", "is only valid with every."),
        ({"cron": ["@daily"], "gap": "fall"}, "gap", "must be run or skip."),
        ({"every": 60, "jitter": 60}, "jitter", "must be less than the least distance between two times, 60 s."),
        ({"every": YEAR_S, "jitter": 3601}, "jitter", "must be 0 to 3600 seconds."),
        ({"at": -1}, "at", "must be a time from 1970 to 9998."),
        ({"at": NOW, "starts_at": NOW + 1}, "at", "no time is from starts_at on and before ends_at."),
        ({"cron": ["@yearly"], "starts_at": 1, "ends_at": 9}, "ends_at", "no time is from starts_at on and before"),
        ({"every": 60, "starts_at": 9, "ends_at": 9}, "ends_at", "must be after starts_at."),
        ({"every": 60, "ends_at": 10**15}, "ends_at", "must be a time from 1970 to 9998."),
    ],
)
def test_refusals(fields, field, message):
    """A field that is not valid is named, with what is wrong in a sentence."""
    with pytest.raises(TimetableError) as refusal:
        Timetable.of(**fields)
    assert (refusal.value.field, refusal.value.message[: len(message)]) == (field, message)
    assert str(refusal.value) == f"{field}: {refusal.value.message}"


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_end_of_time(zone):
    """There are no times from 9999 on, whatever the zone; and a schedule that only they could have is refused."""
    last = 253_370_764_800_000  # 9999-01-01
    for spec in ({"cron": ["@daily"]}, {"cron": ["*/5 * * * *"]}, {"every": YEAR_S}):
        table = Timetable.of(zone=zone, **spec)
        assert all(due.at < last for due in table.upcoming(last - 86_400_000, 9))
        for after in (last, last + 31_536_000_000 - 1, 10**17):
            assert table.upcoming(after, 1) == []
    for cron in ("0 0 30 12 *", "0 0 29 2 *"):
        with pytest.raises(TimetableError, match="no time is from starts_at on"):
            Timetable.of(zone=zone, cron=[cron], starts_at=last - 43_200_000)


@pytest.mark.parametrize(
    ("zone", "message"),
    [
        ("Europe/Berln", "'Europe/Berln' is not a time zone. Do you mean 'Europe/Berlin'?"),
        ("europe/berlin", "'europe/berlin' is not a time zone. Do you mean 'Europe/Berlin'?"),
        ("new york", "'new york' is not a time zone. Do you mean 'America/New_York'?"),
        ("utc", "'utc' is not a time zone. Do you mean 'UTC'?"),
        ("Atlantis/Poseidonis", "'Atlantis/Poseidonis' is not a time zone. A time zone is a name such as"),
        ("../zones", "'../zones' is not a time zone."),
        ("", "'' is not a time zone."),
        ("CET", "'CET' is an abbreviation."),
        ("EST5EDT", "'EST5EDT' is an abbreviation."),
        ("+02:00", "'+02:00' is an offset, which knows no daylight saving time."),
        ("UTC+2", "'UTC+2' is an offset"),
        ("GMT-0130", "'GMT-0130' is an offset"),
    ],
)
def test_refusals_of_zones(zone, message):
    """A zone is a name of the tz database; a misspelt one gets the nearest."""
    with pytest.raises(TimetableError) as refusal:
        Timetable.of(every=60, zone=zone)
    assert (refusal.value.field, refusal.value.message[: len(message)]) == ("zone", message)


def test_explain():
    """An expression in plain English, for previews; refusals are those of a timetable."""
    assert explain("30 7 * * 1-5") == "At 07:30 on Monday through Friday"
    assert explain("@hourly") == explain("0 * * * *")
    with pytest.raises(TimetableError, match="the hour '25' is not valid"):
        explain("0 25 * * *")


@settings(max_examples=50, deadline=None)
@given(expressions())
def test_explain_knows_every_expression(expression):
    """Whatever a timetable takes can be explained."""
    assert explain(expression[0])


def test_tzdata_version():
    """Versions of the tz database compare as texts, so that a broker knows whether another has a newer one."""
    assert "2026a" <= tzdata_version() < "2100a"


@pytest.mark.parametrize("span", ["5-5/2", "5-05/7", "MON-mon/3"])
def test_a_range_of_one_value_with_a_step(span: str) -> None:
    """It is that value, and not all from it on."""
    value = "5" if span[0] == "5" else "1"
    place = "{} * * * *" if span[0] == "5" else "0 0 * * {}"
    found, expected = (Timetable.of(cron=[place.format(text)], name="g/s").upcoming(0, 20) for text in (span, value))
    assert found == expected
