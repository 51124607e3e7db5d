"""The verbs of a consumer: next, start, touch, succeed, fail, release, wait."""

from functools import partial

from msgspec import UNSET

from broker.core.errors import TitanError
from broker.core.timestamps import rfc3339
from broker.http.long_poll import PAUSE_S
from broker.http.request.context import Call
from broker.http.request.decoding import moment
from broker.http.request.query_params import NextQuery
from broker.http.request.results import checked_result
from broker.http.responses import Response, delivered, document, json, nothing
from broker.models.jobs import JobWrapper
from broker.models.reports import Finish, Held, Release, Start, Success, Touch, WaitFor
from broker.resp.marks import FLOWS
from broker.store.format.job_json import listed, wrapped


async def next(call: Call) -> Response:  # noqa: A001  # the verb's name
    """Deliver the next jobs. With `wait`, wait until there are some."""
    query = call.query(NextQuery)
    groups = call.grant.narrowed(query.group)
    dequeue = partial(call.store.dispatcher.next, query.n, groups, query.lease, query.image, waits=query.wait > 0)
    jobs = await (
        call.context.polls.wait(dequeue, groups, query.wait, PAUSE_S if query.image else 0) if query.wait else dequeue()
    )
    return delivered(listed(job.encoded for job in jobs), partial(call.store.dispatcher.give_back, jobs))


async def start(call: Call) -> Response:
    """Report that a job runs. A queued job is dequeued by this."""
    body = await call.body(Start)
    started_at = moment(body.started_at, "started_at")
    return json(
        JobWrapper(await call.store.dispatcher.start(call.group, call.job_id, call.lease(body.lease), started_at))
    )


async def touch(call: Call) -> Response:
    """Renew the lease of the delivery that holds a job. It may say how far the job is."""
    body = await call.body(Touch)
    [end] = await call.store.completer.touch(
        [
            Held(
                group_name=call.group,
                id=call.job_id,
                lease=call.lease(body.lease),
                progress=body.progress,
                note=body.note,
                lease_s=body.lease_s,
            )
        ]
    )
    if isinstance(end, TitanError):
        raise end
    return nothing((("Titan-Expires-At", rfc3339(end)),))


async def succeed(call: Call) -> Response:
    """Mark a running job as succeeded."""
    body = await call.body(Success)
    report = Finish(
        group_name=call.group,
        id=call.job_id,
        status="succeeded",
        completed_at=_checked(body.completed_at),
        lease=call.lease(body.lease),
        receipt=body.receipt,
        result=body.result if body.result is UNSET else checked_result(body.result, call.settings.max_result_bytes),
    )
    return document(wrapped(await call.store.completer.succeed(report)))


async def fail(call: Call) -> Response:
    """Mark a running job as failed, and create its automatic retry; or have it wait for its next try."""
    body = await call.failure()
    report = Finish(
        group_name=call.group,
        id=call.job_id,
        status="failed",
        reason=body.reason,
        error=body.error,
        completed_at=_checked(body.completed_at),
        lease=call.lease(body.lease),
        receipt=body.receipt,
        retry=body.retry,
        retry_after=body.retry_after,
    )
    return document(wrapped(await call.store.completer.fail(report)))


async def release(call: Call) -> Response:
    """Release a running job: it is queued again, and the delivery is not counted."""
    body = await call.body(Release)
    job = await call.store.completer.release(
        call.group, call.job_id, call.lease(body.lease), body.delay or 0, body.receipt, call.grant.name
    )
    return json(JobWrapper(job))


async def wait(call: Call) -> Response:
    """Give a running job back until other jobs have ended. It is queued again then, and has inputs of these jobs."""
    body = await call.body(WaitFor)
    await call.store.require_layout(FLOWS, "Running jobs that wait for others")
    job = await call.store.completer.wait(
        call.group,
        call.job_id,
        body.after,
        body.after_on or "over",
        call.lease(body.lease),
        body.receipt,
        call.grant.name,
    )
    return json(JobWrapper(job))


def _checked(completed_at: str | None) -> str | None:
    """The time after a check; None when there is none, or it is Go's zero time. Raises Invalid."""
    return None if moment(completed_at, "completed_at") is None else completed_at
