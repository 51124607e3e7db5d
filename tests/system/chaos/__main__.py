"""The command: run, print a line for each promise, exit 1 when one was broken."""

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from broker.core.settings import BrokerSettings
from broker.diagnostics.consistency import check
from broker.resp.client import connect
from tests.stores import Store
from tests.system.chaos.faults import Faults
from tests.system.chaos.ledger import Ledger
from tests.system.chaos.load import Load
from tests.system.chaos.overdue import Overdue
from tests.system.chaos.scene import PREFIX, TOP, Scene

ZERO = (
    "lost",
    "unfinished",
    "duplicated",
    "double",
    "finished twice",
    "torn",
    "unexpected",
    "bad exits",
    "findings",
    "crashes",
)
"""What may never be anything else."""

SLOW_S, OVERDUE_S = 3.0, 2.0
"""A 503 is promised within 2 s, a lost job within 1 s of its lease's end; a machine that has more to do than this run
gets some more before it counts."""

Say = Callable[[str], None]


async def run(seconds: float, seed: int, rate: float, say: Say) -> dict[str, Any]:
    """One run in a folder of its own: the figures."""
    with tempfile.TemporaryDirectory(prefix="titan-chaos-") as folder:
        scene, ledger = Scene(Path(folder)), Ledger()
        with scene.up():
            await scene.store_answers()
            return await _run(scene, ledger, seconds, seed, rate, say)


async def _run(scene: Scene, ledger: Ledger, seconds: float, seed: int, rate: float, say: Say) -> dict[str, Any]:
    victims = _Victims(scene.urls, ledger)
    async with Load(scene.urls, ledger, seed, rate) as load, victims, Overdue(scene) as overdue:
        faults = Faults(scene, seed, victims.kill)
        await faults.run(seconds, say)
        await victims.end()
        await load.stop_producing()
        say("all is healed; the last jobs are finished")
        is_drained = await load.drained(60)
        kept, crashes = await load.kept(), load.crashes()
    figures = ledger.judge(kept)
    figures["drained"] = is_drained
    figures["lease overdue max s"] = round(overdue.longest_s, 2)
    figures["recovery max s"] = round(max(faults.recoveries, default=0), 2)
    figures["exit after SIGTERM max s"] = round(max(scene.exits, default=0), 2)
    figures["bad exits"] = len(scene.bad_exits)
    figures["findings"] = await _findings(scene)
    figures["crashes"] = crashes
    figures["faults"] = dict(faults.counts)
    return {"seconds": seconds, "seed": seed} | figures


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
    redis = connect(f"unix://{scene.socket}", 5, 4)
    try:
        store = Store(redis, BrokerSettings(key_prefix=PREFIX, store_timeout_s=5))
        return len(await check(store))
    finally:
        await redis.aclose()


def is_kept(figures: dict[str, Any]) -> bool:
    """Whether every promise was kept, and something was put to the test at all."""
    is_clean = not any(figures[name] for name in ZERO)
    is_fenced = figures["stale reports"] == figures["stale reports refused"]
    is_fast = figures["slowest 503 s"] <= SLOW_S and figures["lease overdue max s"] <= OVERDUE_S
    return is_clean and is_fenced and is_fast and figures["drained"] and figures["acknowledged"] > 0


def main() -> int:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser("python -m tests.system.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long faults are injected (60)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of the schedule")
    parser.add_argument("--rate", type=float, default=20, help="batches a second that each of two producers sends (20)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    told = parser.parse_args()
    figures = asyncio.run(run(told.seconds, told.seed, told.rate, lambda text: print(text, file=sys.stderr)))
    if told.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:26} {figure}")
    print("every promise was kept" if is_kept(figures) else "A PROMISE WAS BROKEN", file=sys.stderr)
    return 0 if is_kept(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
