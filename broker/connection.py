"""Opens the store: redis-py with short deadlines and without resending anything by itself.

A script that changes state must not run twice because an answer was late, so there are no retries here; who asked is
told that the store is not available.
"""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def connect(url: str, timeout_s: float, connections: int) -> Redis:
    """A client of the store at redis://, rediss:// or unix://, with `connections` at most. Nothing is sent yet."""
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
