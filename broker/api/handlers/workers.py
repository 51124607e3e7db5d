"""The workers themselves: announce, list_workers, show_worker, order."""

from msgspec import UNSET, Struct

from broker.api.answers import Answer, json
from broker.api.call import Call
from broker.api.queries import WorkersQuery
from broker.presence import Announcement, Order, WorkersWrapper, WorkerWrapper


class OrderGiven(Struct, frozen=True):
    """The body of order."""

    order: Order


async def announce(call: Call) -> Answer:
    """Know a worker for a minute; answer what is wanted of it."""
    return json(await call.store.registry.announce(await call.body(Announcement)))


async def list_workers(call: Call) -> Answer:
    """List the workers that announced themselves within a minute."""
    call.grant.check_all()
    query = call.query(WorkersQuery)
    workers, cursor = await call.store.registry.workers(query.n, query.cursor)
    return json(WorkersWrapper(workers, cursor or UNSET))


async def show_worker(call: Call) -> Answer:
    """Show one worker."""
    call.grant.check_all()
    return json(WorkerWrapper(await call.store.registry.worker(call.worker)))


async def order(call: Call) -> Answer:
    """Tell a worker to be quiet, to resume or to drain; it hears that with its next announcement."""
    call.grant.check_all()
    given = await call.body(OrderGiven)
    return json(WorkerWrapper(await call.store.registry.order(call.worker, given.order)))
