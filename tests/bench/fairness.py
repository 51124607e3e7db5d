"""`python -m tests.bench.fairness`: what turns, rates, limits and keys cost, and how long a quiet tenant waits.

A cost is the CPU of the store's main thread, µs a job; that of turns is the time of scripts. Kinds take turns, and the
least of all rounds counts: a disturbance only adds to it. No reaper runs. Exit code 1 when a bar is missed.
"""

import asyncio
import math
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable, Sequence

from broker.core.settings import BrokerSettings
from broker.models.groups import GroupSettings, JobRate
from broker.models.jobs import NewJob
from broker.store.connect import opened
from tests.bench import turns
from tests.bench.figures import Figures, parser_of
from tests.bench.flow_costs import MOST, PAYLOAD, FlowCosts, plain
from tests.bench.server import server

UNUSED, FLAT, TURN = 1.03, 1.3, 1.0
"""Bars: a life of jobs in a group with a limit that is never reached next to one in a group without; a new job with a
`key` in a group with a long backlog next to one without; jobs of each other group before that of a quiet one."""
Section = Callable[[FlowCosts, Figures, Namespace], Awaitable[None]]
NOISY, KEYS, QUIET = 10, 10_000, 200
"""Groups that share the backlog, keys of its jobs, and how often a quiet tenant comes at most."""
LIMITS = {
    "a rate": GroupSettings(rate_limit=1_000_000),
    "a rate with a burst": GroupSettings(rate_limit=JobRate(jobs=1_000_000, per=2, burst=1_000_000)),
    "max_concurrency": GroupSettings(max_concurrency=1_000_000),
    "max_jobs": GroupSettings(max_jobs=10_000_000),
    "max_bytes": GroupSettings(max_bytes=10**12),
    "another setting": GroupSettings(delivery_limit=4),
}
"""Settings of groups that no load of this bench comes to; the last one shows what any setting costs."""


async def measured_limits(costs: FlowCosts, figures: Figures, jobs: int, rounds: int) -> None:
    """What limits cost that are never reached: enqueue, next and finish of single jobs, and of many a call."""
    for at, settings in enumerate(LIMITS.values()):
        await costs.store.groups.configure(f"limit{at}", settings)
    await costs.store.modes.read()
    for n in (1, 100):
        least: dict[str, float] = {}
        for _ in range(rounds):
            for group in ("plain", *(f"limit{at}" for at in range(len(LIMITS)))):
                cost_us = await costs.cpu_us(lives(costs, group, jobs, n), jobs)
                least[group] = min(cost_us, least.get(group, cost_us))
        figures.note(f"a life of a plain job, {n} a call: {least['plain']:.2f} µs")
        for at, what in enumerate(LIMITS):
            figures.ratio(f"with {what}, {n} a call", least[f"limit{at}"], least["plain"], UNUSED)


async def lives(costs: FlowCosts, group: str, jobs: int, n: int) -> None:
    """Enqueue, take and finish jobs, n a call."""
    for _ in range(0, jobs, n):
        await costs.enqueue(group, plain, n, n)
        await costs.finish(await costs.take(group, n))


def with_key(n: int) -> NewJob:
    """A job of one of many tenants."""
    return NewJob(image="x", payload=PAYLOAD, key=f"tenant{n % KEYS}")


async def measured_keys(costs: FlowCosts, figures: Figures, backlog: int, jobs: int, rounds: int) -> None:
    """New jobs with a `key` in a group without others, and in one with a backlog of many keys."""
    for group in ("long", *(f"short{turn}" for turn in range(rounds))):
        await costs.store.groups.configure(group, GroupSettings(key_concurrency=1000))
    await costs.enqueue("long", with_key, backlog, MOST)
    short_us = long_us = math.inf
    for turn in range(rounds):
        short_us = min(short_us, await costs.cpu_us(costs.enqueue(f"short{turn}", with_key, jobs), jobs))
        long_us = min(long_us, await costs.cpu_us(costs.enqueue("long", with_key, jobs), jobs))
    what = f"a new job with a key, with {backlog:,} of {min(KEYS, backlog):,} keys"
    figures.ratio(what, long_us, short_us, FLAT)


async def measured_quiet(costs: FlowCosts, figures: Figures, backlog: int) -> None:
    """How many jobs of others are dispatched before that of a quiet group, in fair order; and how long it waits."""
    store = costs.store
    for number in range(NOISY):
        await costs.enqueue(f"noisy{number}", plain, backlog // NOISY, MOST)
    await store.order.set("fair")
    before, waits_ms = [], []
    for turn in range(min(QUIET, backlog // 50)):  # so that the others always have jobs
        await store.dispatcher.next(1 + turn % 7)
        began = time.perf_counter()
        [quiet] = await costs.put("quiet", [plain(0)])
        others = 0
        while (found := await store.dispatcher.next(1)) and quiet.encode() not in found[0].encoded:
            others += 1
        waits_ms.append((time.perf_counter() - began) * 1000)
        before.append(others)
    await store.order.set("fifo")
    what = f"a quiet tenant with {backlog:,} jobs of {NOISY} groups"
    p99_ms = statistics.quantiles(waits_ms, n=100)[-1]
    figures.note(f"{what}: p50 {statistics.median(waits_ms):.2f} ms, p99 {p99_ms:.2f} ms until its job is dispatched")
    figures.fixed(f"{what}: others before it", max(before), NOISY * TURN, "jobs")


async def _limits_and_keys(costs: FlowCosts, figures: Figures, given: Namespace) -> None:
    await measured_limits(costs, figures, given.jobs, given.rounds)
    await measured_keys(costs, figures, given.backlog, given.jobs, given.rounds)


async def _quiet(costs: FlowCosts, figures: Figures, given: Namespace) -> None:
    await measured_quiet(costs, figures, given.backlog)


async def _turns(costs: FlowCosts, figures: Figures, given: Namespace) -> None:
    await turns.measured(costs, figures, given.groups, min(given.rounds, turns.ROUNDS), min(2 * given.jobs, turns.JOBS))


async def _run(redis_url: str, section: Section, figures: Figures, given: Namespace) -> None:
    async with opened(BrokerSettings(redis_url=redis_url, store_timeout_s=30)) as found:
        costs = FlowCosts(found.store, found.store.topology.of(found.store.partitions[0]).redis)
        await section(costs, figures, given)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, run, print."""
    parser = parser_of("fairness", __doc__ or "", "--jobs 100 --rounds 3 --groups 50 --backlog 1000")
    parser.add_argument("--jobs", type=int, default=500, help="jobs of a round, in hundreds (500)")
    parser.add_argument("--rounds", type=int, default=30, help="rounds in which kinds take turns (30)")
    parser.add_argument("--groups", type=int, default=turns.GROUPS, help="groups that take turns (1000)")
    parser.add_argument("--backlog", type=int, default=1_000_000, help="queued jobs, in thousands (1000000)")
    given = parser.parse_args(arguments)
    figures = Figures.of_this_machine(is_json=given.json)
    for section in (_limits_and_keys, _turns, _quiet):  # each with a store of its own: turns are of all groups
        with server("--no-reaper") as started:
            asyncio.run(_run(started.redis_url, section, figures, given))
    return figures.close()


if __name__ == "__main__":
    sys.exit(main())
