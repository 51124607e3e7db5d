"""The verbs of workers: announce, list_workers, show_worker, order."""

import msgspec
from msgspec import UNSET, Struct

from broker.http.request.context import Call
from broker.http.request.query_params import AnnounceQuery, WorkersQuery
from broker.http.responses import Response, json
from broker.models.workers import ENDING, Announcement, Order, WorkersWrapper, WorkerWrapper


class OrderGiven(Struct, frozen=True):
    """The body of order."""

    order: Order


async def announce(call: Call) -> Response:
    """Register a worker for a minute. Returns its order, and with `wait` which of its running jobs were cancelled."""
    query = call.query(AnnounceQuery)
    worker = await call.body(Announcement)
    workers = call.store.workers
    orders = await workers.announce(worker)
    is_last = worker.state == ENDING or call.context.in_progress.is_stopping
    if not query.wait or orders.order or is_last:
        return json(msgspec.structs.replace(orders, seen=query.seen or UNSET))
    with call.context.admission.waiting(1):
        return json(await workers.hear(worker.name, query.seen, call.grant.reaches, query.wait))


async def list_workers(call: Call) -> Response:
    """List the workers that sent a heartbeat within the last minute."""
    call.grant.check_all()
    query = call.query(WorkersQuery)
    workers, cursor = await call.store.workers.list(query.n, query.cursor)
    return json(WorkersWrapper(workers, cursor or UNSET))


async def show_worker(call: Call) -> Response:
    """Show one worker."""
    call.grant.check_all()
    return json(WorkerWrapper(await call.store.workers.show(call.worker)))


async def order(call: Call) -> Response:
    """Order a worker to be quiet, to resume or to drain. It gets the order within 2 s."""
    call.grant.check_all()
    given = await call.body(OrderGiven)
    return json(WorkerWrapper(await call.store.workers.order(call.worker, given.order)))
