"""A server that moves to another address: connections to the old one end, and new ones lead to the new one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Away

from broker.resp.client import connect, connect_listener
from broker.resp.moving_server import MovingServer
from broker.resp.multiplexer import Multiplexer
from tests.conftest import eventually
from tests.unit.conftest import free_port


class Moving(NamedTuple):
    """A server that is at the first of two ports, with both kinds of connections to it."""

    server: MovingServer
    multiplexer: Multiplexer
    redis: Redis
    ports: tuple[int, int]

    def move(self, *, leaves_at_once: bool = True) -> None:
        """Move it to the second port."""
        self.server.move(("127.0.0.1", self.ports[1]), "a test", leaves_at_once=leaves_at_once)


@pytest.fixture
async def moving(own_server: Callable[..., object]) -> AsyncIterator[Moving]:
    """Two servers, each of which has its number in the key `me`."""
    ports = free_port(), free_port()
    for number, port in enumerate(ports):
        own_server("--port", str(port))
        async with Redis(port=port) as client:
            await client.set("me", number)

    async def find() -> tuple[str, int]:
        if server.place is None:
            server.move(("127.0.0.1", ports[0]), "found")
        return server.place or ("", 0)

    server = MovingServer("it", find, must_be_primary=True)
    url = f"redis://127.0.0.1:{ports[0]}"
    multiplexer = Multiplexer(url, timeout_s=5, resolve=server, must_be_primary=True)
    server.multiplexer, redis = multiplexer, connect(url, 5, 4, server)
    yield Moving(server, multiplexer, redis, ports)
    await server.close()
    await multiplexer.close()
    await redis.aclose()


async def test_move_closes_every_connection(moving: Moving) -> None:
    """Calls in flight fail, of the multiplexer and of redis-py; the next ones reach the other server."""
    assert await moving.multiplexer.call("GET", "me") == b"0"
    blocked = moving.multiplexer.call("BLPOP", "none", 0)
    waiting = asyncio.create_task(moving.redis.blpop(["none"], 0))
    async with Redis(port=moving.ports[0]) as client:
        async with asyncio.timeout(5):
            while (await client.info("clients"))["blocked_clients"] != 2:
                pass
    idle = await moving.redis.get("me")
    assert (idle, moving.server.moves) == (b"0", 0)
    moving.move()
    with pytest.raises(Away, match=r"it has moved to 127\.0\.0\.1"):
        await blocked
    with pytest.raises(Away):
        await waiting
    assert await moving.multiplexer.call("GET", "me") == b"1"
    assert await moving.redis.get("me") == b"1"
    assert moving.server.moves == 1


async def test_move_closes_pub_sub(moving: Moving) -> None:
    """A listener hears that its connection ended, and listens to the other server when it tries again."""
    listener = connect_listener(moving.redis)
    async with listener.pubsub() as channels:
        await channels.subscribe("news")
        messages = channels.listen()
        assert (await anext(messages))["type"] == "subscribe"
        moving.move()
        with pytest.raises(Away):
            await anext(messages)
    async with listener.pubsub() as channels:
        await channels.subscribe("news")
        async with Redis(port=moving.ports[1]) as client:
            assert (await client.pubsub_numsub("news"))[0][1] == 1
    await listener.aclose()


async def test_move_that_waits_for_replies(moving: Moving) -> None:
    """When a slot moves, calls in flight get their replies from the old node, while new ones go to the new node."""
    waiting = moving.multiplexer.call("BLPOP", "list", 0)
    async with Redis(port=moving.ports[0]) as client:
        async with asyncio.timeout(5):
            while not (await client.info("clients"))["blocked_clients"]:
                pass
        moving.move(leaves_at_once=False)
        assert await moving.multiplexer.call("GET", "me") == b"1"
        await client.rpush("list", "a")
        assert await waiting == [b"list", b"a"]
        async with asyncio.timeout(5):
            while len(await client.client_list()) > 1:
                pass


async def test_replica_is_not_used(moving: Moving) -> None:
    """A server that is named as the primary, and is none, gets no call, from neither kind of connection."""
    async with Redis(port=moving.ports[0]) as client:
        await client.replicaof("127.0.0.1", moving.ports[1])
        for call in (lambda: moving.multiplexer.call("SET", "x", 1), lambda: moving.redis.set("x", 1)):
            with pytest.raises(Away, match="no primary"):
                await call()
        await client.replicaof("NO", "ONE")
    assert await moving.multiplexer.call("SET", "x", 1) == b"OK"
    assert await moving.redis.get("x") == b"1"


async def test_trouble_is_noticed(moving: Moving) -> None:
    """A reply that shows another role, or too few replicas, has the address asked for; other errors do not."""
    seen: list[str] = []
    moving.server.on_trouble = seen.append
    moving.multiplexer.on_error = moving.server.refused
    async with Redis(port=moving.ports[0]) as client:
        await moving.redis.get("me")
        await client.config_set("min-replicas-to-write", 1)
        for _ in range(2):
            with pytest.raises(Exception, match="NOREPLICAS"):
                await moving.multiplexer.call("SET", "x", 1)
        with pytest.raises(Exception, match="NOREPLICAS"):
            await moving.redis.set("x", 1)
        assert seen == ["NOREPLICAS"] * 3
        await client.config_set("min-replicas-to-write", 0)
        with pytest.raises(Exception, match="wrong number"):
            await moving.multiplexer.call("SET", "x")
        await client.replicaof("127.0.0.1", moving.ports[1])
        with pytest.raises(Exception, match="read only"):
            await moving.multiplexer.call("SET", "x", 1)
    await eventually(lambda: seen[3:] == ["READONLY"])
