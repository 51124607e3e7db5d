"""How long flows take with a broker that settles them: a step of a chain during a load, a fan-in, a cancelled chain."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from broker.bench.bench_group import BenchGroup
from broker.bench.http_client import BenchAddress
from broker.bench.resource_usage import Meters
from broker.bench.workloads import Bench, consume
from broker.models.jobs import NewJob
from tests.bench.flow_costs import CALL, FlowCosts
from tests.bench.server import Server

LIMIT_S = 60.0
"""When a measurement is given up, in s."""


async def fan_in_s(costs: FlowCosts, jobs: int) -> float:
    """From the end of the last of a number of parents until the end of the tree is taken, s.

    A job waits for each hundred of them, and one for all of these.
    """
    middle = []
    for first in range(0, jobs, CALL):
        leaves = await costs.enqueue(f"leaves-{first}", lambda _: NewJob(image="x"), CALL)
        middle += await costs.put(f"leaves-{first}", [NewJob(image="x", after=leaves)])
    await costs.put("leaves-0", [NewJob(image="x", after=middle)])
    taken = [job for first in range(0, jobs, CALL) for job in await costs.take(f"leaves-{first}", CALL)]
    began = time.monotonic()
    await costs.finish(taken)
    async with asyncio.timeout(LIMIT_S):
        ends = [job for first in range(0, jobs, CALL) for job in await costs.take(f"leaves-{first}", 1)]
        await costs.finish(ends)
        await costs.take("leaves-0", 1)
    return time.monotonic() - began


async def cancelled_chain_s(costs: FlowCosts, jobs: int) -> float:
    """From the cancellation of the head of a chain until all of it is cancelled, s."""
    head = await costs.chain("cancelled", jobs)
    began = time.monotonic()
    await costs.store.jobs.cancel("cancelled", head)
    async with asyncio.timeout(LIMIT_S):
        while (await costs.store.groups.show("cancelled")).counts.cancelled < jobs:
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def chain_steps_ms(costs: FlowCosts, broker: Server, jobs: int, *, is_busy: bool) -> list[float]:
    """From the report of each job of a chain until the next one has reached a consumer that waits for it, ms.

    is_busy: during workload W3, 100 jobs a call on 4 connections.
    """
    group = f"steps-{is_busy}"
    await costs.chain(group, jobs)
    steps: list[float] = []
    async with during_load(broker, is_busy=is_busy), aiohttp.ClientSession() as session:
        url = f"{broker.url}/v1"
        job = await _next(session, url, group)
        for _ in range(jobs - 1):
            waiting = asyncio.create_task(_next(session, url, group))
            await asyncio.sleep(0.005)  # until it waits at the broker
            began = time.perf_counter()
            async with session.post(f"{url}/groups/{group}/jobs/{job}/success") as answer:
                answer.raise_for_status()
            job = await waiting
            steps.append((time.perf_counter() - began) * 1000)
    return steps


@asynccontextmanager
async def during_load(broker: Server, *, is_busy: bool) -> AsyncIterator[None]:
    """Inside the block workload W3 runs if is_busy: 100 jobs a call on 4 connections."""
    load = asyncio.create_task(_load(broker)) if is_busy else None
    try:
        yield
    finally:
        if load is not None:
            load.cancel()
            await asyncio.wait([load])


async def _next(session: aiohttp.ClientSession, url: str, group: str) -> str:
    async with session.get(f"{url}/jobs", params={"group": group, "wait": 20}) as answer:
        found: str = (await answer.json())["jobs"][0]["id"]
        return found


async def _load(broker: Server) -> None:
    bench = Bench(BenchGroup(BenchAddress.read(broker.url)), Meters([broker.pid]), 5.0, 20_000, 0)
    await bench.group.open()
    while True:
        await consume(bench, connections=4, n=100, at_once=True)
