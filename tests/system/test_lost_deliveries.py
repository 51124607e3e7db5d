"""A consumer that is gone before it was answered, at a broker that runs: its jobs are back at once, and not counted."""

import asyncio
import signal
import socket
import struct
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from broker.models.jobs import NewJob
from tests.system.conftest import Program
from worker.client import Client

pytestmark = pytest.mark.slow


def hang_up(url: str, path: str, *, is_rude: bool) -> socket.socket:
    """A request whose answer nobody will read; a rude end is a reset."""
    parts = urlsplit(url)
    link = socket.create_connection((parts.hostname, parts.port), 5)
    link.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    if is_rude:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return link


@pytest.mark.parametrize("is_rude", [False, True])
async def test_clients_that_hang_up_hold_no_job(broker: Callable[..., tuple[Program, str]], is_rude: bool) -> None:
    """Thirty requests are cut off before they are answered; all jobs are there within a second, none counted."""
    program, url = broker()
    async with Client(url) as client:
        made = await client.enqueue("g", [NewJob(image="i", timeout=600)] * 30)
        program.started.send_signal(signal.SIGSTOP)  # else it may answer before the client is gone
        for _ in range(30):
            hang_up(url, "/v1/jobs?n=1", is_rude=is_rude).close()
        program.started.send_signal(signal.SIGCONT)
        await asyncio.to_thread(said, f"{url}/healthz")  # what came before it is read by now
        assert await _free(client, url) == [job.id for job in made]
        jobs = await client.next(30)
        assert [job.id for job in jobs] == [job.id for job in made]
        assert {job.deliveries for job in jobs} == {1}


@pytest.mark.parametrize("is_rude", [False, True])
async def test_a_client_that_hung_up_in_a_long_poll_gets_no_job(
    broker: Callable[..., tuple[Program, str]], is_rude: bool
) -> None:
    """Those who waited and went away are passed over when jobs come; the next one has each as a first delivery."""
    _, url = broker()
    async with Client(url) as client:
        polls = [hang_up(url, "/v1/jobs?wait=30&n=10", is_rude=is_rude) for _ in range(10)]
        await asyncio.sleep(0.3)  # nothing outside tells that they wait
        for poll in polls[:5]:
            poll.close()
        made = asyncio.create_task(client.enqueue("g", [NewJob(image="i", timeout=600)] * 20))
        for poll in polls[5:]:
            poll.close()
        ids = [job.id for job in await made]
        assert await _free(client, url) == ids
        assert {job.deliveries for job in await client.next(20)} == {1}


@pytest.mark.parametrize("is_rude", [False, True])
async def test_clients_that_hang_up_in_line_take_no_room(
    broker: Callable[..., tuple[Program, str]], folder: Path, is_rude: bool
) -> None:
    """Of many clients that wait their turn and are gone at once nothing stays in progress: others are answered."""
    program, url = broker("--max-in-progress", "3")
    with Redis(unix_socket_path=str(folder / "titan-data" / "valkey.sock")) as store:
        store.client_pause(500)  # so that all are there, in progress or in line, when they leave
    links = [hang_up(url, "/v1/jobs?group=none", is_rude=is_rude) for _ in range(60)]
    await asyncio.to_thread(said, f"{url}/healthz")  # what came before it is read by now
    program.started.send_signal(signal.SIGSTOP)  # so that they leave in one turn of its loop
    for link in links:
        link.close()
    program.started.send_signal(signal.SIGCONT)
    async with Client(url) as client, asyncio.timeout(10):
        assert len(await client.enqueue("g", [NewJob(image="i")])) == 1
    told = await asyncio.to_thread(said, f"{url}/metrics")
    assert "titan_requests_in_progress 0.0\n" in told
    assert "titan_requests_waiting 0.0\n" in told


def said(url: str) -> str:
    """What the broker answers."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


async def _free(client: Client, url: str) -> list[str]:
    """The queued jobs, once nobody is served any more and none is running; within 1 s and some slack."""
    async with asyncio.timeout(3):
        while "titan_requests_in_progress 0.0\n" not in await asyncio.to_thread(said, f"{url}/metrics"):
            await asyncio.sleep(0.02)
        while (await client.group("g")).counts.running:
            await asyncio.sleep(0.02)
    jobs, _ = await client.list("g", 100, statuses=["queued"])
    return [job.id for job in jobs]
