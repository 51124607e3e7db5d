"""A store that does not answer, or may not write: StoreUnavailable in time, and nothing is sent twice."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from broker.core.errors import NotFound, StoreUnavailable
from broker.core.settings import BrokerSettings
from broker.models.jobs import NewJob
from broker.resp.client import connect
from broker.resp.marks import PartitionsDiffer
from broker.resp.redis_private import parse_error
from broker.resp.replies_to_errors import error_of
from tests.stores import Store
from tests.unit.conftest import free_port
from tests.unit.every_verb import refused

LIMIT_S = 0.3
SETTINGS = BrokerSettings(key_prefix="test", store_timeout_s=LIMIT_S)
ONE = [NewJob(image="x")]
RUNBOOK = (Path(__file__).parents[2] / "broker" / "docs" / "runbook.md").read_text("utf-8")


@pytest.fixture
async def on():
    """Opens a store at an address; all are closed afterwards."""
    clients = []

    def store_on(url):
        clients.append(connect(url, LIMIT_S, 4))
        return Store(clients[-1], SETTINGS)

    yield store_on
    for client in clients:
        await client.aclose()


async def test_nobody_listens(on):
    """A refused connection is StoreUnavailable at once, with the time to try again."""
    store = on(f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(StoreUnavailable) as away:
        await store.enqueue("maps", ONE)
    assert away.value.retry_after_s == 1
    assert isinstance(away.value.__cause__, Exception)


async def test_a_frozen_store_is_unavailable_in_time_and_gets_the_script_once(on, own_server):
    """A store that hangs is given up after the timeout; when it wakes it finds what was sent, once and not again."""
    url, server = own_server()
    store = on(url)
    await store.open()
    await store.enqueue("maps", ONE)
    os.kill(server.pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        outcomes = await asyncio.gather(*(refused(store.enqueue("maps", ONE)) for _ in range(3)))
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert outcomes == [StoreUnavailable] * 3
    assert time.monotonic() - began < LIMIT_S + 0.7
    await store.next(10)
    await asyncio.sleep(LIMIT_S)  # were anything resent, it would be there by now
    calls = (await store.redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert (await store.groups.show("maps")).counts.running + (await store.groups.show("maps")).counts.queued <= 4
    assert calls <= 1 + 1 + 3 + 2  # enqueue (twice: it was not loaded), three that hung, next (twice)


async def test_a_store_that_comes_back_is_used_again(on, own_server, tmp_path):
    """Connections that died are opened again by the next call, without a fault."""
    url, _ = own_server()
    store = on(url)
    await store.open()
    await store.enqueue("maps", ONE)
    async with Redis.from_url(url) as other:
        await other.client_kill_filter(_type="normal", skipme=True)
    assert len((await store.enqueue("maps", ONE)).jobs) == 1


async def test_a_replica_is_unavailable(on, own_server):
    """A store that may not write refuses what moves jobs, and still shows what it has."""
    url, _ = own_server()
    store = on(url)
    [job] = (await store.enqueue("maps", ONE)).jobs
    await store.redis.execute_command("REPLICAOF", "127.0.0.1", free_port())
    assert await refused(store.enqueue("maps", ONE)) is StoreUnavailable
    assert await refused(store.next(1)) is StoreUnavailable
    assert await refused(store.reap(1)) is StoreUnavailable
    assert await refused(store.ready()) is StoreUnavailable
    assert await store.show("maps", job.id) == job


async def test_a_store_that_forbids_us_is_unavailable(on, own_server):
    """A user without the right to run scripts is a fault of the store, not of the request."""
    url, _ = own_server()
    store = on(url)
    await store.redis.execute_command("ACL", "SETUSER", "poor", "on", ">word", "+@all", "-evalsha", "~*")
    poor = Redis.from_url(url, username="poor", password="word")
    assert await refused(Store(poor, SETTINGS).next(1)) is StoreUnavailable
    await poor.aclose()


@pytest.mark.parametrize(
    "reply",
    [
        "MASTERDOWN Link with MASTER is down",
        "CLUSTERDOWN Hash slot not served",
        "TRYAGAIN Multiple keys",
        "MOVED 1 127.0.0.1:1",
        "MISCONF No",
        "NOREPLICAS Not enough",
        "BUSY Redis is busy",
        "UNKILLABLE Sorry",
        "NOPERM No",
        "READONLY You can't write",
    ],
)
async def test_faults_of_the_store_are_unavailable(on, valkey_url, reply):
    """A server's own error is no refusal of ours; its message is reported, and the runbook has it."""
    pipeline = on(valkey_url).redis.pipeline(transaction=False)
    pipeline.eval(f'return redis.error_reply("{reply}")', 0)
    [fault] = await pipeline.execute(raise_on_error=False)
    away, word = error_of(fault), reply.partition(" ")[0]
    assert type(away) is StoreUnavailable
    assert f"({word})" in away.message
    assert f"({word})" in RUNBOOK


@pytest.mark.parametrize("word", ["LOADING", "NOAUTH"])
def test_faults_of_a_connection_are_unavailable(word):
    """The same for what a server says of the connection, which redis-py raises where it is met."""
    away = error_of(parse_error(f"{word} No."))
    assert type(away) is StoreUnavailable
    assert f"({word})" in away.message
    assert f"({word})" in RUNBOOK


async def test_a_caller_that_goes_away_leaves_the_call_whole(on, valkey_url):
    """A call that has begun is carried out though nobody waits for it any more, and its connection stays in step."""
    store = on(valkey_url)
    group = f"left-{os.urandom(4).hex()}"
    await asyncio.gather(*(store.enqueue(group, ONE) for _ in range(3)))
    calls = [asyncio.ensure_future(store.show(group, "0" * 16)) for _ in range(8)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert (await store.groups.show(group)).counts.queued == 3
    with pytest.raises(NotFound):
        await store.show(group, "0" * 16)


async def test_open_with_another_number_of_partitions(store, redis, backend):
    """A store that was set up with other partitions is refused, and the message says how to start."""
    settings = BrokerSettings(key_prefix=store.settings.key_prefix, partitions=2)
    with pytest.raises(PartitionsDiffer, match="--partitions 1"):
        await Store(redis, settings, is_plain=backend == "fake").open()
