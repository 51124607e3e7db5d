"""A broker as a process for the tests of a file, and a group of its own for each test."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import Program
from titan import Client

LIBRARY = Path(__file__).parents[2] / "worker/library"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker."""
    program = Program("broker", "--port", "0", folder=tmp_path_factory.mktemp("s"))
    yield program.says(r"serves on (http://\S+);")[1]
    assert program.stop() == 0
    program.end()


@pytest.fixture
def client(broker: str) -> Iterator[Client]:
    """A client of it."""
    with Client(broker) as client:
        yield client


@pytest.fixture
def group() -> str:
    """A group that no other test has."""
    return f"g-{secrets.token_hex(6)}"
