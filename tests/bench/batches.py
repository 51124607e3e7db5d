"""`python -m tests.bench.batches`: what a batch of 10,000 members costs, and how soon its callback may be taken.

Exit code 1 when a figure is out of its bound. Costs are CPU of the store, and their bounds are ratios to the cost of
plain jobs, so they hold on any machine. The ends are settled by a broker.
"""

import argparse
import asyncio
import sys
import time

from broker.core.settings import BrokerSettings
from broker.models.batches import CallbackJob, NewBatch
from broker.models.jobs import NewJob
from broker.store.connect import opened
from tests.bench.flow_costs import CALL, FlowCosts, plain
from tests.bench.flow_times import LIMIT_S
from tests.bench.server import server
from tests.bench.verdicts import Verdicts

MEMBERS, CALLBACK_S = 8.0, 0.5
"""Bounds, half as much again as was measured: members next to plain jobs that are enqueued, taken and finished; and
how long after the end of its only member the callback of a small batch may be taken, s, the middle of ROUNDS."""
END_S, ROUNDS = 2.0, 21
"""How long after the last of its members the callback of the large batch may be taken, s."""


class Batches(FlowCosts):
    """A store, and batches in it."""

    async def open(self, group: str, jobs: int) -> str:
        """A closed batch of this many members, with a callback in a group of its own; its id."""
        over = CallbackJob(image="x", group_name=f"{group}-over")
        new = NewBatch(open=True, on_over=over)
        batch, _ = await self.store.batches.create(group, new)
        for _ in range(0, jobs, CALL):
            await self.store.batches.add(group, batch.id, [NewJob(image="x", payload="p" * 100)] * min(CALL, jobs))
        await self.store.batches.close(group, batch.id)
        return batch.id

    async def end(self, group: str, jobs: int) -> None:
        """Take this many jobs, and report them."""
        await self.finish(await self.take(group, jobs))

    async def callback_s(self, group: str) -> float:
        """How long after now the callback may be taken, s; it is taken and finished."""
        began = time.monotonic()
        async with asyncio.timeout(LIMIT_S):
            while not await self.store.dispatcher.next(1, [f"{group}-over"]):
                await asyncio.sleep(0.001)
        return time.monotonic() - began


async def measured(redis_url: str, jobs: int) -> int:
    """Measure and print; the exit code."""
    verdicts = Verdicts()
    async with opened(BrokerSettings(redis_url=redis_url, store_timeout_s=30)) as found:
        batches = Batches(found.store, found.store.topology.of(found.store.partitions[0]).redis)
        plain_us = await batches.cost_us(batches.enqueue("plain", plain, jobs), jobs)
        plain_us += await batches.cost_us(batches.end("plain", jobs), jobs)
        print(f"plain jobs          {plain_us:.1f} µs of the store a job, enqueued, taken and finished")

        made = await batches.cost_us(batches.open("large", jobs), jobs)
        began = time.monotonic()
        ended = await batches.cost_us(batches.end("large", jobs), jobs)
        finished_s = time.monotonic() - began
        wait_s = await batches.callback_s("large")
        ratio = (made + ended) / plain_us
        words = (
            verdicts.at_most("members", ratio, MEMBERS, "plain jobs"),
            verdicts.at_most("the last callback", wait_s, END_S, "s"),
        )
        print(f"batch of {jobs:<10,} {made + ended:.1f} µs a member, {ratio:.2f} plain jobs; {words[0]}")
        print(f"its callback        {wait_s:.2f} s after its last member; all took {finished_s:.2f} s; {words[1]}")

        waits = []
        for n in range(ROUNDS):
            await batches.open(f"small-{n}", 1)
            await batches.end(f"small-{n}", 1)
            waits.append(await batches.callback_s(f"small-{n}"))
        middle = sorted(waits)[ROUNDS // 2]
        word = verdicts.at_most("a callback", middle, CALLBACK_S, "s")
        print(f"callback of one     {middle * 1000:.1f} ms after its member, {max(waits) * 1000:.1f} at most; {word}")
    return verdicts.close()


def main() -> int:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser("python -m tests.bench.batches", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="members of the large batch, in hundreds (10000)")
    given = parser.parse_args()
    with server() as started:
        return asyncio.run(measured(started.redis_url, given.jobs))


if __name__ == "__main__":
    sys.exit(main())
