"""A broker that speaks the dialect of 2016, and one on the same store that does not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest
from aiohttp import web

from broker.core.settings import BrokerSettings
from broker.http.app import Broker, make_app
from broker.http.server.runner import BrokerRunner
from broker.logs.storage import Logs
from broker.resp.notifier import Notifier
from tests.api.client import Http
from tests.api.conftest import backend, logs, notifier
from tests.stores import Store

__all__ = ["backend", "logs", "notifier"]


@asynccontextmanager
async def front(store: Store, logs: Logs, notifier: Notifier, settings: BrokerSettings) -> AsyncIterator[Http]:
    """A client of a front end with these settings."""
    runner = BrokerRunner(make_app(Broker(store, logs, notifier, settings)), settings, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield Http(session, runner)
    await runner.cleanup()


@pytest.fixture
async def today(store: Store, logs: Logs, notifier: Notifier, settings: BrokerSettings) -> AsyncIterator[Http]:
    """A client of the broker without the dialect."""
    async with front(store, logs, notifier, settings) as http:
        yield http


@pytest.fixture
async def http(store: Store, logs: Logs, notifier: Notifier, settings: BrokerSettings) -> AsyncIterator[Http]:
    """A client of the broker with the dialect."""
    async with front(store, logs, notifier, msgspec.structs.replace(settings, dialect="2016")) as http:
        yield http
