"""The statistics of brokers that run: counted in their memory, and written every 10 s and at a stop."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.models.jobs import NewJob
from tests.system.conftest import Program
from worker.client import Client

JOBS = 10_000
pytestmark = pytest.mark.slow


async def jobs_in(client: Client, group: str) -> int:
    """The jobs that came into a group in the last hour."""
    return sum(slot.in_ for slot in (await client.stats(group)).slots)


async def test_stats_of_two_brokers_are_exact(broker: Callable[..., tuple[Program, str]], folder: Path) -> None:
    """10,000 jobs over two brokers: one writes its counts when it stops, the other within 25 s; the sum is exact."""
    leader, first_url = broker("--data-dir", str(folder / "data"))
    store = f"unix://{folder}/data/valkey.sock"
    other, second_url = broker("--redis-url", store)
    async with Client(first_url) as first, Client(second_url) as second:
        for client in (first, second) * (JOBS // 1000):
            await client.enqueue("g", [NewJob(image="i")] * 500)
        assert other.stop() == 0
        assert await jobs_in(first, "g") >= JOBS // 2
        async with asyncio.timeout(25):
            while await jobs_in(first, "g") != JOBS:
                await asyncio.sleep(0.5)
    assert leader.started.poll() is None
