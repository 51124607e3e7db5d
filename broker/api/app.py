"""The front end put together: a route for each row, one middleware, and a quiet end."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from broker.api.call import Broker, Call, Front
from broker.api.measuring import measuring
from broker.api.openapi import document
from broker.api.problems import problems
from broker.api.routes import ROUTES, Route
from broker.api.shed import rank_of
from broker.metrics.requests import Requests

Hook = Callable[[web.Application], Awaitable[None]]

__all__ = ["Broker", "make_app"]


def make_app(broker: Broker) -> web.Application:
    """The application of a broker. Run it with `broker.api.runner.Runner`.

    Its `shutdown` lets those who wait for a job go; its `cleanup` waits for jobs that go back.
    """
    front = Front(broker, msgspec.json.encode(document()))
    requests = Requests([route.verb for route in ROUTES])
    front.metrics.add(requests.families)
    front.metrics.add(front.shed.families)
    handlers = {_adapted(front, route): (number, rank_of(route.verb)) for number, route in enumerate(ROUTES)}
    app = web.Application(middlewares=[measuring(requests, front.shed, handlers), problems])
    for route, handler in zip(ROUTES, handlers, strict=True):
        path = route.path.replace("}", ":[^/]+}")
        app.router.add_route(route.method, path, handler, expect_handler=_expect_later)
    app.on_shutdown.append(_stop_waiting(front))
    app.on_cleanup.append(_settle(front))
    return app


def _adapted(front: Front, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        path = request.match_info
        grant = front.access.admit(request.headers.get("Authorization"), route.scope, path.get("group_name", ""))
        return await route.handler(Call(front, request, path, grant))

    return handle


async def _expect_later(_: web.Request) -> None:
    """A client that asks before it sends its body is answered when somebody reads it."""


def _stop_waiting(front: Front) -> Hook:
    async def stop(_: web.Application) -> None:
        front.polls.stop()
        front.followers.stop()

    return stop


def _settle(front: Front) -> Hook:
    async def settle(_: web.Application) -> None:
        await front.deliveries.settle()
        await front.metrics.close()

    return settle
