"""A primary and two replicas with three sentinels. Each failover may lose what its window allows, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import ClassVar

from tests.system.chaos.faults import Fault, Faults
from tests.system.chaos.node import FREEZE, KEPT, KILL, THAW, Node, free_ports
from tests.system.chaos.scene import Scene, options_with, until
from tests.system.chaos.windows import REPLICATION_LAG_S, Loss
from tests.system.cut_proxy import CutProxy

DETECTED_S = 2.0
"""Brokers leave a deposed primary at most this long after the sentinels named another one, in s."""
MAX_LAG_S = 2
"""min-replicas-max-lag: after it a primary without replicas accepts no more writes."""
INSIDE = "127.0.0.9"
"""The address from which sentinels and replicas connect; brokers connect from 127.0.0.1."""
_SHORT_S = 0.5
"""A freeze that the sentinels do not notice: a third of down-after-milliseconds."""
_SENTINEL = (
    "main 127.0.0.1 {port} 2\nsentinel down-after-milliseconds main 1500\n"
    "sentinel failover-timeout main 3000\nsentinel announce-ip 127.0.0.1"
)


class SentinelScene(Scene):
    """Each server is known by the port of a proxy before it, where it can be cut off from the others.

    `primary` is the server that the sentinels named last; None during a failover.
    """

    def __init__(self, folder: Path, program: str, partitions: int) -> None:
        super().__init__(folder, program, partitions)
        self.primary: Node | None = None
        self.proxies: list[CutProxy] = []
        self.sentinels: list[Node] = []
        self._named: list[int] = []

    @property
    def store_url(self) -> str:
        seeds = ",".join(f"127.0.0.1:{node.port}" for node in self.sentinels)
        return f"redis+sentinel://{seeds}/main/0"

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        ports = free_ports(6)
        with ExitStack() as proxies:
            self.proxies = [proxies.enter_context(CutProxy(port).up()) for port in ports[:3]]
            self._named = [proxy.port for proxy in self.proxies]
            self.nodes = [self._server(number, port) for number, port in enumerate(ports[:3])]
            watched = {"sentinel monitor": _SENTINEL.format(port=self._named[0]), "bind-source-addr": INSIDE}
            self.sentinels = [
                Node(self.folder / f"sentinel-{i}", self.program, port, watched, ["--sentinel"])
                for i, port in enumerate(ports[3:])
            ]
            async with super().up():
                yield

    def _server(self, number: int, port: int) -> Node:
        options = options_with(
            KEPT,
            replica_announce_ip="127.0.0.1",
            replica_announce_port=str(self._named[number]),
            bind_source_addr=INSIDE,
            repl_diskless_sync_delay="0",
            repl_backlog_size="32mb",
            min_replicas_to_write="1",
            min_replicas_max_lag=str(MAX_LAG_S),
        )
        replica = {"replicaof": f"127.0.0.1 {self._named[0]}"} if number else {}
        return Node(self.folder / f"server-{number}", self.program, port, options | replica)

    async def form(self) -> None:
        """The replicas are in sync, and each sentinel knows them and the other sentinels."""
        await until("replicas are in sync", lambda: self._has_replicas(self.nodes[0]))
        for node in self.sentinels:
            node.start()
        known = "slaves=2,sentinels=3"
        for node in self.sentinels:
            await until("sentinels know each other", lambda node=node: known in node.ask("INFO", "sentinel"))
        self.primary = self.nodes[0]

    def end_servers(self) -> None:
        for node in self.sentinels:
            node.end()
        super().end_servers()

    def holders(self) -> list[tuple[Node, range]]:
        return [(self.primary, range(self.partitions))] if self.primary else []

    def proxy_of(self, node: Node) -> CutProxy:
        """The proxy before a server."""
        return self.proxies[self.nodes.index(node)]

    def named(self) -> Node:
        """The primary, as most sentinels name it. Raises RedisError."""
        names = [int(node.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")[1]) for node in self.sentinels]
        return self.nodes[self._named.index(max(names, key=names.count))]

    def figures(self) -> dict[str, int]:
        """How often the sentinels replaced the primary; each time without a fault was needless."""
        reply = self.sentinels[0].ask("SENTINEL", "MASTER", "main")
        found = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
        return {"failovers": int(found["config-epoch"])}

    async def switched(self, old: Node) -> None:
        """Wait until the sentinels name another primary than the old one."""
        self.primary = None
        await until("the sentinels name another primary", lambda: self.named() is not old)
        self.primary = self.named()

    async def healed(self) -> None:
        """Wait until both others are replicas of the primary, and in sync."""
        await until("two replicas are in sync", lambda: self._has_replicas(self.named()))
        self.primary = self.named()

    def _has_replicas(self, primary: Node) -> bool:
        port = str(self._named[self.nodes.index(primary)])
        found = [node.replication() for node in self.nodes if node is not primary]
        are_linked = all(one.get("master_link_status") == "up" and one["master_port"] == port for one in found)
        return are_linked and primary.replication().get("min_slaves_good_slaves") == "2"


class SentinelFaults(Faults[SentinelScene]):
    """A primary that dies loses what its replicas did not have yet; one that is cut off, what it still took."""

    losses: ClassVar[Mapping[str, Loss]] = {
        "primary killed": Loss(REPLICATION_LAG_S),
        "primary frozen": Loss(REPLICATION_LAG_S),
        "primary cut off": Loss(REPLICATION_LAG_S, DETECTED_S + MAX_LAG_S),
    }

    def own(self) -> dict[str, Fault]:
        return {
            "primary killed": self._kill,
            "primary frozen": self._freeze,
            "primary frozen shortly": self._freeze_shortly,
            "primary cut off": self._cut_off,
        }

    async def _kill(self) -> None:
        old = self.scene.named()
        old.signal(KILL)
        self._hit_all()
        old.wait()
        await self.scene.switched(old)
        await self.for_a_while()
        old.start()
        await self._healed()

    async def _freeze(self) -> None:
        old = self.scene.named()
        old.signal(FREEZE)
        self._hit_all()
        await self.scene.switched(old)
        await asyncio.sleep(DETECTED_S)  # from now on nobody may write to it
        await self.for_a_while()
        old.signal(THAW)
        await self._healed()

    async def _freeze_shortly(self) -> None:
        node = self.scene.named()
        node.signal(FREEZE)
        await asyncio.sleep(self.random.uniform(0.1, _SHORT_S))
        node.signal(THAW)
        await self._healed()

    async def _cut_off(self) -> None:
        old = self.scene.named()
        proxy = self.scene.proxy_of(old)
        proxy.cut(INSIDE)
        self._hit_all()
        try:
            await self.scene.switched(old)
            await asyncio.sleep(DETECTED_S)
            await self.for_a_while()
        finally:
            proxy.heal()
        await self._healed()

    def _hit_all(self) -> None:
        self.hit(range(self.scene.partitions))

    async def _healed(self) -> None:
        await self.scene.healed()
        await self.recover()
