"""The table of all routes. The routers, the OpenAPI document and a test that calls each route are made from it.

Only this module has the words that the URLs use for verbs (success, error).
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web
from msgspec import Struct

from broker.auth.token_file import Scope
from broker.core.errors import (
    IdempotencyMismatch,
    LeaseLost,
    LimitReached,
    NotDurable,
    NotFound,
    Stopping,
    StoreFull,
    StoreUnavailable,
    TitanError,
    WrongState,
)
from broker.http.handlers import bulk, delivery, groups, health, jobs, logs, workers
from broker.http.request import query_params
from broker.http.request.body import FORM, JSON
from broker.http.request.context import Call
from broker.http.responses import Response
from broker.models.groups import GroupPut, GroupsWrapper, GroupWrapper
from broker.models.jobs import JobsWrapper, JobWrapper, NewJobs
from broker.models.reports import Failure, Finishes, HeldJobs, Release, Start, Success, Touch
from broker.models.results import Outcomes
from broker.models.workers import Announcement, Orders, WorkersWrapper, WorkerWrapper

Handler = Callable[[Call], Awaitable[Response | web.StreamResponse]]

LOG_TYPES = ("multipart/form-data", "text/plain")
LEASE = "Titan-Lease"
KEY = "Idempotency-Key"


class Route(NamedTuple):
    """One row. `takes` and `gives` are the types of the bodies (bytes: an uploaded log, str: a text, None: no body).

    `is_quick`: the handler awaits only the store's scripts. `is_streamed`: it reads or writes piece by piece.
    """

    method: str
    path: str
    handler: Handler
    takes: type[Struct] | type[bytes] | None = None
    gives: type[Struct] | type[str] | None = None
    status: int = 200
    refuses: tuple[type[TitanError], ...] = ()
    query: type[query_params.Query] = query_params.Query
    types: tuple[str, ...] = (JSON,)
    headers: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    scope: Scope | None = "admin"
    """The scope that a token must have; None: no token is needed."""
    is_quick: bool = False
    is_streamed: bool = False
    is_taking: bool = False
    """Whether a GET changes something."""

    @property
    def is_changing(self) -> bool:
        """Whether it changes something: then a page of another site may not send it."""
        return self.is_taking or self.method != "GET"

    @property
    def is_strict(self) -> bool:
        """Whether an unknown parameter is refused. Clients of health and metrics may add their own."""
        return self.path.startswith("/v1/")

    @property
    def verb(self) -> str:
        """The handler's name."""
        return self.handler.__name__

    @property
    def summary(self) -> str:
        """What the handler does, in one line."""
        return (self.handler.__doc__ or "").partition("\n")[0]


GROUPS = "/v1/groups"
GROUP = GROUPS + "/{group_name}"
JOBS = GROUP + "/jobs"
JOB = JOBS + "/{id}"
WORKERS = "/v1/workers"
WORKER = WORKERS + "/{worker}"

_HELD = (NotFound, WrongState, LeaseLost)

ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        JOBS,
        jobs.enqueue,
        NewJobs,
        JobsWrapper,
        201,
        (IdempotencyMismatch, LimitReached, StoreFull, NotDurable),
        query_params.EnqueueQuery,
        headers=(KEY,),
        answers=("Idempotency-Replayed",),
        scope="produce",
        is_quick=True,
    ),
    Route("GET", JOBS, jobs.list_jobs, None, JobsWrapper, query=query_params.ListQuery, scope="read", is_quick=True),
    Route("GET", JOB, jobs.show, None, JobWrapper, refuses=(NotFound,), scope="read", is_quick=True),
    Route("DELETE", JOB, jobs.remove, None, None, 204, (NotFound, WrongState), scope="produce"),
    Route(
        "POST",
        JOB + "/cancel",
        jobs.cancel,
        None,
        JobWrapper,
        refuses=(NotFound, WrongState),
        scope="produce",
        is_quick=True,
    ),
    Route(
        "POST",
        JOB + "/retry",
        jobs.retry,
        None,
        JobWrapper,
        refuses=(NotFound, WrongState, LimitReached, StoreFull),
        scope="produce",
        is_quick=True,
    ),
    Route(
        "GET",
        "/v1/jobs",
        delivery.next,
        None,
        JobsWrapper,
        query=query_params.NextQuery,
        scope="consume",
        is_quick=True,
        is_taking=True,
    ),
    Route(
        "POST",
        JOB + "/start",
        delivery.start,
        Start,
        JobWrapper,
        refuses=(*_HELD, LimitReached, StoreFull),
        headers=(LEASE,),
        scope="consume",
        is_quick=True,
    ),
    Route(
        "POST",
        JOB + "/touch",
        delivery.touch,
        Touch,
        None,
        204,
        _HELD,
        headers=(LEASE,),
        answers=("Titan-Expires-At",),
        scope="consume",
        is_quick=True,
    ),
    Route(
        "POST",
        JOB + "/success",
        delivery.succeed,
        Success,
        JobWrapper,
        refuses=_HELD,
        headers=(LEASE,),
        scope="consume",
        is_quick=True,
    ),
    Route(
        "POST",
        JOB + "/error",
        delivery.fail,
        Failure,
        JobWrapper,
        200,
        _HELD,
        query_params.FailQuery,
        (JSON, FORM),
        (LEASE,),
        scope="consume",
        is_quick=True,
    ),
    Route(
        "POST",
        JOB + "/release",
        delivery.release,
        Release,
        JobWrapper,
        refuses=_HELD,
        headers=(LEASE,),
        scope="consume",
        is_quick=True,
    ),
    Route(
        "POST",
        JOB + "/log",
        logs.log,
        bytes,
        JobWrapper,
        refuses=(*_HELD, StoreFull),
        query=query_params.LogQuery,
        types=LOG_TYPES,
        headers=(LEASE,),
        scope="consume",
        is_streamed=True,
    ),
    Route(
        "GET",
        JOB + "/log",
        logs.read_log,
        None,
        str,
        refuses=(NotFound, LimitReached),
        query=query_params.TailQuery,
        scope="read",
        is_streamed=True,
    ),
    Route("POST", "/v1/jobs/finish", bulk.finish, Finishes, Outcomes, scope="consume", is_quick=True),
    Route("POST", "/v1/jobs/touch", bulk.touch_many, HeldJobs, Outcomes, scope="consume", is_quick=True),
    Route(
        "GET",
        GROUPS,
        groups.list_groups,
        None,
        GroupsWrapper,
        query=query_params.GroupsQuery,
        scope="read",
        is_quick=True,
    ),
    Route("GET", GROUP, groups.show_group, None, GroupWrapper, refuses=(NotFound,), scope="read", is_quick=True),
    Route("PUT", GROUP, groups.configure, GroupPut, GroupWrapper, refuses=(StoreFull,), is_quick=True),
    Route(
        "POST",
        WORKERS,
        workers.announce,
        Announcement,
        Orders,
        refuses=(LimitReached,),
        query=query_params.AnnounceQuery,
        scope="consume",
    ),
    Route("GET", WORKERS, workers.list_workers, None, WorkersWrapper, query=query_params.WorkersQuery, scope="read"),
    Route("GET", WORKER, workers.show_worker, None, WorkerWrapper, refuses=(NotFound,), scope="read"),
    Route("POST", WORKER + "/order", workers.order, workers.OrderGiven, WorkerWrapper, refuses=(NotFound,)),
    Route("GET", "/healthz", health.healthz, None, health.Health, scope=None),
    Route("GET", "/readyz", health.readyz, None, health.Readiness, refuses=(StoreUnavailable, Stopping), scope=None),
    Route("GET", "/metrics", health.metrics, None, str, scope="read"),
    Route("GET", "/v1/openapi.json", health.openapi, None, None, scope="read"),
)
