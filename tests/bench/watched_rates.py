"""W1 and W3 during one open dashboard: the rates with it, next to those without it, on the same broker.

A machine drifts within seconds by more than a dashboard costs. So a step runs four times in a row, with, without,
without, with, or the other way round. A drift that is even weighs on both sides alike. The rest of it makes the
median of a few pairs uncertain by more than the bound: the standard error says how far a figure can be believed. What a
dashboard costs a busy broker is the CPU that `dashboard` measures while nobody else asks.
"""

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import aiohttp

from broker.bench.bench_group import BenchGroup
from broker.bench.http_client import BenchAddress
from broker.bench.resource_usage import Meters
from broker.bench.results import Result
from broker.bench.workloads import Bench, Step, steps
from tests.bench.server import Server
from tests.bench.verdicts import Verdicts

LEAST = 0.97
"""The rate with a dashboard, as a share of that without."""
_LIMIT_S, _JOBS = 2.0, 50_000
"""The bounds of a run. An open overview is computed every 2 s, so a run has it once."""
_STATS_S = 20.0
"""How often an open overview asks for the statistics."""


class Block(NamedTuple):
    """The four runs of a step: two with a dashboard, two without."""

    watched: list[Result]
    alone: list[Result]

    @property
    def ratio(self) -> float:
        """The rate with a dashboard, as a share of that without."""
        return rate_of(self.watched) / rate_of(self.alone)

    @property
    def more_us(self) -> float:
        """What a dashboard adds to the CPU of broker and store, µs a job."""
        return cost_of(self.watched) - cost_of(self.alone)


async def measured(started: Server, pairs: int, verdicts: Verdicts) -> None:
    """Run each step in pairs, two pairs in a row, and print the medians."""
    bench = Bench(BenchGroup(BenchAddress.read(started.url)), Meters([started.pid]), _LIMIT_S, _JOBS, polls=0)
    chosen = [step for step in steps(0) if step.work in {"W1", "W3"} and "reaper" not in step.what]
    title = f"with an open overview, {pairs} pairs"
    print(f"\n{title:<50} {'jobs/s':>9} {'without':>9} {'ratio':>7} {'±':>7} {'µs a job':>9}", flush=True)
    async with bench.meters.store(started.redis_url):
        for step in chosen:
            blocks = [await _block(started, bench, step, is_first=n % 2 == 0) for n in range(max(1, pairs // 2))]
            ratios = [block.ratio for block in blocks]
            ratio, error = statistics.median(ratios), error_of(ratios)
            watched, alone = (statistics.median(map(rate_of, side)) for side in zip(*blocks, strict=True))
            more_us = statistics.median(block.more_us for block in blocks)
            what = f"{step.work} {step.what}, with a dashboard"
            word = verdicts.at_least(what, ratio, LEAST, "of the rate without")
            figures = f"{watched:>9,.0f} {alone:>9,.0f} {ratio:>7.3f} {error:>7.3f} {more_us:>+9.1f}"
            print(f"{step.work} {step.what:<47} {figures} {word}", flush=True)


async def _block(started: Server, bench: Bench, step: Step, *, is_first: bool) -> Block:
    """Run a step with, without, without, with a dashboard; or the other way round if it is not the first."""
    block = Block([], [])
    for is_open in (is_first, not is_first, not is_first, is_first):
        async with dashboard(started.url) if is_open else contextlib.nullcontext():
            (block.watched if is_open else block.alone).append(await step.measure(bench))
    return block


def error_of(ratios: Sequence[float]) -> float:
    """The standard error of the median of ratios, as if they were distributed normally; 1 for a single one."""
    return 1.2533 * statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else 1.0


def rate_of(results: Sequence[Result]) -> float:
    """Jobs a second, of runs of the same length."""
    return statistics.mean(result.jobs_per_s or 0.0 for result in results)


def cost_of(results: Sequence[Result]) -> float:
    """CPU of broker and store together, µs a job."""
    return statistics.mean((result.front_us or 0.0) + (result.store_us or 0.0) for result in results)


@contextlib.asynccontextmanager
async def dashboard(url: str) -> AsyncIterator[None]:
    """What one open overview asks: its live view, and the statistics now and then. Its first answer has come."""
    is_seen = asyncio.Event()

    async def watch(session: aiohttp.ClientSession) -> None:
        async with session.get("/v1/live?view=overview%3Fn%3D50%26sort%3Doldest") as answer:
            async for _ in answer.content:
                is_seen.set()

    async def ask(session: aiohttp.ClientSession) -> None:
        while True:
            async with session.get("/v1/stats?window=1h") as answer:
                await answer.read()
            await asyncio.sleep(_STATS_S)

    async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=None)) as session:
        tasks = [asyncio.create_task(watch(session)), asyncio.create_task(ask(session))]
        await is_seen.wait()
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
