"""Routes for people who look: at a job's past and what it waits for, at statistics, at all groups, live."""

from broker.core.errors import LimitReached, NotFound, TooLarge
from broker.http.handlers import events, live, looking, overview, scale, stats
from broker.http.request import query_params
from broker.http.route import ANY_JOB, GROUP, JOB, Route
from broker.models.failures import Failures
from broker.models.flow import Flow
from broker.models.history import History
from broker.models.jobs import JobWrapper
from broker.models.overview import Overview
from broker.models.scale import Scale
from broker.models.stats import Stats
from broker.models.why import Explanation

LOOKING_ROUTES: tuple[Route, ...] = (
    Route("GET", ANY_JOB, looking.find, None, JobWrapper, refuses=(NotFound,), scope="read", is_quick=True),
    Route("GET", JOB + "/history", looking.history, None, History, refuses=(NotFound,), scope="read", is_quick=True),
    Route("GET", JOB + "/why", looking.why, None, Explanation, refuses=(NotFound,), scope="read", is_quick=True),
    Route(
        "GET",
        JOB + "/flow",
        looking.flow,
        None,
        Flow,
        refuses=(NotFound,),
        query=query_params.FlowQuery,
        scope="read",
        is_quick=True,
    ),
    Route(
        "GET", GROUP + "/why", looking.why_group, None, Explanation, refuses=(NotFound,), scope="read", is_quick=True
    ),
    Route("GET", GROUP + "/failures", looking.failures, None, Failures, query=query_params.FailuresQuery, scope="read"),
    Route(
        "GET",
        GROUP + "/stats",
        stats.show_group_stats,
        None,
        Stats,
        refuses=(NotFound,),
        query=query_params.StatsQuery,
        scope="read",
    ),
    Route(
        "GET", "/v1/overview", overview.show_overview, None, Overview, query=query_params.OverviewQuery, scope="read"
    ),
    Route(
        "GET",
        "/v1/live",
        live.watch,
        None,
        str,
        refuses=(NotFound, LimitReached, TooLarge),
        query=query_params.LiveQuery,
        scope="read",
        is_streamed=True,
        text_type="text/event-stream",
    ),
    Route(
        "GET",
        "/v1/events",
        events.listen,
        None,
        str,
        refuses=(LimitReached,),
        query=query_params.EventsQuery,
        headers=("Last-Event-ID",),
        scope="read",
        is_streamed=True,
        text_type="text/event-stream",
    ),
    Route("GET", GROUP + "/scale", scale.show_group_scale, None, Scale, query=query_params.ScaleQuery, scope="read"),
    Route("GET", "/v1/scale", scale.show_scale, None, Scale, query=query_params.GroupsScaleQuery, scope="read"),
    Route("GET", "/v1/stats", stats.show_stats, None, Stats, query=query_params.GroupsStatsQuery, scope="read"),
)
