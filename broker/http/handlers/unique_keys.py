"""The verbs of unique keys: list_unique_keys, show_unique_key, free_unique_key."""

from msgspec import UNSET

from broker.http.request.context import Call
from broker.http.request.query_params import UniqueKeysQuery
from broker.http.responses import Response, json
from broker.models.unique import HeldKeysWrapper, HeldKeyWrapper


async def list_unique_keys(call: Call) -> Response:
    """List the unique keys of a group that jobs hold, in no order. A page has about n of them."""
    query = call.query(UniqueKeysQuery)
    keys, cursor = await call.store.unique_keys.list(call.group, query.n, query.cursor)
    return json(HeldKeysWrapper(keys, cursor or UNSET))


async def show_unique_key(call: Call) -> Response:
    """Show which job holds a unique key."""
    return json(HeldKeyWrapper(await call.store.unique_keys.show(call.group, call.unique_key)))


async def free_unique_key(call: Call) -> Response:
    """Free a unique key. The job that held it stays, without a key."""
    return json(HeldKeyWrapper(await call.store.unique_keys.free(call.group, call.unique_key)))
