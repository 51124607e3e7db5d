"""A site for https. Handshakes have a deadline and count as connections, so that unfinished ones do not use them up.

aiohttp and the loop's own server report a connection only after its handshake. Therefore this module accepts each
socket itself, and its handshake is a task. When there are too many connections, the oldest handshake is cancelled.
"""

import asyncio
import errno
import logging
import socket
import ssl
from contextlib import suppress
from functools import partial

from aiohttp import web

from broker.http.server.aiohttp_private import ListeningSite
from broker.http.server.connection_guard import ConnectionGuard
from broker.http.server.listening import accept_waiting

_log = logging.getLogger(__name__)
_AT_ONCE = 100
"""Connections that are accepted in one loop iteration."""
_NO_MORE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE_S = 1.0
"""How long no connection is accepted when the system has no room for one."""
_SILENCE_S = 0.5
"""How long a broker that stops waits for the next handshake to end."""


class Handshakes:
    """Listens and runs handshakes, in place of the server of an aiohttp site. Create it inside the running loop."""

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
        self._running: dict[asyncio.Task[None], None] = {}
        self._not_started: set[socket.socket] = set()
        for listener in sockets:
            self._listen(listener)

    def close(self) -> None:
        """Stop listening. Handshakes continue, also those of connections that nobody had accepted yet."""
        for listener in self.sockets:
            self._loop.remove_reader(listener)
            waiting = accept_waiting(listener)
            listener.close()
            for accepted in waiting:
                self._begin(accepted)
        self.sockets = []

    async def finish(self, pause_s: float) -> None:
        """Wait for the handshakes. Cancel the rest when none has ended for `pause_s`."""
        while self._running:
            ended, _ = await asyncio.wait(self._running, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
            if not ended:
                break
        for handshake in self._running:
            handshake.cancel()

    def _listen(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            self._loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        """Accept the connections that have arrived, and start their handshakes."""
        for _ in range(_AT_ONCE):
            try:
                accepted, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as fault:
                if fault.errno not in _NO_MORE:
                    raise
                _log.error("no connection is accepted for %g s: %s", _PAUSE_S, fault.strerror)
                self._loop.remove_reader(listener)
                self._loop.call_later(_PAUSE_S, self._listen, listener)
                return
            self._begin(accepted)

    def _begin(self, accepted: socket.socket) -> None:
        """Start the handshake of a connection, or close it when there is no room."""
        if not self._has_room():
            accepted.close()
            return
        handshake = self._loop.create_task(self._shake_hands(accepted))
        self._running[handshake] = None
        self._not_started.add(accepted)
        handshake.add_done_callback(partial(self._ended, accepted))

    def _has_room(self) -> bool:
        """Whether there is room for one more connection. If needed, the oldest handshake is cancelled for it."""
        if len(self._running) + self._guard.count < self._guard.most:
            return True
        oldest = next(iter(self._running), None)
        if oldest is not None:
            del self._running[oldest]
            oldest.cancel()
            return True
        return self._guard.make_room()

    async def _shake_hands(self, accepted: socket.socket) -> None:
        self._not_started.discard(accepted)  # from now on the loop closes it
        try:
            await self._loop.connect_accepted_socket(
                self._server, accepted, ssl=self._context, ssl_handshake_timeout=self._limit_s
            )
        except OSError as fault:
            _log.debug("the handshake failed: %s", fault)

    def _ended(self, accepted: socket.socket, handshake: asyncio.Task[None]) -> None:
        self._running.pop(handshake, None)
        if accepted in self._not_started:
            self._not_started.discard(accepted)
            accepted.close()
        elif handshake.cancelled():
            with suppress(OSError):  # the loop does not close a socket whose handshake has sent and read nothing
                accepted.shutdown(socket.SHUT_RDWR)


class TlsSite(ListeningSite):
    """The address at which the front end listens for https."""

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
        self._address = host, port
        self._is_shared = reuse_port
        self._listener: Handshakes | None = None
        self._handshakes = partial(Handshakes, context=context, guard=guard, limit_s=limit_s)

    @property
    def name(self) -> str:
        """The address."""
        return "https://{}:{}".format(*self._address)

    async def listen(self, server: web.Server) -> Handshakes:
        """Listen. Raises OSError."""
        self._listener = self._handshakes(await self._bound(), server)
        return self._listener

    async def stop(self) -> None:
        """Stop listening. Connections that were complete by then have their handshakes, and are served like others."""
        await super().stop()
        if self._listener is not None:
            await self._listener.finish(_SILENCE_S)

    async def _bound(self) -> list[socket.socket]:
        host, port = self._address
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
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.settimeout(0)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._is_shared:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(self.backlog)
        except OSError:
            listener.close()
            raise
        return listener
