"""Checks of new jobs in the body of a request that their structs do not make."""

import re
from collections.abc import Sequence

from broker.core.errors import Invalid
from broker.core.words import counted
from broker.http.request.context import Call
from broker.http.request.job_times import with_times
from broker.models.fields import LINE, NO_CONTROLS
from broker.models.jobs import DEFAULT_RETRIES_DELAY_S, NewJob, PlainJob
from broker.resp.marks import DEADLINES, FLOWS, POLICIES
from broker.store.admitter import are_plain

_IMAGE = re.compile(NO_CONTROLS)
_NO_DELAYS = {None, DEFAULT_RETRIES_DELAY_S}


JOBS = "jobs[{}]"
"""The path of each new job in a body, by its position."""


def check_plain(call: Call, jobs: Sequence[PlainJob], path: str = JOBS) -> None:
    """Check the number of new jobs, their images and payloads. `path`: that of each job. Raises Invalid."""
    _check_number(jobs, call.settings.max_batch, path)
    _check_images(jobs, path)
    _check_payloads(jobs, call.settings.max_payload_bytes, path)


async def checked(call: Call, given: Sequence[NewJob], path: str = JOBS) -> Sequence[NewJob]:
    """The new jobs without times that are not given. Raises Invalid, and NotReady for what the layout does not have."""
    now_ms = call.store.clock.own_ms
    jobs = [with_times(job, path.format(i), now_ms) for i, job in enumerate(given)]
    if _have_policies(given, path):
        await call.store.require_layout(POLICIES, "Retry policies")
    _check_ties(given, path)
    if any(job.after or job.ref or job.unique or job.key for job in given):
        await call.store.require_layout(FLOWS, "Jobs with after, unique or key")
    if jobs and not are_plain(jobs):
        await call.store.require_layout(DEADLINES, "Deadlines and run_at")
    return jobs


def _check_number(jobs: Sequence[PlainJob], limit: int, path: str) -> None:
    if len(jobs) > limit:
        raise Invalid(f"One call may have {counted(limit, 'job')} at most.", fields=path.removesuffix("[{}]"))


def _check_images(jobs: Sequence[PlainJob], path: str) -> None:
    for image in {job.image for job in jobs}:
        if image and _IMAGE.fullmatch(image) is None:
            i = next(i for i, job in enumerate(jobs) if job.image == image)
            field = f"{path.format(i)}.image"
            raise Invalid(f"{field} must be {LINE['words']}.", fields=field)


def _check_ties(jobs: Sequence[NewJob], path: str) -> None:
    for i, job in enumerate(jobs):
        if job.after_on and not job.after:
            raise Invalid("after_on is for a job with after.", fields=f"{path.format(i)}.after_on")
        unique, field = job.unique, f"{path.format(i)}.unique"
        if unique is None:
            continue
        if unique.until and unique.for_:
            raise Invalid("A key has until or for, not both.", fields=f"{field}.until")
        if job.after and unique.on_conflict in {"replace", "push"}:
            raise Invalid(
                "A job whose unique key may replace another one cannot have after: what a job waits for never changes.",
                fields=f"{path.format(i)}.after",
            )
        if unique.max_wait and unique.on_conflict != "push":
            raise Invalid("Only on_conflict push has max_wait.", fields=f"{field}.max_wait")
        if unique.on_conflict == "push" and not job.delay:
            raise Invalid("on_conflict push needs a delay.", fields=f"{path.format(i)}.delay")
        if unique.max_wait and unique.max_wait < (job.delay or 0):
            raise Invalid("max_wait is the delay at least.", fields=f"{field}.max_wait")


def _have_policies(jobs: Sequence[NewJob], path: str) -> bool:
    """Whether a job has a retry policy. Raises Invalid for one that has max_retries as well, if not by default."""
    has_policy = False
    for i, job in enumerate(jobs):
        if not job.retry:
            continue
        has_policy = True
        if job.max_retries or job.retries_delay not in _NO_DELAYS:
            field = f"{path.format(i)}.{'max_retries' if job.max_retries else 'retries_delay'}"
            raise Invalid(f"{field} must not be given together with retry.", fields=field)
    return has_policy


def _check_payloads(jobs: Sequence[PlainJob], limit_bytes: int, path: str) -> None:
    for i, job in enumerate(jobs):
        payload = job.payload or ""
        if len(payload) * 4 > limit_bytes and len(payload.encode()) > limit_bytes:
            raise Invalid(f"A payload may have {limit_bytes} bytes at most.", fields=f"{path.format(i)}.payload")
