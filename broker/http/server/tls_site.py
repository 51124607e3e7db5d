"""A site for https: handshakes have a deadline and count as connections, so that unfinished ones take no place.

Neither aiohttp nor the loop's own server shows a connection before its handshake is over. Here each socket is taken by
hand, and its handshake is a task: when there are too many connections the oldest handshake ends.
"""

import asyncio
import errno
import logging
import socket
import ssl
from contextlib import suppress
from functools import partial
from typing import cast

from aiohttp import web

from broker.http.server.connection_guard import ConnectionGuard

_log = logging.getLogger(__name__)
_AT_ONCE = 100
"""Connections that are taken in one turn."""
_NO_MORE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE_S = 1.0
"""How long no connection is taken when the system has no room for one."""


class Handshakes:
    """What listens, as much of a server as aiohttp asks for, and the handshakes under way. Make it inside the loop."""

    def __init__(
        self,
        sockets: list[socket.socket],
        server: web.Server,
        context: ssl.SSLContext,
        guard: ConnectionGuard,
        limit_s: float,
    ) -> None:
        self.sockets = sockets
        self._server = server
        self._context = context
        self._guard = guard
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[asyncio.Task[None], None] = {}
        self._not_begun: set[socket.socket] = set()
        for listening in sockets:
            self._listen(listening)

    def close(self) -> None:
        """Listen no more, and end the handshakes; connections stay."""
        for listening in self.sockets:
            self._loop.remove_reader(listening)
            listening.close()
        self.sockets = []
        for handshake in self._under_way:
            handshake.cancel()

    def _listen(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            self._loop.add_reader(listening, self._take, listening)

    def _take(self, listening: socket.socket) -> None:
        """Begin the handshakes of those who have come."""
        for _ in range(_AT_ONCE):
            try:
                taken, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as fault:
                if fault.errno not in _NO_MORE:
                    raise
                _log.error("no connection is taken for %g s: %s", _PAUSE_S, fault.strerror)
                self._loop.remove_reader(listening)
                self._loop.call_later(_PAUSE_S, self._listen, listening)
                return
            if not self._has_room():
                taken.close()
                continue
            handshake = self._loop.create_task(self._shake(taken))
            self._under_way[handshake] = None
            self._not_begun.add(taken)
            handshake.add_done_callback(partial(self._ended, taken))

    def _has_room(self) -> bool:
        """Whether there is room for one more, when need be that of the oldest handshake."""
        if len(self._under_way) + self._guard.count < self._guard.most:
            return True
        oldest = next(iter(self._under_way), None)
        if oldest is not None:
            del self._under_way[oldest]
            oldest.cancel()
            return True
        return self._guard.make_room()

    async def _shake(self, taken: socket.socket) -> None:
        self._not_begun.discard(taken)  # from now on the loop closes it
        try:
            await self._loop.connect_accepted_socket(
                self._server, taken, ssl=self._context, ssl_handshake_timeout=self._limit_s
            )
        except OSError as fault:
            _log.debug("no handshake: %s", fault)

    def _ended(self, taken: socket.socket, handshake: asyncio.Task[None]) -> None:
        self._under_way.pop(handshake, None)
        if taken in self._not_begun:
            self._not_begun.discard(taken)
            taken.close()
        elif handshake.cancelled():
            with suppress(OSError):  # the loop does not close one whose handshake has not sent or read anything
                taken.shutdown(socket.SHUT_RDWR)


class TlsSite(web.BaseSite):
    """Where an https front end listens."""

    def __init__(
        self,
        runner: web.BaseRunner,
        host: str,
        port: int,
        context: ssl.SSLContext,
        guard: ConnectionGuard,
        limit_s: float,
        *,
        backlog: int,
        reuse_port: bool,
    ) -> None:
        super().__init__(runner, ssl_context=context, backlog=backlog)
        self._place = host, port
        self._is_shared = reuse_port
        self._take = partial(Handshakes, context=context, guard=guard, limit_s=limit_s)

    @property
    def name(self) -> str:
        """The address."""
        return "https://{}:{}".format(*self._place)

    async def start(self) -> None:
        """Listen. Raises OSError."""
        await super().start()
        if self._runner.server is None:
            raise RuntimeError("the runner is not set up")
        self._server = cast("asyncio.AbstractServer", self._take(await self._bound(), self._runner.server))

    async def _bound(self) -> list[socket.socket]:
        host, port = self._place
        found = await asyncio.get_running_loop().getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        sockets: list[socket.socket] = []
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                sockets.append(self._bind(family, address))
        except OSError:
            for bound in sockets:
                bound.close()
            raise
        return sockets

    def _bind(self, family: int, address: tuple[object, ...]) -> socket.socket:
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.settimeout(0)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._is_shared:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(address)
            listening.listen(self._backlog)
        except OSError:
            listening.close()
            raise
        return listening
