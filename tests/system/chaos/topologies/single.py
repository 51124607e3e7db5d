"""One server, with an append-only file. It is killed, frozen, busy, full and read-only; nothing may be lost."""

import asyncio
from pathlib import Path
from typing import ClassVar, TypeVar

from redis.exceptions import RedisError

from tests.conftest import write_through
from tests.system.chaos.faults import Fault, Faults
from tests.system.chaos.node import FREEZE, KEPT, KILL, THAW, Node
from tests.system.chaos.scene import Scene, options_with

_ENDLESS = "while true do redis.call('PING') end"


class SingleScene(Scene):
    """One server on a Unix socket."""

    def __init__(self, folder: Path, program: str, partitions: int) -> None:
        super().__init__(folder, program, partitions, groups_each=1)
        options = options_with(KEPT, busy_reply_threshold="200")
        self.nodes = [Node(folder / "store", program, 0, options)]

    @property
    def store_url(self) -> str:
        return f"unix://{self.nodes[0].socket}"

    def holders(self) -> list[tuple[Node, range]]:
        return [(self.nodes[0], range(self.partitions))]


AnyScene = TypeVar("AnyScene", bound=Scene)


class StoreFaults(Faults[AnyScene]):
    """Each fault happens to one of the servers, and its files stay. `noun` is what reports call it."""

    noun: ClassVar[str] = "store"

    def own(self) -> dict[str, Fault]:
        return {
            f"{self.noun} killed": self._kill,
            f"{self.noun} frozen": self._freeze,
            f"{self.noun} busy": self._occupy,
            f"{self.noun} full": self._fill,
            f"{self.noun} read-only": self._forbid_writes,
        }

    def _any(self) -> Node:
        return self.random.choice(self.scene.nodes)

    async def _kill(self) -> None:
        node = self._any()
        with node.client() as client:
            write_through(client)
        node.signal(KILL)
        node.wait()
        await self.for_a_while()
        node.start()
        await self._answers_again(node)

    async def _freeze(self) -> None:
        node = self._any()
        node.signal(FREEZE)
        await self.for_a_while()
        node.signal(THAW)
        await self._answers_again(node)

    async def _occupy(self) -> None:
        node = self._any()

        def occupy() -> None:
            with node.client(60) as client:
                try:
                    client.eval(_ENDLESS, 0)
                except RedisError:
                    return  # it was killed, as it should be

        occupied = asyncio.create_task(asyncio.to_thread(occupy))
        await self.for_a_while()
        while not occupied.done():
            try:
                with node.client() as client:
                    client.script_kill()
            except RedisError:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
        await self._answers_again(node)

    async def _fill(self) -> None:
        with self._any().client() as client:
            client.config_set("maxmemory", 1)
            await self.for_a_while()
            client.config_set("maxmemory", 0)

    async def _forbid_writes(self) -> None:
        node = self._any()
        with node.client() as client:
            client.replicaof("127.0.0.1", 1)
            await self.for_a_while()
            client.replicaof("NO", "ONE")
        await self._answers_again(node)

    async def _answers_again(self, node: Node) -> None:
        await self.scene.answers(node)
        await self.recover()


class SingleFaults(StoreFaults[SingleScene]):
    """The faults of one server."""
