"""The history of a job, from its row: what is kept of every job, and the lines that rare events add.

Creation, due time, last delivery and end are in the record and the execution. The field `history` has a line for each
lost lease, forgiven failure, release, wait for others, cancel, retry and promotion (lua/lib/history.lua).
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from broker.core.states import FINISHED, Status
from broker.core.timestamps import milliseconds, rfc3339
from broker.models.history import History, JobEvent, What
from broker.models.jobs import Job
from broker.models.workers import Receipt
from broker.store.format.replies import job_of, values_of


class HistoryLine(Struct, frozen=True, kw_only=True):
    """A line of the field `history`. Times are ms; n counts all lines of the job, also those that were left out."""

    at: int
    n: int = 1
    what: What
    by: str = ""
    delivery: int = 0
    started_at: int = 0
    from_: Status | None = msgspec.field(default=None, name="from")
    to: Status | None = None
    job: str = ""
    reason: str = ""
    receipts: int = 0


class _Step(NamedTuple):
    """An event, and whether a receipt belongs to it."""

    event: JobEvent
    has_receipt: bool = False


Start = tuple[int, str]
"""A delivery: its number, and when it began."""

_lines = msgspec.json.Decoder(HistoryLine).decode_lines


def history_of(row: Sequence[Any]) -> History:
    """The reply of show.lua as events in order."""
    values, job = values_of(row), job_of(row, is_shown=True)
    lines = _lines(values.get("history", ""))
    counted = [(line.delivery, rfc3339(line.started_at)) for line in lines if _ends_delivery(line)]
    last: Start | None = (job.deliveries, job.started_at) if job.started_at else None
    has_open = last is not None and last not in counted
    steps = [
        *_beginning(job, lines, is_follower="leader" in values),
        *(step for line in lines if line.what != "retried" for step in _of_line(line, job)),
        *([_taken(*last)] if last is not None and has_open else []),
        *_end(job, lines),
    ]
    is_whole = len(counted) + has_open == job.deliveries and _is_whole(job, lines)
    return History(_with_wait(_with_receipts(steps, job.receipts or []), job), is_whole)


def _ends_delivery(line: HistoryLine) -> bool:
    """Whether it ended a delivery that counts."""
    return line.started_at > 0 and line.what not in {"released", "waited"}


def _beginning(job: Job, lines: Sequence[HistoryLine], *, is_follower: bool) -> Iterator[_Step]:
    """Creation, and the end of the delay if the job was queued by it. `is_follower`: it waited for a unique key."""
    waited_first = is_follower or (bool(job.after) and all(line.what != "waited" for line in lines))
    first_status: Status = "delayed" if job.delay or waited_first else "queued"
    yield _Step(JobEvent(at=job.created_at, what="created", to=first_status, job=job.retry_of or ""))
    first = lines[0] if lines else None
    has_left_early = first.from_ == "delayed" if first else job.status == "delayed"
    if job.delay and not waited_first and not has_left_early:
        due_at = rfc3339(milliseconds(job.created_at) + job.delay * 1000)
        yield _Step(JobEvent(at=due_at, what="due", from_="delayed", to="queued"))


def _taken(delivery: int, at: str) -> _Step:
    return _Step(JobEvent(at=at, what="taken", delivery=delivery, from_="queued", to="running"))


def _of_line(line: HistoryLine, job: Job) -> Iterator[_Step]:
    """The events of a line: also the beginning of the delivery that it ends."""
    if line.started_at:
        yield _taken(line.delivery, rfc3339(line.started_at))
    event = JobEvent(
        at=rfc3339(line.at),
        what=line.what,
        by=line.by,
        delivery=line.delivery,
        from_=line.from_,
        to=line.to,
        reason=job.reason or "" if line.what == "cancelled" else line.reason,
        job=line.job,
    )
    yield _Step(event, line.receipts > 0)


def _end(job: Job, lines: Sequence[HistoryLine]) -> Iterator[_Step]:
    """The end of the job, and its retry. A cancel by this version has a line already."""
    kinds = {line.what for line in lines}
    ends = {line.to for line in lines if line.what == line.to}
    if job.completed_at and job.status in FINISHED and job.status not in ends:
        event = JobEvent(
            at=job.completed_at,
            what=job.status,  # type: ignore[arg-type]  # the name of each finished status is an event
            delivery=job.deliveries if job.started_at else 0,
            from_="running" if job.started_at else None,
            to=job.status,
            reason=job.reason or "",
        )
        yield _Step(event, has_receipt=True)
    for line in lines:
        if line.what == "retried":
            yield from _of_line(line, job)
    if job.retry_at and job.completed_at and "retried" not in kinds:
        yield _Step(JobEvent(at=job.completed_at, what="retried", job=job.retry_at))


def _is_whole(job: Job, lines: Sequence[HistoryLine]) -> bool:
    """Whether no line was left out, and what a person did has one: older versions wrote none."""
    kinds = {line.what for line in lines}
    is_automatic = job.status == "failed" and job.max_retries > 0
    is_retry_known = not job.retry_at or is_automatic or "retried" in kinds
    is_cancel_known = job.status != "cancelled" or "cancelled" in kinds
    return is_retry_known and is_cancel_known and (not lines or lines[0].n == 1)


def _with_wait(events: Sequence[JobEvent], job: Job) -> list[JobEvent]:
    """The events. The last one of a held job left it delayed, and says what it waits for.

    No event is kept of the end of such a wait. So a job that was held for its key shows that only while it is.
    """
    if not job.waits_for:
        return list(events)
    *before, last = events
    return [*before, msgspec.structs.replace(last, to="delayed", waits_for=job.waits_for)]


def _with_receipts(steps: Sequence[_Step], receipts: Sequence[Receipt]) -> list[JobEvent]:
    """The events, each end of a delivery with its receipt, from the last one back; `taken` has the worker's name."""
    left, worker = list(receipts), ""
    events: list[JobEvent] = []
    for event, has_receipt in reversed(steps):
        if event.what == "taken":
            events.append(msgspec.structs.replace(event, by=worker))
            worker = ""
        elif has_receipt and left and left[-1].outcome == event.what:
            receipt = left.pop()
            worker = receipt.worker
            events.append(msgspec.structs.replace(event, receipt=receipt))
        else:
            events.append(event)
    return events[::-1]
