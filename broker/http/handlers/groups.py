"""The verbs of groups: list_groups, show_group, configure."""

from msgspec import UNSET

from broker.http.request.context import Call
from broker.http.request.query_params import GroupsQuery
from broker.http.responses import Response, json
from broker.models.groups import GroupPut, GroupsWrapper, GroupWrapper


async def list_groups(call: Call) -> Response:
    """List the groups with their settings and counts."""
    query = call.query(GroupsQuery)
    groups, cursor = await call.store.groups.list(query.n, query.cursor)
    reachable = [group for group in groups if call.grant.reaches(group.name)]
    return json(GroupsWrapper(reachable, cursor or UNSET))


async def show_group(call: Call) -> Response:
    """Show a group's settings and counts."""
    return json(GroupWrapper(await call.store.groups.show(call.group)))


async def configure(call: Call) -> Response:
    """Replace all settings of a group. A setting that is left out gets its default."""
    settings = (await call.body(GroupPut)).group
    return json(GroupWrapper(await call.store.groups.configure(call.group, settings)))
