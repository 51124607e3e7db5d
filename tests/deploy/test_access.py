"""The store's user of broker/docs/secure.md: enough for a broker, and no more."""

import asyncio
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.deploy.conftest import Need
from tests.deploy.recipes import DOCS, recipes
from tests.deploy.scene import fill
from tests.deploy.servers import StoreServer
from tests.deploy.terminal import run

REFUSED = [
    ("FLUSHALL",),
    ("KEYS", "*"),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("SHUTDOWN",),
    ("GET", "another:key"),
    ("PUBLISH", "another", "x"),
    ("EVAL", "return redis.call('GET', 'another:key')", "0"),
    ("ACL", "LIST"),
]


@pytest.fixture(scope="module")
def url(need: Need, store_server: StoreServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The store's address as that user."""
    need("redis-cli", "apt-get install redis-tools")
    [recipe] = [recipe for recipe in recipes(DOCS / "secure.md") if "ACL SETUSER" in recipe.text]
    assert run(recipe.text, store_server, {}, tmp_path_factory.mktemp("access")) == (0, "OK\n")
    yield f"unix://titan@{store_server.socket}?password=PASSWORD"
    with store_server.client() as client:
        client.flushall()
        client.acl_deluser("titan")


def test_user_may_do_what_a_broker_does(url: str) -> None:
    """Jobs go through every status, and the broker listens and looks at the store's settings."""
    asyncio.run(fill(url))
    with redis.Redis.from_url(url, decode_responses=True) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.info("memory")["maxmemory"]
        assert client.role()[0] == "master"
        with client.pubsub() as listener:
            listener.subscribe("titan:{0}:notify")
            assert listener.get_message(timeout=5)


def test_user_stands_in_a_configuration_too(store_server: StoreServer, tmp_path: Path) -> None:
    """The words after SETUSER, without the shell's quotes, are a line of redis.conf that a server starts with."""
    [recipe] = [recipe for recipe in recipes(DOCS / "secure.md") if "ACL SETUSER" in recipe.text]
    rule = " ".join(shlex.split(recipe.text.partition("SETUSER ")[2]))
    conf = tmp_path / "redis.conf"
    conf.write_text(f"{store_server.conf.read_text()}\nuser {rule}\n")
    server = StoreServer(store_server.program, conf, tmp_path)
    server.start()
    try:
        with server.client() as client:
            assert client.acl_getuser("titan")["enabled"]
    finally:
        server.stop()


@pytest.mark.parametrize("command", REFUSED, ids=" ".join)
def test_user_may_do_nothing_else(url: str, command: tuple[str, ...]) -> None:
    """The store refuses commands for its administrator, and keys and channels that are not Titan's."""
    with redis.Redis.from_url(url) as client, pytest.raises(redis.exceptions.ResponseError, match=r"permission|access"):
        client.execute_command(*command)
