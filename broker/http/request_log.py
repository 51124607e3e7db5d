"""Gives the access log its requests: those of the fast path, and those that aiohttp has parsed."""

from collections.abc import Callable, Sequence
from functools import partial

from aiohttp import web

from broker.http.request.body import Request, Streamed
from broker.http.route import Route
from broker.http.server.access_log import AccessLine, AccessLog
from broker.http.server.pending_response import PendingResponse
from broker.metrics.http_requests import NO_ROUTE

Sender = PendingResponse | Streamed
"""Knows the address that sent a request, its id, and the name of its token."""


class RequestLog:
    """The access log of a front end. `client_of` gives the address of a client, as the trusted proxies say."""

    def __init__(self, log: AccessLog, routes: Sequence[Route], client_of: Callable[[Request, Sender], str]) -> None:
        self._log = log
        self._routes = routes
        self._client_of = client_of

    def note(
        self, request: Request, method: str, sender: Sender, number: int, status: int, seconds: float, n_bytes: int
    ) -> None:
        """Note a request that was answered. `number`: that of its route, or NO_ROUTE."""
        route = None if number == NO_ROUTE else self._routes[number]
        may_wait = route is None or route.is_streamed or "wait" in request.query_string or route.path.endswith("/wait")
        client_of = partial(self._client_of, request, sender)
        path, by = "" if route is None else route.path, sender.by
        self._log.note(AccessLine(sender.request, method, path, status, seconds, n_bytes, by, client_of, may_wait))

    async def close(self, _: web.Application) -> None:
        """Write the lines for the requests that were only counted."""
        self._log.close()
