"""Enqueue with durable=1: answered when the store has the jobs on its disk, or refused in time."""

import asyncio
import signal
import time
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from broker.core.errors import NotDurable, StoreUnavailable
from broker.core.settings import BrokerSettings
from broker.models.jobs import NewJob
from broker.resp.client import connect
from broker.resp.moving_server import MovingServer
from broker.resp.multiplexer import Multiplexer
from broker.resp.write_barrier import WriteBarrier
from tests.conftest import server_program, start_server
from tests.stores import Store

ONE = [NewJob(image="x")]


@asynccontextmanager
async def opened(url, **settings):
    """A store as a broker opens it."""
    given = BrokerSettings(key_prefix="test", **settings)
    redis, wire = connect(url, given.store_timeout_s, 4), Multiplexer(url, timeout_s=given.store_timeout_s)
    store = Store(redis, given, wire)
    try:
        await store.open()
        yield store
    finally:
        await store.close()
        await wire.close()
        await redis.aclose()


async def test_durable_on_a_store_with_a_file(own_server):
    """The jobs are enqueued, the store says that it has synced them, and many at once share a few fences."""
    url, _ = own_server("--appendonly", "yes", "--appendfsync", "everysec")
    async with opened(url) as store:
        await asyncio.gather(*(store.enqueue_durably("maps", ONE) for _ in range(50)))
        assert (await store.groups.show("maps")).counts.queued == 50
        assert (await store.redis.info("commandstats"))["cmdstat_waitaof"]["calls"] < 10
        await asyncio.gather(*(store.enqueue_durably("maps", ONE) for _ in range(50)))
        assert (await store.redis.info("commandstats"))["cmdstat_waitaof"]["calls"] < 20


async def test_durable_waits_for_the_disk(own_server):
    """Where the store syncs once a second, the answer comes with a sync and not before; where always, at once."""
    url, _ = own_server("--appendonly", "yes", "--appendfsync", "always")
    async with opened(url) as store:
        began = time.monotonic()
        await store.enqueue_durably("maps", ONE)
        assert time.monotonic() - began < 0.5
        await store.redis.config_set("appendfsync", "no")
        began = time.monotonic()
        with pytest.raises(NotDurable, match="are enqueued") as late:
            await store.enqueue_durably("maps", ONE)
        assert time.monotonic() - began < 2.5
        assert "Idempotency-Key" in late.value.message
        assert (await store.groups.show("maps")).counts.queued == 2


async def test_durable_repeated_waits_again(own_server):
    """A repeat with the same key, which writes nothing, waits for the first one's jobs in the same way."""
    url, _ = own_server("--appendonly", "yes", "--appendfsync", "no")
    async with opened(url, durable_limit_s=0.2, store_timeout_s=5) as store:  # a busy disk holds the store up
        for _ in range(2):
            with pytest.raises(NotDurable):
                await store.enqueue_durably("maps", ONE, "key")
        await store.redis.config_set("appendfsync", "always")
        assert (await store.enqueue_durably("maps", ONE, "key")).is_replayed
        assert (await store.groups.show("maps")).counts.queued == 1


async def test_durable_without_a_file(own_server):
    """A store without an append-only file is refused before anything is enqueued."""
    url, _ = own_server()
    async with opened(url) as store:
        with pytest.raises(NotDurable, match=r"nothing was enqueued.*appendonly"):
            await store.enqueue_durably("maps", ONE)
        assert (await store.groups.list(10))[0] == []


async def test_durable_when_the_file_goes(own_server):
    """A store whose file is switched off between enqueue and fence is a refusal that says what is enqueued."""
    url, _ = own_server("--appendonly", "yes", "--appendfsync", "always")
    async with opened(url) as store:
        await store.enqueue_durably("maps", ONE)
        await store.redis.config_set("appendonly", "no")
        with pytest.raises(NotDurable, match="are enqueued"):
            await store.enqueue_durably("maps", ONE)
        with pytest.raises(NotDurable, match="nothing was enqueued"):
            await store.enqueue_durably("maps", ONE)


async def test_durable_after_a_move(own_server):
    """A server that took over after an enqueue cannot confirm it; a later enqueue is confirmed."""
    url, _ = own_server("--appendonly", "yes", "--appendfsync", "always")
    moving = MovingServer("it", None, must_be_primary=True)
    redis = connect(url, 5, 4)
    barrier = WriteBarrier(redis, 5, 0, moving)
    moving.move(("old", 1), "found")
    before = barrier.due()
    await barrier.wait("test:{0}", before)
    moving.move(("new", 1), "a failover")
    with pytest.raises(NotDurable, match="are enqueued"):
        await barrier.wait("test:{0}", before)
    await barrier.wait("test:{0}", barrier.due())
    await barrier.close()
    await redis.aclose()


async def test_durable_without_a_replica(own_server):
    """Replicas that are required and missing are a refusal in time."""
    url, _ = own_server("--appendonly", "yes", "--appendfsync", "always")
    async with opened(url, durable_replicas=1, durable_limit_s=0.2) as store:
        with pytest.raises(NotDurable, match="1 replicas"):
            await store.enqueue_durably("maps", ONE)


async def test_durable_on_a_store_that_is_too_old(tmp_path):
    """Redis 7.0, which does not have the command, is refused with a message of its own, and nothing is enqueued."""
    url, server = start_server(server_program("redis"), tmp_path, "--appendonly", "yes")
    try:
        async with opened(url) as store:
            version = (await store.redis.info("server"))["redis_version"]
            if tuple(map(int, version.split(".")[:2])) >= (7, 2):
                assert (await store.enqueue_durably("maps", ONE)).jobs
                return
            with pytest.raises(NotDurable, match=r"nothing was enqueued.*unknown command"):
                await store.enqueue_durably("maps", ONE)
            assert (await store.groups.list(10))[0] == []
    finally:
        server.kill()
        server.wait()


async def test_durable_while_the_store_is_away(own_server):
    """A store that is gone is as unavailable as to any other call."""
    url, server = own_server("--appendonly", "yes")
    async with opened(url) as store:
        server.kill()
        server.wait()
        with pytest.raises(StoreUnavailable):
            await store.enqueue_durably("maps", ONE)


async def test_durable_on_a_store_that_freezes(own_server, monkeypatch):
    """A store that freezes when it has the jobs, or when it is asked for WAITAOF, is given up in time."""
    url, server = own_server("--appendonly", "yes", "--appendfsync", "everysec")
    async with opened(url) as store:
        await store.enqueue_durably("maps", ONE)
        enqueue = store.enqueuer.enqueue

        async def enqueue_and_freeze(*arguments):
            made = await enqueue(*arguments)
            server.send_signal(signal.SIGSTOP)
            return made

        monkeypatch.setattr(store.enqueuer, "enqueue", enqueue_and_freeze)
        for refusal in (NotDurable, StoreUnavailable):  # after the first it asks again what the store supports
            began = time.monotonic()
            with pytest.raises(refusal):
                await store.enqueue_durably("maps", ONE)
            assert time.monotonic() - began < 1.9
        server.send_signal(signal.SIGCONT)


async def test_durable_holds_nobody_up(own_server):
    """While one waits for the disk, other calls continue."""
    url, _ = own_server("--appendonly", "yes", "--appendfsync", "no")
    async with opened(url) as store, Redis.from_url(url) as other:
        await store.enqueue("maps", ONE)
        waiting = asyncio.create_task(store.enqueue_durably("maps", ONE))
        while not (await other.info("clients"))["blocked_clients"]:
            await asyncio.sleep(0.005)
        async with asyncio.timeout(0.5):
            assert len(await store.next(10)) == 2
        with pytest.raises(NotDurable):
            await waiting
