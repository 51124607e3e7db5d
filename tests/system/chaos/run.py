"""One run: the programs start, load and faults run, and the books are judged."""

import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from broker.core.settings import BrokerSettings
from broker.diagnostics.consistency import check
from broker.resp.keys import partition_of
from broker.store.connect import opened
from tests.system.chaos.ledger import Ledger
from tests.system.chaos.load import Load
from tests.system.chaos.node import TOP
from tests.system.chaos.overdue import Overdue
from tests.system.chaos.scene import PREFIX, Scene
from tests.system.chaos.topologies import TOPOLOGIES

DRAIN_S = 60.0


class Plan(NamedTuple):
    """What a run is: `program` is the server's, `server` its kind, `rate` in batches a second of each producer."""

    topology: str
    server: str
    program: str
    seconds: float
    seed: int
    rate: float = 20.0


async def run(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """One run in a folder of its own: the figures."""
    with tempfile.TemporaryDirectory(prefix="titan-chaos-") as folder:
        topology = TOPOLOGIES[plan.topology]
        partitions = random.Random(plan.seed).randint(*topology.partitions)
        scene = topology.scene(Path(folder), plan.program, partitions)
        async with scene.up():
            return await _run(scene, plan, say)


async def _run(scene: Scene, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    ledger = Ledger(lambda group: partition_of(group, scene.partitions))
    victims = _Victims(scene.urls, ledger)
    is_durable = plan.server == "valkey"  # Debian's Redis has no WAITAOF
    load = Load(scene.urls, scene.groups, ledger, plan.seed, plan.rate, is_durable=is_durable)
    async with load, victims, Overdue(scene) as overdue:
        faults = TOPOLOGIES[plan.topology].faults(scene, plan.seed, victims.kill)
        await faults.run(plan.seconds, say)
        await victims.end()
        await load.stop_producing()
        say("all is healed; the last jobs are finished")
        is_drained = await load.drained(DRAIN_S)
        bulk = await load.bulk.judged(DRAIN_S, may_lose=bool(faults.windows.all))
        may_lose = bool(faults.windows.all)
        flows = await load.flows.judged(DRAIN_S, ledger.deliveries, may_lose=may_lose)
        batches = await load.batches.judged(DRAIN_S, may_lose=may_lose)
        dead_letters = await load.dead_letters.judged(DRAIN_S, may_lose=may_lose)
        schedules = await load.schedules.judged(DRAIN_S)
        lanes = await load.lanes.judged(DRAIN_S, ledger.deliveries, ledger.failures, may_lose=may_lose)
        kept, crashes = await load.kept(), load.crashes()
    figures = {"topology": plan.topology, "server": plan.server, "partitions": scene.partitions}
    figures |= {"seconds": plan.seconds, "seed": plan.seed} | ledger.judge(kept, faults.windows)
    figures["longest 503s s"] = round(load.outages.longest_s(), 2)
    figures["drained"] = is_drained
    figures["lease overdue max s"] = round(overdue.longest_s, 2)
    figures["recovery max s"] = round(max(faults.recoveries, default=0), 2)
    figures["exit after SIGTERM max s"] = round(max(scene.exits, default=0), 2)
    figures["bad exits"] = len(scene.bad_exits)
    figures["findings"] = await _findings(scene)
    figures["crashes"] = crashes
    figures |= bulk | flows | batches | dead_letters | schedules | lanes | scene.figures()
    figures["faults"] = dict(faults.counts)
    return figures


class _Victims:
    """The consumer that is killed; what it took while it lived is in the ledger."""

    def __init__(self, urls: list[str], ledger: Ledger) -> None:
        self._urls = urls
        self._ledger = ledger
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        await self._start()

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    async def kill(self) -> None:
        """Kill -9, and another one takes its place."""
        await self.end()
        await self._start()

    async def end(self) -> None:
        """Kill it, if there is one, and read what it said to its end."""
        if self._reading is not None:
            self._program.kill()
            await self._program.wait()
            await self._reading
            self._reading = None

    async def _start(self) -> None:
        self._program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.system.chaos.load", *self._urls),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=TOP,
            limit=2**20,
        )
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._program.stdout is not None
        async for line in self._program.stdout:
            if line.endswith(b"}\n"):
                for job in json.loads(line).get("jobs", ()):
                    self._ledger.took(job)


async def _findings(scene: Scene) -> int:
    url, partitions = scene.store_url, scene.partitions
    settings = BrokerSettings(redis_url=url, key_prefix=PREFIX, partitions=partitions, store_timeout_s=5)
    async with opened(settings) as found:
        return len(await check(found.store))
