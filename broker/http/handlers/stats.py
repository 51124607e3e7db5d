"""The verbs of statistics: show_stats, show_group_stats."""

from broker.http.request.context import Call
from broker.http.request.query_params import GroupsStatsQuery, StatsQuery
from broker.http.responses import Response, json


async def show_stats(call: Call) -> Response:
    """Show what happened to the jobs of all groups, or of those that are named, in the last hour or day.

    A token for some groups gets the sum of these.
    """
    query = call.query(GroupsStatsQuery)
    groups = call.grant.narrowed(query.group)
    statistics = call.store.statistics
    return json(await (statistics.of_groups(groups, query.window) if groups else statistics.of_all(query.window)))


async def show_group_stats(call: Call) -> Response:
    """Show what happened to the jobs of a group in the last hour or day, and how long they waited and ran."""
    return json(await call.store.statistics.of_group(call.group, call.query(StatsQuery).window))
