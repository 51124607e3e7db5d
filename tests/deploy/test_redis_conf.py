"""deploy/redis.conf, as real servers understand it."""

from pathlib import Path

import pytest
import redis

from broker.embedded.server import OPTIONS
from tests.deploy.servers import StoreServer

IN_FORCE = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "auto-aof-rewrite-min-size": str(256 * 1024**2),
    "maxmemory-policy": "noeviction",
    "maxmemory": str(2 * 1024**3),
    "hash-max-listpack-value": "1024",
    "hash-max-listpack-entries": "64",
    "save": "",
    "bind": "127.0.0.1 -::1",
    "protected-mode": "yes",
}


@pytest.mark.parametrize("name", IN_FORCE)
def test_redis_conf_is_in_force(store_server: StoreServer, name: str) -> None:
    """Redis and Valkey start with the file, and report the values that Titan relies on."""
    with store_server.client() as client:
        assert client.config_get(name) == {name: IN_FORCE[name]}


def test_redis_conf_agrees_with_the_embedded_store(deploy: Path) -> None:
    """A store of one's own keeps, evicts and packs jobs as the embedded one does."""
    rows = dict(line.split(maxsplit=1) for line in (deploy / "redis.conf").read_text().splitlines() if " " in line)
    packing = ["hash-max-listpack-value", "hash-max-listpack-entries"]
    same = ["appendonly", "appendfsync", "auto-aof-rewrite-min-size", "save", "maxmemory-policy", *packing]
    assert {name: rows[name].strip('"') for name in same} == {name: OPTIONS[name] for name in same}


def test_redis_conf_holds_no_secret(deploy: Path) -> None:
    """The file can be published: it holds no password, and loads no module."""
    words = {line.split()[0] for line in (deploy / "redis.conf").read_text().splitlines() if line and line[0] != "#"}
    assert not words & {"requirepass", "masterauth", "user", "loadmodule", "include"}


def test_redis_conf_keeps_what_was_answered_over_a_kill(store_server: StoreServer) -> None:
    """A server that was killed has everything again that it had answered."""
    keys = [f"titan:{number}" for number in range(100)]
    with store_server.client() as client:
        for key in keys:
            client.set(key, "x")
    store_server.kill()
    store_server.start()
    with store_server.client() as client:
        assert client.delete(*keys) == 100


def test_redis_conf_refuses_writes_when_full(store_server: StoreServer) -> None:
    """At maxmemory a write is refused, and nothing is evicted."""
    with store_server.client() as client:
        client.set("titan:kept", "x")
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                client.set("titan:new", "x")
            assert client.get("titan:kept") == "x"
        finally:
            client.config_set("maxmemory", IN_FORCE["maxmemory"])
            client.delete("titan:kept")
