"""Durations, sizes and times as people write them."""

import re
from datetime import UTC, datetime, time, timedelta

import click
import pytest

from broker.cli.quantities import ByteSize, Duration, Moment, PastMoment, nearest
from tests.cli.live import Titan
from tests.cli.tree import commands


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("15min", 900),
        ("2h", 7200),
        ("2 hours", 7200),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("30d", 2_592_000),
        ("1w", 604_800),
        ("1D", 86_400),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    """A number with a unit, several of them, or a number alone, which is seconds."""
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "1h30", "10 parsecs", "1..5s", "500ms", "1e3", "nan", "٣s"])
def test_durations_that_are_none(text: str) -> None:
    """Other texts are refused, and fractions where whole seconds are needed."""
    with pytest.raises(click.BadParameter):
        Duration().convert(text, None, None)


def test_durations_with_fractions() -> None:
    """Where fractions are allowed, milliseconds are."""
    assert Duration(is_whole=False).convert("250ms", None, None) == 0.25


def test_durations_out_of_bounds() -> None:
    """The bounds are in the message."""
    with pytest.raises(click.BadParameter, match="30s or less"):
        Duration(0, 30).convert("31", None, None)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("1k", 1024),
        ("512KiB", 524_288),
        ("64MiB", 67_108_864),
        ("1.5G", 1_610_612_736),
        ("1kB", 1000),
        ("2 MB", 2_000_000),
        ("7b", 7),
        ("1T", 2**40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    """Letters alone and iB are powers of 1024, and kB, MB and GB powers of 1000."""
    assert ByteSize().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "1 potato", "1e3", "1Q"])
def test_sizes_that_are_none(text: str) -> None:
    """Other texts are refused, and parts of a byte."""
    with pytest.raises(click.BadParameter):
        ByteSize().convert(text, None, None)


def test_moment_with_its_zone() -> None:
    """A time with a zone is that time."""
    assert Moment("future").convert("2036-12-01T09:00+01:00", None, None) == datetime(2036, 12, 1, 8, tzinfo=UTC)


def test_moment_without_a_zone() -> None:
    """A time without one is in the zone of this machine."""
    expected = datetime(2036, 12, 1, 9).astimezone()
    assert Moment("future").convert("2036-12-01 09:00", None, None) == expected


def test_moment_in_words() -> None:
    """Words of English are relative to now."""
    tomorrow = datetime.now().astimezone() + timedelta(days=1)
    found = Moment("future").convert("tomorrow 09:00", None, None)
    assert abs(found - tomorrow.replace(hour=9, minute=0, second=0, microsecond=0)) < timedelta(days=1, seconds=1)
    assert (found.hour, found.minute, found.second) == (9, 0, 0)


@pytest.mark.parametrize(
    ("text", "days"), [("today", 0), ("tomorrow", 1), (" Yesterday", -1), ("day after tomorrow", 2)]
)
def test_moment_of_a_day_alone(text: str, days: int) -> None:
    """A day in words without a time is its 00:00, as a date is."""
    day = datetime.now().astimezone().date() + timedelta(days=days)
    found = Moment("future").convert(text, None, None)
    assert found == datetime.combine(day, time.min).astimezone()


def test_moment_at_a_distance() -> None:
    """A distance from now keeps the time of day."""
    expected = datetime.now().astimezone() + timedelta(days=2)
    assert abs(Moment("future").convert("in 2 days", None, None) - expected) < timedelta(minutes=1)


def test_moment_of_a_day() -> None:
    """A time of day alone is the next one, or the last one, as the option says."""
    now = datetime.now().astimezone()
    minute = f"{now - timedelta(minutes=2):%H:%M}"
    assert Moment("future").convert(minute, None, None) > now - timedelta(minutes=4)
    assert PastMoment().convert(minute, None, None) < f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(
    ("toward", "at", "expected"),
    [
        ("future", time(1, 33), "2026-12-01T01:33"),
        ("future", time(23, 0), "2026-11-30T23:00"),
        ("past", time(1, 33), "2026-11-30T01:33"),
        ("past", time(23, 0), "2026-11-29T23:00"),
    ],
)
def test_moment_on_the_last_day_of_a_month(toward: str, at: time, expected: str) -> None:
    """The next time of day may be in the next month."""
    now = datetime.fromisoformat("2026-11-30T01:36").astimezone()
    assert nearest(at, now, toward) == datetime.fromisoformat(expected).astimezone()


@pytest.mark.parametrize("text", ["9:05", "09:05:30", "9:05pm", "9:05 AM"])
def test_moment_of_a_day_in_several_ways(text: str) -> None:
    """Each way to write a time of day is within the next day."""
    now = datetime.now().astimezone()
    assert now < Moment("future").convert(text, None, None) <= now + timedelta(days=1, hours=1)


@pytest.mark.parametrize("text", ["soon-ish", "2026-13-01", "blue", "25:99", "1", "20", "2026", "tomorrow at 9"])
def test_moment_that_is_none(text: str) -> None:
    """Other texts are refused with examples."""
    with pytest.raises(click.BadParameter, match="tomorrow 09:00"):
        Moment("future").convert(text, None, None)


def test_past_moment_is_what_the_api_takes() -> None:
    """A time of the API is unchanged, and others become one."""
    assert PastMoment().convert("2026-01-31T12:00:00Z", None, None) == "2026-01-31T12:00:00Z"
    assert PastMoment().convert("2026-01-31T12:00+01:00", None, None) == "2026-01-31T11:00:00.000Z"


def test_enqueue_with_durations(titan: Titan, group: str) -> None:
    """Enqueue takes them for delays and timeouts."""
    options = ("--delay", "10m", "--timeout", "2h", "--retries-delay", "1m30s")
    job_id = titan.made(group, *options)
    job = titan("job", "show", group, job_id, "--json").json["job"]
    assert (job["delay"], job["timeout"], job["retries_delay"]) == (600, 7200, 90)


def test_enqueue_at(titan: Titan, group: str) -> None:
    """--at is another name of --run-at; the answer has the distance, the time and its zone."""
    at = datetime.now().astimezone() + timedelta(hours=3)
    made = titan("job", "enqueue", group, "--image", "hello", "--at", f"{at:%Y-%m-%dT%H:%M:%S%z}")
    assert " delayed due in 3 h (" in made.out
    assert f"{at:%H:%M}" in made.out
    assert str(at.tzname()) in made.out
    job = titan("job", "show", group, made.first, "--json").json["job"]
    assert abs(job["delay"] - 10_800) < 10


def test_enqueue_due_in_two_units(titan: Titan, group: str) -> None:
    """The answer to a delay of an hour and a half says no less."""
    made = titan("job", "enqueue", group, "--image", "hello", "--delay", "1h30m")
    assert " delayed due in 1 h 30 min (" in made.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--delay", "400d"), "Invalid value for '--delay': '400d' is out of bounds"),
        (("--delay", "400d"), "it must be 365d or less."),
        (("--timeout", "8d"), "'8d' is out of bounds: it must be 1s or more and 7d or less."),
        (("--retries-delay", "53w"), "'53w' is out of bounds: it must be 365d or less."),
        (("--start-within", "0s"), "'0s' is out of bounds: it must be 1s or more and 365d or less."),
        (("--end-within", "366d"), "'366d' is out of bounds: it must be 1s or more and 365d or less."),
    ],
)
def test_enqueue_out_of_bounds(titan: Titan, group: str, words: tuple[str, ...], said: str) -> None:
    """The refusal names the option that was given, and its bound in the units that people use."""
    refused = titan("job", "enqueue", group, "--image", "hello", *words)
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err


def test_enqueue_at_wide(titan: Titan, group: str) -> None:
    """With --wide the time is RFC 3339."""
    made = titan("job", "enqueue", group, "--image", "hello", "--at", "2027-01-01T00:00Z", "--wide")
    assert "due 2027-01-01T00:00:" in made.out or "due 2026-12-31T23:59:5" in made.out


@pytest.mark.parametrize(("words", "named"), [(("--at", "2001-01-01 09:00"), "past"), (("--delay", "1m"), "together")])
def test_enqueue_at_refused(titan: Titan, group: str, words: tuple[str, ...], named: str) -> None:
    """A time in the past is wrong usage, and so are two of them."""
    refused = titan("job", "enqueue", group, "--image", "hello", "--at", "2027-01-01", *words)
    assert (refused.code, refused.out) == (2, "")
    assert named in refused.err


def test_group_set_with_durations(titan: Titan, group: str) -> None:
    """Retentions are durations, and are shown as such."""
    titan("group", "set", group, "--keep-succeeded", "30d")
    assert "30 d\n" in titan("group", "show", group).out
    assert titan("group", "show", group, "--json").json["group"]["retention"]["succeeded"] == 2_592_000


def test_settings_with_durations_and_sizes(titan: Titan) -> None:
    """Settings with a unit in their name take them too, as an option and as a variable."""
    words = ("config", "--json", "broker", "--max-log-bytes", "1GiB")
    rows = {row["setting"]: row["value"] for row in titan(*words, TITAN_IDEMPOTENCY_TTL_S="2d").json["settings"]}
    assert rows["max_log_bytes"] == 2**30
    assert rows["idempotency_ttl_s"] == 172_800


@pytest.mark.parametrize("words", ["batch show g 0hYjB6dJb7Pq2Xk9 --wait", "scale g --target", "scale g --ahead"])
def test_times_of_options_have_units(titan: Titan, words: str) -> None:
    """A time of an option may be a number of seconds or have a unit: the command gets as far as the broker."""
    for time_text in ("20", "20s"):
        ran = titan(*words.split(), time_text)
        assert (ran.code, "Usage" in ran.err) == (0 if "scale" in words else 1, False), ran.err
    assert "is out of bounds: it must be" in titan(*words.split(), "2d").err


def test_no_option_takes_seconds_as_a_bare_number() -> None:
    """Each option whose help speaks of seconds, or whose value is in s, takes units as well."""
    plain = (click.IntRange, click.FloatRange, type(click.INT), type(click.FLOAT))
    found = [
        f"{' '.join(words)} --{parameter.name}"
        for words, command in commands()
        for parameter in command.params
        if isinstance(parameter, click.Option) and isinstance(parameter.type, plain)
        if f"{parameter.name}".endswith("_s") or re.search(r"\bin seconds|\bmany seconds|, s\.$", parameter.help or "")
    ]
    assert found == []


def test_a_bound_is_itself_within_the_bounds() -> None:
    """A bound of a tenth of a second is the decimal number that was typed, not the binary one next to it."""
    assert Duration(0.1, 0.3, is_whole=False).convert("0.1", None, None) == 0.1
    assert Duration(0.1, 0.3, is_whole=False).convert("300ms", None, None) == 0.3
