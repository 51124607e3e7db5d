"""The verbs of people who look for jobs and causes: find, history, flow, why, why_group, failures; and lists."""

from msgspec import UNSET

from broker.core.errors import Invalid, NotFound
from broker.http.request.context import Call
from broker.http.request.decoding import moment
from broker.http.request.query_params import FailuresQuery, FlowQuery, ListQuery
from broker.http.responses import Response, json
from broker.models.failures import Failures
from broker.models.flow import FlowJob
from broker.models.jobs import DEFAULT_LOOKS, JobsWrapper, JobWrapper
from broker.store.failures import causes_of
from broker.store.looks import Filters


async def find(call: Call) -> Response:
    """Show a job by its id, in whichever group it is."""
    group = await call.store.jobs.find(call.job_id)
    if not call.grant.reaches(group):
        raise NotFound("There is no such job.")
    return json(JobWrapper(await call.store.jobs.show(group, call.job_id)))


async def history(call: Call) -> Response:
    """Show what happened to a job, in order: deliveries with their receipts, and who cancelled or retried it."""
    return json(await call.store.jobs.history(call.group, call.job_id))


async def flow(call: Call) -> Response:
    """Show the jobs that a job waits for, those that wait for it, and theirs, also in other groups."""
    found = await call.store.flows.around(call.group, call.job_id, call.query(FlowQuery).n)
    if call.grant.is_limited:
        found.jobs = [job if call.grant.reaches(job.group_name) else FlowJob(id=job.id) for job in found.jobs]
    return json(found)


async def why(call: Call) -> Response:
    """Explain why a job does not run: all reasons, the worst first."""
    return json(await call.store.why.why(call.group, call.job_id, call.context.admission.n_waiting))


async def why_group(call: Call) -> Response:
    """Explain why the first queued job of a group does not run: all reasons, the worst first."""
    return json(await call.store.why.why(call.group, "", call.context.admission.n_waiting))


async def failures(call: Call) -> Response:
    """List the causes of a group's failures, the most frequent first. Errors that differ in numbers or ids are one.

    To act on one, give its `cause` to list_jobs or begin_bulk.
    """
    found = await call.store.looks.causes(call.group, call.query(FailuresQuery).looks)
    return json(Failures(looked=found.looked, of=found.of, causes=causes_of(found.rows)))


async def look(call: Call, query: ListQuery) -> Response:
    """List the jobs of a group that pass the filters of the query."""
    if query.dead and query.status not in ([], ["failed"]):
        raise Invalid("dead is about failed jobs: leave status out.", fields="dead")
    filters = Filters(
        created_after=moment(query.created_after, "created_after"),
        created_before=moment(query.created_before, "created_before"),
        completed_after=moment(query.completed_after, "completed_after"),
        completed_before=moment(query.completed_before, "completed_before"),
        image=query.image,
        text=query.text,
        reason=query.reason,
        worker=query.worker,
        cause=query.cause or "",
        is_unretried=query.retried == 0 or query.dead == 1,
    )
    found = await call.store.looks.jobs(
        call.group,
        query.n,
        filters,
        looks=query.looks or DEFAULT_LOOKS,
        cursor=query.cursor,
        statuses=["failed"] if query.dead else query.status,
        newest_first=query.order == "desc",
        is_brief=query.brief == 1,
    )
    return json(JobsWrapper(found.rows, found.cursor or UNSET, found.looked, found.of))
