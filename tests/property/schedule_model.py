"""A model of a schedule: what becomes of each of its times, in plain lists.

A broker reads the schedule and, later or never, fires what it read. Only the first of those who read the same state
changes it. So each time has one outcome: `fired`, `missed`, `paused`, `gap`, `overlap` or `limit`. All times are ms.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from broker.schedules.timetable import Due

ON_TIME_MS = 60_000
"""With `missed: none` a time is fired for at most so late."""
MOST_HELD = 100


class Policies(NamedTuple):
    """The fields of a schedule that decide what becomes of a time. `catch_up` is s; 0 for max_fires is no limit."""

    overlap: str = "skip"
    missed: str = "one"
    catch_up: int = 86_400
    max_fires: int = 0


class Reading(NamedTuple):
    """What a broker read: the number of the state, and the time of the store."""

    state: int
    now: int


class Outcome(NamedTuple):
    """What became of a time."""

    at: int
    what: str


@dataclass
class ScheduleModel:
    """A schedule. `dues` are all its times that the test can reach, and `lost` the jumps that swallow one.

    `open` are the times whose job has not ended, and for which of them the job waits.
    """

    dues: Sequence[Due]
    policies: Policies
    lost: Sequence[int] = ()
    next: int = 0
    handled: int = 0
    state: int = 0
    word: str = "active"
    outcomes: list[Outcome] = field(default_factory=list)
    open: dict[int, set[int]] = field(default_factory=dict)
    cancelled: list[int] = field(default_factory=list)

    def read(self, now: int) -> Reading | None:
        """What a broker that looks now keeps in mind; None if nothing is due."""
        is_due = self.word == "active" and self.dues[self.next].fires_at <= now
        return Reading(self.state, now) if is_due else None

    def fire(self, reading: Reading) -> bool:
        """Fire what a broker read; whether the schedule was still as it read it."""
        if reading.state != self.state:
            return False
        passed = self._passed(lambda due: due.fires_at <= reading.now)
        chosen = self._chosen(passed, reading.now)
        handled = chosen or passed[-1]
        self._note_lost(handled.at)
        for due in passed[: passed.index(handled)]:
            self.outcomes.append(Outcome(due.at, "missed"))
        self.outcomes.append(Outcome(handled.at, "missed" if chosen is None else self._start(handled.at)))
        self._move(handled.at)
        return True

    def end(self, at: int) -> None:
        """The job of a time ends, however it does."""
        del self.open[at]
        for waits_for in self.open.values():
            waits_for.discard(at)

    def pause(self) -> None:
        """Times that come now are skipped."""
        if self.word == "active":
            self.word = "paused"
            self.state += 1

    def resume(self, now: int) -> None:
        """The times that came during the pause are not made up for."""
        if self.word != "paused":
            return
        passed = self._passed(lambda due: due.fires_at <= now)
        self.outcomes += [Outcome(due.at, "paused") for due in passed]
        self.word = "active"
        self._move(passed[-1].at if passed else self.handled)

    def put(self) -> None:
        """Another job, or another policy that the model does not have: the times stay as they are."""
        self.state += 1

    @property
    def fired(self) -> list[int]:
        """The times for which there is a job, in the order in which they fired."""
        return [outcome.at for outcome in self.outcomes if outcome.what == "fired"]

    def count(self, *whats: str) -> int:
        """How many times had these outcomes."""
        return sum(outcome.what in whats for outcome in self.outcomes)

    def _passed(self, is_over: Callable[[Due], bool]) -> list[Due]:
        return [due for due in self.dues[self.next :] if is_over(due)]

    def _chosen(self, passed: list[Due], now: int) -> Due | None:
        recent = [due for due in passed if due.at >= now - self.policies.catch_up * 1000]
        if self.policies.missed == "all":
            return recent[0] if recent else None
        if not recent or (self.policies.missed == "none" and recent[-1].fires_at < now - ON_TIME_MS):
            return None
        return recent[-1]

    def _start(self, at: int) -> str:
        overlap, newest = self.policies.overlap, list(self.open)[-1:]
        is_held = any(self.open[last] for last in newest)
        if newest and (overlap == "skip" or (overlap == "queue" and is_held)):
            return "overlap"
        if overlap == "queue_all" and len(self.open) > MOST_HELD:
            return "limit"
        if overlap == "cancel":
            self.cancelled += self.open
            self.open.clear()
        waits_for = set(newest if is_held else self.open) if overlap in {"queue", "queue_all"} else set[int]()
        self.open[at] = waits_for
        return "fired"

    def _note_lost(self, until: int) -> None:
        self.outcomes += [Outcome(jump, "gap") for jump in self.lost if self.handled < jump <= until]

    def _move(self, handled: int) -> None:
        self.handled = handled
        self.next = next((i for i, due in enumerate(self.dues) if due.at > handled), len(self.dues))
        self.state += 1
        is_done = 0 < self.policies.max_fires <= self.count("fired") or self.next == len(self.dues)
        if is_done:
            self.word = "done"
