"""Two brokers behind nginx and behind HAProxy, each with its file of deploy/: deploys, logs, limits, hang-ups."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from tests.conftest import server_program, start_server
from tests.deploy import proxies
from tests.deploy.conftest import missing
from tests.deploy.proxies import Proxy, TwoBrokers
from tests.deploy.proxy_load import Load

pytestmark = pytest.mark.slow

PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy"}


class Store:
    """The store of the brokers, and how it is taken away."""

    def __init__(self, folder: Path) -> None:
        self.url, self._server = start_server(server_program("valkey"), folder)

    def end(self) -> None:
        self._server.kill()
        self._server.wait()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    folder = tmp_path / "store"
    folder.mkdir()
    started = Store(folder)
    yield started
    started.end()


@pytest.fixture
def brokers(tmp_path: Path, store: Store) -> Iterator[TwoBrokers]:
    """Two brokers on one store."""
    both = TwoBrokers(tmp_path, store.url, "--trust-proxy", "127.0.0.1")
    try:
        for port in both.ports:
            both.start(port)
        yield both
    finally:
        both.end()


@pytest.fixture(params=PACKAGES)
def proxy(request: pytest.FixtureRequest, deploy: Path, tmp_path: Path, brokers: TwoBrokers) -> Iterator[Proxy]:
    """Each program with its file, in front of the two."""
    program = proxies.where(request.param)
    if program is None:
        missing(f"{request.param} is missing: apt-get install {PACKAGES[request.param]}")
    folder = tmp_path / request.param
    folder.mkdir()
    start, conf = {
        "nginx": (proxies.nginx, deploy / "nginx.conf"),
        "haproxy": (proxies.haproxy, deploy / "haproxy.cfg"),
    }[request.param]
    started = start(str(program), conf, folder, brokers.ports)
    yield started
    started.end()


async def test_rolling_deploy_under_load(proxy: Proxy, brokers: TwoBrokers) -> None:
    """Both brokers are restarted under load: each call succeeds, and each job is finished once."""
    load = Load(proxy.url)
    await load.beside(lambda: proxies.restart_all(brokers))
    assert load.faults == {}
    assert set(load.finished) == load.enqueued
    assert set(load.finished.values()) == {1}
    assert len(load.enqueued) > 500


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the proxy."""
    async with aiohttp.ClientSession(f"{proxy.url}/v1/") as session:
        yield session


async def running_job(client: aiohttp.ClientSession) -> str:
    """The path of a job that was taken just now."""
    async with client.post("groups/mail/jobs", json={"jobs": [{"image": "x"}]}) as answer:
        assert answer.status == 201
    async with client.get("jobs") as answer:
        [job] = (await answer.json())["jobs"]
    return f"groups/mail/jobs/{job['id']}"


async def test_long_poll_lasts_and_is_woken(client: aiohttp.ClientSession, store: Store) -> None:
    """A long poll through the proxy waits, and gets a job that is enqueued meanwhile."""
    poll = asyncio.create_task(client.get("jobs?wait=30"))
    await _polled(store)
    async with client.post("groups/mail/jobs", json={"jobs": [{"image": "x"}]}) as answer:
        [made] = (await answer.json())["jobs"]
    async with await poll as answer:
        assert [job["id"] for job in (await answer.json())["jobs"]] == [made["id"]]


async def test_followed_log_comes_piece_by_piece(client: aiohttp.ClientSession) -> None:
    """Who follows a log reads what was sent while the upload of the rest goes on: no proxy holds it back."""
    path = await running_job(client)
    for piece in ("one\n", "one\ntwo\n"):
        async with client.post(f"{path}/log?more=1", data=piece, headers={"Content-Type": "text/plain"}) as answer:
            assert answer.status == 200
        if piece == "one\n":
            follower = await client.get(f"{path}/log?follow=1")
            assert await asyncio.wait_for(follower.content.readline(), 10) == b"one\n"
    assert await asyncio.wait_for(follower.content.readline(), 10) == b"two\n"
    follower.close()


async def test_large_log_goes_through_both_ways(client: aiohttp.ClientSession) -> None:
    """A log at the broker's limit of 64 MiB is stored and read; one byte more is refused by the broker."""
    path, size = await running_job(client), 64 * 1024 * 1024
    headers = {"Content-Type": "text/plain"}
    async with client.post(f"{path}/log", data=_pieces(size), headers=headers) as answer:
        assert answer.status == 200
    async with client.get(f"{path}/log") as answer:
        assert sum([len(piece) async for piece in answer.content.iter_any()]) == size
    async with client.post(f"{path}/log", data=io.BytesIO(b"x" * (size + 1)), headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (413, "too_large")


async def test_large_bodies_are_refused_as_json(client: aiohttp.ClientSession) -> None:
    """A body above 8 MiB gets the contract's error, whoever refuses it; one below it goes through."""
    for size, status in ((7, 400), (8.5, 413), (10, 413)):
        text = json.dumps({"jobs": [{"image": "x", "payload": "y" * int(size * 1024 * 1024)}]})
        headers = {"Content-Type": "application/json"}
        async with client.post("groups/mail/jobs", data=io.BytesIO(text.encode()), headers=headers) as answer:
            assert (answer.status, bool((await answer.json())["error"]["code"])) == (status, True)


async def test_hang_up_reaches_the_broker(client: aiohttp.ClientSession, store: Store, brokers: TwoBrokers) -> None:
    """A long poll whose client hangs up ends at the broker too, and takes no job."""
    poll = asyncio.create_task(client.get("jobs?wait=30"))
    await _polled(store)
    poll.cancel()
    async with asyncio.timeout(5):
        while not await _hang_ups(brokers):
            await asyncio.sleep(0.02)
    path = await running_job(client)
    async with client.get(path) as answer:
        assert (await answer.json())["job"]["deliveries"] == 1


async def test_pages_of_the_proxys_own_name_may_change_something(client: aiohttp.ClientSession, proxy: Proxy) -> None:
    """The broker sees the host and port that the browser used, so its guard tells own pages from foreign ones."""
    https = proxy.url.replace("http:", "https:")  # the trusted proxy says that the browser used http
    for origin, status in ((proxy.url, 201), (proxy.url[:-1], 403), (https, 403), ("https://example.org", 403)):
        headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin" if status == 201 else "cross-site"}
        async with client.post("groups/a/jobs", json={"jobs": [{"image": "x"}]}, headers=headers) as answer:
            assert answer.status == status


async def test_numbers_of_one_broker_are_not_shown(proxy: Proxy) -> None:
    """/metrics is answered 404 by the proxy, since the next scrape would get another broker's."""
    async with aiohttp.ClientSession() as session, session.get(f"{proxy.url}/metrics") as answer:
        assert answer.status == 404


async def test_store_that_is_down_is_told_by_a_broker(
    client: aiohttp.ClientSession, store: Store, proxy: Proxy
) -> None:
    """With no broker ready, clients get the broker's 503 with its JSON and Retry-After, not a page of the proxy's."""
    store.end()
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        for _ in range(3):
            async with client.get("groups/mail") as answer:
                problem: Any = await answer.json()
                assert (answer.status, problem["error"]["code"]) == (503, "store_unavailable")
                assert answer.headers["Retry-After"]
            async with session.get(f"{proxy.url}/readyz") as ready:
                assert ready.status == 503


async def _polled(store: Store) -> None:
    """Wait until a long poll that found nothing has left its broker's name in the store."""
    async with Redis.from_url(store.url) as server, asyncio.timeout(10):
        while not await server.exists("titan:{0}:pollers"):
            await asyncio.sleep(0.01)


async def _hang_ups(brokers: TwoBrokers) -> int:
    """How many clients of `next` hung up, by the brokers' own counts."""
    name, count = 'titan_requests_total{status="499",verb="next"} ', 0.0
    async with aiohttp.ClientSession() as session:
        for port in brokers.ports:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                lines = (await answer.text()).splitlines()
            count += sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))
    return int(count)


async def _pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 65_536):
        yield b"y" * 65_536
