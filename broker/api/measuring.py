"""The middleware that counts and times every request."""

import asyncio
from time import perf_counter
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from broker.metrics.requests import GONE, NO_ROUTE, Requests


def measuring(requests: Requests, routes: dict[Any, int]) -> Middleware:
    """Tells `requests` of each one. `routes` are the router's handlers and the routes' numbers."""

    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = perf_counter()
        route = routes.get(request.match_info.handler, NO_ROUTE)
        try:
            response = await handler(request)
        except (asyncio.CancelledError, ConnectionError):
            requests.observe(route, GONE, perf_counter() - began)
            raise
        requests.observe(route, response.status, perf_counter() - began)
        return response

    return measure
