"""The servers of a store: which one holds a partition, and the two ways to speak to it."""

from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio import Redis

from broker.metrics.exposition import Family
from broker.resp.client import connect
from broker.resp.discovery import finder
from broker.resp.multiplexer import Wire
from broker.resp.url import StoreAddress
from broker.resp.wires import Wires


class Server(NamedTuple):
    """One server, or where it is found: redis-py for what is rare, the wire for scripts. `shown` has no password."""

    redis: Redis
    wire: Wire | None
    shown: str
    is_clustered: bool = False


class Servers:
    """Partition i lives on server i mod their number; in a cluster each partition has a server of its own."""

    def __init__(self, servers: Sequence[Server], partitions: Sequence[str]) -> None:
        self.all = tuple(servers)
        self._of = {partition: self.all[number % len(self.all)] for number, partition in enumerate(partitions)}
        wires = {partition: server.wire for partition, server in self._of.items() if server.wire is not None}
        self.wire: Wire | Wires | None = self.all[0].wire if len(self.all) == 1 else Wires(wires)

    def of(self, partition: str) -> Server:
        """The server of a partition."""
        return self._of[partition]

    def partitions_of(self, server: Server) -> list[str]:
        """The partitions that live on a server."""
        return [partition for partition, its in self._of.items() if its is server]

    def families(self) -> list[Family]:
        """How calls of each server do, as metrics."""
        return [
            family
            for server in self.all
            if server.wire is not None
            for family in server.wire.families(self._name(server))
        ]

    def _name(self, server: Server) -> str:
        return f"{server.shown} {self.partitions_of(server)[0]}" if server.is_clustered else server.shown

    async def close(self) -> None:
        """Leave all."""
        for server in self.all:
            if server.wire is not None:
                await server.wire.close()
            await server.redis.aclose()


def servers_of(found: Sequence[StoreAddress], partitions: Sequence[str], timeout_s: float, connections: int) -> Servers:
    """The servers at these addresses; nothing is sent yet. Raises ValueError for one that cannot be read."""
    if found[0].kind == "cluster":
        found = [found[0]] * len(partitions)
    if len(found) > len(partitions):
        raise ValueError(f"{len(found)} servers need as many partitions at least: --partitions {len(found)}")
    rows = []
    for address, partition in zip(found, partitions, strict=False):
        where = finder(address, partition, timeout_s)
        redis = connect(address.url, timeout_s, connections, where)
        wire = Wire(address.url, timeout_s=timeout_s, resolve=where)
        rows.append(Server(redis, wire, address.shown, address.kind == "cluster"))
    return Servers(rows, partitions)
