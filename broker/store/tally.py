"""Counts in the broker's memory what happens to the jobs of each group, and how long jobs waited and ran.

The verbs count here after a script has answered; the store gets no command for a job. `broker/store/count_flusher.py`
brings the counts to the store every 10 s.
"""

import time
from collections.abc import Iterable, Sequence
from math import inf
from typing import Any

from broker.models.events import EventKind
from broker.models.unique import ON_CONFLICT, OnConflict
from broker.store.event_buffer import EventBuffer
from broker.store.group_counts import (
    BACK,
    CANCELLED,
    FAILED,
    IN,
    LOST,
    OUT,
    RETRIED,
    SUCCEEDED,
    TAKEN,
    GroupCounts,
)
from broker.store.job_totals import JobTotals

SAMPLE = 16
"""The most jobs of one call whose times are taken. lua/verbs/finish.lua has the same number."""
MANY, THIN, FEW = 1000, 8, 4
"""Of a group with this many times since the last flush at most every eighth job of a call is in the sample, and at most
four: to take a time costs a 30th of what the broker does for a job."""
MOST_GROUPS = 50_000
"""The most groups that have counts of their own between two flushes. Further ones are in the totals only."""

_PLAIN_ROW = 8
"""Words of a finished job in the reply of finish.lua; a repeat, and a job that was copied, have one more."""

Words = Sequence[Any]


def step_of(n: int, before: Sequence[int] | None = None) -> int:
    """Of n jobs every how-manieth is in the sample. `before`: the histogram so far, which may be full."""
    if before and before[TAKEN] >= MANY:
        return max(min(n, THIN), (n + FEW - 1) // FEW)
    return (n + SAMPLE - 1) // SAMPLE


class Tally:
    """The counts of all groups since the last flush, at this broker."""

    def __init__(self) -> None:
        self.groups: dict[str, GroupCounts] = {}
        self.totals = JobTotals()
        """The sums of what was flushed, for /metrics."""
        self.batches = {"ended": 0, "callbacks": 0}
        """How many batches this broker has ended, and how many callbacks it has created; they are never flushed."""
        self.events: EventBuffer | None = None
        """What happens is noted here too, while somebody listens to events."""
        self.acted_at = -inf
        """When counts were taken last, or something was noted that is not counted, by the monotonic clock in s."""
        self.duplicates = dict.fromkeys(ON_CONFLICT, 0)
        """How many new jobs had a unique key that another job holds, by what they ask for then; never flushed."""
        self.dead_letters = 0
        """How many copies of jobs that failed for good this broker has created; it is never flushed."""

    def of(self, group: str) -> GroupCounts:
        """The counts of a group; those of '' if there are too many groups."""
        found = self.groups.get(group)
        if found is None:
            if len(self.groups) >= MOST_GROUPS:
                group = ""
            found = self.groups.setdefault(group, GroupCounts())
        return found

    def noted(self, kind: EventKind, group: str, ids: Iterable[str | bytes] = (), by: str = "", n: int = 1) -> None:
        """Note an event that is not counted."""
        self.acted_at = time.monotonic()
        if self.events is not None:
            self.events.note(kind, group, n, ids, by)

    def has_acted(self, within_s: float) -> bool:
        """Whether something happened at this broker so lately, or since the last flush."""
        return bool(self.groups) or time.monotonic() - self.acted_at <= within_s

    def enqueued(self, group: str, n: int, ids: Iterable[str | bytes] = ()) -> None:
        """Count n new jobs."""
        self.of(group).counts[IN] += n
        if self.events is not None:
            self.events.note("enqueued", group, n, ids)

    def duplicate(self, on_conflict: Iterable[OnConflict]) -> None:
        """Count jobs with a unique key that another job holds, by what each asks for."""
        for policy in on_conflict:
            self.duplicates[policy] += 1

    def taken(
        self, group: str, n: int, waits_ms: Iterable[int] = (), weight: int = 1, ids: Iterable[str | bytes] = ()
    ) -> None:
        """Count n jobs that were dispatched. `waits_ms`: how long some waited, each of which stands for `weight`."""
        counts = self.of(group)
        counts.counts[OUT] += n
        if self.events is not None:
            self.events.note("taken", group, n, ids)
        for ms in waits_ms:
            counts.wait(ms, weight)

    def finished(self, words: Words, reply: Words) -> None:
        """Count what finish.lua replied to these words, without the jobs in the reply.

        A failure that is followed by an automatic retry counts as failed and as retried, and the retry as a job that
        came in: also if it is the same job that will be tried again. A copy comes into the group for dead letters.
        """
        if self.events is not None:
            note_ends(self.events, words, reply)
        step = step_of(len(reply))
        at = first = 0
        while at < len(words):
            group, status, n, width = words[at : at + 4]
            rows = reply if n == len(reply) else reply[first : first + n]
            retried = rows.count(2)
            done = rows.count(1) + retried
            counts, timed = self.of(group), rows[-first % step :: step]
            for row in timed if status == "succeeded" else rows:
                if type(row) is list:
                    done += 1
                    if len(row) == 1:
                        continue
                    if row[1] == 1:
                        retried += 1
                    else:
                        self.copied(row[1].decode())
            every = max(1, step_of(n, counts.runs) // step)
            run = counts.failed_run if status == "failed" else counts.run
            for row in timed[::every]:
                if type(row) is list:
                    run(row[0], step * every)
            _count(counts.counts, status, done, retried)
            at, first = at + 4 + n * width, first + n

    def finished_with_jobs(self, words: Words, reply: Words) -> None:
        """Count what finish.lua replied to these words, with the jobs in the reply."""
        if self.events is not None:
            note_ends(self.events, words, reply)
        at = first = 0
        while at < len(words):
            group, status, n, width = words[at : at + 4]
            counts, retried = self.of(group), 0
            rows = reply if n == len(reply) else reply[first : first + n]
            ended = [row for row in rows if _has_ended(row)]
            if status != "succeeded":
                for row in ended:
                    retried += row[5] is not None or row[1] == b"delayed"
                    if len(row) > _PLAIN_ROW:
                        self.copied(row[_PLAIN_ROW].decode())
            step = step_of(n, counts.runs)
            run = counts.failed_run if status == "failed" else counts.run
            for row in ended[::step]:
                run(row[2], step)
            _count(counts.counts, status, len(ended), retried)
            at, first = at + 4 + n * width, first + n

    def released(self, group: str, job_id: str | bytes, by: str = "") -> None:
        """Count a running job that was released."""
        self.of(group).counts[BACK] += 1
        if self.events is not None:
            self.events.note("released", group, 1, (job_id,), by)

    def cancelled(self, group: str, jobs: int = 1, ids: Iterable[str | bytes] = (), by: str = "") -> None:
        """Count jobs that were cancelled."""
        self.of(group).counts[CANCELLED] += jobs
        if self.events is not None:
            self.events.note("cancelled", group, jobs, ids, by)

    def repeated(
        self,
        group: str,
        how: str,
        new: Iterable[str | bytes] = (),
        old: Iterable[str | bytes] | None = None,
        by: str = "",
        n: int = 1,
    ) -> None:
        """Count jobs that repeat finished ones, `manual` for a person or in `bulk`; they came into the group.

        `new`, `old`: ids of these and of those, for events; without `old` there is no event of the retry.
        """
        self.enqueued(group, n, new)
        self.totals.rarely(how, group, n)
        if old is not None:
            self.noted("retried", group, old, by, n)

    def promoted(self, group: str, ids: Iterable[str | bytes] = (), by: str = "", n: int = 1) -> None:
        """Count delayed jobs that a person queued."""
        self.totals.rarely("promoted", group, n)
        self.noted("promoted", group, ids, by, n)

    def copied(self, group: str, n: int = 1) -> None:
        """Count copies of jobs that failed for good, which came into the group for dead letters."""
        self.enqueued(group, n)
        self.dead_letters += n

    def called_back(self, group: str, n: int) -> None:
        """Count callbacks of batches, which came into the group."""
        self.enqueued(group, n)
        self.batches["callbacks"] += n

    def lost(self, group: str, requeued: int, failed: int, retried: int, late: int = 0, copies: int = 0) -> None:
        """Count jobs whose lease ended: those that were queued again, those that failed, and the retries of these.

        `late`: waiting jobs that failed because they did not start or end in time. `copies`: those that came into this
        group as dead letters.
        """
        counts = self.of(group).counts
        counts[LOST] += requeued + failed
        if failed:
            self.totals.rarely("lost", group, failed)
        counts[BACK] += requeued
        counts[FAILED] += failed + late
        counts[RETRIED] += retried
        counts[IN] += retried
        if copies:
            self.copied(group, copies)
        if self.events is not None:
            self.events.note("requeued", group, requeued)
            self.events.note("failed", group, failed)
            self.events.note("expired", group, late)
            self.events.note("retried", group, retried)


def note_ends(events: EventBuffer, words: Words, reply: Words) -> None:
    """Note the ends of jobs, from what finish.lua replied to these words, with the jobs in the reply or without.

    A failure after which the same job is tried again, or another one, is noted as failed and as retried.
    """
    at = first = 0
    while at < len(words):
        group, status, n, width = words[at : at + 4]
        names = words[at + 4 : at + 4 + n * width : width]
        rows = list(zip(names, reply[first : first + n], strict=True))
        ended = [name for name, row in rows if row in (1, 2) or (type(row) is list and _is_first(row))]
        retried = [name for name, row in rows if row == 2 or (type(row) is list and _is_retried(row))]
        events.note("succeeded" if status == "succeeded" else "failed", group, len(ended), ended)
        events.note("retried", group, len(retried), retried)
        at, first = at + 4 + n * width, first + n


def _is_first(row: list[Any]) -> bool:
    """Whether a row, with the job or without, is the first report of its end."""
    return len(row) < _PLAIN_ROW or _has_ended(row)


def _is_retried(row: list[Any]) -> bool:
    if len(row) < _PLAIN_ROW:
        return row[1:] == [1]
    return _has_ended(row) and (row[5] is not None or row[1] == b"delayed")


def _has_ended(row: Any) -> bool:
    """Whether a row with the job is the first report of its end: it is no refusal and no repeat."""
    return type(row) is list and (len(row) == _PLAIN_ROW or type(row[_PLAIN_ROW]) is bytes)


def _count(counts: list[int], status: str, done: int, retried: int) -> None:
    counts[SUCCEEDED if status == "succeeded" else FAILED] += done
    if retried:
        counts[RETRIED] += retried
        counts[IN] += retried
