"""The verbs of a producer: enqueue, list, show, remove, cancel, retry, promote; and those who wait for its end."""

from collections.abc import Sequence

from msgspec import UNSET

from broker.core.errors import Invalid, TitanError
from broker.core.states import FINISHED
from broker.http.error_responses import problem_of
from broker.http.handlers.looking import look
from broker.http.log_upload import discard_log
from broker.http.request.context import Call
from broker.http.request.decoding import moment
from broker.http.request.new_jobs import check_plain, checked
from broker.http.request.query_params import EnqueueQuery, ListQuery, RetryQuery, ShowQuery
from broker.http.responses import Response, document, fullness, json, nothing
from broker.models.inputs import InputsWrapper
from broker.models.jobs import Job, JobsWrapper, JobWrapper, NewJobs, PlainJob, RetriedWrapper
from broker.models.waits import Awaited, AwaitedJobs, AwaitedWrapper
from broker.store.format.job_json import listed, struct_of

_REPLAYED = (("Idempotency-Replayed", "true"),)


async def enqueue(call: Call) -> Response:
    """Enqueue new jobs in a group, all or none. With `wait` and one job, wait until it is finished."""
    query = call.query(EnqueueQuery)
    key = call.idempotency_key()
    body = await call.new_jobs()
    jobs: Sequence[PlainJob] = body.jobs
    check_plain(call, jobs)
    if query.wait and len(jobs) > 1:
        raise Invalid("wait is for one job; POST /v1/jobs/wait is for several.", fields="wait")
    if isinstance(body, NewJobs):
        jobs = await checked(call, body.jobs)
    enqueue_ = call.store.enqueuer.enqueue_durably if query.durable else call.store.enqueuer.enqueue
    enqueued = await enqueue_(call.group, jobs, key, call.trace())
    headers = _REPLAYED if enqueued.is_replayed else fullness(enqueued.full) if enqueued.full else ()
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
