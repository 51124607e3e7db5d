"""Opens redis-py clients of the store, with short timeouts and without retries.

A script that changes state must not run twice because its reply was late. So nothing is sent again here, and the caller
gets StoreUnavailable.
"""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from broker.resp.redis_private import Resolver, ResolvingConnection, ResolvingTLSConnection


def connect(url: str, timeout_s: float, connections: int, resolve: Resolver | None = None) -> Redis:
    """A client of the store at redis://, rediss:// or unix://, with at most `connections`. Sends nothing yet.

    For a server that may move, each new connection calls `resolve` for the address.
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
    if resolve is not None:
        is_tls = issubclass(pool.connection_class, SSLConnection)
        pool.connection_class = ResolvingTLSConnection if is_tls else ResolvingConnection
        pool.connection_kwargs["resolve"] = resolve
    return Redis.from_pool(pool)


def connect_listener(redis: Redis) -> Redis:
    """A second client of the same store, for pub/sub: a message may take any time to come."""
    return _second(redis, None, 2, 1)


def connect_barrier(redis: Redis, limit_s: float, connections: int) -> Redis:
    """A second client of the same store, for WAITAOF: the store may delay its reply by `limit_s`."""
    return _second(redis, limit_s + 1, connections, limit_s)


def _second(redis: Redis, timeout_s: float | None, connections: int, wait_s: float) -> Redis:
    kwargs = dict(redis.connection_pool.connection_kwargs, socket_timeout=timeout_s)
    pool = BlockingConnectionPool(
        connection_class=redis.connection_pool.connection_class, max_connections=connections, timeout=wait_s, **kwargs
    )
    return Redis.from_pool(pool)
