"""The faults, one after the other in an order that the seed gives; each is healed before the next one comes."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import aiohttp
from redis.exceptions import RedisError

from tests.conftest import write_through
from tests.system.chaos.scene import Scene

PAUSE_S = 2.0
"""From one fault to the next at most."""

_ENDLESS = "while true do redis.call('PING') end"


class Faults:
    """`counts` says how often each was injected; `recoveries` how long each broker took after the store was back, s."""

    def __init__(self, scene: Scene, seed: int, kill_consumer: Callable[[], Awaitable[None]]) -> None:
        self.counts: Counter[str] = Counter()
        self.recoveries: list[float] = []
        self._scene = scene
        self._random = random.Random(seed)
        self._kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "store killed": self._kill_store,
            "store frozen": self._freeze_store,
            "store busy": self._busy_store,
            "store full": self._fill_store,
            "store read-only": self._read_only_store,
            "scripts flushed": self._flush_scripts,
            "connections dropped": self._drop_connections,
            "broker killed": self._kill_broker,
            "broker stopped": self._stop_broker,
            "consumer killed": kill_consumer,
        }

    async def run(self, seconds: float, say: Callable[[str], None]) -> None:
        """Inject faults until the time is over."""
        end = time.monotonic() + seconds
        while True:
            kinds = list(self._kinds)
            self._random.shuffle(kinds)
            for kind in kinds:
                await asyncio.sleep(self._random.uniform(0.5, 1) * PAUSE_S)
                if time.monotonic() > end:
                    return
                say(f"{end - time.monotonic():4.0f} s left: {kind}")
                await self._kinds[kind]()
                self.counts[kind] += 1

    async def _kill_store(self) -> None:
        with self._scene.client() as client:
            write_through(client)
        self._scene.signal_store(signal.SIGKILL)
        await self._for_a_while()
        self._scene.start_store()
        await self._recover()

    async def _freeze_store(self) -> None:
        self._scene.signal_store(signal.SIGSTOP)
        await self._for_a_while()
        self._scene.signal_store(signal.SIGCONT)
        await self._recover()

    async def _busy_store(self) -> None:
        def occupy() -> None:
            with self._scene.client(60) as client:
                try:
                    client.eval(_ENDLESS, 0)
                except RedisError:
                    return  # it was killed, as it should be

        occupied = asyncio.create_task(asyncio.to_thread(occupy))
        await self._for_a_while()
        while not occupied.done():
            try:
                with self._scene.client() as client:
                    client.script_kill()
            except RedisError:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
        await self._recover()

    async def _fill_store(self) -> None:
        with self._scene.client() as client:
            client.config_set("maxmemory", 1)
            await self._for_a_while()
            client.config_set("maxmemory", 0)

    async def _read_only_store(self) -> None:
        with self._scene.client() as client:
            client.replicaof("127.0.0.1", 1)
            await self._for_a_while()
            client.replicaof("NO", "ONE")
        await self._recover()

    async def _flush_scripts(self) -> None:
        with self._scene.client() as client:
            client.script_flush()

    async def _drop_connections(self) -> None:
        for _ in range(self._random.randint(1, 5)):
            with self._scene.client() as client:
                client.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.1)

    async def _kill_broker(self) -> None:
        number = self._random.randrange(2)
        self._scene.kill_broker(number)
        self._scene.start_broker(number)
        await self._is_ready(self._scene.urls[number])

    async def _stop_broker(self) -> None:
        number = self._random.randrange(2)
        await self._scene.stop_broker(number)
        self._scene.start_broker(number)
        await self._is_ready(self._scene.urls[number])

    async def _for_a_while(self) -> None:
        await asyncio.sleep(self._random.uniform(0.3, 2.5))

    async def _recover(self) -> None:
        await self._scene.store_answers()
        began = time.monotonic()
        await asyncio.gather(*(self._is_ready(url) for url in self._scene.urls))
        self.recoveries.append(time.monotonic() - began)

    async def _is_ready(self, url: str) -> None:
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"{url}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.02)
