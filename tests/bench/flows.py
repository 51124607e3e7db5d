"""`python -m tests.bench.flows`: what deadlines, jobs that wait for others, unique keys and results cost; the figures.

Exit code 1 when a figure is out of its bound. Most are CPU of the store, and their bounds are ratios to the cost of
plain jobs, so they hold on any machine; those in µs and ms are multiplied by how slow the machine is, as with --check
of tests.bench. It takes three minutes.
"""

import asyncio
import sys
from argparse import Namespace

from broker.core.settings import BrokerSettings
from broker.store.connect import opened
from tests.bench.figures import Figures, parser_of
from tests.bench.flow_costs import FlowCosts, keyed, plain, timed
from tests.bench.flow_times import cancelled_chain_s, chain_steps_ms, fan_in_s
from tests.bench.server import Server, server
from tests.bench.verdicts import p50_p95

ADMIT = {1: (20, 60), 100: (200, 40), 1000: (1000, 15)}
"""By jobs of a call: how many are enqueued in a round, and how many rounds there are."""
TIMED, KEYED, WAITING = 2.2, {1: 1.5, 100: 2.8, 1000: 3.0}, {1: 4.5, 100: 5.0, 1000: 6.5}
"""Bounds, a third more than was measured. A job with a deadline next to a plain one; with a key next to one with a
deadline; one that waits for another next to a plain one."""
SETTLED = {"keyed": 16.0, "dependants": 16.0, "fan-in": 32.0, "chain": 40.0}
"""What the end of a job may cost, µs: with a key; a dependant of ten jobs; each parent of one job; a cancelled link."""
RESULT, FORGIVEN, SELDOM, LATE_US, BYTES, WATCHED = 3.2, 1.9, 1.15, 38.0, {"timed": 150, "keyed": 250}, 0.03
"""A report with 1 KiB next to one without; a failure that is forgiven next to a retry; lives of jobs, one in a hundred
with a key, next to plain ones; a job that did not start in time; bytes more than a plain job; waiting clients."""
STEP_MS, TREE_S, CHAIN_S = {False: 5.0, True: 60.0}, 2.0, 4.0
"""A step of a chain, p50: alone, and during W3; a fan-in; a cancelled chain."""


async def measured_costs(costs: FlowCosts, figures: Figures, jobs: int, late: int) -> None:
    """What the store spends. No reaper runs."""
    await costs.enqueue("memory", plain, 4 * jobs)  # so that its tables need not grow meanwhile
    base = await costs.bytes_each(plain, "memory-plain", jobs // 2)
    for name, kind in (("timed", timed), ("keyed", keyed)):
        more = await costs.bytes_each(kind, f"memory-{name}", jobs // 2) - base
        figures.fixed(f"bytes more than a plain job: {name}", more, BYTES[name], "B")
    for call, (some, rounds) in ADMIT.items():
        found = await costs.admitted(call, some, rounds)
        figures.note(f"enqueue, {call:,} a call: {found['plain']:.2f} µs")
        figures.ratio(f"with a deadline, {call:,} a call", found["timed"], found["plain"], TIMED)
        figures.ratio(f"with a key, next to a deadline, {call:,} a call", found["keyed"], found["timed"], KEYED[call])
        figures.ratio(f"waiting for another, {call:,} a call", found["waiting"], found["plain"], WAITING[call])
    for name, cost in (await costs.settled(jobs // 10, 7)).items():
        figures.value(f"settle: {name}", cost, SETTLED[name], "µs")
    found = await costs.finished(jobs // 10, 7)
    figures.ratio("finish with a result of 1 KiB", found["result"], found["plain"], RESULT)
    figures.ratio("a forgiven failure, next to a retry", found["forgiven"], found["retried"], FORGIVEN)
    seldom = await costs.seldom_times(jobs // 10, 30)
    figures.fixed("lives of jobs, one in a hundred has a key", seldom, SELDOM, "times")
    figures.value(f"CPU for {jobs:,} waiting clients", await costs.watched(jobs, 5), WATCHED, "of a core")
    figures.value(f"{late:,} jobs that did not start in time", await costs.late(late), LATE_US, "µs")


async def measured_times(costs: FlowCosts, broker: Server, figures: Figures, jobs: int) -> None:
    """What takes how long, with a reaper."""
    for is_busy in (False, True):
        p50_ms, p95_ms = p50_p95(await chain_steps_ms(costs, broker, 200, is_busy=is_busy))
        what = f"a step of a chain{', during W3' if is_busy else ''}"
        figures.note(f"{what}: p95 {p95_ms:.2f} ms")
        figures.value(f"{what}, p50", p50_ms, STEP_MS[is_busy], "ms")
    figures.value(f"fan-in of {jobs:,}", await fan_in_s(costs, jobs), TREE_S, "s")
    figures.value(f"a cancelled chain of {jobs:,}", await cancelled_chain_s(costs, jobs), CHAIN_S, "s")


async def _with_store(started: Server, figures: Figures, given: Namespace, *, are_costs: bool) -> None:
    async with opened(BrokerSettings(redis_url=started.redis_url, store_timeout_s=30)) as found:
        costs = FlowCosts(found.store, found.store.topology.of(found.store.partitions[0]).redis)
        if are_costs:
            await measured_costs(costs, figures, given.jobs, given.late)
        else:
            await measured_times(costs, started, figures, given.jobs)


def main() -> int:
    """Read the arguments, run, print."""
    parser = parser_of("flows", __doc__ or "", "--jobs 1000 --late 1000")
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs of most kinds, in thousands (10000)")
    parser.add_argument("--late", type=int, default=100_000, help="jobs that start too late, in thousands (100000)")
    given = parser.parse_args()
    figures = Figures.of_this_machine(is_json=given.json)
    for are_costs, options in ((True, ("--no-reaper",)), (False, ())):
        with server(*options) as started:
            asyncio.run(_with_store(started, figures, given, are_costs=are_costs))
    return figures.close()


if __name__ == "__main__":
    sys.exit(main())
