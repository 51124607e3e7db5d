"""`python -m tests.bench.turns`: what `next` costs the store while groups take turns, next to the order fifo.

1,000 groups have jobs that came in turns. A cost is the time that the store spends in scripts, µs a job; orders take
turns, and the least of all rounds counts. Exit code 1 when a ratio is above its bound.
"""

import asyncio
import sys

from broker.core.settings import BrokerSettings
from broker.models.groups import GroupSettings
from broker.models.settings import OrderName
from broker.store.connect import opened
from tests.bench.flow_costs import FlowCosts, plain
from tests.bench.server import server
from tests.bench.verdicts import Verdicts

GROUPS, ROUNDS, WEIGHTED = 1000, 12, 100
"""How many groups have jobs; the number of rounds; how many of these groups have a weight of 3."""
ORDERS: tuple[OrderName, ...] = ("fifo", "fair")
BOUNDS = {("next", 100): 1.5, ("next", 1): 1.5, ("next by image", 100): 1.5}
"""The most that the order fair may cost, in costs of fifo."""


async def measured(costs: FlowCosts) -> Verdicts:
    """Measure each kind of call in both orders."""
    store, verdicts = costs.store, Verdicts()
    for number in range(GROUPS - WEIGHTED, GROUPS):
        await store.groups.configure(f"g{number}", GroupSettings(weight=3))
    least: dict[tuple[str, int, OrderName], float] = {}
    for _ in range(ROUNDS):
        for _ in range(8):
            await asyncio.gather(*(costs.enqueue(f"g{number}", plain, 1) for number in range(GROUPS)))
        for what, n in BOUNDS:
            for order in ORDERS:
                await store.order.set(order)
                cost = await costs.cost_us(_take(costs, n, 1000 if n > 1 else 200, what), 1000 if n > 1 else 200)
                least[what, n, order] = min(cost, least.get((what, n, order), cost))
    for (what, n), bound in BOUNDS.items():
        fifo_us, fair_us = (least[what, n, order] for order in ORDERS)
        word = verdicts.at_most(f"{what}, {n} a call", fair_us / fifo_us, bound, "times")
        print(f"{what}, {n} a call: fifo {fifo_us:.2f} µs a job, fair {fair_us:.2f} µs; {word}", flush=True)
    return verdicts


async def _take(costs: FlowCosts, n: int, jobs: int, what: str) -> None:
    images = ("x",) if what.endswith("image") else ()
    for _ in range(0, jobs, n):
        found = await costs.store.dispatcher.next(n, images=images)
        assert len(found) == n, "there are too few jobs"


async def _run(redis_url: str) -> Verdicts:
    async with opened(BrokerSettings(redis_url=redis_url, store_timeout_s=30)) as found:
        return await measured(FlowCosts(found.store, found.store.topology.of(found.store.partitions[0]).redis))


def main() -> int:
    """Start a broker and a store, measure, print."""
    with server("--no-reaper") as started:
        return asyncio.run(_run(started.redis_url)).close()


if __name__ == "__main__":
    sys.exit(main())
