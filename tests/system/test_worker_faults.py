"""A worker with jobs that run, while what is below it is killed and comes back."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from broker.core.errors import StoreUnavailable
from broker.models.jobs import NewJob
from tests.conftest import eventually, write_through
from tests.system.conftest import Program
from worker.client import Client

pytestmark = pytest.mark.slow

Broker = Callable[..., tuple[Program, str]]
Titan = Callable[..., Program]
JOBS = 8


def held_up(gate: Path) -> tuple[str, ...]:
    """Words of a worker whose jobs leave a file each when they begin, and run until the gate is there."""
    command = f"sh -c 'mktemp {gate}.XXXXXX >/dev/null; while [ ! -e {gate} ]; do sleep 0.05; done; echo through'"
    return ("worker", "--lease-s", "20", "--wait-s", "1", "--concurrency", "4", "--run", f"wait={command}")


async def running(gate: Path, n: int) -> None:
    """Wait until so many jobs run at the worker: the store has them running before it knows of them."""
    await eventually(lambda: len(list(gate.parent.glob(f"{gate.name}.*"))) >= n, 20)


async def count_of_succeeded(client: Client) -> int:
    """Ask how many jobs have succeeded; 0 while a store that was just started again does not answer yet."""
    try:
        return (await client.group("g")).counts.succeeded
    except StoreUnavailable:
        return 0


async def succeeded(client: Client) -> None:
    """Wait until all jobs have succeeded, and see that each was handed out once, and has its log."""
    async with asyncio.timeout(40):
        while await count_of_succeeded(client) < JOBS:
            await asyncio.sleep(0.05)
    jobs, _ = await client.list("g", JOBS)
    assert [job.deliveries for job in jobs] == [1] * JOBS
    for job in jobs:
        assert b"".join([piece async for piece in client.read_log("g", job.id)]) == b"through\n"


async def test_worker_through_a_killed_broker(broker: Broker, titan: Titan, tmp_path: Path) -> None:
    """The broker is killed with -9 and comes back: what runs ends, is reported then, and is run once only."""
    program, url = broker()
    worker = titan(*held_up(tmp_path / "gate"), "--broker-url", url)
    async with Client(url) as client:
        await client.enqueue("g", [NewJob(image="wait")] * JOBS)
        await running(tmp_path / "gate", 4)
    program.end()
    (tmp_path / "gate").touch()
    worker.says("trying again until it works")
    broker("--port", url.rpartition(":")[2])
    async with Client(url) as client:
        await succeeded(client)
    assert worker.stop() == 0


async def test_worker_through_a_killed_store(broker: Broker, titan: Titan, folder: Path, tmp_path: Path) -> None:
    """The same of the store, which its broker starts again."""
    _, url = broker()
    worker = titan(*held_up(tmp_path / "gate"), "--broker-url", url)
    async with Client(url) as client:
        await client.enqueue("g", [NewJob(image="wait")] * JOBS)
        await running(tmp_path / "gate", 4)
        [pid_file] = folder.glob("**/valkey.pid")  # noqa: ASYNC240 -- one look
        killed = pid_file.read_text()
        with Redis(unix_socket_path=str(pid_file.with_name("valkey.sock"))) as store:
            write_through(store)
        os.kill(int(killed), signal.SIGKILL)
        (tmp_path / "gate").touch()
        await eventually(lambda: pid_file.exists() and pid_file.read_text() not in ("", killed), 20)
        await succeeded(client)
    assert worker.stop() == 0
