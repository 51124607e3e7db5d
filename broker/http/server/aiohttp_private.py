"""Every private part of aiohttp that the front end uses, each under a public name.

aiohttp may change these parts in any release. No other module uses them, and `tests/unit/test_aiohttp_private.py`
checks each. After an update of aiohttp, compare this module with aiohttp's web_protocol.py, web_server.py and
web_runner.py.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, cast

from aiohttp import web

_UNUSED_S = 1.0
"""How much earlier the mark of an unused connection is. The clock of a loop may not advance during a short request."""


class Connection(web.RequestHandler):
    """aiohttp's protocol of one connection."""

    __slots__ = ("_unused_mark",)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._unused_mark = -1.0

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the connection."""
        return self._loop

    @property
    def is_closing(self) -> bool:
        """Whether aiohttp accepts no more requests here, because the server stops."""
        return self._close

    @property
    def is_unused(self) -> bool:
        """Whether the connection has not made a request yet. aiohttp moves the mark at the end of each request."""
        is_busy = self._current_request is not None or self._messages or self.has_pending_responses()
        return not is_busy and self._next_keepalive_close_time == self._unused_mark

    def mark_unused(self) -> None:
        """Mark a new connection, so that `is_unused` recognizes it until its first request ends."""
        self._next_keepalive_close_time -= _UNUSED_S
        self._unused_mark = self._next_keepalive_close_time

    def has_pending_responses(self) -> bool:
        """Whether a subclass has responses that aiohttp does not know: the connection is not idle then."""
        return False

    def restart_keepalive(self) -> None:
        """Count the time until an idle connection is closed from now."""
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def pause_transport(self) -> None:
        """Read nothing more from the socket."""
        self._pause_transport_reading()

    def resume_transport(self) -> None:
        """Read from the socket again."""
        self._resume_transport_reading()

    def _process_keepalive(self) -> None:
        """Close an idle connection. One with pending responses is not idle."""
        if self.has_pending_responses() and self.transport is not None:
            self.restart_keepalive()
        super()._process_keepalive()

    async def _handle_request(self, request: Any, start_time: float | None, request_handler: Any) -> Any:
        """Refuse HTTP/0.9, a line without a version: such a line may be the rest of a body."""
        return await super()._handle_request(
            request, start_time, request_handler if request.version >= (1, 0) else _refuse_version
        )


class ConnectionRunner(web.AppRunner):
    """aiohttp's runner of an application, with connections of another class."""

    def make_connection(self, server: web.Server, **options: Any) -> Connection:
        """Make the protocol of a new connection. `options` are those of aiohttp."""
        return Connection(server, **options)

    async def _make_server(self) -> web.Server:
        return _Server(await super()._make_server(), self.make_connection)


class _Server(web.Server):
    """A copy of a server of aiohttp that makes its connections with another function."""

    def __init__(self, server: web.Server, make_connection: Callable[..., Connection]) -> None:
        super().__init__(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            **server._kwargs,  # noqa: SLF001  # aiohttp has no other way to set the class of connections
        )
        self._make_connection = make_connection

    def __call__(self) -> web.RequestHandler:
        return self._make_connection(self, loop=self._loop, **self._kwargs)


class Listener(Protocol):
    """The part of an asyncio server that a site of aiohttp uses."""

    def close(self) -> None:
        """Stop listening."""


class ListeningSite(web.BaseSite):
    """A site of aiohttp that opens its sockets itself: see `listen`."""

    @property
    def backlog(self) -> int:
        """How many connections may wait to be accepted."""
        return self._backlog

    async def listen(self, server: web.Server) -> Listener:
        """Listen for connections of a server. Raises OSError."""
        raise NotImplementedError

    async def start(self) -> None:
        """Listen. Raises OSError."""
        await super().start()
        if self._runner.server is None:
            raise RuntimeError("the runner is not set up")
        self._server = cast("asyncio.AbstractServer", await self.listen(self._runner.server))


def target_authority(request: web.BaseRequest) -> str | None:
    """The host and port of the request line, where it has a whole URL. `request.url` has those of Host instead."""
    target = request._message.url  # noqa: SLF001  # the only place that has the request line as it was sent
    return target.authority if target.absolute else None


async def _refuse_version(_: web.BaseRequest) -> web.StreamResponse:
    raise web.HTTPBadRequest
