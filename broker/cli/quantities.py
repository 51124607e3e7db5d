"""Parameter types for durations, sizes and times as people write them: `10m`, `64MiB`, `tomorrow 09:00`."""

import math
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal, get_args

import click

from broker.core import timestamps

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800} | {
    word: seconds
    for words, seconds in (
        ("sec secs second seconds", 1),
        ("min mins minute minutes", 60),
        ("hr hrs hour hours", 3600),
        ("day days", 86_400),
        ("week weeks", 604_800),
    )
    for word in words.split()
}
_MS = Decimal("0.001")
_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_DAYS = frozenset({"yesterday", "today", "tomorrow"})
_AROUND_DAYS = frozenset({"the", "day", "before", "after"})
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d{1,2}(:\d\d){0,2}\s*([ap]m)?", re.ASCII | re.IGNORECASE)
_POWERS = "kmgt"
_PART = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([a-z]*)\s*", re.ASCII)
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*(?:([kmgt])(ib|b)?|b|bytes?)?", re.ASCII | re.IGNORECASE)


class Duration(click.ParamType[float]):
    """A time span, such as 90s, 10m, 2h, 30d, 1h30m or 250ms; a number alone is seconds. Its value is in s.

    `least` and `most` are its bounds. A whole one has no fraction of a second.
    """

    name = "duration"

    def __init__(self, least: float = 0, most: float = math.inf, *, is_whole: bool = True) -> None:
        self._least, self._most, self._is_whole = least, most, is_whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds. Fails for other texts, and out of bounds."""
        seconds = self._seconds(str(value))
        if seconds is None:
            self.fail(f"{value!r} is no duration, such as 90s, 10m, 2h or 30d.", param, ctx)
        if self._is_whole and seconds != int(seconds):
            self.fail(f"{value!r} is not a whole number of seconds.", param, ctx)
        if not self._least <= float(seconds) <= self._most:
            self.fail(f"{value!r} is out of bounds: it must be {self._bounds()}.", param, ctx)
        return int(seconds) if self._is_whole else float(seconds)

    def _bounds(self) -> str:
        least = f"{_in_unit(self._least)} or more" if self._least else ""
        most = f"{_in_unit(self._most)} or less" if self._most < math.inf else ""
        return " and ".join(filter(None, [least, most]))

    @staticmethod
    def _seconds(text: str) -> Decimal | None:
        text = text.strip().lower()
        parts = _PART.findall(text)
        if not parts or "".join(found[0] for found in _PART.finditer(text)) != text:
            return None
        if len(parts) > 1 and not all(unit for _, unit in parts):
            return None
        sizes = [_MS if unit == "ms" else _SECONDS.get(unit) for _, unit in parts]
        known = [Decimal(number) * size for (number, _), size in zip(parts, sizes, strict=True) if size is not None]
        return sum(known, Decimal()) if len(known) == len(parts) else None


def duration_of(field: Any) -> Duration:
    """The type of an option for a field of the API, with the bounds of that field, which is an Annotated integer."""
    meta = get_args(field)[1]
    return Duration(meta.ge, meta.le)


class ByteSize(click.ParamType[int]):
    """A number of bytes, such as 512k, 64MiB or 1.5G. k, M, G and T, also with iB, are powers of 1024; kB of 1000."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes. Fails for other texts."""
        found = _SIZE.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no size, such as 4096, 512k, 64MiB or 1G.", param, ctx)
        number, letter, ending = found.groups()
        base = 1000 if (ending or "").lower() == "b" else 1024
        size = Decimal(number) * (base ** (_POWERS.index(letter.lower()) + 1) if letter else 1)
        if size != int(size):
            self.fail(f"{value!r} is not a whole number of bytes.", param, ctx)
        return int(size)


class Moment(click.ParamType[datetime]):
    """A time of day or a date, such as '09:00', 'tomorrow 09:00', '2 hours ago' or 2026-12-01T09:00+01:00.

    Without a zone it is in the zone of this machine. `toward` says which day is meant when it names none. A day without
    a time is its 00:00. Digits alone are refused: they may be an hour, a day or a number of seconds.
    """

    name = "time"

    def __init__(self, toward: Literal["past", "future"]) -> None:
        self._toward = toward

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time with its zone. Fails for other texts."""
        if isinstance(value, datetime):
            return value
        moment = None if value.strip().isdigit() else _iso(value) or _in_words(value, self._toward)
        if moment is None:
            self.fail(f"{value!r} is no time, such as '09:00', 'tomorrow 09:00' or 2026-12-01T09:00+01:00.", param, ctx)
        return moment


class FutureMoment(Moment):
    """A time of a new job, as the API takes it: RFC 3339 in UTC. A time in the past is refused: it is a mistake."""

    def __init__(self) -> None:
        super().__init__("future")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """RFC 3339. Fails for other texts."""
        moment = super().convert(value, param, ctx)
        if moment.timestamp() <= datetime.now(UTC).timestamp() - 1:
            self.fail(f"{moment:%Y-%m-%d %H:%M:%S %Z} is in the past.", param, ctx)
        return timestamps.rfc3339(int(moment.timestamp() * 1000))


class PastMoment(Moment):
    """A time of a filter, as the API takes it: RFC 3339 in UTC. '' is none."""

    def __init__(self) -> None:
        super().__init__("past")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """RFC 3339. Fails for other texts."""
        if not value:
            return value
        try:
            timestamps.milliseconds(str(value))
        except ValueError:
            moment = super().convert(value, param, ctx).astimezone(UTC)
            return timestamps.rfc3339(int(moment.timestamp() * 1000))
        return value


def _iso(text: str) -> datetime | None:
    if len(text) < len("2026-12-01"):  # short texts that fromisoformat takes may be meant otherwise
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    try:
        return moment.astimezone() if moment.tzinfo is None else moment
    except (OverflowError, OSError):
        return None


def _in_words(text: str, toward: str) -> datetime | None:
    if _DATE.match(text):
        try:
            date.fromisoformat(text[:10])  # dateparser takes 2026-13-01 for the 13th of January
        except ValueError:
            return None
    import dateparser  # takes a third of a second

    found = dateparser.parse(
        text,
        languages=["en"],
        settings={"PREFER_DATES_FROM": toward, "RETURN_AS_TIMEZONE_AWARE": True, "DATE_ORDER": "YMD"},
    )
    if found and _TIME.fullmatch(text.strip()):
        return nearest(found.astimezone().time(), datetime.now().astimezone(), toward)
    return _of_day(text, found.astimezone()) if found else None


def nearest(at: time, now: datetime, toward: str) -> datetime:
    """The next time of day after now, or the last one.

    dateparser is not asked: on the last day of a month it answers with the first day of the same month.
    """
    today = datetime.combine(now.date(), at.replace(tzinfo=None))
    is_future = today.astimezone() > now
    if toward == "future":
        return (today if is_future else today + timedelta(days=1)).astimezone()
    return (today - timedelta(days=1) if is_future else today).astimezone()


def _of_day(text: str, moment: datetime) -> datetime | None:
    """The time itself, or 00:00 of a day without a time. None where dateparser did not read the time, as in `today 9`.

    For tomorrow and the like dateparser keeps the present time of day, which nearly always has microseconds.
    """
    words = set(text.lower().split())
    if not words & _DAYS:
        return moment
    if words <= _DAYS | _AROUND_DAYS:
        return datetime.combine(moment.date(), time.min).astimezone()
    return None if moment.microsecond else moment


def _in_unit(seconds: float) -> str:
    """A time span as one types it, in the largest unit of which it is a multiple: 7d, 90s."""
    size, unit = next((found for found in _UNITS if seconds % found[0] == 0), _UNITS[-1])
    return f"{seconds / size:g}{unit}"
