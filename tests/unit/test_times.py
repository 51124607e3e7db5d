"""RFC 3339 and milliseconds."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.timestamps import NOT_GIVEN, milliseconds, rfc3339

MS = 1_795_461_794_165
LATEST = 253_402_300_799_999
"""The last millisecond of the year 9999."""


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T19:23:14.165Z",
        "2026-11-23t19:23:14.165z",
        "2026-11-23 19:23:14.165Z",
        "2026-11-23T20:23:14.165+01:00",
        "2026-11-23T20:23:14.165 01:00",
        "2026-11-23T14:53:14.165-04:30",
        "2026-11-24T19:22:14.165+23:59",
        "2026-11-23T19:23:14.165000Z",
        "2026-11-23T19:23:14.165999999Z",
        "2026-11-23T19:23:14.16599999999999999999999999Z",
    ],
)
def test_milliseconds_of_every_form(text):
    """Offsets, a plus that a query lost, and any number of fraction digits are read; the rest is rounded down."""
    assert milliseconds(text) == MS


@pytest.mark.parametrize(("fraction", "ms"), [("", 0), (".1", 100), (".01", 10), (".0009", 0), (".9999", 999)])
def test_milliseconds_of_a_fraction(fraction, ms):
    """A fraction counts from its first digit and is never rounded up."""
    assert milliseconds(f"1970-01-01T00:00:00{fraction}Z") == ms


def test_milliseconds_of_the_zero_time_of_go():
    """Go's zero time can be read; a reader of requests takes it as not given."""
    assert milliseconds(NOT_GIVEN) < 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-23",
        "2026-11-23T19:23:14",
        "2026-11-23T19:23Z",
        "2026-11-23T19:23:14.Z",
        "2026-11-23T19:23:14,5Z",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T23:59:60Z",
        "2026-11-23T19:23:14+0100",
        "2026-11-23T19:23:14+24:00",
        "2026-11-23T19:23:14+01:60",
        "2026-11-23T19:23:14Z\n",
        " 2026-11-23T19:23:14Z",
        "٢٠٢٦-11-23T19:23:14Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "1795461794165",
    ],
)
def test_milliseconds_of_nonsense(text):
    """Anything else, and a time outside the years 1 to 9999, is a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        milliseconds(text)


@given(st.integers(0, LATEST))
def test_rfc3339_and_back(ms):
    """What is written is read as the same millisecond, and is written the same again."""
    text = rfc3339(ms)
    assert milliseconds(text) == ms
    assert rfc3339(milliseconds(text)) == text


@given(st.integers(0, LATEST - 2 * 86_400_000), st.integers(-1439, 1439))
def test_milliseconds_with_any_offset(ms, minutes):
    """The offset takes nothing from the moment."""
    there = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms + 86_400_000)
    text = there.astimezone(timezone(timedelta(minutes=minutes))).isoformat(timespec="milliseconds")
    assert milliseconds(text) == ms + 86_400_000


@given(st.text())
def test_milliseconds_of_any_text(text):
    """No text does anything but give a number or a ValueError."""
    with suppress(ValueError):
        assert isinstance(milliseconds(text), int)
