"""Which server has which partition. Every call of the store goes through it."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis

from broker.metrics.exposition import Family
from broker.resp import keys
from broker.resp.client import connect
from broker.resp.discovery import resolver_for
from broker.resp.multiplexer import Multiplexer
from broker.resp.resp_connection import Word
from broker.resp.url import StoreAddress


class Server(NamedTuple):
    """One server: redis-py for rare calls, the multiplexer for the rest. `shown` is the address without password."""

    redis: Redis
    multiplexer: Multiplexer
    shown: str
    is_clustered: bool = False


class Topology:
    """The servers of a store. Partition i is on server i mod their number; a cluster has one `Server` a partition.

    `partitions` are the names of the partitions, KEYS[1] of every script.
    """

    def __init__(self, servers: Sequence[Server], partitions: Sequence[str]) -> None:
        self.all = tuple(servers)
        self.partitions = tuple(partitions)
        self._of = {name: self.all[number % len(self.all)] for number, name in enumerate(self.partitions)}
        self._multiplexers = {name: server.multiplexer for name, server in self._of.items()}

    @property
    def timeout_s(self) -> float:
        """The longest time of a call on any of the servers, in s."""
        return max(server.multiplexer.timeout_s for server in self.all)

    def of(self, partition: str) -> Server:
        """The server of a partition."""
        return self._of[partition]

    def partitions_of(self, server: Server) -> list[str]:
        """The partitions of a server."""
        return [partition for partition, other in self._of.items() if other is server]

    def call(self, partition: str, *words: Word) -> asyncio.Future[Any]:
        """Send a command to the server of a partition; a future of its reply. It fails as in `Multiplexer.call`."""
        return self._multiplexers[partition].call(*words)

    def call_all(self, *words: Word) -> asyncio.Future[list[Any]]:
        """Send a command to every server; a future of the replies."""
        return asyncio.gather(*(server.multiplexer.call(*words) for server in self.all))

    def families(self) -> list[Family]:
        """Metrics of the calls of each server."""
        return [family for server in self.all for family in server.multiplexer.families(self._name(server))]

    def _name(self, server: Server) -> str:
        return f"{server.shown} {self.partitions_of(server)[0]}" if server.is_clustered else server.shown

    async def close(self) -> None:
        """Close the connections to all servers."""
        for server in self.all:
            await server.multiplexer.close()
            await server.redis.aclose()


def topology_of(
    addresses: Sequence[StoreAddress], prefix: str, partitions: int, timeout_s: float, connections: int
) -> Topology:
    """The servers at these addresses, with a number of partitions. Sends nothing yet.

    Raises ValueError for an address that cannot be parsed, and for more servers than partitions.
    """
    names = [keys.partition(prefix, number) for number in range(partitions)]
    if addresses[0].kind == "cluster":
        addresses = [addresses[0]] * partitions
    if len(addresses) > partitions:
        raise ValueError(f"{len(addresses)} servers need as many partitions at least: --partitions {len(addresses)}")
    servers = []
    for address, name in zip(addresses, names, strict=False):
        resolve = resolver_for(address, name, timeout_s)
        redis = connect(address.url, timeout_s, connections, resolve)
        multiplexer = Multiplexer(address.url, timeout_s=timeout_s, resolve=resolve)
        servers.append(Server(redis, multiplexer, address.shown, address.kind == "cluster"))
    return Topology(servers, names)
