"""Times and time spans for readers."""

from datetime import UTC, datetime, timedelta

import pytest

from broker.cli.moments import age, clock, distance, exact, span, until, when


def at(**distance: float) -> str:
    """An RFC 3339 time at this distance from now."""
    return f"{datetime.now(UTC) + timedelta(**distance):%Y-%m-%dT%H:%M:%S.%fZ}"


@pytest.mark.parametrize(("seconds", "expected"), [(0, "0s"), (59, "59s"), (60, "1min"), (7300, "2h"), (200_000, "2d")])
def test_age_units(seconds: int, expected: str) -> None:
    """An age is one word, in its largest unit."""
    assert age(at(seconds=-seconds)) == expected


def test_age_is_never_negative() -> None:
    """A clock that is ahead makes no negative age."""
    assert age(at(minutes=2)) == "0s"


@pytest.mark.parametrize(("seconds", "expected"), [(0, "0 s"), (0.24, "0.2 s"), (2, "2 s")])
def test_span(seconds: float, expected: str) -> None:
    """A short time has tenths of a second."""
    assert span(seconds) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0, "0 s"), (90, "1 min 30 s"), (90_001, "1 d 1 h 1 s")])
def test_exact(seconds: int, expected: str) -> None:
    """A setting loses no second."""
    assert exact(seconds) == expected


def test_when_before_and_after() -> None:
    """A time has its distance from now, in the past or in the future, and the time of day."""
    before, after = at(seconds=-125), at(seconds=125)
    assert when(before) == f"2 min ago ({clock(before)})"
    assert when(after) == f"in 2 min 5 s ({clock(after)})"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.2, "1 s"),
        (59.6, "1 min"),
        (3599.4, "1 h"),
        (5399.5, "1 h 30 min"),
        (86_399, "1 d"),
        (97_000, "1 d 3 h"),
        (172_790, "2 d"),
    ],
)
def test_distance(seconds: float, expected: str) -> None:
    """A time to come has its two largest units."""
    assert distance(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.2, "1s"), (59.5, "1min"), (3590, "1h"), (5399.5, "2h"), (86_390, "1d"), (90_000, "2d")]
)
def test_until(seconds: float, expected: str) -> None:
    """In a list a time to come is rounded up, so nothing is due later than it says."""
    assert until(seconds) == expected


def test_clock_names_the_day_and_the_zone() -> None:
    """Near days have names, far ones a date; the zone of this machine is named."""
    noon = datetime.now().astimezone().replace(hour=12, minute=0, second=0, microsecond=0)
    days = {0: "today", 1: "tomorrow", -1: "yesterday"}
    for n_days, word in days.items():
        moment = noon + timedelta(days=n_days)
        assert clock(f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}").startswith(f"{word} 1")
    assert clock("2001-02-03T12:00:00Z").startswith("2001-02-0")
    assert clock(f"{noon.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}").endswith(f" {noon.tzname()}")
