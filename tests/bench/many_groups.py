"""W6 with many groups: the same work in one group, spread over 10,000 groups, and in one group next to 10,000.

Each case has its own broker, and each round runs all cases.
"""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import cycle, islice

import msgspec

from broker.bench.bench_group import BenchGroup
from broker.bench.closed_loop import run_load
from broker.bench.http_client import BenchAddress
from broker.bench.resource_usage import Meters
from broker.bench.results import Result, medians
from broker.bench.workloads import Bench, consume, enqueue
from tests.bench.server import Server, server

GROUPS = (1, 10_000)
_LIMIT_S = 60.0


class ManyGroups(BenchGroup):
    """Many groups that are used like one, on a broker without other groups."""

    def __init__(self, address: BenchAddress, n: int) -> None:
        super().__init__(address)
        self._groups = [BenchGroup(address) for _ in range(n)]

    def enqueues(self, n: int) -> Iterator[bytes]:
        """An endless sequence of requests, each to the next group."""
        return cycle([group.enqueue(n) for group in self._groups])

    def next(self, n: int = 1, wait_s: int = 0) -> bytes:
        """The request that takes up to n jobs of any group."""
        return super().next(n, wait_s).replace(f"&group={self.name}".encode(), b"")

    async def fill(self, n: int, payload_bytes: int = 100) -> None:  # noqa: ARG002 -- all payloads are equal
        """Enqueue n jobs, each into the next group."""
        await run_load(self.address, 32, islice(self.enqueues(1), n), _LIMIT_S)

    async def check(self, jobs: int) -> None:
        """Check nothing: no other consumer can take jobs here."""


async def measured(limit_s: float, jobs: int, rounds: int) -> list[Result]:
    """Results of enqueueing and consuming, for each number of groups, and for one group next to many."""
    results = []
    async with AsyncExitStack() as stack:

        async def bench(groups: int) -> tuple[Bench, ManyGroups]:
            started: Server = stack.enter_context(server())
            meters = Meters([started.pid])
            await stack.enter_async_context(meters.store(started.redis_url))
            many = ManyGroups(BenchAddress.read(started.url), groups)
            await many.fill(groups)
            return Bench(many, meters, limit_s, jobs, polls=0), many

        benches = []
        for n in GROUPS:
            spread, many = await bench(n)
            await many.finish_all()
            benches.append((f"{n:,} group{'s' if n > 1 else ''}", "any group", spread))
        others, _ = await bench(GROUPS[-1])
        single = others._replace(group=BenchGroup(others.group.address))
        await single.group.open()
        benches.append((f"1 group next to {GROUPS[-1]:,} with a job each", "the group", single))
        for _ in range(rounds):
            for groups, whose, each in benches:
                results += await _round(each, whose, groups)
    return medians(results)


async def _round(bench: Bench, whose: str, groups: str) -> list[Result]:
    enqueued = await enqueue(bench, connections=32, n=1)
    await bench.group.finish_all()
    one = await consume(bench, connections=32, n=1, at_once=False)
    await bench.group.finish_all()
    many = await consume(bench, connections=4, n=100, at_once=True)
    await bench.group.finish_all()
    return [
        _named(enqueued, f"enqueue 1 a call, 32 connections, {groups}"),
        _named(one, f"next 1 of {whose}, a success each, 32 connections, {groups}"),
        _named(many, f"next 100 of {whose}, one finish for all, {groups}"),
    ]


def _named(result: Result, what: str) -> Result:
    return msgspec.structs.replace(result, work="W6", what=what)
