"""Times without end: an interval, a single time, and the union of cron expressions. All are ms since 1970.

Each series answers a time with whether it was moved out of a gap.
"""

import heapq
from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

from broker.schedules.cron import Cron
from broker.schedules.zones import DAY_S


class Series(Protocol):
    """What a timetable asks."""

    def times(self, after: int) -> Iterator[tuple[int, bool]]:
        """All times after another, the oldest first."""

    def last(self, until: int) -> tuple[int, bool] | None:
        """The last time up to another, or at it."""

    def least_distance_s(self) -> int | None:
        """The least time between two times; None if there is only one."""

    def lost(self, jump: int) -> bool:
        """Whether a local time is lost in the gap of a jump, and none comes at its instant."""


class Interval(Series):
    """A time each `every_s` seconds since 1970, plus an offset."""

    def __init__(self, every_s: int, offset_s: int) -> None:
        self._every_ms = every_s * 1000
        self._offset_ms = offset_s * 1000

    def times(self, after: int) -> Iterator[tuple[int, bool]]:
        """Without end."""
        at, _ = self.last(after)
        while True:
            at += self._every_ms
            yield at, False

    def last(self, until: int) -> tuple[int, bool]:
        """By division."""
        return until - (until - self._offset_ms) % self._every_ms, False

    def least_distance_s(self) -> int:
        """The interval itself."""
        return self._every_ms // 1000

    def lost(self, jump: int) -> bool:  # noqa: ARG002
        """Never: local time is not asked."""
        return False


class Once(Series):
    """A single time."""

    def __init__(self, at: int) -> None:
        self._at = at

    def times(self, after: int) -> Iterator[tuple[int, bool]]:
        """The time, if it is later."""
        if self._at > after:
            yield self._at, False

    def last(self, until: int) -> tuple[int, bool] | None:
        """The time, if it is not later."""
        return (self._at, False) if self._at <= until else None

    def least_distance_s(self) -> None:
        """There is only one time."""

    def lost(self, jump: int) -> bool:  # noqa: ARG002
        """Never: it is an instant."""
        return False


class CronUnion(Series):
    """The times of several expressions, each once.

    A time that belongs to one expression, and that another has moved out of a gap, counts as not moved.
    """

    def __init__(self, crons: list[Cron]) -> None:
        self._crons = crons

    def times(self, after: int) -> Iterator[tuple[int, bool]]:
        """Merged: each expression is asked only as far as needed."""
        before = None
        for at, moved in heapq.merge(*(cron.times(after // 1000) for cron in self._crons)):
            if at != before:
                yield at * 1000, moved
            before = at

    def last(self, until: int) -> tuple[int, bool] | None:
        """The latest of all."""
        found = [last for cron in self._crons if (last := cron.last(until // 1000)) is not None]
        at, moved = max(found, key=lambda last: (last[0], not last[1]), default=(None, False))
        return None if at is None else (at * 1000, moved)

    def least_distance_s(self) -> int:
        """Of an ordinary day and the next, as if all expressions came on the same days."""
        day = sorted(set[int]().union(*(cron.times_of_day() for cron in self._crons)))
        return min(later - earlier for earlier, later in pairwise([*day, day[0] + DAY_S]))

    def lost(self, jump: int) -> bool:
        """Whether one of the expressions has a time in the gap, and none has the instant of the jump."""
        at = jump // 1000
        return any(cron.is_lost_at(at) for cron in self._crons) and self.last(jump) != (jump, False)
