"""Times: in the broker milliseconds since 1970; in the API RFC 3339 in UTC with milliseconds."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:([Zz])|([+ -])(\d\d):(\d\d))", re.ASCII)
EXAMPLE = "2026-01-31T12:00:00Z"
NOT_GIVEN = "0001-01-01T00:00:00Z"
"""Go's zero time. Some clients send it for "no time"."""


@lru_cache(maxsize=4096)
def rfc3339(ms: int) -> str:
    """1795461794165 -> '2026-11-23T19:23:14.165Z'."""
    seconds, rest = divmod(ms, 1000)
    return f"{_seconds(seconds)}.{rest:03d}Z"


def milliseconds(text: str) -> int:
    """RFC 3339 -> milliseconds since 1970, rounded down. Raises ValueError for other texts.

    The fraction may have any number of digits. A space may replace the plus of an offset, as in a query that was not
    encoded.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError("not an RFC 3339 time")
    date, clock, fraction, _, sign, hours, minutes = found.groups()
    at = datetime.fromisoformat(f"{date}T{clock}+00:00")
    if sign:
        if int(hours) > 23 or int(minutes) > 59:
            raise ValueError("the offset is out of range")
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        try:
            at = at + offset if sign == "-" else at - offset
        except OverflowError as error:
            raise ValueError("the time is out of range") from error
    return (at - _EPOCH) // timedelta(milliseconds=1) + int((fraction or "0").ljust(3, "0")[:3])


@lru_cache(maxsize=4096)
def _seconds(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
