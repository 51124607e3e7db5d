"""The store of these tests: its clock is at NOW until a test moves it; a test chooses the number of partitions."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from broker.core.settings import BrokerSettings
from broker.diagnostics.consistency import check
from broker.resp import keys
from broker.resp.scripts import Scripts
from tests.conftest import NOW, assert_known_keys, somebody_waits
from tests.contract.building import Run
from tests.contract.listening import Heard, listen
from tests.contract.transfers import PARTITIONS
from tests.stores import Store


@pytest.fixture
def partitions() -> int:
    """How many partitions the store has; a test asks for more with `@pytest.mark.parametrize("partitions", [1, 3])`."""
    return 1


@pytest.fixture
def settings(settings: BrokerSettings, partitions: int) -> BrokerSettings:
    return msgspec.structs.replace(settings, partitions=partitions)


@pytest.fixture
async def store(store: Store) -> Store:
    store.now = str(NOW)
    return store


@pytest.fixture
def other(store: Store, redis: Redis, settings: BrokerSettings, backend: str) -> Store:
    """The same store as another broker has it."""
    other = Store(redis, settings, is_plain=backend == "fake")
    other.now = store.now
    return other


@pytest.fixture(params=PARTITIONS, ids=lambda n: f"into-{n}")
async def target(request: pytest.FixtureRequest, store: Store, redis: Redis, backend: str) -> AsyncIterator[Store]:
    """An empty store on the same server, with as many partitions as the test says."""
    settings = msgspec.structs.replace(
        store.settings, key_prefix=f"{store.settings.key_prefix}-b", partitions=request.param
    )
    made = Store(redis, settings, is_plain=backend == "fake")
    made.now = store.now
    yield made
    assert await check(made) == []
    await assert_known_keys(made)


@pytest.fixture
async def woken(store: Store) -> AsyncIterator[Heard]:
    """The groups that became ready since the last look, while somebody waits."""
    await somebody_waits(store)
    async for heard in listen(store, keys.notify(store.partitions[0])):
        yield heard


@pytest.fixture
async def timers(store: Store) -> AsyncIterator[Heard]:
    """The first timers that were published since the last look, in ms."""
    async for heard in listen(store, keys.timer(store.partitions[0])):
        yield heard


@pytest.fixture(params=["carried", "ahead"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How an enqueue sends its specs: with the script, or as staged payloads."""
    if request.param == "ahead":
        monkeypatch.setattr("broker.store.staging.LARGE_BYTES", 0)
    return str(request.param)


@pytest.fixture
def run(store: Store, backend: str) -> Run:
    """Runs a script in the only partition."""
    scripts = Scripts(store.topology, is_plain=backend == "fake")

    async def run(verb: str, *arguments: str | int) -> Any:
        return await scripts.run(verb, store.partitions[0], *arguments)

    return run
