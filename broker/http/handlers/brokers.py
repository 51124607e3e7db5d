"""The brokers of the store: list_brokers."""

from msgspec import UNSET

from broker.http.request.context import Call
from broker.http.request.query_params import BrokersQuery
from broker.http.responses import Response, json
from broker.models.brokers import BrokersWrapper


async def list_brokers(call: Call) -> Response:
    """List the brokers that announced themselves within 15 s, and the layout of their store."""
    call.grant.check_all()
    query = call.query(BrokersQuery)
    brokers, cursor = await call.store.brokers.list(query.n, query.cursor)
    return json(BrokersWrapper(brokers, await call.store.layout(), cursor or UNSET))
