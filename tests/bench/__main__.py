"""`python -m tests.bench`: starts a broker and a store and measures them. The short form takes half a minute."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

import uvloop

from broker.bench.bench_group import BenchGroup
from broker.bench.http_client import BenchAddress
from broker.bench.resource_usage import Meters
from broker.bench.results import Report
from broker.bench.runner import measure
from broker.bench.tables import markdown
from broker.bench.workloads import WORKS, Bench, steps
from tests.bench import budget, many_groups, two_brokers
from tests.bench.server import Server, server
from tests.bench.yardstick import yardstick_us

T = TypeVar("T")
AGAIN = 2
"""How often a check measures again after a cost above the budget: a step is short, so one disturbance counts."""


class Form(NamedTuple):
    """The extent of a measurement."""

    works: tuple[str, ...]
    limit_s: float
    jobs: int
    polls: int
    backlog: int
    rounds: int


SHORT = Form(works=budget.WORKS, limit_s=1.0, jobs=10_000, polls=0, backlog=0, rounds=2)
FULL = Form(works=WORKS, limit_s=2.0, jobs=20_000, polls=200, backlog=100_000, rounds=3)


def main() -> int:
    """Measure, print the tables and check the budget; the exit code."""
    options = _options()
    refused, overruns = _run(options)
    for _ in range(AGAIN):
        if refused or not overruns:
            break
        print("\n".join(["", *overruns, "That is measured again: a machine with other work only adds to a cost.", ""]))
        refused, overruns = _run(options)
    faults = refused + overruns
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def _run(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Measure and print the tables; a line for each step with refusals, and for each cost above a checked budget."""
    form = FULL if options.full else SHORT
    before_us = yardstick_us()
    with server() as started:
        report = uvloop.run(_until_terminated(_measured(started, form, is_profile=options.full or options.profile)))
    if options.full:
        for others in (
            two_brokers.measured(form.limit_s, form.polls, form.rounds),
            many_groups.measured(form.limit_s, form.jobs, form.rounds),
        ):
            report.results.extend(uvloop.run(_until_terminated(others)))
    print("\n".join(markdown(report)))
    refused = [result for result in report.results if result.refused]
    faults = [f"{r.work}, {r.what}: {r.refused} refused, {r.first_refusal}" for r in refused]
    if options.save and not faults:
        budget.write(report, (before_us + yardstick_us()) / 2)
    elif options.check:
        kept = budget.read()
        slowness = kept.slowness((before_us + yardstick_us()) / 2)
        print(f"This machine is now {slowness:.2f} times as slow as the machine of the budget.")
        return faults, list(budget.overruns(report, kept, slowness))
    return faults, []


async def _measured(started: Server, form: Form, *, is_profile: bool) -> Report:
    bench = Bench(
        BenchGroup(BenchAddress.read(started.url)), Meters([started.pid]), form.limit_s, form.jobs, form.polls
    )
    chosen = [step for step in steps(form.backlog) if step.work in form.works]
    async with bench.meters.store(started.redis_url):
        return await measure(bench, chosen, form.rounds, lambda: None, is_profile=is_profile)


async def _until_terminated(work: Coroutine[Any, Any, T]) -> T:
    """The result of the work. SIGTERM cancels it, so that the started processes are stopped."""
    task = asyncio.create_task(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="run all workloads and the profile (some minutes)")
    parser.add_argument("--profile", action="store_true", help="run each script alone, too")
    parser.add_argument(
        "--check",
        action="store_true",
        help=f"exit code 1 for a cost above {budget.MARGIN:g} budgets",
    )
    parser.add_argument("--save", action="store_true", help="save the results as the budget")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
