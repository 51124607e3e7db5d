"""A cluster of three primaries with a replica each. A failover may lose what its window allows; a move loses nothing.

min-replicas-to-write is not set: after a failover a primary has no replica until the old one is back, and would refuse
all writes until then. A primary that cannot reach the others stops after cluster-node-timeout.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from broker.resp.keys import partition, slot
from tests.system.chaos.faults import Fault, Faults
from tests.system.chaos.node import FREEZE, KEPT, KILL, THAW, Node, free_ports
from tests.system.chaos.scene import PREFIX, Scene, options_with, until
from tests.system.chaos.windows import REPLICATION_LAG_S, Loss

PRIMARIES = 3
_BOUNDS = (0, 5461, 10_923, 16_384)
_SHORT_S = 0.5
"""A freeze that the other nodes do not notice: a third of the node timeout."""


class ClusterScene(Scene):
    """Six nodes; the first three begin as primaries."""

    def __init__(self, folder: Path, program: str, partitions: int) -> None:
        super().__init__(folder, program, partitions)
        ports = free_ports(4 * PRIMARIES)
        for number in range(2 * PRIMARIES):
            options = options_with(
                KEPT,
                cluster_enabled="yes",
                cluster_port=str(ports[2 * PRIMARIES + number]),
                cluster_node_timeout="1500",
                cluster_require_full_coverage="no",
                repl_diskless_sync_delay="0",
                repl_backlog_size="32mb",
            )
            self.nodes.append(Node(folder / f"node-{number}", program, ports[number], options))
        self._bus = dict(zip(self.nodes, ports[2 * PRIMARIES :], strict=True))
        self.slots = [slot(partition(PREFIX, number)) for number in range(self.partitions)]

    @property
    def store_url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def holders(self) -> list[tuple[Node, range]]:
        return [(node, range(self.partitions)) for node in self.nodes]

    async def form(self) -> None:
        """Give each primary a third of the slots, and a replica."""
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
        for number, node in enumerate(self.nodes[:PRIMARIES]):
            node.ask("CLUSTER", "ADDSLOTSRANGE", str(_BOUNDS[number]), str(_BOUNDS[number + 1] - 1))
        for node in self.nodes[1:]:
            self.nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", str(node.port), str(self._bus[node]))
        known = "cluster_known_nodes:6"
        await until("nodes know each other", lambda: all(known in node.ask("CLUSTER", "INFO") for node in self.nodes))
        for primary, replica in zip(self.nodes[:PRIMARIES], self.nodes[PRIMARIES:], strict=True):
            own_id = primary.ask("CLUSTER", "MYID")
            await until("a node is a replica", lambda r=replica, i=own_id: r.ask("CLUSTER", "REPLICATE", i))
        await self.healed()

    def owner(self, number: int) -> Node:
        """The node that has the slot of a partition, as another node knows it. Raises LookupError if none has it."""
        for first, last, (_, port, *_), *_ in self.nodes[0].ask("CLUSTER", "SLOTS"):
            if int(first) <= self.slots[number] <= int(last):
                return next(node for node in self.nodes if node.port == int(port))
        raise LookupError(f"no node has partition {number}")

    def held_by(self, node: Node) -> list[int]:
        """The partitions that a node has."""
        return [number for number in range(self.partitions) if self.owner(number) is node]

    async def replica_of(self, primary: Node) -> Node:
        """The replica of a primary that is in sync."""
        found = await until("a replica is in sync", lambda: [one for one in self.nodes if self._follows(one, primary)])
        return found[0]

    async def taken_over(self, old: Node, new: Node) -> None:
        """Wait until the replica is the primary, and every node but the old one knows it."""
        await until("a replica is the primary", lambda: new.replication()["role"] == "master")
        others = [node for node in self.nodes if node is not old]
        await until("all nodes know the primary", lambda: all(_agrees(node, new) for node in others))

    async def healed(self) -> None:
        """Wait until all nodes agree that the cluster is well, and three of them follow a primary."""

        def is_well() -> bool:
            roles = [node.replication() for node in self.nodes]
            linked = [role for role in roles if role["role"] == "slave" and role["master_link_status"] == "up"]
            served = [role for role in roles if role["role"] == "master" and role["connected_slaves"] == "1"]
            are_ok = all("cluster_state:ok" in node.ask("CLUSTER", "INFO") for node in self.nodes)
            is_known = len({_view(node) for node in self.nodes}) == 1
            return len(linked) == len(served) == PRIMARIES and are_ok and is_known

        await until("the cluster is well", is_well)

    def _follows(self, node: Node, primary: Node) -> bool:
        found = node.replication()
        is_up = found["role"] == "slave" and found["master_link_status"] == "up"
        return is_up and int(found["master_port"]) == primary.port


def _view(node: Node) -> str:
    """Which node has which slots, as one node knows it."""
    return repr(sorted((first, last, primary[1]) for first, last, primary, *_ in node.ask("CLUSTER", "SLOTS")))


def _agrees(node: Node, primary: Node) -> bool:
    """Whether a node knows that another one has slots."""
    return any(int(found[1]) == primary.port for _, _, found, *_ in node.ask("CLUSTER", "SLOTS"))


class ClusterFaults(Faults[ClusterScene]):
    """A primary that dies loses what its replica did not have yet. A move and a manual failover lose nothing."""

    losses: ClassVar[Mapping[str, Loss]] = {
        "primary killed": Loss(REPLICATION_LAG_S),
        "primary frozen": Loss(REPLICATION_LAG_S),
    }

    def own(self) -> dict[str, Fault]:
        return {
            "primary killed": self._kill,
            "primary frozen": self._freeze,
            "primary frozen shortly": self._freeze_shortly,
            "partition moved": self._move,
            "manual failover": self._fail_over,
        }

    def _any(self) -> tuple[Node, list[int]]:
        node = self.scene.owner(self.random.randrange(self.scene.partitions))
        return node, self.scene.held_by(node)

    async def _kill(self) -> None:
        old, held = self._any()
        new = await self.scene.replica_of(old)
        old.signal(KILL)
        self.hit(held)
        old.wait()
        await self.scene.taken_over(old, new)
        await self.for_a_while()
        old.start()
        await self._healed()

    async def _freeze(self) -> None:
        old, held = self._any()
        new = await self.scene.replica_of(old)
        old.signal(FREEZE)
        self.hit(held)
        await self.scene.taken_over(old, new)
        await self.for_a_while()
        old.signal(THAW)
        await self._healed()

    async def _freeze_shortly(self) -> None:
        node, _ = self._any()
        node.signal(FREEZE)
        await asyncio.sleep(self.random.uniform(0.1, _SHORT_S))
        node.signal(THAW)
        await self._healed()

    async def _move(self) -> None:
        """Move the slot of a partition, key by key, as `redis-cli --cluster reshard` does."""
        number = self.random.randrange(self.scene.partitions)
        old = self.scene.owner(number)
        primaries = [node for node in self.scene.nodes if node.replication()["role"] == "master"]
        new = self.random.choice([node for node in primaries if node is not old])
        moved = str(self.scene.slots[number])
        old_id, new_id = (str(node.ask("CLUSTER", "MYID")) for node in (old, new))
        new.ask("CLUSTER", "SETSLOT", moved, "IMPORTING", old_id)
        old.ask("CLUSTER", "SETSLOT", moved, "MIGRATING", new_id)
        while names := old.ask("CLUSTER", "GETKEYSINSLOT", moved, "100"):
            old.ask("MIGRATE", "127.0.0.1", str(new.port), "", "0", "5000", "KEYS", *names)
            await asyncio.sleep(0)
        for node in (new, old, *primaries):
            node.ask("CLUSTER", "SETSLOT", moved, "NODE", new_id)
        await self._healed()

    async def _fail_over(self) -> None:
        old, _ = self._any()
        new = await self.scene.replica_of(old)
        new.ask("CLUSTER", "FAILOVER")
        await self.scene.taken_over(old, new)
        await self._healed()

    async def _healed(self) -> None:
        await self.scene.healed()
        await self.recover()
