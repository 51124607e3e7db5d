"""The table of all routes. The routers, the OpenAPI document and a test that calls each route are made from it.

Only this module has the words that the URLs use for verbs (success, error).
"""

from broker.core.errors import (
    Changed,
    IdempotencyMismatch,
    LeaseLost,
    LimitReached,
    NotDurable,
    NotFound,
    Stopping,
    StoreFull,
    StoreUnavailable,
    WrongState,
)
from broker.http.handlers import brokers, bulk, delivery, groups, health, jobs, logs, workers
from broker.http.looking_routes import LOOKING_ROUTES
from broker.http.operator_routes import OPERATOR_ROUTES
from broker.http.request import query_params
from broker.http.request.body import FORM, JSON
from broker.http.route import BROKERS, GROUP, GROUPS, JOB, JOBS, WORKER, WORKERS, Route
from broker.models.brokers import BrokersWrapper
from broker.models.groups import GroupPatch, GroupPut, GroupsWrapper, GroupWrapper
from broker.models.jobs import JobsWrapper, JobWrapper, NewJobs
from broker.models.reports import Failure, Finishes, HeldJobs, Release, Start, Success, Touch
from broker.models.results import Outcomes
from broker.models.workers import Announcement, Orders, WorkersWrapper, WorkerWrapper

__all__ = ["LOG_TYPES", "ROUTES", "Route"]

LOG_TYPES = ("multipart/form-data", "text/plain")
LEASE = "Titan-Lease"
KEY = "Idempotency-Key"


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
    Route("DELETE", JOB, jobs.remove, None, None, 204, (NotFound, WrongState), scope="produce", act="delete"),
    Route(
        "POST",
        JOB + "/cancel",
        jobs.cancel,
        None,
        JobWrapper,
        refuses=(NotFound, WrongState),
        scope="produce",
        is_quick=True,
        act="cancel",
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
        act="retry",
    ),
    Route(
        "POST",
        JOB + "/promote",
        jobs.promote,
        None,
        JobWrapper,
        refuses=(NotFound, WrongState),
        scope="produce",
        is_quick=True,
        act="promote",
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
    Route(
        "GET",
        GROUP,
        groups.show_group,
        None,
        GroupWrapper,
        refuses=(NotFound,),
        answers=("ETag",),
        scope="read",
        is_quick=True,
    ),
    Route("PUT", GROUP, groups.configure, GroupPut, GroupWrapper, refuses=(StoreFull,), is_quick=True, act="configure"),
    Route(
        "PATCH",
        GROUP,
        groups.adjust,
        GroupPatch,
        GroupWrapper,
        refuses=(Changed, StoreFull),
        headers=("If-Match",),
        answers=("ETag",),
        is_quick=True,
        act="configure",
    ),
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
    Route(
        "POST", WORKER + "/order", workers.order, workers.OrderGiven, WorkerWrapper, refuses=(NotFound,), act="order"
    ),
    Route("GET", BROKERS, brokers.list_brokers, None, BrokersWrapper, query=query_params.BrokersQuery, scope="read"),
    *LOOKING_ROUTES,
    *OPERATOR_ROUTES,
    Route("GET", "/healthz", health.healthz, None, health.Health, scope=None),
    Route("GET", "/readyz", health.readyz, None, health.Readiness, refuses=(StoreUnavailable, Stopping), scope=None),
    Route("GET", "/metrics", health.metrics, None, str, scope="read"),
    Route(
        "GET",
        "/v1/stream-check",
        health.stream_check,
        None,
        str,
        refuses=(LimitReached,),
        scope="read",
        is_streamed=True,
    ),
    Route("GET", "/v1/openapi.json", health.openapi, None, None, scope="read"),
)
