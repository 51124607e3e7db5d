"""`python -m tests.bench.turns`: what `next` costs the store while groups take turns, next to the order fifo.

1,000 groups have jobs that came in turns. A cost is the time that the store spends in scripts, µs a job; orders take
turns, and the least of all rounds counts. Exit code 1 when a bar is missed.
"""

import asyncio
import sys

from broker.core.settings import BrokerSettings
from broker.models.groups import GroupSettings
from broker.models.settings import OrderName
from broker.store.connect import opened
from tests.bench.figures import Figures, parser_of
from tests.bench.flow_costs import FlowCosts, plain
from tests.bench.server import server

GROUPS, ROUNDS, WEIGHTED, JOBS = 1000, 12, 10, 1000
"""How many groups have jobs; the number of rounds; one group of how many has a weight of 3; jobs that large calls
of one kind take in a round."""
ORDERS: tuple[OrderName, ...] = ("fifo", "fair")
BARS = {("next", 100): 1.5, ("next", 1): 1.5, ("next by image", 100): 1.5}
"""The most that the order fair may cost, in costs of fifo."""


async def measured(
    costs: FlowCosts, figures: Figures, groups: int = GROUPS, rounds: int = ROUNDS, jobs: int = JOBS
) -> None:
    """Measure each kind of call in both orders."""
    store = costs.store
    for number in range(groups - groups // WEIGHTED, groups):
        await store.groups.configure(f"g{number}", GroupSettings(weight=3))
    least: dict[tuple[str, int, OrderName], float] = {}
    for _ in range(rounds):
        for _ in range(-(-8 * jobs // groups)):
            await asyncio.gather(*(costs.enqueue(f"g{number}", plain, 1) for number in range(groups)))
        for what, n in BARS:
            for order in ORDERS:
                await store.order.set(order)
                taken = jobs if n > 1 else jobs // 5
                cost = await costs.cost_us(take(costs, n, taken, what), taken)
                least[what, n, order] = min(cost, least.get((what, n, order), cost))
    await store.order.set("fifo")
    for (what, n), bar in BARS.items():
        fifo_us, fair_us = (least[what, n, order] for order in ORDERS)
        figures.note(f"{what}, {n} a call, in the order fifo: {fifo_us:.2f} µs")
        figures.ratio(f"{what} of {groups:,} groups in turns, {n} a call", fair_us, fifo_us, bar)


async def take(costs: FlowCosts, n: int, jobs: int, what: str) -> None:
    """Take jobs with `next`, n a call; by their image if `what` ends with that word."""
    images = ("x",) if what.endswith("image") else ()
    for _ in range(0, jobs, n):
        found = await costs.store.dispatcher.next(n, images=images)
        assert len(found) == n, "there are too few jobs"


async def _run(redis_url: str, figures: Figures) -> None:
    async with opened(BrokerSettings(redis_url=redis_url, store_timeout_s=30)) as found:
        await measured(FlowCosts(found.store, found.store.topology.of(found.store.partitions[0]).redis), figures)


def main() -> int:
    """Start a broker and a store, measure, print."""
    figures = Figures.of_this_machine(is_json=parser_of("turns", __doc__ or "", "--json").parse_args().json)
    with server("--no-reaper") as started:
        asyncio.run(_run(started.redis_url, figures))
    return figures.close()


if __name__ == "__main__":
    sys.exit(main())
