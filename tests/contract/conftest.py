"""The store of these tests: its clock stands at NOW until a test moves it, with as many partitions as it asks."""

import msgspec
import pytest

from broker.config import BrokerSettings
from broker.store import Store
from tests.conftest import NOW


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
