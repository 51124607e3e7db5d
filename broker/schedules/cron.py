"""A cron expression in a zone.

cronsim parses the expression and steps through local times; this module puts them into the zone. cronsim's own care for
daylight saving time is not used: it answers times before the start in a repeated hour, and it has none for entries with
seconds.

An expression whose hour has a `*` means elapsed time: it is due at each instant whose local time matches. Any other
means local times: of a repeated hour the first pass counts, and a time in a gap is due at the instant of the jump, or
not at all.
"""

from collections.abc import Iterator
from datetime import timedelta

from cronsim import CronSim, CronSimError

from broker.schedules.errors import TimetableError
from broker.schedules.words import expanded, what_is_wrong
from broker.schedules.zones import DAY_S, EPOCH, Zone

_START = EPOCH.replace(tzinfo=None)


class Cron:
    """Times are whole seconds since 1970, each with whether it was moved out of a gap.

    Raises TimetableError, which names `field`, for an expression that is not valid or never comes.
    """

    def __init__(self, expression: str, zone: Zone, *, runs_in_gap: bool, field: str) -> None:
        text = expanded(expression, field)
        try:
            self._forward, self._backward = CronSim(text, _START), CronSim(text, _START, reverse=True)
        except CronSimError:
            raise TimetableError(field, what_is_wrong(text)) from None
        self._zone = zone
        self._runs_in_gap = runs_in_gap
        self._is_elapsed = "*" in self._forward.parts[2]
        if _step(self._forward, 0) is None:
            raise TimetableError(field, f"{expression!r} never comes.")

    def next(self, after: int) -> tuple[int, bool] | None:
        """The first time after another."""
        return self._next_elapsed(after) if self._is_elapsed else self._next_fixed(after)

    def last(self, until: int) -> tuple[int, bool] | None:
        """The last time up to another, or at it."""
        return self._last_elapsed(until) if self._is_elapsed else self._last_fixed(until)

    def times(self, after: int) -> Iterator[tuple[int, bool]]:
        """All times after another."""
        found = self.next(after)
        while found is not None:
            yield found
            found = self.next(found[0])

    def is_lost_at(self, jump: int) -> bool:
        """Whether a local time is left out in the gap of a jump, and none comes at its instant."""
        first, end = self._zone.period(jump - 1).offset + jump, self._zone.period(jump).offset + jump
        if self._is_elapsed or self._runs_in_gap or end <= first:
            return False
        local = _step(self._forward, first - 1)
        return local is not None and local < end and _step(self._forward, end - 1) != end

    def times_of_day(self) -> set[int]:
        """Seconds after midnight."""
        hours, minutes, seconds = self._forward.hours, self._forward.minutes, self._forward.seconds
        return {hour * 3600 + minute * 60 + second for hour in hours for minute in minutes for second in seconds}

    def _next_elapsed(self, after: int) -> tuple[int, bool] | None:
        while True:
            _, end, offset = self._zone.period(after + 1)
            local = _step(self._forward, after + offset)
            if local is None:
                return None
            if local - offset < end:
                return local - offset, False
            after = max(end - 1, local - offset - 2 * DAY_S)

    def _last_elapsed(self, until: int) -> tuple[int, bool] | None:
        while True:
            start, _, offset = self._zone.period(until)
            local = _step(self._backward, until + offset + 1)
            if local is None:
                return None
            if local - offset >= start:
                return local - offset, False
            until = min(start - 1, local - offset + 2 * DAY_S)

    def _next_fixed(self, after: int) -> tuple[int, bool] | None:
        wall = self._zone.local(after)
        while (local := _step(self._forward, wall)) is not None:
            at, in_gap = self._zone.instant(local)
            if not in_gap:
                return at, False
            wall = self._zone.local(at) - 1
            if _step(self._forward, wall) == wall + 1:
                return at, False
            if self._runs_in_gap:
                return at, True
        return None

    def _last_fixed(self, until: int) -> tuple[int, bool] | None:
        wall = self._zone.local(until)
        while (local := _step(self._backward, wall + 1)) is not None:
            at, in_gap = self._zone.instant(local)
            if not in_gap or self._runs_in_gap:
                return at, in_gap
            wall = self._zone.local(at - 1)
        return None


def _step(cron: CronSim, wall: int) -> int | None:
    """The next local time that matches, after `wall` or before it; None if none comes within 50 years."""
    cron.dt = _START + timedelta(seconds=wall)
    try:
        return round((next(cron) - _START).total_seconds())
    except (StopIteration, OverflowError, ValueError):
        return None
