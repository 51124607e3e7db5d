"""`python -m tests.bench.flows`: what jobs that wait for others and unique keys cost next to plain ones; the figures.

Exit code 1 when a figure is out of its bound. Costs are CPU of the store, and their bounds are ratios to the
cost of plain jobs, so they hold on any machine. A chain and a tree of 10,000 jobs are settled by a broker.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Sequence
from typing import Any

from broker.core.settings import BrokerSettings
from broker.models.jobs import Job, NewJob
from broker.models.reports import Finish
from broker.models.unique import Unique
from broker.store.connect import opened
from broker.store.format.job_json import struct_of
from broker.store.job_store import JobStore
from tests.bench.server import server
from tests.bench.verdicts import Verdicts

CALL, MOST, ROUNDS = 100, 1000, 3
"""Jobs of one enqueue; of one call that takes or finishes them; and how often a cost is measured."""
ADMIT_ONE, ADMIT_MANY, UNIQUE, CHAIN, TREE = 2.4, 13.0, 1.8, 30.0, 10.0
"""Bounds, half as much again as was measured. A job with a time next to a plain one, in calls of one job and of a
hundred; with a key next to one with a time; a link of a cancelled chain next to a plain job of a hundred; a fan-in
next to plain jobs that are enqueued, taken and finished."""
TREE_S, LIMIT_S = 2.0, 60.0
"""How long after the last of its 10,000 parents the end of a tree may be taken; when a measurement is given up, s."""


class Flows:
    """A store, and the costs of what is done to it."""

    def __init__(self, store: JobStore, redis: Any, jobs: int) -> None:
        self.store, self._redis, self._jobs = store, redis, jobs

    async def cost_us(self, work: Awaitable[object], jobs: int) -> float:
        """CPU of the store that the work took, µs a job."""
        before = await self._cpu_s()
        await work
        return (await self._cpu_s() - before) * 1e6 / jobs

    async def _cpu_s(self) -> float:
        used = await self._redis.info("cpu")
        return float(used["used_cpu_user_main_thread"]) + float(used["used_cpu_sys_main_thread"])

    async def least(self, call: int, group: str, *kinds: dict[str, Any]) -> list[float]:
        """The least cost of enqueueing jobs of each kind, `call` at a time, µs a job: a disturbance only adds to it."""
        costs = [
            [
                await self.cost_us(
                    self.enqueue(f"{group}-{kind}-{turn}", call=call, **fields), self._jobs * call // CALL
                )
                for kind, fields in enumerate(kinds)
            ]
            for turn in range(ROUNDS)
        ]
        return [min(column) for column in zip(*costs, strict=True)]

    async def enqueue(self, group: str, **fields: Any) -> None:
        """Plain jobs, or with these fields; `key` is made a key of its own for each."""
        is_keyed, call = fields.pop("is_keyed", False), fields.pop("call", CALL)
        for first in range(0, self._jobs * call // CALL, call):
            keys = [{"unique": Unique(key=f"k{first + i}")} if is_keyed else {} for i in range(call)]
            await self.put(group, [NewJob(image="x", payload="p" * 100, **fields, **key) for key in keys])

    async def put(self, group: str, jobs: Sequence[NewJob]) -> list[str]:
        """The ids of these jobs, enqueued in one call."""
        return [struct_of(encoded).id for encoded in (await self.store.enqueuer.enqueue(group, jobs)).jobs]

    async def finish(self, group: str, n: int) -> None:
        """Take and finish n jobs."""
        while n > 0:
            taken: list[Job] = [
                struct_of(one.encoded) for one in await self.store.dispatcher.next(min(n, MOST), [group])
            ]
            if not taken:
                await asyncio.sleep(0.005)
                continue
            n -= len(taken)
            await self.store.completer.finish(
                [Finish(group_name=group, id=job.id, lease=job.lease, status="succeeded") for job in taken]
            )

    async def chain(self, group: str) -> str:
        """A chain of jobs; the id of its head."""
        head = last = ""
        for _ in range(0, self._jobs, CALL):
            before = [last, *(f"r{i}" for i in range(CALL - 1))]
            jobs = [NewJob(image="x", ref=f"r{i}", after=[before[i]] if before[i] else None) for i in range(CALL)]
            ids = await self.put(group, jobs)
            head, last = head or ids[0], ids[-1]
        return head

    async def tree(self, group: str) -> None:
        """Leaves in hundreds, a job behind each hundred, and one behind all of these."""
        middle = []
        for _ in range(0, self._jobs, CALL):
            leaves = await self.put(group, [NewJob(image="x")] * CALL)
            middle += await self.put(group, [NewJob(image="x", after=leaves)])
        await self.put(group, [NewJob(image="x", after=middle)])

    async def cancel(self, group: str, job_id: str) -> None:
        """Cancel the head of a chain, and wait until all of it is cancelled."""
        await self.store.jobs.cancel(group, job_id)
        async with asyncio.timeout(LIMIT_S):
            while (await self.store.groups.show(group)).counts.cancelled < self._jobs:
                await asyncio.sleep(0.05)


async def measured(redis_url: str, jobs: int) -> int:
    """Measure and print; the exit code."""
    verdicts = Verdicts()
    async with opened(BrokerSettings(redis_url=redis_url, store_timeout_s=30)) as found:
        flows = Flows(found.store, found.store.topology.of(found.store.partitions[0]).redis, jobs)
        kinds: list[dict[str, Any]] = [{}, {"start_within": 86_400}, {"is_keyed": True}]
        alone, alone_timed, _ = await flows.least(1, "one", *kinds)
        plain, timed, keyed = await flows.least(CALL, "g", *kinds)
        taken = await flows.cost_us(flows.finish("g-0-0", jobs), jobs)
        print(f"enqueue             {plain:.1f} µs of the store a job; taken and finished {taken:.1f}")
        for what, cost, compared, bound in (
            ("alone with a time", alone_timed, alone, ADMIT_ONE),
            ("with a time", timed, plain, ADMIT_MANY),
            ("with a unique key", keyed, timed, UNIQUE),
        ):
            word = verdicts.at_most(what, cost / compared, bound, "")
            print(f"{what:19} {cost:.1f} µs, {cost / compared:.2f} times; {word}")

        head = await flows.chain("chain")
        began = time.monotonic()
        cost = await flows.cost_us(flows.cancel("chain", head), jobs)
        took_s, ratio = time.monotonic() - began, cost / plain
        word = verdicts.at_most("a cancelled chain", ratio, CHAIN, "enqueues a job")
        print(f"cancelled chain     {took_s:.2f} s for {jobs:,}, {cost:.1f} µs a job, {ratio:.2f} enqueues; {word}")

        made = await flows.cost_us(flows.tree("tree"), jobs)
        leaves = await flows.cost_us(flows.finish("tree", jobs), jobs)
        began = time.monotonic()
        async with asyncio.timeout(LIMIT_S):
            rest = await flows.cost_us(flows.finish("tree", jobs // CALL + 1), jobs)
        took_s, ratio = time.monotonic() - began, (made + leaves + rest) / (plain + taken)
        words = (
            verdicts.at_most("a fan-in", ratio, TREE, "plain jobs"),
            verdicts.at_most("its end", took_s, TREE_S, "s"),
        )
        print(f"fan-in of {jobs:<9,} {made + leaves + rest:.1f} µs a job, {ratio:.2f} plain jobs; {words[0]}")
        print(f"its end             {took_s:.2f} s after the last of its parents; {words[1]}")
    return verdicts.close()


def main() -> int:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser("python -m tests.bench.flows", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs of each kind, in hundreds (10000)")
    given = parser.parse_args()
    with server() as started:
        return asyncio.run(measured(started.redis_url, given.jobs))


if __name__ == "__main__":
    sys.exit(main())
