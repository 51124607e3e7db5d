"""What the tests of the command line share."""

import secrets
from collections.abc import Iterator

import pytest

from tests.cli.live import BrokerThread, Titan


@pytest.fixture(scope="session")
def broker_thread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerThread]:
    """A broker that all tests of the session share, each with a group of its own."""
    broker = BrokerThread(tmp_path_factory.mktemp("logs"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def titan(broker_thread: BrokerThread) -> Titan:
    """`titan`, with the address of the broker."""
    return Titan(broker_thread.url)


@pytest.fixture
def group() -> str:
    """The name of a group that no other test has."""
    return f"g{secrets.token_hex(6)}"
