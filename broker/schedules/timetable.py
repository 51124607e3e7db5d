"""When a schedule is due: the times of a cron expression, an interval or a single time."""

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from broker.schedules.errors import TimetableError
from broker.schedules.zones import Zone


class Due(msgspec.Struct, frozen=True):
    """A time at which a schedule is due.

    `at` is the time itself and `fires_at` the time with its jitter, both in ms since 1970. `local` is `at` as RFC 3339
    with the offset of the zone. `moved` is `gap` if the local time was skipped by a jump of the clock, and `at` is
    therefore the instant of the jump.
    """

    at: int
    fires_at: int
    local: str
    moved: Literal["gap"] | None = None


class Timetable:
    """The times of a schedule, in order, each once. All times are ms since 1970."""

    @classmethod
    def of(
        cls,
        *,
        cron: Sequence[str] | None = None,
        every: int | None = None,
        at: int | None = None,
        zone: str = "UTC",
        gap: Literal["run", "skip"] = "run",
        offset: int = 0,
        jitter: int = 0,
        name: str = "",
        starts_at: int | None = None,
        ends_at: int | None = None,
    ) -> "Timetable":
        """Read the fields of a schedule: exactly one of cron, every (s) and at (ms); offset and jitter in s.

        Times are due from starts_at on and before ends_at. `name` is `group/name`, from which jitter is made. Raises
        TimetableError, which names the field.
        """
        raise NotImplementedError

    def next(self, after_ms: int) -> Due | None:
        """The first due time after another, or None if there is none."""
        raise NotImplementedError

    def upcoming(self, after_ms: int, n: int) -> list[Due]:
        """The next n due times after another."""
        raise NotImplementedError

    def missed(self, after_ms: int, until_ms: int, limit: int) -> list[Due]:
        """The first `limit` due times after one time that fire up to another, the oldest first."""
        raise NotImplementedError

    def latest(self, after_ms: int, until_ms: int) -> Due | None:
        """The last due time after one time that fires up to another."""
        raise NotImplementedError

    def lost(self, after_ms: int, until_ms: int) -> list[int]:
        """With gap `skip`: the jumps after one time, up to another, that swallowed a local time; at most 100."""
        raise NotImplementedError
