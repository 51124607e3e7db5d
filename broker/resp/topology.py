"""Which server has which partition. Every call of the store goes through it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from broker.core.errors import StoreUnavailable
from broker.metrics.exposition import Family
from broker.resp import keys
from broker.resp.client import connect
from broker.resp.discovery import Discovery
from broker.resp.moving_server import MovingServer
from broker.resp.multiplexer import Multiplexer
from broker.resp.resp_connection import Word
from broker.resp.url import StoreAddress

ClientOf = Callable[[str], AbstractAsyncContextManager[Redis]]
"""Opens a client of the node of a cluster that has a key."""


class Server(NamedTuple):
    """One server: redis-py for rare calls, the multiplexer for the rest. `shown` is the address without password.

    `moving` knows where it is, if it may move.
    """

    redis: Redis
    multiplexer: Multiplexer
    shown: str
    is_clustered: bool = False
    moving: MovingServer | None = None


class Topology:
    """The servers of a store. Partition i is on server i mod their number; a cluster has one `Server` a partition.

    `partitions` are the names of the partitions, KEYS[1] of every script. `client_of` opens a client of the node that
    has a key, in a cluster; else it is None.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        partitions: Sequence[str],
        client_of: ClientOf | None = None,
        discovery: Discovery | None = None,
    ) -> None:
        self.all = tuple(servers)
        self.partitions = tuple(partitions)
        self.client_of = client_of
        self._discovery = discovery
        self._of = {name: self.all[number % len(self.all)] for number, name in enumerate(self.partitions)}
        self._multiplexers: dict[str, Multiplexer | _Refused] = {
            name: server.multiplexer for name, server in self._of.items()
        }

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

    def call_each(self, partitions: Iterable[str], *words: Word) -> asyncio.Future[list[Any]]:
        """Send a command once to each server of these partitions; a future of the replies."""
        servers = dict.fromkeys(self._multiplexers[partition] for partition in partitions)
        return asyncio.gather(*(server.call(*words) for server in servers))

    def refuse(self, why: str) -> None:
        """Send nothing to any partition from now on: each `call` fails with this sentence as StoreUnavailable."""
        self._multiplexers = dict.fromkeys(self._multiplexers, _Refused(why))

    def hold(self, server: Server, why: str) -> None:
        """Send nothing to this server until it is admitted: each `call` fails with this sentence."""
        self._multiplexers.update(dict.fromkeys(self.partitions_of(server), _Refused(why)))

    def is_held(self, server: Server) -> bool:
        """Whether nothing is sent to this server until it is admitted."""
        return self._multiplexers[self.partitions_of(server)[0]] is not server.multiplexer

    def admit(self, server: Server) -> None:
        """Send calls to this server again."""
        self._multiplexers.update(dict.fromkeys(self.partitions_of(server), server.multiplexer))

    def families(self) -> list[Family]:
        """Metrics of the calls of each server."""
        families: list[Family] = []
        for server in self.all:
            families += server.multiplexer.families(self.name_of(server))
            families += server.moving.families(self.name_of(server)) if server.moving is not None else []
        return families

    def name_of(self, server: Server) -> str:
        """What a server is called in metrics and messages: its address, in a cluster with its partition."""
        return f"{server.shown} {self.partitions_of(server)[0]}" if server.is_clustered else server.shown

    async def watch(self) -> None:
        """Leave servers that move, as in a failover, until cancelled."""
        if self._discovery is not None:
            await asyncio.gather(*(watch.run() for watch in self._discovery.watches))

    async def close(self) -> None:
        """Close the connections to all servers."""
        if self._discovery is not None:
            await self._discovery.close()
        for server in self.all:
            await server.multiplexer.close()
            await server.redis.aclose()


class _Refused:
    """Replaces the multiplexer of a store that must not be touched any more."""

    def __init__(self, why: str) -> None:
        self._why = why

    def call(self, *_: Word) -> asyncio.Future[Any]:
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        reply.set_exception(ResponseError(f"{StoreUnavailable.word} {self._why}"))
        return reply


def topology_of(
    addresses: Sequence[StoreAddress], prefix: str, partitions: int, timeout_s: float, connections: int
) -> Topology:
    """The servers at these addresses, with a number of partitions. Sends nothing yet.

    Raises ValueError for an address that cannot be parsed, and for more servers than partitions.
    """
    names = [keys.partition(prefix, number) for number in range(partitions)]
    client_of, discovery = None, Discovery(timeout_s)
    if addresses[0].kind == "cluster":
        client_of = partial(_client_of, addresses[0], timeout_s)
        addresses = [addresses[0]] * partitions
    if len(addresses) > partitions:
        raise ValueError(f"{len(addresses)} servers need as many partitions at least: --partitions {len(addresses)}")
    servers = []
    is_one_of_several = len(addresses) > 1
    for address, name in zip(addresses, names, strict=False):
        moving = discovery.server_of(address, name)
        redis = connect(address.url, timeout_s, connections, moving)
        multiplexer = Multiplexer(
            address.url,
            timeout_s=timeout_s,
            resolve=moving,
            fails_fast=is_one_of_several,
            name=f"{address.shown} {name}" if address.kind == "cluster" else address.shown,
            must_be_primary=moving is not None and moving.must_be_primary,
        )
        if moving is not None:
            discovery.attach(moving, multiplexer, address, name)
        servers.append(Server(redis, multiplexer, address.shown, address.kind == "cluster", moving))
    return Topology(servers, names, client_of, discovery)


@asynccontextmanager
async def _client_of(cluster: StoreAddress, timeout_s: float, key: str) -> AsyncIterator[Redis]:
    """A client of the node that has the key, inside the block."""
    discovery = Discovery(timeout_s)
    try:
        async with connect(cluster.url, timeout_s, 1, discovery.server_of(cluster, key)) as client:
            yield client
    finally:
        await discovery.close()
