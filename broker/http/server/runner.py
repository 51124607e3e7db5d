"""aiohttp's runner, set up as the front end needs it."""

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.web_request import BaseRequest

from broker.core.errors import Invalid, TitanError, TooSlow
from broker.core.settings import BrokerSettings
from broker.http.app import DISPATCHER, response_of
from broker.http.error_responses import STATUS, refusal, refusal_of_framework
from broker.http.server.connection_guard import ConnectionGuard
from broker.http.server.protocol import HttpConnection

_log = logging.getLogger(__name__)


class BrokerRunner(web.AppRunner):
    """Runs the application. A client that hangs up cancels its handler; packed bodies stay packed, to be refused."""

    def __init__(self, app: web.Application, settings: BrokerSettings, **options: Any) -> None:
        super().__init__(
            app,
            handler_cancellation=True,
            auto_decompress=False,
            keepalive_timeout=settings.keepalive_timeout_s,
            **options,
        )
        self.guard = ConnectionGuard(settings)

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        made = _Server(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            **server._kwargs,  # noqa: SLF001  # aiohttp has no other way to give it a protocol
            desk=self.app[DISPATCHER],
        )
        made.guard = self.guard
        return made


class _Server(web.Server):
    guard: ConnectionGuard

    def __call__(self) -> web.RequestHandler:
        connection = _Protocol(self, loop=self._loop, **self._kwargs)
        connection.guard = self.guard
        return connection


class _Protocol(HttpConnection):
    """One connection. What aiohttp answers by itself, without the middleware, has the error body too."""

    __slots__ = ("guard",)
    guard: ConnectionGuard

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have the connection looked after."""
        super().connection_made(transport)
        self.guard.made(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Have it forgotten."""
        self.guard.lost(self)
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
        if status >= 500:
            _log.error("a request from %s failed", request.remote, exc_info=exc)
        else:
            _log.debug("not HTTP, from %s: %r %r", request.remote, message, exc)
        answer = refusal(TitanError() if status >= 500 else Invalid("The request is not valid HTTP."))
        response = response_of(answer)
        response.force_close()
        return response

    async def _handle_request(self, request: Any, start_time: float | None, request_handler: Any) -> Any:
        """Refuse HTTP/0.9, a line without a version: what is taken for such a line may be the rest of a body."""
        return await super()._handle_request(
            request, start_time, request_handler if request.version >= (1, 0) else _refuse_version
        )

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException):
            resp = response_of(refusal_of_framework(resp))
        ending = await super().finish_response(request, resp, start_time)
        if resp.status == STATUS[TooSlow]:
            self.force_close()  # else the rest of the body would be waited for
        return ending


async def _refuse_version(_: BaseRequest) -> web.StreamResponse:
    raise web.HTTPBadRequest
