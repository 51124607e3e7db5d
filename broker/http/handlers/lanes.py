"""The verb of the keys of a group's jobs: list_keys."""

from broker.http.request.context import Call
from broker.http.request.query_params import KeysQuery
from broker.http.responses import Response, json


async def list_keys(call: Call) -> Response:
    """List the keys of a group with the most jobs that are queued, run or wait for a place, and count those without."""
    query = call.query(KeysQuery)
    return json(await call.store.lanes.list(call.group, query.n))
