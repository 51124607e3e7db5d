"""The verbs of autoscaling: show_scale, show_group_scale."""

from collections.abc import Sequence

from broker.core.errors import Invalid
from broker.http.request.context import Call
from broker.http.request.query_params import GroupsScaleQuery, ScaleQuery
from broker.http.responses import Response, json
from broker.store.format.scale import Goal


async def show_scale(call: Call) -> Response:
    """Say how many workers some groups need together. KEDA and other autoscalers read `workers`.

    A group that does not exist needs none. If one of them cannot be read now the answer is 503:
    workers stay as they are.
    """
    query = call.query(GroupsScaleQuery)
    groups = call.grant.narrowed(query.group)
    if not groups:
        raise Invalid("Say which groups the workers serve: ?group=NAME, up to 100 times.", fields="group")
    return await _scale(call, groups, query)


async def show_group_scale(call: Call) -> Response:
    """Say how many workers a group needs. KEDA and other autoscalers read `workers`.

    A group that does not exist needs 0. While the store cannot be read the answer is 503: workers stay as they are.
    """
    return await _scale(call, [call.group], call.query(ScaleQuery))


async def _scale(call: Call, groups: Sequence[str], query: ScaleQuery) -> Response:
    if query.min > query.max:
        raise Invalid("min must not be above max.", fields="min")
    goal = Goal(query.target_s, query.per_worker, query.min, query.max, query.ahead_s)
    return json(await call.store.scaling.scale(groups, goal))
