"""`python -m tests.bench.during_bulk`: how long `next` and `finish` take during a bulk, and without one.

It starts a broker and a store. A few connections take and finish a job each, a fixed number of times a second. In turns
they do so alone and during a bulk that retries failed jobs. It prints the percentiles of both, and the bulk's rate.
"""

import argparse
import asyncio
import sys
import time
from typing import NamedTuple

import uvloop
from redis.asyncio import Redis

from broker.models.bulk import ENDED, NewBulk
from broker.models.jobs import NewJob
from broker.models.reports import Finish
from tests.bench.server import Server, server
from tests.system.bulk_scene import AT_ONCE, fail_jobs
from worker.client import Client

GROUP = "hot"
SETTLE_S = 2.0
"""How long a bulk runs before calls are timed meanwhile."""
SLOW_US = 5000


class Options(NamedTuple):
    """Jobs a second that the connections take, and how often and how long it is measured, with a bulk of which rate."""

    jobs: int
    connections: int
    rate: int
    pairs: int
    seconds: float


class Part(NamedTuple):
    """What one turn measured: how long the calls took, s, and how many jobs a second the bulk did."""

    calls_s: dict[str, list[float]]
    bulk_rate: float = 0.0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser("python -m tests.bench.during_bulk", description=__doc__)
    parser.add_argument("--jobs", type=int, default=400, help="jobs a second that are taken and finished (400)")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=int, default=2000, help="the bulk's jobs a second (2000)")
    parser.add_argument("--pairs", type=int, default=4, help="turns with and without a bulk (4)")
    parser.add_argument("--seconds", type=float, default=5, help="of a turn (5)")
    given = parser.parse_args()
    options = Options(given.jobs, given.connections, given.rate, given.pairs, given.seconds)
    with server() as started:
        uvloop.run(_measure(started, options))
    return 0


async def _measure(started: Server, options: Options) -> None:
    async with Client([started.url]) as client, Redis.from_url(started.redis_url) as redis:
        await _prepare(client, options)
        await redis.config_set("slowlog-log-slower-than", SLOW_US)
        await redis.config_set("slowlog-max-len", 10_000)
        alone, during = [], []
        slow = {"without": 0, "during": 0}
        for number in range(options.pairs):
            await redis.slowlog_reset()
            alone.append(await _turn(client, options))
            slow["without"] += await redis.slowlog_len()
            await redis.slowlog_reset()
            during.append(await _during(client, options, f"mail-{number}"))
            slow["during"] += await redis.slowlog_len()
    for name, parts in (("without a bulk", alone), ("during a bulk", during)):
        for call in ("next", "finish"):
            calls_s = sorted(value for part in parts for value in part.calls_s[call])
            print(f"{name:16} {call:8} p50 {_at(calls_s, 0.5)}  p95 {_at(calls_s, 0.95)}  p99 {_at(calls_s, 0.99)} ms")
    print(
        "the bulks' rates  " + ", ".join(f"{part.bulk_rate:,.0f}" for part in during) + f" a second of {options.rate:,}"
    )
    print(f"calls in SLOWLOG over {SLOW_US // 1000} ms: {slow['without']} without a bulk, {slow['during']} during one")


async def _prepare(client: Client, options: Options) -> None:
    """The jobs that are taken, and for each bulk a group with jobs that failed."""
    turn = int(options.jobs * options.seconds * 2 * options.pairs * 1.2)
    for _ in range(turn // AT_ONCE + 1):
        await client.enqueue(GROUP, [NewJob(image="x", payload="p" * 100)] * AT_ONCE)
    for number in range(options.pairs):
        await fail_jobs(client, int(options.rate * (options.seconds + SETTLE_S) * 1.2), f"mail-{number}")


async def _during(client: Client, options: Options, group: str) -> Part:
    begun = await client.bulk(group, NewBulk(action="retry", rate=options.rate))
    await asyncio.sleep(SETTLE_S)
    before, began = (await client.show_bulk(begun.id)).done, time.monotonic()
    part = await _turn(client, options)
    await asyncio.sleep(1)  # progress is noted once a second
    rate = ((await client.show_bulk(begun.id)).done - before) / (time.monotonic() - began)
    await client.stop_bulk(begun.id)
    while (await client.show_bulk(begun.id)).state not in ENDED:
        await asyncio.sleep(0.1)
    return part._replace(bulk_rate=rate)


async def _turn(client: Client, options: Options) -> Part:
    """Take and finish jobs for some seconds, each connection at even times."""
    calls_s: dict[str, list[float]] = {"next": [], "finish": []}
    every_s = options.connections / options.jobs
    began = time.monotonic()

    async def lane(number: int) -> None:
        due = began + every_s * number / options.connections
        while due < began + options.seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += every_s
            sent = time.perf_counter()
            [job] = await client.next(1, [GROUP])
            calls_s["next"].append(time.perf_counter() - sent)
            sent = time.perf_counter()
            await client.finish([Finish(group_name=GROUP, id=job.id, lease=job.lease or None, status="succeeded")])
            calls_s["finish"].append(time.perf_counter() - sent)

    await asyncio.gather(*(lane(number) for number in range(options.connections)))
    return Part(calls_s)


def _at(calls_s: list[float], part: float) -> str:
    return f"{calls_s[int(part * (len(calls_s) - 1))] * 1000:6.2f}"


if __name__ == "__main__":
    sys.exit(main())
