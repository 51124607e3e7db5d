"""Many jobs through a broker by consumers over HTTP, counted: acknowledged, lost, double."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from broker.http.long_poll import SLOW_POLL_S
from broker.models.jobs import NewJob
from broker.models.reports import Finish
from tests.system.conftest import Program
from worker.client import Client

JOBS = 10_000
BATCH = 500


async def consume(client: Client, seen: Counter[str]) -> None:
    """Take and finish jobs until there are none."""
    while jobs := await client.next(100):
        seen.update(job.payload for job in jobs)
        done = [Finish(group_name=job.group_name, id=job.id, status="succeeded", lease=job.lease) for job in jobs]
        assert all(outcome.ok for outcome in await client.finish(done))


@pytest.mark.slow
async def test_ten_thousand_jobs_are_each_run_once(broker: Callable[..., tuple[Program, str]]) -> None:
    """Of 10,000 acknowledged jobs none is lost and none is handed out twice, with four consumers at once."""
    _, url = broker()
    async with Client(url) as client:
        acknowledged = set()
        for start in range(0, JOBS, BATCH):
            jobs = [NewJob(image="i", payload=str(number)) for number in range(start, start + BATCH)]
            acknowledged.update(job.payload for job in await client.enqueue("counts", jobs))
        seen: Counter[str] = Counter()
        await asyncio.gather(*(consume(client, seen) for _ in range(4)))
        counts = (await client.group("counts")).counts
    lost, double = acknowledged - seen.keys(), [payload for payload, times in seen.items() if times > 1]
    print(f"acknowledged {len(acknowledged)}, lost {len(lost)}, double {len(double)}, succeeded {counts.succeeded}")
    assert (len(acknowledged), len(lost), len(double), counts.succeeded) == (JOBS, 0, 0, JOBS)


@pytest.mark.slow
async def test_many_that_wait_are_served_at_once(broker: Callable[..., tuple[Program, str]]) -> None:
    """More clients than one script serves wait for jobs; an enqueue of as many serves all, before they look again."""
    _, url = broker()
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(url)) for _ in range(4)]
        await clients[0].enqueue("g", [NewJob(image="i")])
        assert len(await clients[0].next(2)) == 1  # so that the store knows the scripts
        polls = [asyncio.create_task(client.next(1, wait_s=20)) for client in clients for _ in range(70)]
        await asyncio.sleep(0.5)  # they have looked, and wait
        began = time.monotonic()
        made = await clients[0].enqueue("g", [NewJob(image="i")] * len(polls))
        taken = [job.id for poll in polls for job in await poll]
    assert sorted(taken) == sorted(job.id for job in made)
    assert time.monotonic() - began < SLOW_POLL_S
