"""W4 with two brokers on one store: the consumer waits at one, the producer enqueues at the other."""

from functools import partial

from broker.bench.bench_group import BenchGroup
from broker.bench.http_client import BenchAddress
from broker.bench.resource_usage import Meters
from broker.bench.results import Result, medians
from broker.bench.workloads import Bench, Step, poll
from tests.bench.server import server


async def measured(limit_s: float, polls: int, rounds: int) -> list[Result]:
    """Time from an enqueue at one broker until a consumer at the other has the job."""
    with server() as first, server("--redis-url", first.redis_url) as second:
        bench = Bench(BenchGroup(BenchAddress.read(first.url)), Meters([first.pid, second.pid]), limit_s, 0, polls)
        step = Step("W4", "the same, through another broker", partial(poll, producer_at=BenchAddress.read(second.url)))
        return medians([await step.measure(bench) for _ in range(rounds)])
