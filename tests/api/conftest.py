"""A broker's front end, on the in-memory store and on the Valkey that production runs."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from broker.auth.grants import Access
from broker.core.settings import BrokerSettings
from broker.http.app import Broker, make_app
from broker.http.server.runner import BrokerRunner
from broker.logs.storage import Logs, open_logs
from broker.resp.client import connect_listener
from broker.resp.notifier import Notifier
from tests.api.client import Http
from tests.stores import Store


@pytest.fixture(params=["fake", "valkey"])
def backend(request: pytest.FixtureRequest) -> str:
    """Both ways in which requests run: in tasks on fakeredis, which needs no server, and inline on a real one."""
    return str(request.param)


@pytest.fixture
def logs(tmp_path: Path, settings: BrokerSettings) -> Logs:
    """A folder for logs."""
    return open_logs(str(tmp_path / "logs"), settings.max_log_bytes)


@pytest.fixture
async def notifier(store: Store) -> AsyncIterator[Notifier]:
    """Those who wait."""
    async with Notifier(connect_listener(store.redis), store.partitions) as notifier:
        yield notifier


@pytest.fixture
def reaper() -> SimpleNamespace:
    """What readyz sees of a reaper."""
    return SimpleNamespace(fault="")


@pytest.fixture
def access() -> Access:
    """Who is let in: everybody."""
    return Access()


@pytest.fixture
async def http(
    store: Store, logs: Logs, notifier: Notifier, settings: BrokerSettings, reaper: Any, access: Access
) -> AsyncIterator[Http]:
    """A client of a broker that serves."""
    store.wake_at_enqueue(notifier.wake)
    app = make_app(Broker(store, logs, notifier, settings, reaper, access))
    runner = BrokerRunner(app, settings, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield Http(session, runner)
    await runner.cleanup()


@pytest.fixture
def snapshot(store: Store) -> Callable[[], Awaitable[dict[bytes, bytes | None]]]:
    """Everything that the store keeps, but for the audit, which has refusals too: for tests that nothing changed."""

    async def take() -> dict[bytes, bytes | None]:
        names = [key async for key in store.redis.scan_iter("*") if not key.endswith(b":audit")]
        return {key: await store.redis.dump(key) for key in names}

    return take
