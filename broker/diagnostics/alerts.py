"""What needs a person: rules over the groups of a snapshot, the worst five. Each fault of a group is an alert."""

import heapq
from collections.abc import Iterable, Iterator

from broker.core.words import counted
from broker.models.overview import Alert
from broker.store.format.glances import GroupRow
from broker.store.group_counts import FAILED, LOST, OUT, SUCCEEDED

MOST_ALERTS = 5
OLD_S = 120.0
"""A queued job that waits for longer is too old."""
UNSETTLED_S = 5.0
"""The end of a job that is settled later is too late."""
FAILING = 0.05
"""The part of the jobs that may fail."""
_LEAST_ENDED = 10
"""A few jobs that failed are no rule: at least as many must have ended."""

Ranked = tuple[int, float, Alert]
"""The rank of the rule, the worst first; how bad it is, the more the worse; the alert."""


def alerts_of(rows: Iterable[GroupRow], now: int) -> list[Alert]:
    """The worst alerts. `now`: by the store's clock, ms."""
    ranked = (alert for row in rows for alert in _faults(row, now))
    worst = heapq.nsmallest(MOST_ALERTS, ranked, key=lambda one: (one[0], -one[1], one[2].group))
    return [alert for _, _, alert in worst]


def unsettled(age_s: float) -> list[Alert]:
    """The alert of ends of jobs that wait too long to be settled. `age_s`: how long the first of them does, s."""
    if age_s <= UNSETTLED_S:
        return []
    text = f"The end of a job waits for {_span(age_s)} to be settled: jobs that wait for it, and its key, are late."
    return [Alert(code="unsettled", text=text)]


def is_failing(row: GroupRow) -> bool:
    """Whether too many of the jobs of the last hour failed."""
    return row.hour[FAILED] > FAILING * (row.hour[FAILED] + row.hour[SUCCEEDED])


def is_stuck(row: GroupRow, now: int) -> bool:
    """Whether jobs wait for too long, and none was taken in the last five minutes."""
    return row.queued > 0 and not row.limits.paused and row.recent[OUT] == 0 and _waits_s(row, now) > OLD_S


def _faults(row: GroupRow, now: int) -> Iterator[Ranked]:
    """An alert for each fault of a group."""
    failed, lost = row.hour[FAILED], row.hour[LOST]
    ended = failed + row.hour[SUCCEEDED]
    if is_failing(row) and ended >= _LEAST_ENDED:
        text = f"{failed} of {counted(ended, 'job')} of {row.name} failed in the last hour."
        yield 1, failed / ended, Alert(code="failing", group=row.name, text=text)
    if lost:
        text = f"{counted(lost, 'lease')} of {row.name} ended without a report in the last hour."
        yield 2, lost, Alert(code="leases_lost", group=row.name, text=text)
    yield from _delays(row, now)


def _delays(row: GroupRow, now: int) -> Iterator[Ranked]:
    """The alert of a group whose jobs wait, by the cause: one of these explains the others."""
    waits_s = _waits_s(row, now)
    if is_stuck(row, now):
        yield 0, waits_s, _stuck(row, now)
    elif row.limits.paused and row.queued:
        text = f"{_waiting(row, f' of {row.name}')}: the group is paused."
        yield 3, row.queued, Alert(code="paused", group=row.name, text=text)
    elif waits_s > OLD_S:
        limit = row.limits.max_concurrency
        full = f"; {row.running} run, and max_concurrency is {limit}" if limit and row.running >= limit else ""
        text = f"The oldest job of {row.name} waits for {_span(waits_s)}{full}."
        yield 4, waits_s, Alert(code="oldest", group=row.name, text=text)


def _waiting(row: GroupRow, whose: str = "") -> str:
    return f"{counted(row.queued, 'job')}{whose} {'waits' if row.queued == 1 else 'wait'}"


def _stuck(row: GroupRow, now: int) -> Alert:
    if row.asked_at is not None and now - row.asked_at > OLD_S * 1000:
        since = f"for {_span((now - row.asked_at) / 1000)}" if row.asked_at else "in the last hour"
        text = f"Nobody asked for jobs of {row.name} {since}; {_waiting(row)}."
        return Alert(code="nobody_asks", group=row.name, text=text)
    oldest = _span(_waits_s(row, now))
    text = f"{_waiting(row, f' of {row.name}')}, the oldest for {oldest}, and none was taken in the last 5 min."
    return Alert(code="stuck", group=row.name, text=text)


def _waits_s(row: GroupRow, now: int) -> float:
    return 0.0 if row.oldest_at is None else (now - row.oldest_at) / 1000


def _span(seconds: float) -> str:
    """A time for people: 90 s, 4 min, 3 h, 2 d."""
    for size, unit, most in ((1, "s", 120), (60, "min", 7200), (3600, "h", 172_800)):
        if seconds < most:
            return f"{int(seconds / size)} {unit}"
    return f"{int(seconds / 86_400)} d"
