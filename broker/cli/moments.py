"""Times for readers: how long ago, how long until, and the time of day in the zone of this machine or of a schedule.

With --wide, and in JSON, times are RFC 3339 in UTC, as the API has them.
"""

import math
from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from typing import Any

import click

from broker.core import timestamps
from broker.models.jobs import Job

_AGES = ((86_400, "d"), (3600, "h"), (60, "min"))
_WIDE = "broker.cli.wide"
_DAYS = {-1: "yesterday", 0: "today", 1: "tomorrow"}
_WEEK_DAYS = 6


def age(at: str) -> str:
    """The time since an RFC 3339 time: '5s', '12min', '3h', '2d'. By this machine's clock; never negative."""
    return compact(int(seconds_since(at)))


def compact(seconds: float) -> str:
    """A time span as one word, for a cell: '0.2s', '45s', '12min', '3h', '2d'."""
    return span(seconds).replace(" ", "")


def span(seconds: float) -> str:
    """A time span in its largest unit: '0.2 s', '45 s', '12 min', '3 h', '2 d'. Never negative."""
    seconds = max(0.0, seconds)
    for size, unit in _AGES:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.1f} s" if 0 < seconds < 10 and seconds != int(seconds) else f"{int(seconds)} s"


def until(seconds: float) -> str:
    """The time until something that is to come, as one word, rounded up: '45s', '2h' for an hour and a half."""
    whole = math.ceil(seconds)
    for (size, unit), (smaller, _) in pairwise((*_AGES, (1, "s"))):
        if math.ceil(whole / smaller) * smaller >= size:
            return f"{math.ceil(whole / size)}{unit}"
    return f"{whole}s"


def distance(seconds: float) -> str:
    """The time until something that is to come, in its two largest units: '1 h 30 min', '2 d'. Never negative."""
    whole = max(0, math.ceil(seconds))
    for (size, _), (smaller, _) in pairwise((*_AGES, (1, "s"))):
        if whole >= size:
            return exact(round(whole / smaller) * smaller)
    return exact(whole)


def exact(seconds: int) -> str:
    """A whole time span in all its units: '1 min 30 s', '1 d'."""
    parts = []
    for size, unit in (*_AGES, (1, "s")):
        count, seconds = divmod(seconds, size)
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts) or "0 s"


def when(at: str, zone: tzinfo | None = None) -> str:
    """An RFC 3339 time: '2 min ago (today 09:00:03 CET)'; unchanged with --wide. `zone` as in `clock`."""
    if is_wide():
        return at
    seconds = seconds_since(at)
    words = f"{span(int(seconds))} ago" if seconds >= 0 else f"in {distance(-seconds)}"
    return f"{words} ({clock(at, zone)})"


def due_text(at: str) -> str:
    """When a job is due: 'due in 11 h 5 min (tomorrow 09:00:00 CET)'; with --wide the time as it is."""
    return f"due {when(at)}"


def clock(at: str, zone: tzinfo | None = None) -> str:
    """The day and time of an RFC 3339 time in a zone, which is named; None: in that of this machine."""
    moment = datetime.fromtimestamp(timestamps.milliseconds(at) / 1000, UTC).astimezone(zone)
    days = (moment.date() - datetime.now(UTC).astimezone(zone).date()).days
    day = _DAYS.get(days) or format(moment, "%a %d %b" if abs(days) <= _WEEK_DAYS else "%Y-%m-%d")
    return f"{day} {moment:%H:%M:%S} {moment.tzname()}"


def due_at(job: Job) -> str:
    """When a job was to be queued first, RFC 3339: its creation and its delay."""
    return timestamps.rfc3339(timestamps.milliseconds(job.created_at) + job.delay * 1000)


def seconds_between(start: str, end: str) -> float:
    """The seconds from one RFC 3339 time to another."""
    return (timestamps.milliseconds(end) - timestamps.milliseconds(start)) / 1000


def seconds_since(at: str) -> float:
    """The seconds since an RFC 3339 time, by this machine's clock; negative for a time to come."""
    return datetime.now(UTC).timestamp() - timestamps.milliseconds(at) / 1000


def is_wide() -> bool:
    """Whether the command that runs has --wide."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(_WIDE))


def _note(context: click.Context, _: click.Parameter, value: Any) -> None:
    context.meta[_WIDE] = bool(value)


wide_option = click.option(
    "--wide",
    is_flag=True,
    expose_value=False,
    callback=_note,
    help="Cut nothing, and show times as RFC 3339.",
)
