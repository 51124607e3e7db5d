"""The outermost middleware: it counts and times every request, and sheds those that are too many."""

import asyncio
from time import perf_counter
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from broker.api.problems import refusal
from broker.api.shed import FIRST, Shed
from broker.errors import Overloaded
from broker.metrics.requests import GONE, NO_ROUTE, Requests

WEIGHT = web.RequestKey("WEIGHT", int)
"""The key under which a request keeps its weight."""


def measuring(requests: Requests, shed: Shed, routes: dict[Any, tuple[int, int]]) -> Middleware:
    """Tells `requests` of each one. `routes` are the router's handlers, the routes' numbers and their ranks."""

    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = perf_counter()
        route, rank = routes.get(request.match_info.handler, (NO_ROUTE, FIRST))
        request[WEIGHT] = weight = shed.weigh(rank, request.content_length or 0)
        if not shed.admit(rank, weight):
            try:
                await shed.turn(rank, weight)
            except Overloaded as error:
                answer = refusal(error)
                requests.observe(route, answer.status, perf_counter() - began)
                return answer
        try:
            response = await handler(request)
        except (asyncio.CancelledError, ConnectionError):
            requests.observe(route, GONE, perf_counter() - began)
            raise
        finally:
            shed.leave(weight)
        requests.observe(route, response.status, perf_counter() - began)
        return response

    return measure
