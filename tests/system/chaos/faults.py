"""The faults, one after the other in an order that the seed gives; each is healed before the next one comes.

These are the faults of every topology: of brokers, consumers, scripts and connections. Those of its servers are in
`topologies`.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from itertools import zip_longest
from typing import ClassVar, Generic, TypeVar

import aiohttp

from tests.system.chaos.scene import LIMIT_S, Scene, SceneStuck
from tests.system.chaos.windows import Loss, Windows

PAUSE_S = 2.0
"""From one fault to the next at most."""
LONGEST_S = 2.5
"""How long a fault stays at most, where it lasts for a while."""

SceneT = TypeVar("SceneT", bound=Scene)
Fault = Callable[[], Awaitable[None]]


class Faults(Generic[SceneT]):
    """`counts` says how often each was injected; `recoveries` how long brokers took after the store was back, in s.

    `losses` is what each fault of the topology may lose by promise. `windows` is when these were.
    """

    losses: ClassVar[Mapping[str, Loss]] = {}

    def __init__(self, scene: SceneT, seed: int, kill_consumer: Fault) -> None:
        self.counts: Counter[str] = Counter()
        self.recoveries: list[float] = []
        self.windows = Windows(self.losses)
        self.scene = scene
        self.random = random.Random(seed)
        self._kill_consumer = kill_consumer
        self._kind = ""

    def own(self) -> dict[str, Fault]:
        """The faults of the topology's servers."""
        return {}

    def common(self) -> dict[str, Fault]:
        """The faults that every topology has."""
        return {
            "scripts flushed": self._flush_scripts,
            "connections dropped": self._drop_connections,
            "broker killed": self._kill_broker,
            "broker stopped": self._stop_broker,
            "brokers rolled": self._roll_brokers,
            "consumer killed": self._kill_consumer,
        }

    async def run(self, seconds: float, say: Callable[[str], None]) -> None:
        """Inject faults until the time is over: one of the servers and one of the others in turn."""
        end = time.monotonic() + seconds
        kinds = self.own() | self.common()
        while True:
            for kind in self._in_turn():
                await asyncio.sleep(self.random.uniform(0.5, 1) * PAUSE_S)
                if time.monotonic() > end:
                    return
                say(f"{end - time.monotonic():4.0f} s left: {kind}")
                self._kind = kind
                await kinds[kind]()
                self.counts[kind] += 1

    def hit(self, partitions: range | list[int]) -> None:
        """The fault that is injected has just happened to these partitions, and may lose what its promise allows."""
        self.windows.add(self._kind, partitions)

    async def for_a_while(self) -> None:
        """Leave a fault as it is."""
        await asyncio.sleep(self.random.uniform(0.3, LONGEST_S))

    async def recover(self) -> None:
        """The store is as it should be: wait until the brokers are ready, and note how long that took."""
        began = time.monotonic()
        await asyncio.gather(*(self._is_ready(number) for number in range(2)))
        self.recoveries.append(time.monotonic() - began)

    def _in_turn(self) -> list[str]:
        own, common = list(self.own()), list(self.common())
        self.random.shuffle(own)
        self.random.shuffle(common)
        return [kind for pair in zip_longest(own, common) for kind in pair if kind is not None]

    async def _flush_scripts(self) -> None:
        for node in self.scene.nodes:
            with node.client() as client:
                client.script_flush()

    async def _drop_connections(self) -> None:
        for _ in range(self.random.randint(1, 5)):
            for node in self.scene.nodes:
                with node.client() as client:
                    client.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.1)

    async def _kill_broker(self) -> None:
        number = self.random.randrange(2)
        self.scene.kill_broker(number)
        self.scene.start_broker(number)
        await self._is_ready(number)

    async def _stop_broker(self) -> None:
        await self._restart(self.random.randrange(2))

    async def _roll_brokers(self) -> None:
        for number in range(2):
            await self._restart(number)

    async def _restart(self, number: int) -> None:
        await self.scene.stop_broker(number)
        self.scene.start_broker(number)
        await self._is_ready(number)

    async def _is_ready(self, number: int) -> None:
        url, said = self.scene.urls[number], "nothing"
        end = time.monotonic() + LIMIT_S
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            while time.monotonic() < end and self.scene.runs(number):
                try:
                    async with session.get(f"{url}/readyz") as answer:
                        said = await answer.text()
                        if answer.status == 200 and json.loads(said)["status"] == "ok":
                            return
                except (aiohttp.ClientError, TimeoutError) as fault:
                    said = repr(fault)
                await asyncio.sleep(0.02)
        state = "runs" if self.scene.runs(number) else "has ended"
        log = self.scene.log_of(number)
        raise SceneStuck(f"the broker at {url} is not ready and {state}. It answered {said}. Its log ends with:\n{log}")
