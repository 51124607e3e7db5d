"""Programs are killed and started again, and no acknowledged job is lost."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from broker.core.errors import StoreUnavailable
from broker.core.states import STATUSES
from broker.models.jobs import NewJob
from tests.conftest import server_program, start_server, write_through
from tests.system.conftest import Program
from titan.errors import BrokerUnavailable
from worker.client import Client

pytestmark = pytest.mark.slow

CONSUMER = """
import asyncio, sys
from worker.client import Client

async def main():
    async with Client(sys.argv[1]) as client:
        jobs = await client.next(10, wait_s=10, lease_s=2)
        print(*(job.id for job in jobs), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def counts(client: Client, group: str) -> dict[str, int]:
    """How many jobs of a group are in each status, where there are any."""
    found = (await client.group(group)).counts
    return {status: getattr(found, status) for status in STATUSES if getattr(found, status)}


async def test_a_killed_consumers_jobs_come_back(broker: Callable[..., tuple[Program, str]]) -> None:
    """A consumer is killed with -9 while it holds ten jobs; all are handed out again within lease and 1 s."""
    _, url = broker()
    async with Client(url) as client:
        made = await client.enqueue("g", [NewJob(image="i")] * 10)
        consumer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CONSUMER, url, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        assert consumer.stdout is not None
        held = (await consumer.stdout.readline()).decode().split()
        consumer.kill()
        await consumer.wait()
        assert held == [job.id for job in made]

        [first] = await asyncio.wait_for(client.next(wait_s=10), 3)
        await asyncio.sleep(0.1)  # all ten leases ended at one moment; the reaper takes them back in one step
        again = [first, *await client.next(10)]
        assert [job.id for job in again] == held
        assert {job.deliveries for job in again} == {2}


async def test_a_killed_broker_loses_nothing(broker: Callable[..., tuple[Program, str]], folder: Path) -> None:
    """The broker is killed with -9; started again on its folder, it has every job, and who held one still holds it."""
    program, url = broker()
    async with Client(url) as client:
        await client.enqueue("g", [NewJob(image="i")] * 100)
        [held] = await client.next()
    program.end()
    _, url = broker()
    async with Client(url) as client:
        assert await counts(client, "g") == {"queued": 99, "running": 1}
        assert (await client.succeed("g", held.id, held.lease)).status == "succeeded"


async def test_a_stopped_broker_answers_those_who_wait(broker: Callable[..., tuple[Program, str]]) -> None:
    """At SIGTERM a long poll is answered with no job, and the broker ends with 0."""
    program, url = broker()
    async with Client(url) as client:
        waiting = asyncio.create_task(client.next(wait_s=30))
        await asyncio.sleep(0.3)  # the poll is on its way; nothing outside tells when it waits
        code = await asyncio.to_thread(program.stop)
        assert code == 0
        assert await waiting == []


@pytest.fixture(params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[Callable[[], tuple[str, int]]]:
    """Starts a real server with AOF in a folder, again after it was killed; its address and pid."""
    program = server_program(request.param)
    started: list[subprocess.Popen[bytes]] = []

    def start() -> tuple[str, int]:
        (folder / "store.sock").unlink(missing_ok=True)
        url, process = start_server(program, folder, "--appendonly", "yes")
        started.append(process)
        return url, process.pid

    yield start
    for process in started:
        process.kill()
        process.wait()


async def test_a_killed_store_is_only_away(
    server: Callable[[], tuple[str, int]], broker: Callable[..., tuple[Program, str]]
) -> None:
    """The store is killed with -9: every answer is a 503 until it is back, then all acknowledged jobs are there."""
    store_url, pid = server()
    _, url = broker("--redis-url", store_url)
    async with Client(url) as client:
        await client.enqueue("g", [NewJob(image="i")] * 100)
        with Redis.from_url(store_url) as store:
            write_through(store)
        os.kill(pid, signal.SIGKILL)
        for call in (client.next(), client.groups(), client.enqueue("g", [NewJob(image="i")])):
            with pytest.raises(StoreUnavailable) as refused:
                await asyncio.wait_for(call, 3)
            assert refused.value.retry_after_s
        server()
        assert await counts(client, "g") == {"queued": 100}
        assert len(await client.next(100)) == 100


async def test_a_killed_workers_jobs_are_finished_by_another(
    broker: Callable[..., tuple[Program, str]], titan: Callable[..., Program]
) -> None:
    """A worker is killed with -9 in the middle of jobs; another one finishes each of them."""
    _, url = broker()
    words = ("worker", "--broker-url", url, "--lease-s", "1", "--concurrency", "4", "--run", "nap=sleep 0.3")
    first = titan(*words)
    async with Client(url) as client:
        await client.enqueue("g", [NewJob(image="nap")] * 12)
        async with asyncio.timeout(20):
            while (await counts(client, "g")).get("succeeded", 0) < 2:
                await asyncio.sleep(0.02)
        first.end()
        second = titan(*words)
        async with asyncio.timeout(20):
            while (await counts(client, "g")) != {"succeeded": 12}:
                await asyncio.sleep(0.05)
    assert second.stop() == 0


async def test_an_unreachable_broker_is_said(unused_tcp_port: int) -> None:
    """A client of a broker that is not there is told so, in words."""
    async with Client(f"http://127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(BrokerUnavailable):
            await client.groups()
