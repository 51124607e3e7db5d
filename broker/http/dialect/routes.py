"""The route table of the dialect of 2016: today's rows with translated bodies, and the seed's rows under /tasks too."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Annotated, Literal, cast

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from broker.core.errors import Invalid, Misdirected
from broker.core.states import STATUSES, Status
from broker.http.dialect.words import body_of_2016, body_of_today, error_about_tasks, query_of_today
from broker.http.request.body import Request
from broker.http.request.context import Call
from broker.http.request.query_params import ListQuery
from broker.http.responses import Response, json
from broker.http.route import GROUP, Handler, Route
from broker.http.server.fast_request import FastRequest
from broker.models.batches import MembersWrapper
from broker.models.jobs import JobsWrapper, JobWrapper, NewJobs, RetriedWrapper
from broker.models.tasks import Job2016Wrapper, Jobs2016Wrapper, NewTasks, TasksWrapper, TaskWrapper
from titan.dialect import OWN_CLIENT, refusal_of_dialect

DIALECT = "2016"
_OF_SEED = {"enqueue", "list_jobs", "show", "remove", "cancel", "retry", "next"}
_OF_SEED |= {"start", "touch", "succeed", "fail", "log", "read_log"}
"""The verbs that have a path under /tasks."""
_TASK_TYPES: dict[object, type[Struct]] = {
    JobsWrapper: TasksWrapper,
    JobWrapper: TaskWrapper,
    RetriedWrapper: TaskWrapper,
    NewJobs: NewTasks,
}
_JOB_TYPES: dict[object, type[Struct]] = {
    JobsWrapper: Jobs2016Wrapper,
    MembersWrapper: Jobs2016Wrapper,
    JobWrapper: Job2016Wrapper,
    RetriedWrapper: Job2016Wrapper,
}
_STATUSES = Annotated[
    list[Status | Literal["success", "error"]],
    Meta(
        max_length=len(STATUSES),
        description="Only jobs in this status; `success` is the same as succeeded, `error` as failed. Repeatable.",
    ),
]


class JobsQuery2016(ListQuery, frozen=True, kw_only=True):
    """The parameters of a list under /jobs."""

    status: _STATUSES = []  # type: ignore[assignment]  # noqa: RUF012 - msgspec copies an empty list


class TasksQuery(JobsQuery2016, frozen=True, kw_only=True):
    """The parameters of a list under /tasks."""

    order: Annotated[Literal["asc", "desc"], Meta(description="Oldest first, or newest first.")] = "desc"


def rows_of_2016(routes: tuple[Route, ...]) -> tuple[tuple[Route, ...], tuple[Route, ...]]:
    """The rows under today's paths, and those under /tasks."""
    of_jobs = tuple(_row(route, has_tasks=False) for route in routes if route.verb != "await_jobs")
    of_tasks = tuple(_row(route, has_tasks=True) for route in routes if route.verb in _OF_SEED)
    return of_jobs, of_tasks


def _row(route: Route, *, has_tasks: bool) -> Route:
    handler = _cancel if route.verb == "cancel" else route.handler
    handler = _translated(route, handler, has_tasks=has_tasks)
    query = route.query
    if query is ListQuery:
        query = TasksQuery if has_tasks else JobsQuery2016
    types = _TASK_TYPES if has_tasks else _JOB_TYPES
    row = route._replace(
        handler=handler,
        takes=types.get(route.takes, route.takes),
        gives=types.get(route.gives, route.gives),
        query=query,
    )
    return row._replace(path=_path_of_tasks(route.path), operation=f"{route.verb}_tasks") if has_tasks else row


def _path_of_tasks(path: str) -> str:
    return path.replace(f"{GROUP}/jobs", f"{GROUP}/tasks").replace("/v1/jobs", "/v1/tasks")


async def _cancel(call: Call) -> Response:
    """Cancel a job that is not finished."""
    job = await call.store.jobs.cancel(call.group, call.job_id, call.grant.name, may_repeat=False)
    return json(JobWrapper(job))


def _translated(route: Route, handler: Handler, *, has_tasks: bool) -> Handler:
    """The handler with translated requests and answers. It refuses the clients of Titan, whose words are today's."""
    has_body = has_tasks and route.takes not in {None, bytes}
    gives_jobs = route.gives in _JOB_TYPES

    @wraps(route.handler)
    async def handle(call: Call) -> Response | web.StreamResponse:
        if call.request.headers.get("User-Agent", "").startswith(OWN_CLIENT):
            raise Misdirected(refusal_of_dialect(DIALECT))
        if route.query is ListQuery:
            call.request = _listing(call.request, has_tasks=has_tasks)
        if has_body:
            body = body_of_today(await call.read_body(route.types))
            call.request = _as_fast(call.request, call.request.query_string, body)
        answer = await _answered(handler, call, has_tasks=has_tasks)
        if not gives_jobs or not isinstance(answer, Response):
            return answer
        return msgspec.structs.replace(answer, body=body_of_2016(answer.body, has_tasks=has_tasks))

    return handle


async def _answered(
    handler: Callable[[Call], Awaitable[Response | web.StreamResponse]], call: Call, *, has_tasks: bool
) -> Response | web.StreamResponse:
    try:
        return await handler(call)
    except Invalid as error:
        if has_tasks:
            raise error_about_tasks(error) from error
        raise


def _listing(request: Request, *, has_tasks: bool) -> Request:
    """The request for a list with today's words; under /tasks the newest job is first unless `order` is given."""
    query = query_of_today(request.query_string)
    given = query.split("&")
    if has_tasks and not any(word.startswith("order=") and word != "order=" for word in given):
        query = "&".join([*filter(None, given), "order=desc"])
    return _as_fast(request, query, b"")


def _as_fast(request: Request, query: str, body: bytes) -> Request:
    """The request with another query and body."""
    headers = cast("dict[str, str]", request.headers)  # those of aiohttp have the same methods
    return FastRequest("", "", query, headers, body, request.is_of_browser)
