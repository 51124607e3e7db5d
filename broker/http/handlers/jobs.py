"""The verbs of a producer: enqueue, list, show, remove, cancel, retry, promote; and those who wait for its end."""

import re
from collections.abc import Sequence

from msgspec import UNSET

from broker.core.errors import Invalid, TitanError
from broker.core.states import FINISHED
from broker.core.words import counted
from broker.http.error_responses import problem_of
from broker.http.handlers.looking import look
from broker.http.log_upload import discard_log
from broker.http.request.context import Call
from broker.http.request.decoding import moment
from broker.http.request.job_times import with_times
from broker.http.request.query_params import EnqueueQuery, ListQuery, RetryQuery, ShowQuery
from broker.http.responses import Response, document, json, nothing
from broker.models.fields import LINE, NO_CONTROLS
from broker.models.inputs import InputsWrapper
from broker.models.jobs import (
    DEFAULT_RETRIES_DELAY_S,
    Job,
    JobsWrapper,
    JobWrapper,
    NewJob,
    NewJobs,
    PlainJob,
    RetriedWrapper,
)
from broker.models.waits import Awaited, AwaitedJobs, AwaitedWrapper
from broker.resp.marks import DEADLINES, FLOWS, POLICIES
from broker.store.admitter import are_plain
from broker.store.format.job_json import listed, struct_of

_IMAGE = re.compile(NO_CONTROLS)
_NO_DELAYS = {None, DEFAULT_RETRIES_DELAY_S}
_REPLAYED = (("Idempotency-Replayed", "true"),)


async def enqueue(call: Call) -> Response:
    """Enqueue new jobs in a group, all or none. With `wait` and one job, wait until it is finished."""
    query = call.query(EnqueueQuery)
    key = call.idempotency_key()
    body = await call.new_jobs()
    jobs: Sequence[PlainJob] = body.jobs
    _check_number(jobs, call.settings.max_batch)
    _check_images(jobs)
    _check_payloads(jobs, call.settings.max_payload_bytes)
    if query.wait and len(jobs) > 1:
        raise Invalid("wait is for one job; POST /v1/jobs/wait is for several.", fields="wait")
    if isinstance(body, NewJobs):
        jobs = [with_times(job, f"jobs[{i}]") for i, job in enumerate(body.jobs)]
        if _have_policies(body.jobs):
            await call.store.require_layout(POLICIES, "Retry policies")
        _check_unique(body.jobs)
        if any(job.after or job.ref or job.unique for job in body.jobs):
            await call.store.require_layout(FLOWS, "Jobs with after or unique")
        if not are_plain(jobs):
            await call.store.require_layout(DEADLINES, "Deadlines and run_at")
    enqueue_ = call.store.enqueuer.enqueue_durably if query.durable else call.store.enqueuer.enqueue
    enqueued = await enqueue_(call.group, jobs, key)
    headers = _REPLAYED if enqueued.is_replayed else ()
    if query.wait:
        made = struct_of(enqueued.jobs[0])
        job = await call.context.waits.one(call.group, made.id, query.wait, made)
        return json(JobsWrapper([job]), 200 if job.status in FINISHED else 201, headers)
    return document(listed(enqueued.jobs), 201, headers)


async def list_jobs(call: Call) -> Response:
    """List a group's jobs."""
    query = call.query(ListQuery)
    if query.is_look:
        if query.fields is not None:
            raise Invalid("fields=result goes with the filters status and created_after only.", fields="fields")
        return await look(call, query)
    jobs, cursor = await call.store.jobs.list(
        call.group,
        query.n,
        created_after=moment(query.created_after, "created_after"),
        cursor=query.cursor,
        statuses=query.status,
        newest_first=query.order == "desc",
        has_results=query.fields == "result",
    )
    return json(JobsWrapper(jobs, cursor or UNSET))


async def show(call: Call) -> Response:
    """Show one job. With `wait`, wait until it is finished."""
    wait_s = call.query(ShowQuery).wait
    if wait_s:
        return json(JobWrapper(await call.context.waits.one(call.group, call.job_id, wait_s)))
    return json(JobWrapper(await call.store.jobs.show(call.group, call.job_id)))


async def await_jobs(call: Call) -> Response:
    """Wait until all of several jobs are finished, or any of them."""
    body = await call.body(AwaitedJobs)
    for item in body.jobs:
        call.grant.check(item.group_name)
    jobs = [(item.group_name, item.id) for item in body.jobs]
    found = await call.context.waits.several(jobs, body.wait, is_any_enough=body.needs == "any")
    return json(AwaitedWrapper([_awaited(job_id, job) for (_, job_id), job in zip(jobs, found, strict=True)]))


async def inputs(call: Call) -> Response:
    """Show what a job got from the jobs that it waited for: how each ended, and its result."""
    return json(InputsWrapper(await call.store.jobs.inputs(call.group, call.job_id)))


async def remove(call: Call) -> Response:
    """Delete a finished job and its log."""
    if await call.store.jobs.remove(call.group, call.job_id):
        await discard_log(call)
    return nothing()


async def cancel(call: Call) -> Response:
    """Cancel a job that is not finished."""
    return json(JobWrapper(await call.store.jobs.cancel(call.group, call.job_id, call.grant.name)))


async def retry(call: Call) -> Response:
    """Create a new job that repeats a finished one. Returns the new job."""
    if call.query(RetryQuery).dependants:
        job, dependants = await call.store.jobs.retry_flow(call.group, call.job_id, call.grant.name)
        return json(RetriedWrapper(job, dependants))
    return json(JobWrapper(await call.store.jobs.retry(call.group, call.job_id, call.grant.name)))


async def promote(call: Call) -> Response:
    """Queue a delayed job now, before its delay ends."""
    return json(JobWrapper(await call.store.jobs.promote(call.group, call.job_id, call.grant.name)))


def _awaited(job_id: str, job: Job | TitanError) -> Awaited:
    return Awaited(id=job_id, error=problem_of(job)) if isinstance(job, TitanError) else Awaited(id=job_id, job=job)


def _check_number(jobs: Sequence[PlainJob], limit: int) -> None:
    if len(jobs) > limit:
        raise Invalid(f"One call may have {counted(limit, 'job')} at most.", fields="jobs")


def _check_images(jobs: Sequence[PlainJob]) -> None:
    for image in {job.image for job in jobs}:
        if image and _IMAGE.fullmatch(image) is None:
            i = next(i for i, job in enumerate(jobs) if job.image == image)
            field = f"jobs[{i}].image"
            raise Invalid(f"{field} must be {LINE['words']}.", fields=field)


def _check_unique(jobs: Sequence[NewJob]) -> None:
    for i, job in enumerate(jobs):
        unique, field = job.unique, f"jobs[{i}].unique"
        if unique is None:
            continue
        if unique.until and unique.for_:
            raise Invalid("A key has until or for, not both.", fields=f"{field}.until")
        if unique.max_wait and unique.on_conflict != "push":
            raise Invalid("Only on_conflict push has max_wait.", fields=f"{field}.max_wait")
        if unique.on_conflict == "push" and not job.delay:
            raise Invalid("on_conflict push needs a delay.", fields=f"jobs[{i}].delay")
        if unique.max_wait and unique.max_wait < (job.delay or 0):
            raise Invalid("max_wait is the delay at least.", fields=f"{field}.max_wait")


def _have_policies(jobs: Sequence[NewJob]) -> bool:
    """Whether a job has a retry policy. Raises Invalid for one that has max_retries as well, if not by default."""
    has_policy = False
    for i, job in enumerate(jobs):
        if not job.retry:
            continue
        has_policy = True
        if job.max_retries or job.retries_delay not in _NO_DELAYS:
            field = f"jobs[{i}].{'max_retries' if job.max_retries else 'retries_delay'}"
            raise Invalid(f"{field} must not be given together with retry.", fields=field)
    return has_policy


def _check_payloads(jobs: Sequence[PlainJob], limit_bytes: int) -> None:
    for i, job in enumerate(jobs):
        payload = job.payload or ""
        if len(payload) * 4 > limit_bytes and len(payload.encode()) > limit_bytes:
            raise Invalid(f"A payload may have {limit_bytes} bytes at most.", fields=f"jobs[{i}].payload")
