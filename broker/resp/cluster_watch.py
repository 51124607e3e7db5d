"""Watches which node of a cluster has each partition. Nodes are asked for new connections, and while anything fails."""

import asyncio
import time
from contextlib import suppress

from redis.exceptions import ConnectionError as NotConnected

from broker.resp.cluster_view import COMMANDS, ClusterView, view_of
from broker.resp.moving_server import MovingServer
from broker.resp.seeds import Place, Seed, ask_all, faults_of
from broker.resp.url import StoreAddress

EVERY_S = 1.0
"""How often the nodes are asked while anything fails, in s."""
_SHORTEST_S = 0.1
_NAMED_S = 1.0
"""How long the address in a MOVED is used without a question, in s: other nodes may not know it yet."""
_MOST_NODES = 9
"""Nodes that are asked: each knows all slots, so a large cluster need not answer as a whole."""


class ClusterWatch:
    """Knows the node of each partition, and moves its server when the nodes name another one."""

    def __init__(self, address: StoreAddress) -> None:
        self._address = address
        self._nodes = {place: Seed(place, address) for place in address.seeds}
        self._servers: dict[int, list[MovingServer]] = {}
        self._named: dict[int, tuple[Place, float]] = {}
        self._view: ClusterView | None = None
        self._round: asyncio.Task[int] | None = None
        self._soon = asyncio.Event()

    def add(self, partition: str, slot: int) -> MovingServer:
        """The server of a partition, which has this slot."""

        async def find() -> Place:
            return await self._find(slot)

        server = MovingServer(f"the node of {partition}", find, must_be_primary=False)
        server.on_trouble = lambda _: self._soon.set()
        self._servers.setdefault(slot, []).append(server)
        return server

    def moved(self, slot: int, place: Place, node: str) -> None:
        """Use the address of a MOVED reply; calls in flight at the old node still get their replies."""
        self._named[slot] = place, time.monotonic()
        for server in self._servers[slot]:
            server.move(place, f"MOVED by {node}", leaves_at_once=False)

    async def run(self) -> None:
        """Ask while anything fails, until cancelled."""
        while True:
            await asyncio.sleep(_SHORTEST_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S - _SHORTEST_S):
                    await self._soon.wait()
            servers = [server for same in self._servers.values() for server in same]
            if self._soon.is_set() or any(server.place is not None and not server.is_up for server in servers):
                self._soon.clear()
                await self._ask()

    async def close(self) -> None:
        """Close the connections to the nodes that are asked."""
        if self._round is not None:
            await asyncio.gather(self._round, return_exceptions=True)
        for node in self._nodes.values():
            await node.close()

    async def _find(self, slot: int) -> Place:
        """The node that has the slot. Raises redis-py's ConnectionError if no node answers, or none has it."""
        place, at = self._named.get(slot, (None, 0.0))
        if place is None or time.monotonic() - at > _NAMED_S:
            self._named.pop(slot, None)
            answers = await self._ask()
            place = self._servers[slot][0].place if answers else None
        if place is None:
            raise NotConnected(f"no node knows which one has slot {slot}: {faults_of(self._nodes.values())}")
        return place

    async def _ask(self) -> int:
        """Ask the nodes once; how many answered. Callers at the same time share the answers."""
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._ask_all())
        return await asyncio.shield(self._round)

    async def _ask_all(self) -> int:
        views = []
        async for node, replies in ask_all(tuple(self._nodes.values()), COMMANDS):
            if (view := node.read(view_of, replies)) is not None:
                views.append(view)
        if views:
            best = max(views, key=lambda view: view.epoch)
            is_sure = 2 * len(views) > len(self._nodes)
            if self._view is None or best.epoch >= self._view.epoch or is_sure:
                await self._use(best)
        return len(views)

    async def _use(self, view: ClusterView) -> None:
        self._view = view
        for slot, servers in self._servers.items():
            _, named_at = self._named.get(slot, (None, 0.0))
            place = view.owner(slot)
            if place is None or time.monotonic() - named_at <= _NAMED_S:
                continue
            for server in servers:
                server.move(place, f"named by the nodes with epoch {view.epoch}")
                server.settle()
        wanted = list(dict.fromkeys([*self._address.seeds, *view.nodes()]))[
            : max(_MOST_NODES, len(self._address.seeds))
        ]
        for place in set(self._nodes) - set(wanted):
            await self._nodes.pop(place).close()
        for place in wanted:
            if place not in self._nodes:
                self._nodes[place] = Seed(place, self._address)
