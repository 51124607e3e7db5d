"""The verb of the overview: show_overview."""

from broker.diagnostics.overview import GroupFilter, overview
from broker.http.request.context import Call
from broker.http.request.query_params import OverviewQuery
from broker.http.responses import Response, json


async def show_overview(call: Call) -> Response:
    """Show totals, rates, workers and what needs a person, and a page of groups. A token for some groups sees these."""
    query = call.query(OverviewQuery)
    is_rising = query.sort == "name" if query.order is None else query.order == "asc"
    chosen = GroupFilter(query.n, query.cursor, query.sort, is_rising, query.q, query.only)
    condition = call.context.broker.condition
    if call.grant.is_limited:
        answer = await overview(call.store, call.context.metrics.snapshots, chosen, call.grant.reaches)
    else:
        warnings = condition.watch.seen.warnings if condition is not None else ()
        answer = await overview(call.store, call.context.metrics.snapshots, chosen, warnings=warnings)
    return json(answer)
