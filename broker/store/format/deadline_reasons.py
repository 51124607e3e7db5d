"""The reasons of an explanation that say by when a job must start and end."""

from collections.abc import Iterator

from broker.core.states import FINISHED
from broker.core.timestamps import milliseconds
from broker.models.jobs import Job
from broker.models.why import WhyReason
from broker.store.format.prose_times import distance


def deadline_reasons(job: Job, now: int, *, is_of_group: bool) -> Iterator[WhyReason]:
    """A reason for each deadline that the job still has. now: ms. `is_of_group`: the explanation is about a group."""
    if job.status in FINISHED:
        return
    about = f"The next job of {job.group_name}" if is_of_group else "It"
    if job.start_before and not job.deliveries:
        text = _text(about, "be taken", job.start_before, now, "expired")
        yield WhyReason(code="must_start", text=text, until=job.start_before)
    if job.end_before:
        text = _text(about, "end", job.end_before, now, "timeout")
        yield WhyReason(code="must_end", text=text, until=job.end_before)


def _text(about: str, verb: str, at: str, now: int, reason: str) -> str:
    until, is_late = milliseconds(at), milliseconds(at) <= now
    when = distance(until, now).removeprefix("in ")
    if is_late:
        return f"{about} had to {verb} {when}, and fails with the reason {reason} as soon as a reaper sees it."
    return f"{about} must {verb} within {when}, or fails with the reason {reason}."
