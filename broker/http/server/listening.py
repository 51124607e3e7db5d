"""Where a broker listens without TLS, and how it stops listening without losing a connection.

Closing a listening socket resets the connections in its queue: those that the kernel completed and that nobody accepted
yet. Their clients have often sent a request already, and cannot know whether it was carried out.
"""

import asyncio
import os
import socket

from aiohttp import web

from broker.http.server.aiohttp_private import ListeningSite


class PlainListener:
    """A server of asyncio that accepts the connections of its queue when it stops listening."""

    def __init__(self, listener: asyncio.Server, server: web.Server) -> None:
        self._listener = listener
        self._server = server
        self._waiting: list[socket.socket] = []

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The sockets at which it listens."""
        return tuple(self._listener.sockets)

    def close(self) -> None:
        """Stop listening."""
        queues = [socket.socket(fileno=os.dup(one.fileno())) for one in self._listener.sockets]
        self._listener.close()  # the copies keep the queues open
        for queue in queues:
            with queue:
                self._waiting += accept_waiting(queue)

    async def serve_waiting(self) -> None:
        """Serve the connections that waited when it stopped listening."""
        while self._waiting:
            await asyncio.get_running_loop().connect_accepted_socket(self._server, self._waiting.pop(0))


class PlainSite(ListeningSite):
    """The address at which the front end listens without TLS."""

    def __init__(self, runner: web.BaseRunner, host: str, port: int, *, backlog: int, reuse_port: bool) -> None:
        super().__init__(runner, backlog=backlog)
        self._address = host, port
        self._is_shared = reuse_port
        self._listener: PlainListener | None = None

    @property
    def name(self) -> str:
        """The address."""
        return "http://{}:{}".format(*self._address)

    async def listen(self, server: web.Server) -> PlainListener:
        """Listen. Raises OSError."""
        loop, (host, port) = asyncio.get_running_loop(), self._address
        listener = await loop.create_server(
            server, host, port, backlog=self.backlog, reuse_port=self._is_shared or None
        )
        self._listener = PlainListener(listener, server)
        return self._listener

    async def stop(self) -> None:
        """Stop listening. Connections that were complete by then are served like others."""
        await super().stop()
        if self._listener is not None:
            await self._listener.serve_waiting()


def accept_waiting(queue: socket.socket) -> list[socket.socket]:
    """Accept all connections that wait. Close the listening socket at once: what comes between the two is lost."""
    found: list[socket.socket] = []
    queue.settimeout(0)
    while True:
        try:
            connection, _ = queue.accept()
        except ConnectionAbortedError:
            continue
        except (OSError, ValueError):  # none is left, or no file descriptor is
            return found
        connection.settimeout(0)
        found.append(connection)
