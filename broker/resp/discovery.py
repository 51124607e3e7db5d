"""Finds servers that move, and watches them: the primary of a Sentinel service, the nodes of a cluster."""

from contextlib import AsyncExitStack
from typing import Protocol

from broker.resp.cluster_watch import ClusterWatch
from broker.resp.keys import slot
from broker.resp.moving_server import MovingServer
from broker.resp.multiplexer import Multiplexer
from broker.resp.primary_watch import PrimaryWatch
from broker.resp.redirects import Links, Redirects
from broker.resp.url import StoreAddress


class Watch(Protocol):
    """Moves servers. Without `run` the address is still asked for when a new connection opens."""

    async def run(self) -> None:
        """Watch until cancelled."""

    async def close(self) -> None:
        """Close its connections."""


class Discovery:
    """All servers of a store that move. `watches` are to be run."""

    def __init__(self, timeout_s: float) -> None:
        self.watches: list[Watch] = []
        self._timeout_s = timeout_s
        self._cluster: ClusterWatch | None = None
        self._links: Links | None = None
        self._closing = AsyncExitStack()

    def server_of(self, address: StoreAddress, partition: str) -> MovingServer | None:
        """The server of a partition; None for one that never moves. Sends nothing yet."""
        if address.kind == "sentinel":
            watch = PrimaryWatch(address)
            self._add(watch)
            return watch.server
        if address.kind == "cluster":
            if self._cluster is None:
                self._cluster = ClusterWatch(address)
                self._add(self._cluster)
            return self._cluster.add(partition, slot(partition))
        return None

    def attach(self, server: MovingServer, multiplexer: Multiplexer, address: StoreAddress, partition: str) -> None:
        """Let a multiplexer leave the server when it moves; in a cluster, follow MOVED and ASK inside a call."""
        server.multiplexer, multiplexer.on_error = multiplexer, server.refused
        self._closing.push_async_callback(server.close)
        if self._cluster is not None:
            if self._links is None:
                self._links = Links(address.url, self._timeout_s)
                self._closing.push_async_callback(self._links.close)
            redirects = Redirects(self._cluster, server, multiplexer, slot(partition), self._links)
            multiplexer.on_error = redirects.refused
            self._closing.push_async_callback(redirects.close)

    async def close(self) -> None:
        """Close the connections to sentinels, and to old and new nodes of slots that move."""
        await self._closing.aclose()

    def _add(self, watch: Watch) -> None:
        self.watches.append(watch)
        self._closing.push_async_callback(watch.close)


async def find(address: StoreAddress, partition: str, timeout_s: float) -> tuple[str, int] | None:
    """Host and port of the server of a partition; None for one that never moves. Raises redis-py's ConnectionError."""
    discovery = Discovery(timeout_s)
    try:
        server = discovery.server_of(address, partition)
        return await server() if server is not None else None
    finally:
        await discovery.close()
