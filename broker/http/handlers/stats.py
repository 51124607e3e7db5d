"""The verbs of statistics: show_stats, show_group_stats."""

from broker.core.errors import Forbidden
from broker.http.request.context import Call
from broker.http.request.query_params import StatsQuery
from broker.http.responses import Response, json


async def show_stats(call: Call) -> Response:
    """Show what happened to the jobs of all groups in the last hour or day. A token for some groups gets these only."""
    window = call.query(StatsQuery).window
    if any("*" in pattern for pattern in call.grant.groups) and call.grant.is_limited:
        raise Forbidden("The token is for a pattern of groups: ask for one group, at /v1/groups/{group_name}/stats.")
    if call.grant.is_limited:
        return json(await call.store.statistics.of_groups(call.grant.narrowed(()), window))
    return json(await call.store.statistics.of_all(window))


async def show_group_stats(call: Call) -> Response:
    """Show what happened to the jobs of a group in the last hour or day, and how long they waited and ran."""
    return json(await call.store.statistics.of_group(call.group, call.query(StatsQuery).window))
