"""What sentinels and cluster nodes report about the primaries of a store. For `titan doctor`."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from broker.resp.replies_to_errors import translate_errors
from broker.resp.topology import Topology
from broker.resp.url import StoreAddress


class SentinelReport(NamedTuple):
    """One primary, as the first sentinel that replies sees it."""

    sentinels: int
    """How many sentinels watch it, with the one that replied."""
    replicas: int
    down_after_ms: int
    """How long it may not reply before the sentinel considers it dead, in ms."""


class Spread(NamedTuple):
    """On how many primaries the partitions are, and how many primaries there are."""

    used: int
    primaries: int


async def sentinel_report(address: StoreAddress, timeout_s: float) -> SentinelReport | None:
    """Ask the sentinels of an address, one after the other. None if none of them replies with a report."""
    for host, port in address.seeds:
        options: dict[str, Any] = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
        options |= dict(address.seed_options)
        is_tls = address.url.startswith("rediss:")
        try:
            async with Redis(host=host, port=port, ssl=is_tls, retry=Retry(NoBackoff(), 0), **options) as client:
                client.response_callbacks.clear()  # returns the reply as it came: redis-py would convert it
                words = ("SENTINEL", "MASTER", address.service)
                reply = await client.execute_command(*words)  # type: ignore[no-untyped-call]
        except (RedisError, OSError, TimeoutError):
            continue
        pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=False)
        found = {_text(name): _text(value) for name, value in pairs}
        names = ("num-other-sentinels", "num-slaves", "down-after-milliseconds")
        others, replicas, down_after_ms = (int(found.get(name, 0)) for name in names)
        return SentinelReport(others + 1, replicas, down_after_ms)
    return None


async def spread_of(topology: Topology) -> Spread:
    """How the partitions of a cluster are spread. Raises TitanError."""
    ranges: Sequence[Any] = await translate_errors(topology.call(topology.partitions[0], "CLUSTER", "SLOTS"))
    calls = [topology.call(partition, "CLUSTER", "MYID") for partition in topology.partitions]
    used = {_text(name) for name in await translate_errors(asyncio.gather(*calls))}
    return Spread(len(used), len({_text(primary[2]) for _, _, primary, *_ in ranges}))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
