"""A broker that serves over HTTP in this process, and a client of it; the clock stands still until a story moves it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web

from broker.core.settings import BrokerSettings
from broker.http.app import Broker, make_app
from broker.http.server.runner import BrokerRunner
from broker.logs.storage import open_logs
from broker.reaper.reaper import Reaper
from broker.resp.client import connect_listener
from broker.resp.notifier import Notifier
from tests.conftest import NOW
from tests.stores import Store
from worker.client import Client


@pytest.fixture(params=["fake", "valkey"])
def backend(request: pytest.FixtureRequest) -> str:
    """The stories run in tasks on fakeredis, and inline on the Valkey that production runs."""
    return str(request.param)


@pytest.fixture
async def notifier(store: Store) -> AsyncIterator[Notifier]:
    """Those who wait for jobs."""
    async with Notifier(connect_listener(store.redis), store.partitions) as notifier:
        yield notifier


@pytest.fixture
def reaper(store: Store, notifier: Notifier, settings: BrokerSettings, tmp_path: Path) -> Reaper:
    """The reaper; a story runs it by hand."""
    return Reaper(store, open_logs(str(tmp_path), settings.max_log_bytes), notifier)


@pytest.fixture
async def client(
    store: Store, notifier: Notifier, reaper: Reaper, settings: BrokerSettings, tmp_path: Path
) -> AsyncIterator[Client]:
    """A producer and consumer in one."""
    logs = open_logs(str(tmp_path), settings.max_log_bytes)
    runner = BrokerRunner(make_app(Broker(store, logs, notifier, settings, reaper)), settings, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with Client(f"http://{host}:{port}") as client:
        yield client
    await runner.cleanup()


@pytest.fixture
def later(store: Store) -> Callable[[float], None]:
    """Moves the clock on by seconds."""
    store.now = str(NOW)

    def move(seconds: float) -> None:
        store.now = str(int(store.now) + round(seconds * 1000))

    return move
