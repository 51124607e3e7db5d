"""W6 over groups: the same work with one group and with 10,000, in turns, each on a broker of its own."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import cycle, islice

import msgspec

from broker.bench.connections import Address
from broker.bench.load import run_load
from broker.bench.meters import Meters
from broker.bench.own_group import OwnGroup
from broker.bench.results import Result, medians
from broker.bench.workloads import Bench, consume, enqueue
from tests.bench.server import Server, server

GROUPS = (1, 10_000)
_LIMIT_S = 60.0


class OwnGroups(OwnGroup):
    """Many groups in the place of one, on a broker that has no others."""

    def __init__(self, address: Address, n: int) -> None:
        super().__init__(address)
        self._groups = [OwnGroup(address) for _ in range(n)]

    def enqueues(self, n: int) -> Iterator[bytes]:
        """The requests go from group to group."""
        return cycle([group.enqueue(n) for group in self._groups])

    def next(self, n: int = 1, wait_s: int = 0) -> bytes:
        """The request that takes up to n jobs of any group."""
        return super().next(n, wait_s).replace(f"&group={self.name}".encode(), b"")

    async def fill(self, n: int, payload_bytes: int = 100) -> None:  # noqa: ARG002 - they are all alike
        """Enqueue n jobs, each into the next group."""
        await run_load(self.address, 32, islice(self.enqueues(1), n), _LIMIT_S)

    async def check(self, jobs: int) -> None:
        """Nobody else is there to take jobs."""


async def measured(limit_s: float, jobs: int, rounds: int) -> list[Result]:
    """Enqueueing and consuming, for each number of groups."""
    results = []
    async with AsyncExitStack() as stack:
        benches = []
        for n in GROUPS:
            started: Server = stack.enter_context(server())
            meters = Meters([started.pid])
            await stack.enter_async_context(meters.store(started.redis_url))
            groups = OwnGroups(Address.read(started.url), n)
            await groups.fill(n)
            await groups.finish_all()
            benches.append((n, Bench(groups, meters, limit_s, jobs, polls=0)))
        for _ in range(rounds):
            for n, bench in benches:
                results.append(_named(await enqueue(bench, connections=32, n=1), "enqueue 1 a call, 32 connections", n))
                await bench.group.finish_all()
                done = await consume(bench, connections=32, n=1, at_once=False)
                results.append(_named(done, "next 1 of any group, a success each, 32 connections", n))
                await bench.group.finish_all()
                done = await consume(bench, connections=4, n=100, at_once=True)
                results.append(_named(done, "next 100 of any group, one finish for all", n))
                await bench.group.finish_all()
    return medians(results)


def _named(result: Result, what: str, n: int) -> Result:
    return msgspec.structs.replace(result, work="W6", what=f"{what}, {n:,} group{'s' if n > 1 else ''}")
