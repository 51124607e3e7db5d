"""The memory of the servers of the store, for /metrics."""

from typing import Any, cast

from broker.metrics.exposition import Family, Sample, counter, gauge
from broker.resp.replies_to_errors import translate_errors
from broker.resp.topology import Server


async def memory_of(server: Server) -> dict[str, Any]:
    """What a server says of its memory. Raises StoreUnavailable."""
    return cast("dict[str, Any]", await translate_errors(server.redis.info("all")))


def memory_families(found: dict[str, dict[str, Any]]) -> list[Family]:
    """The memory of each server, its limit, and the keys that it has evicted, which must be 0."""
    return [
        gauge("titan_store_memory_bytes", "Memory that the server uses for data.", _samples(found, "used_memory")),
        gauge("titan_store_max_memory_bytes", "The limit of that memory; 0: none.", _samples(found, "maxmemory")),
        counter("titan_store_evicted_total", "Keys that the server has evicted: lost jobs.", _evicted(found)),
    ]


def _evicted(found: dict[str, dict[str, Any]]) -> list[Sample]:
    return _samples(found, "evicted_keys")


def _samples(found: dict[str, dict[str, Any]], field: str) -> list[Sample]:
    return [Sample(float(info[field]), {"server": name}) for name, info in found.items() if field in info]
