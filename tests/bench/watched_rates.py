"""W1 and W3 during one open dashboard: the rates with it, in pairs with those without it, on the same broker."""

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator

import aiohttp

from broker.bench.bench_group import BenchGroup
from broker.bench.http_client import BenchAddress
from broker.bench.resource_usage import Meters
from broker.bench.results import Result
from broker.bench.runner import measure
from broker.bench.workloads import Bench, steps
from tests.bench.server import Server
from tests.bench.verdicts import Verdicts

LEAST = 0.97
"""The rate with a dashboard, as a share of that without."""
_STATS_S = 20.0
"""How often an open overview asks for the statistics."""


async def measured(started: Server, pairs: int, limit_s: float, verdicts: Verdicts) -> None:
    """Run the steps in pairs, the dashboard first in every other one, and print the medians."""
    bench = Bench(BenchGroup(BenchAddress.read(started.url)), Meters([started.pid]), limit_s, 20_000, polls=0)
    chosen = [step for step in steps(0) if step.work in {"W1", "W3"} and "reaper" not in step.what]
    alone: dict[str, list[Result]] = {step.what: [] for step in chosen}
    watched: dict[str, list[Result]] = {step.what: [] for step in chosen}
    async with bench.meters.store(started.redis_url):
        for pair in range(pairs):
            for is_open in (pair % 2 == 0, pair % 2 == 1):
                async with dashboard(started.url) if is_open else contextlib.nullcontext():
                    report = await measure(bench, chosen, 1, lambda: None, is_profile=False)
                for result in report.results:
                    (watched if is_open else alone)[result.what].append(result)
    print(f"\n{f'with an open overview, {pairs} pairs':<50} {'jobs/s':>9} {'without':>9} {'ratio':>7} {'µs a job':>9}")
    for step in chosen:
        with_, without = watched[step.what], alone[step.what]
        ratio = statistics.median(rate_of(a) / rate_of(b) for a, b in zip(with_, without, strict=True))
        rates = [statistics.median(map(rate_of, each)) for each in (with_, without)]
        more_us = statistics.median(cost_of(a) - cost_of(b) for a, b in zip(with_, without, strict=True))
        word = verdicts.at_least(f"{step.work} {step.what}, with a dashboard", ratio, LEAST, "of the rate without")
        print(
            f"{step.work} {step.what:<47} {rates[0]:>9,.0f} {rates[1]:>9,.0f} {ratio:>7.3f} {more_us:>+9.1f} {word}",
            flush=True,
        )


def rate_of(result: Result) -> float:
    """Jobs a second."""
    return result.jobs_per_s or 0.0


def cost_of(result: Result) -> float:
    """CPU of broker and store together, µs a job."""
    return (result.front_us or 0.0) + (result.store_us or 0.0)


@contextlib.asynccontextmanager
async def dashboard(url: str) -> AsyncIterator[None]:
    """What one open overview asks: its live view, and the statistics now and then."""

    async def watch(session: aiohttp.ClientSession) -> None:
        async with session.get("/v1/live?view=overview%3Fn%3D50%26sort%3Doldest") as answer:
            async for _ in answer.content:
                pass

    async def ask(session: aiohttp.ClientSession) -> None:
        while True:
            async with session.get("/v1/stats?window=1h") as answer:
                await answer.read()
            await asyncio.sleep(_STATS_S)

    async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=None)) as session:
        tasks = [asyncio.create_task(watch(session)), asyncio.create_task(ask(session))]
        await asyncio.sleep(3)  # the first sweep and the first answer have come
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
