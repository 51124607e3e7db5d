"""Converts what scripts reply to the reaper, to the settlement and to `titan check`."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

_REAPED = 9
"""Words in the reply of reap.lua before those of groups."""


class Reaped(NamedTuple):
    """The counts of a reap, logs still to be deleted, and ms until the next timer (0: more is due; None: no timer).

    `away`: partitions whose server did not answer.
    """

    queued: int = 0
    requeued: int = 0
    failed: int = 0
    expired: int = 0
    discarded: int = 0
    unsettled: int = 0
    """Jobs whose end must still be settled."""
    wait_ms: int | None = None
    late_ms: int = 0
    away: int = 0
    fires_in_ms: int | None = None
    """Until a schedule fires; 0 or less when it should have fired. None: no schedule."""


class Unsettled(NamedTuple):
    """Ends of jobs that must still be settled: how many, and for how long the first of them has waited, ms."""

    n: int = 0
    age_ms: int = 0


class Finding(NamedTuple):
    """A contradiction in the store. `job_id` is '' for one about the whole group."""

    group: str
    job_id: str
    what: str
    is_repaired: bool = False
    """Whether this run changed the store so that it agrees now."""


class Surveyed(NamedTuple):
    """A step of a survey: where it continues, how many ids it read, and those that must be checked, by group."""

    cursor: str
    after: tuple[str, str]
    read: int
    suspects: list[tuple[str, list[str]]]


def reaped_of(replies: Iterable[Sequence[Any]]) -> Reaped:
    """The replies of reap.lua in all partitions, added up."""
    numbers = [[int(value) for value in reply[:_REAPED]] for reply in replies]
    counts = Reaped._make([*(sum(column) for column in list(zip(*numbers, strict=True))[:6]), None, 0, 0, None])
    waits = [timer - now for *_, now, timer, _ in numbers if timer >= 0]
    wait_ms, late_ms = max(0, min(waits)) if waits else None, max(0, -min(waits, default=0))
    fires = [fires_at - now for *_, now, _, fires_at in numbers if fires_at >= 0]
    return counts._replace(wait_ms=wait_ms, late_ms=late_ms, fires_in_ms=min(fires, default=None))


def ends_of(reply: Sequence[Any]) -> list[tuple[str, int, int, int, int, int]]:
    """What the reply of reap.lua says of groups with lost leases, late jobs or new copies.

    Group, and how many jobs with lost leases were requeued and failed, how many of these were retried; and how many
    waiting jobs were too late; and how many copies of dead letters came into the group.
    """
    words = iter(reply[_REAPED:])
    rows = zip(words, words, words, words, words, words, strict=True)
    return [
        (group.decode(), int(requeued), int(failed), int(retried), int(late), int(copies))
        for group, requeued, failed, retried, late, copies in rows
    ]
