"""A consumer's verbs: next, start, touch, succeed, fail, release."""

from functools import partial

from broker.core.errors import TitanError
from broker.core.timestamps import rfc3339
from broker.http.long_poll import PAUSE_S
from broker.http.request.context import Call
from broker.http.request.decoding import moment
from broker.http.request.query_params import NextQuery
from broker.http.responses import Response, document, handed_out, json, nothing
from broker.models.jobs import JobWrapper
from broker.models.reports import Finish, Held, Release, Start, Success, Touch
from broker.store.format.job_json import listed, wrapped


async def next(call: Call) -> Response:  # noqa: A001  # the verb's name
    """Hand out the next jobs; with `wait`, as soon as there are some."""
    query = call.query(NextQuery)
    groups = call.grant.narrowed(query.group)
    take = partial(call.store.dispatcher.next, query.n, groups, query.lease, query.image, waits=query.wait > 0)
    jobs = await (
        call.front.polls.wait(take, groups, query.wait, PAUSE_S if query.image else 0) if query.wait else take()
    )
    return handed_out(listed(job.encoded for job in jobs), partial(call.store.dispatcher.give_back, jobs))


async def start(call: Call) -> Response:
    """Say that a job runs; take it when it is queued."""
    body = await call.body(Start)
    started_at = moment(body.started_at, "started_at")
    return json(
        JobWrapper(await call.store.dispatcher.start(call.group, call.job_id, call.lease(body.lease), started_at))
    )


async def touch(call: Call) -> Response:
    """Give the delivery that holds a job another lease."""
    body = await call.body(Touch)
    [end] = await call.store.completer.touch(
        [Held(group_name=call.group, id=call.job_id, lease=call.lease(body.lease))]
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
        completed_at=_given(body.completed_at),
        lease=call.lease(body.lease),
        receipt=body.receipt,
    )
    return document(wrapped(await call.store.completer.succeed(report)))


async def fail(call: Call) -> Response:
    """Mark a running job as failed, and make its automatic retry."""
    body = await call.failure()
    report = Finish(
        group_name=call.group,
        id=call.job_id,
        status="failed",
        reason=body.reason,
        error=body.error,
        completed_at=_given(body.completed_at),
        lease=call.lease(body.lease),
        receipt=body.receipt,
    )
    return document(wrapped(await call.store.completer.fail(report)))


async def release(call: Call) -> Response:
    """Give a running job back; the delivery is not counted."""
    body = await call.body(Release)
    job = await call.store.completer.release(
        call.group, call.job_id, call.lease(body.lease), body.delay or 0, body.receipt
    )
    return json(JobWrapper(job))


def _given(completed_at: str | None) -> str | None:
    """The time, checked; None when there is none, or Go's zero time. Raises Invalid."""
    return None if moment(completed_at, "completed_at") is None else completed_at
