"""What store and broker do while nobody, one client and many clients watch the overview."""

import asyncio
import re
import time
from pathlib import Path
from typing import NamedTuple

import aiohttp
from redis.asyncio import Redis

from broker.core.timestamps import milliseconds
from tests.bench.server import Server
from tests.bench.verdicts import Verdicts

STORE_CPU, ONE_CPU = 2.0, 3.0
"""The bounds of the store's CPU while clients watch, in %, and how much of a core one client may cost the store, and
the broker: this is what a dashboard takes away from the jobs."""
MORE_COMMANDS, AGE_S = 1.2, 15.0
"""How many times as many commands of the store many clients may cost as one; and the age of what they see, in s."""
_SWEEP_S = 60.0
_AS_OF = re.compile(rb'data: {"as_of":"([^"]+)"')


class Seen(NamedTuple):
    """What watchers saw: how old each answer was, in s; and whether a new sweep was seen."""

    ages_s: list[float]
    sweep: asyncio.Event

    async def next_sweep(self, watchers: int) -> None:
        """Wait until the next sweep is seen; without watchers there is none."""
        if watchers:
            self.sweep.clear()
            async with asyncio.timeout(_SWEEP_S):
                await self.sweep.wait()


class Watched(NamedTuple):
    """CPU of store and broker in %, commands of the store a second, answers, and the age of the oldest of them in s."""

    store: float
    commands: float
    broker: float
    events: int
    oldest_s: float


async def measured(started: Server, redis: Redis, watchers: int, watch_s: float, verdicts: Verdicts) -> None:
    """What store and broker do while clients watch the overview.

    CPU time depends on what else the machine does, so the commands of the store say what further clients cost.
    """
    heads = ("watchers of the overview", "store CPU %", "commands/s", "broker CPU %", "events", "oldest, s")
    print("\n{:<25} {:>12} {:>11} {:>13} {:>8} {:>10}".format(*heads))
    found: list[Watched] = []
    for n in (0, 1, watchers):
        if n == 0:
            await asyncio.sleep(61)  # a minute after the last question nothing is read any more
        one = await _watched(started, redis, n, watch_s)
        found.append(one)
        figures = f"{one.store:>12.2f} {one.commands:>11,.0f} {one.broker:>13.2f} {one.events:>8} {one.oldest_s:>10.1f}"
        print(f"{n:<25} {figures}", flush=True)
    none, one, many = found
    for name, more in (("store", one.store - none.store), ("broker", one.broker - none.broker)):
        word = verdicts.at_most(f"{name} CPU that one watcher adds", more, ONE_CPU, "% of a core")
        print(f"one watcher adds {more:.2f} % of a core to the {name} {word}")
    times = many.commands / one.commands
    words = (
        verdicts.at_most(f"store CPU of {watchers} watchers", many.store, STORE_CPU, "%"),
        verdicts.at_most(f"{watchers} watchers to one", times, MORE_COMMANDS, "times the store's commands"),
        verdicts.at_most("age of what watchers see", many.oldest_s, AGE_S, "s"),
    )
    print(f"{watchers} watchers: {many.store:.2f} % {words[0]}, age {words[2]}")
    print(f"to one: {times:.2f} times the commands {words[1]}, {many.store / one.store:.2f} times the CPU of the store")


async def _watched(started: Server, redis: Redis, n: int, watch_s: float) -> Watched:
    """What is used while n clients watch: with clients from the end of a sweep to the end of a later one."""
    seen = Seen([], asyncio.Event())
    async with aiohttp.ClientSession(started.url, connector=aiohttp.TCPConnector(limit=0)) as session:
        watching = [asyncio.create_task(_watch(session, seen)) for _ in range(n)]
        await asyncio.sleep(3)
        await seen.next_sweep(n)
        store_s, commands, broker_s = await _cpu_s(redis), await _commands(redis), _process_s(started.pid)
        began = time.monotonic()
        await asyncio.sleep(watch_s)
        await seen.next_sweep(n)
        took_s = time.monotonic() - began
        found = Watched(
            (await _cpu_s(redis) - store_s) / took_s * 100,
            (await _commands(redis) - commands) / took_s,
            (_process_s(started.pid) - broker_s) / took_s * 100,
            len(seen.ages_s),
            max(seen.ages_s, default=0),
        )
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    return found


async def _watch(session: aiohttp.ClientSession, seen: Seen) -> None:
    """Watch, and note how old the sweep of each answer is."""
    last = b""
    async with session.get("/v1/live?view=overview", timeout=aiohttp.ClientTimeout(total=None)) as answer:
        async for line in answer.content:
            if found := _AS_OF.match(line):
                seen.ages_s.append(time.time() - milliseconds(found[1].decode()) / 1000)
                if found[1] != last:
                    seen.sweep.set()
                last = found[1]


async def _commands(redis: Redis) -> int:
    """Commands of the store so far, also those inside scripts."""
    return sum(row["calls"] for row in (await redis.info("commandstats")).values())


async def _cpu_s(redis: Redis) -> float:
    """CPU time of the store, s."""
    used = await redis.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def _process_s(pid: int) -> float:
    """CPU time of a process, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
