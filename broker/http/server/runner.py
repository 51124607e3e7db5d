"""Runs the application with aiohttp, configured for the front end."""

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.web_request import BaseRequest

from broker.core.errors import Invalid, TitanError, TooSlow
from broker.core.events import event
from broker.core.settings import BrokerSettings
from broker.http.app import DISPATCHER, response_of
from broker.http.error_responses import STATUS, refusal_of_framework
from broker.http.forwarded import TrustedProxies
from broker.http.server.aiohttp_private import ConnectionRunner
from broker.http.server.connection_guard import ConnectionGuard
from broker.http.server.protocol import HttpConnection
from broker.http.server.request_id import HEADER, request_id

_log = logging.getLogger(__name__)


class BrokerRunner(ConnectionRunner):
    """Runs the application. When a client hangs up, its handler is cancelled.

    aiohttp decompresses no bodies, because the broker refuses compressed ones.
    """

    def __init__(self, app: web.Application, settings: BrokerSettings, **options: Any) -> None:
        super().__init__(
            app,
            handler_cancellation=True,
            auto_decompress=False,
            keepalive_timeout=settings.keepalive_timeout_s,
            **options,
        )
        self.guard = ConnectionGuard(settings, app[DISPATCHER].refusal)

    def make_connection(self, server: web.Server, **options: Any) -> HttpConnection:
        """Make the protocol of a new connection."""
        dispatcher = self.app[DISPATCHER]
        proxies = dispatcher.context.proxies
        return _GuardedConnection(server, guard=self.guard, proxies=proxies, dispatcher=dispatcher, **options)


class _GuardedConnection(HttpConnection):
    """One connection. Responses that aiohttp makes without the middleware have the error body too."""

    __slots__ = ("_guard", "_proxies")

    def __init__(self, *arguments: Any, guard: ConnectionGuard, proxies: TrustedProxies, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._proxies = proxies
        self._guard = guard

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Add the connection to those that the guard watches."""
        super().connection_made(transport)
        self._guard.made(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Remove it from them."""
        self._guard.lost(self)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionResetError from exc
        client = self._proxies.client_of(lambda name: request.headers.getall(name, []), request.remote or "")
        own_id = request_id(request.headers.get(HEADER))
        if status >= 500:
            _log.error("a request from %s failed", client, exc_info=exc, extra=event("request.failed", request=own_id))
        else:
            _log.debug("not HTTP, from %s: %r %r", client, message, exc)
        error = TitanError() if status >= 500 else Invalid("The request is not valid HTTP.")
        response = response_of(self._dispatcher.refusal(error))
        response.headers[HEADER] = own_id
        response.force_close()
        return response

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException):
            resp = response_of(refusal_of_framework(resp))
        ending = await super().finish_response(request, resp, start_time)
        if resp.status == STATUS[TooSlow]:
            self.force_close()  # otherwise aiohttp waits for the rest of the body
        return ending
