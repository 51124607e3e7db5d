"""Limits the time and the number of connections, so that slow, silent and numerous clients do not harm the others.

aiohttp closes a connection that is idle between requests. It sets no limit to a body that does not arrive, or to a
client that reads its response slowly. The guard checks all connections about once a second.
"""

import asyncio
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import islice

from broker.core.errors import Overloaded, TitanError, TooSlow
from broker.core.settings import BrokerSettings
from broker.http.error_responses import refusal
from broker.http.responses import Response, encoded
from broker.http.server.aiohttp_private import Connection

_CHECK_S = 1.0
_SPARE_FILES = 128
"""File descriptors left for the store, the logs and the listening sockets."""
_SEARCHED = 1000
"""How many connections are searched for an unused one, when there are too many."""
_FIRST_LOOK_S = 0.01


@asynccontextmanager
async def time_limit(limit_s: float) -> AsyncIterator[None]:
    """Raise TooSlow when the block takes longer than this."""
    try:
        async with asyncio.timeout(limit_s) as limit:
            yield
    except TimeoutError:
        if limit.expired():
            raise TooSlow from None
        raise


class _Watched:
    """The state of one connection: the time when it began, and since when its client does not read."""

    __slots__ = ("began", "unread_since")

    def __init__(self, began: float) -> None:
        self.began = began
        self.unread_since: float | None = None


class ConnectionGuard:
    """All connections of one front end. Use it inside the running loop."""

    def __init__(self, settings: BrokerSettings, refuse: Callable[[TitanError], Response] = refusal) -> None:
        self._refuse = refuse
        self.most = min(settings.max_connections, _allowed_files() - _SPARE_FILES)
        self._head_s = settings.head_timeout_s
        self._unread_s = settings.body_timeout_s
        self._watched: dict[Connection, _Watched] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        """The number of connections."""
        return len(self._watched)

    def made(self, connection: Connection) -> None:
        """Watch a new connection. When there are too many, close an unused one, or else this one."""
        if len(self._watched) >= self.most and not self.make_room():
            if connection.transport is not None:
                fault = Overloaded("The broker has too many connections.")
                connection.transport.write(encoded(self._refuse(fault), is_last=True))
            connection.force_close()
            return
        loop = asyncio.get_running_loop()
        connection.mark_unused()
        self._watched[connection] = _Watched(loop.time())
        if self._timer is None:
            self._timer = loop.call_later(min(_CHECK_S, self._head_s / 2), self._check)

    def lost(self, connection: Connection) -> None:
        """Stop watching a connection."""
        self._watched.pop(connection, None)

    async def wait_for_first_requests(self, limit_s: float) -> None:
        """Wait until each connection that was made in the last `limit_s` has asked something, or until it is that old.

        For a broker that has just stopped listening: the request of such a connection is on its way.
        """
        clock = asyncio.get_running_loop().time
        for _ in range(int(limit_s / _FIRST_LOOK_S)):
            oldest = clock() - limit_s
            if not any(watched.began > oldest and one.is_unused for one, watched in self._watched.items()):
                return
            await asyncio.sleep(_FIRST_LOOK_S)

    def make_room(self) -> bool:
        """Close a connection that has not made a request. Returns whether one was found."""
        for connection in islice(self._watched, _SEARCHED):
            if connection.is_unused:
                self.lost(connection)
                _abort(connection)
                return True
        return False

    def _check(self) -> None:
        """Close the connections that are too slow."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection, watched in list(self._watched.items()):
            if now - watched.began > self._head_s and connection.is_unused:
                _abort(connection)
            elif not connection.writing_paused:
                watched.unread_since = None
            elif watched.unread_since is None:
                watched.unread_since = now
            elif now - watched.unread_since > self._unread_s:
                _abort(connection)
        self._timer = loop.call_later(min(_CHECK_S, self._head_s / 2), self._check) if self._watched else None


def _abort(connection: Connection) -> None:
    if connection.transport is not None:
        connection.transport.abort()


def _allowed_files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else max(soft, 2 * _SPARE_FILES)
