"""Opens the store: redis-py with short deadlines and without resending anything by itself.

A script that changes state must not run twice because an answer was late, so there are no retries here; who asked is
told that the store is not available.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

Resolver = Callable[[], Awaitable[tuple[str, int]]]


def connect(url: str, timeout_s: float, connections: int, where: Resolver | None = None) -> Redis:
    """A client of the store at redis://, rediss:// or unix://, with `connections` at most. Nothing is sent yet.

    `where` says at each connection where to go, for a server that moves.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        decode_responses=False,
    )
    if where is not None:
        is_tls = issubclass(pool.connection_class, SSLConnection)
        pool.connection_class = _MovingTLS if is_tls else _Moving
        pool.connection_kwargs["where"] = where
    return Redis.from_pool(pool)


def connect_listener(redis: Redis) -> Redis:
    """A second client of the same store for one that only listens: an answer may take any time."""
    return _second(redis, None, 2, 1)


def connect_fences(redis: Redis, limit_s: float, connections: int) -> Redis:
    """A second client of the same store for commands that the store holds up for as long as `limit_s`."""
    return _second(redis, limit_s + 1, connections, limit_s)


def _second(redis: Redis, timeout_s: float | None, connections: int, wait_s: float) -> Redis:
    kwargs = dict(redis.connection_pool.connection_kwargs, socket_timeout=timeout_s)
    pool = BlockingConnectionPool(
        connection_class=redis.connection_pool.connection_class, max_connections=connections, timeout=wait_s, **kwargs
    )
    return Redis.from_pool(pool)


class _Moving(Connection):
    """A connection that asks where to go, and is dropped when the server says that it is not the one any more."""

    def __init__(self, *, where: Resolver, **options: Any) -> None:
        super().__init__(**options)
        self._where = where

    async def _connect(self) -> None:
        self.host, self.port = await self._where()
        await super()._connect()  # type: ignore[no-untyped-call]

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)
        except (exceptions.ReadOnlyError, exceptions.MovedError) as fault:
            await self.disconnect(nowait=True)
            raise exceptions.ConnectionError(f"another server must be asked: {fault}") from fault


class _MovingTLS(_Moving, SSLConnection):
    """The same over TLS."""
