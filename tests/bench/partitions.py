"""`python -m tests.bench.partitions`: what a job costs with several partitions on one server, against one partition.

Both brokers run at the same time, each with its own store, and take turns in pairs, so that what else the machine does
meets both. It prints the lowest CPU of broker and of store a job, since neighbours only add to it, the ratio of the two
sums, the median ratio of the pairs, and medians of script calls and of all commands a job, those in scripts included.
The jobs of W1 to W3 are in one group. It takes some minutes for each number of partitions.
"""

import argparse
import asyncio
import signal
import statistics
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import NamedTuple, cast

import uvloop

from broker.bench.bench_group import BenchGroup
from broker.bench.http_client import BenchAddress
from broker.bench.resource_usage import CommandUsage, Meters
from broker.bench.results import Result
from broker.bench.workloads import Bench, consume, enqueue
from broker.models.fields import MAX_JOBS
from tests.bench.many_groups import ManyGroups
from tests.bench.server import server

GROUPS = 64
LIMIT_S, JOBS = 2.0, 10_000
_UNUSED = CommandUsage(0, 0)
_COLUMNS = ("front µs/job", "store µs/job", "scripts a job", "commands a job")


class Case(NamedTuple):
    """A workload, in how many groups, and whether `next` names the group."""

    what: str
    groups: int
    is_named: bool
    run: Callable[[Bench], Awaitable[Result]]


class Cost(NamedTuple):
    """CPU a job in µs, and script calls and all commands of the store a job."""

    front_us: float
    store_us: float
    scripts: float
    commands: float


_ONE = partial(enqueue, connections=32, n=1)
_MANY = partial(enqueue, connections=2, n=MAX_JOBS)
_NEXT_ALL = partial(consume, connections=4, n=100, at_once=True)
_NEXT_EACH = partial(consume, connections=8, n=100, at_once=False)
_NEXT_ONE = partial(consume, connections=32, n=1, at_once=False)
CASES = (
    Case("W1 enqueue 1 a call, 32 connections", 1, is_named=True, run=_ONE),
    Case("W2 enqueue 1,000 a call, 2 connections", 1, is_named=True, run=_MANY),
    Case("W3 next 100 of the group, one finish for all", 1, is_named=True, run=_NEXT_ALL),
    Case("W3 next 100 of the group, a success each", 1, is_named=True, run=_NEXT_EACH),
    Case("W3 next 1 of the group, a success each", 1, is_named=True, run=_NEXT_ONE),
    Case("W3 next 100 of any group, one finish for all", 1, is_named=False, run=_NEXT_ALL),
    Case("W3 next 1 of any group, a success each", 1, is_named=False, run=_NEXT_ONE),
    Case(f"enqueue 1 a call, 32 connections, {GROUPS} groups", GROUPS, is_named=False, run=_ONE),
    Case(f"next 100 of any group, one finish for all, {GROUPS} groups", GROUPS, is_named=False, run=_NEXT_ALL),
    Case(f"next 1 of any group, a success each, {GROUPS} groups", GROUPS, is_named=False, run=_NEXT_ONE),
)


async def _measured(case: Case, bench: Bench) -> Cost:
    """One run of a workload, in new groups that are emptied afterwards."""
    address = bench.group.address
    group = BenchGroup(address) if case.is_named else ManyGroups(address, case.groups)
    await group.open()
    before = await bench.meters.commands()
    result = await case.run(bench._replace(group=group))
    after = await bench.meters.commands()
    await group.finish_all()
    if result.refused or result.front_us is None or result.store_us is None:
        raise SystemExit(f"{case.what}: {result}")
    calls = {name: usage.calls - before.get(name, _UNUSED).calls for name, usage in after.items()}
    return Cost(result.front_us, result.store_us, calls["script"] / result.jobs, sum(calls.values()) / result.jobs)


async def _compared(partitions: int, pairs: int, only: str) -> None:
    task = cast("asyncio.Task[None]", asyncio.current_task())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # stops the processes
    async with AsyncExitStack() as stack:

        async def bench(n: int) -> Bench:
            started = stack.enter_context(server("--partitions", str(n)))
            meters = Meters([started.pid])
            await stack.enter_async_context(meters.store(started.redis_url))
            return Bench(BenchGroup(BenchAddress.read(started.url)), meters, LIMIT_S, JOBS, polls=0)

        benches = [await bench(1), await bench(partitions)]
        for case in CASES:
            if only not in case.what:
                continue
            found: list[tuple[Cost, Cost]] = []
            for number in range(pairs + 1):
                order = (0, 1) if number % 2 else (1, 0)
                costs = {which: await _measured(case, benches[which]) for which in order}
                found.append((costs[0], costs[1]))
            _print(case, partitions, found[1:])  # the first pair warms up


def _print(case: Case, partitions: int, pairs: list[tuple[Cost, Cost]]) -> None:
    ratios = [_cpu_us(many) / _cpu_us(one) for one, many in pairs]
    ones, manies = ([pair[which] for pair in pairs] for which in (0, 1))
    lowest = min(map(_cpu_us, manies)) / min(map(_cpu_us, ones))
    cells = [case.what, str(partitions)]
    for name, choose in (
        ("front_us", min),
        ("store_us", min),
        ("scripts", statistics.median),
        ("commands", statistics.median),
    ):
        shown = [choose([getattr(cost, name) for cost in costs]) for costs in (ones, manies)]
        cells.append(" / ".join(f"{value:.1f}" if name.endswith("us") else f"{value:.3f}" for value in shown))
    cells += [f"{lowest:.3f}", f"{statistics.median(ratios):.3f} ({min(ratios):.2f}-{max(ratios):.2f})"]
    print(f"| {' | '.join(cells)} |", flush=True)


def _cpu_us(cost: Cost) -> float:
    return cost.front_us + cost.store_us


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.partitions", description=__doc__)
    parser.add_argument("partitions", type=int, nargs="*", default=[16], help="numbers of partitions to compare with 1")
    parser.add_argument("--pairs", type=int, default=10, help="pairs of runs of each workload")
    parser.add_argument("--only", default="", metavar="TEXT", help="measure the work with this text in its name")
    options = parser.parse_args()
    columns = ("work", "n", *(f"{what}, 1 / n" for what in _COLUMNS), "CPU of n to 1, lowest", "median of pairs")
    print(f"| {' | '.join(columns)} |")
    print(f"|{' --- |' * len(columns)}")
    for number in options.partitions:
        uvloop.run(_compared(number, options.pairs, options.only))
    return 0


if __name__ == "__main__":
    sys.exit(main())
