"""The verbs of a producer: enqueue, list, show, remove, cancel, retry, promote."""

import re
from collections.abc import Sequence

from msgspec import UNSET

from broker.core.errors import Invalid
from broker.core.words import counted
from broker.http.handlers.looking import look
from broker.http.log_upload import discard_log
from broker.http.request.context import Call
from broker.http.request.decoding import moment
from broker.http.request.query_params import EnqueueQuery, ListQuery
from broker.http.responses import Response, document, json, nothing
from broker.models.fields import LINE, NO_CONTROLS
from broker.models.jobs import JobsWrapper, JobWrapper, NewJob, NewJobs
from broker.store.format.job_json import listed

_IMAGE = re.compile(NO_CONTROLS)
_REPLAYED = (("Idempotency-Replayed", "true"),)


async def enqueue(call: Call) -> Response:
    """Enqueue new jobs in a group, all or none."""
    is_durable = call.query(EnqueueQuery).durable
    key = call.idempotency_key()
    body = await call.body(NewJobs)
    _check_number(body.jobs, call.settings.max_batch)
    _check_images(body.jobs)
    _check_payloads(body.jobs, call.settings.max_payload_bytes)
    enqueue_ = call.store.enqueuer.enqueue_durably if is_durable else call.store.enqueuer.enqueue
    enqueued = await enqueue_(call.group, body.jobs, key)
    return document(listed(enqueued.jobs), 201, _REPLAYED if enqueued.is_replayed else ())


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
    """Show one job."""
    return json(JobWrapper(await call.store.jobs.show(call.group, call.job_id)))


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
    return json(JobWrapper(await call.store.jobs.retry(call.group, call.job_id, call.grant.name)))


async def promote(call: Call) -> Response:
    """Queue a delayed job now, before its delay ends."""
    return json(JobWrapper(await call.store.jobs.promote(call.group, call.job_id, call.grant.name)))


def _check_number(jobs: Sequence[NewJob], limit: int) -> None:
    if len(jobs) > limit:
        raise Invalid(f"One call may have {counted(limit, 'job')} at most.", fields="jobs")


def _check_images(jobs: Sequence[NewJob]) -> None:
    for image in {job.image for job in jobs}:
        if image and _IMAGE.fullmatch(image) is None:
            i = next(i for i, job in enumerate(jobs) if job.image == image)
            field = f"jobs[{i}].image"
            raise Invalid(f"{field} must be {LINE['words']}.", fields=field)


def _check_payloads(jobs: Sequence[NewJob], limit_bytes: int) -> None:
    for i, job in enumerate(jobs):
        payload = job.payload or ""
        if len(payload) * 4 > limit_bytes and len(payload.encode()) > limit_bytes:
            raise Invalid(f"A payload may have {limit_bytes} bytes at most.", fields=f"jobs[{i}].payload")
