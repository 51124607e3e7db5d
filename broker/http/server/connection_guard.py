"""Deadlines and a cap for connections, so that slow, silent and countless clients cost the others nothing.

aiohttp closes a connection that is idle between requests; it waits for ever for the rest of a body, and for a client
that reads its answer slowly. One look at all connections in a second or so is all that this costs.
"""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice

from aiohttp import web

from broker.core.errors import TooSlow
from broker.core.settings import BrokerSettings

_LOOK_S = 1.0
_SPARE_FILES = 128
"""Descriptors that are left for the store, the logs and what listens."""
_SEARCHED = 1000
"""Connections among which one is looked for that may go, when there are too many."""
_MARK_S = 1.0
"""How much earlier than any other a new connection's mark is: a loop's clock may stand still for a ms, and a request
be over in less."""
_REFUSAL = b'{"error":{"message":"The broker has too many connections.","code":"overloaded"}}'
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_REFUSAL), _REFUSAL)
)


@asynccontextmanager
async def in_all(limit_s: float) -> AsyncIterator[None]:
    """Raise TooSlow when the block takes longer than this."""
    try:
        async with asyncio.timeout(limit_s) as limit:
            yield
    except TimeoutError:
        if limit.expired():
            raise TooSlow from None
        raise


class _Seen:
    """What was seen of a connection: when it began, its mark then, and since when its client does not read."""

    __slots__ = ("began", "mark", "unread_since")

    def __init__(self, began: float, mark: float) -> None:
        self.began = began
        self.mark = mark
        self.unread_since: float | None = None


class ConnectionGuard:
    """All connections of one front end. Use it inside the running loop."""

    def __init__(self, settings: BrokerSettings) -> None:
        self.most = min(settings.max_connections, _allowed_files() - _SPARE_FILES)
        self._head_s = settings.head_timeout_s
        self._unread_s = settings.body_timeout_s
        self._seen: dict[web.RequestHandler, _Seen] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        """How many connections there are."""
        return len(self._seen)

    def made(self, connection: web.RequestHandler) -> None:
        """Look after a connection. When there are too many, one that never asked anything goes, or else this one."""
        if len(self._seen) >= self.most and not self.make_room():
            if connection.transport is not None:
                connection.transport.write(_FULL)
            connection.force_close()
            return
        loop = asyncio.get_running_loop()
        connection._next_keepalive_close_time -= _MARK_S  # noqa: SLF001 - see _is_new
        self._seen[connection] = _Seen(loop.time(), connection._next_keepalive_close_time)  # noqa: SLF001
        if self._timer is None:
            self._timer = loop.call_later(min(_LOOK_S, self._head_s / 2), self._look)

    def lost(self, connection: web.RequestHandler) -> None:
        """Forget a connection."""
        self._seen.pop(connection, None)

    def make_room(self) -> bool:
        """Let a connection go that has not asked anything; whether there was one."""
        for connection, seen in islice(self._seen.items(), _SEARCHED):
            if _is_new(connection, seen):
                self.lost(connection)
                _abort(connection)
                return True
        return False

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection, seen in list(self._seen.items()):
            if now - seen.began > self._head_s and _is_new(connection, seen):
                _abort(connection)
            elif not connection._paused:  # noqa: SLF001 - whether it takes what is written
                seen.unread_since = None
            elif seen.unread_since is None:
                seen.unread_since = now
            elif now - seen.unread_since > self._unread_s:
                _abort(connection)
        self._timer = loop.call_later(min(_LOOK_S, self._head_s / 2), self._look) if self._seen else None


def _is_new(connection: web.RequestHandler, seen: _Seen) -> bool:
    """Whether a connection has not asked anything yet: aiohttp moves its mark at the end of each request."""
    is_busy = connection._current_request is not None or connection._messages or getattr(connection, "_slots", None)  # noqa: SLF001
    return not is_busy and connection._next_keepalive_close_time == seen.mark  # noqa: SLF001 - nothing else tells


def _abort(connection: web.RequestHandler) -> None:
    if connection.transport is not None:
        connection.transport.abort()


def _allowed_files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else max(soft, 2 * _SPARE_FILES)
