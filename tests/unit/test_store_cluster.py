"""A store in cluster mode, with several partitions: every script stays inside one slot."""

import secrets

import pytest
from redis.asyncio import Redis

from broker.core.errors import StoreUnavailable
from broker.core.settings import BrokerSettings
from broker.diagnostics.consistency import check
from broker.models.jobs import NewJob
from broker.resp import keys
from tests.stores import Store
from tests.unit.every_verb import call_every_verb, refused


@pytest.fixture
async def clustered(cluster_url):
    """A store of three partitions on a cluster of one node."""
    redis = Redis.from_url(cluster_url)
    store = Store(redis, BrokerSettings(key_prefix=f"test-{secrets.token_hex(6)}", partitions=3))
    await store.open()
    yield store
    assert await check(store) == []
    await redis.aclose()


async def test_every_verb_stays_in_its_slot(clustered):
    """A cluster takes every script, though its groups lie in three slots."""
    reaped = await call_every_verb(clustered)
    assert reaped.wait_ms is not None
    used = {keys.partition_of(group.name, 3) for group in (await clustered.groups.list(100))[0]}
    assert used == {0, 1, 2}


async def test_next_goes_round_the_partitions(clustered):
    """Jobs of every partition are found, from whichever is asked first, and each is dispatched once."""
    names = [f"group-{n}" for n in range(12)]
    for name in names:
        await clustered.enqueue(name, [NewJob(image="x")])
    jobs = [job for _ in range(4) for job in await clustered.next(3)]
    assert sorted(job.group_name for job in jobs) == sorted(names)
    assert await clustered.next(1) == []


async def test_groups_are_listed_over_partitions(clustered):
    """Pages of groups go by creation through all partitions, none twice and none left out."""
    names = [f"group-{n}" for n in range(10)]
    for number, name in enumerate(names):
        clustered.now = str(1_795_461_794_165 + number // 2)
        await clustered.enqueue(name, [NewJob(image="x")])
    clustered.now = ""
    seen, cursor = [], ""
    while True:
        page, cursor = await clustered.groups.list(3, cursor)
        seen += [group.name for group in page]
        if not cursor:
            break
    assert sorted(seen) == sorted(names)
    assert [int(name.removeprefix("group-")) // 2 for name in seen] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


async def test_a_slot_that_is_elsewhere_is_a_fault_of_the_store(clustered):
    """A slot that this node does not serve makes the store unavailable, not the request wrong."""
    slot = await clustered.redis.execute_command("CLUSTER KEYSLOT", "1")
    groups = [f"group-{n}" for n in range(12)]
    there = next(name for name in groups if keys.partition_of(name, 3) == 1)
    await clustered.redis.execute_command("CLUSTER DELSLOTS", slot)
    try:
        assert await refused(clustered.enqueue(there, [NewJob(image="x")])) is StoreUnavailable
    finally:
        await clustered.redis.execute_command("CLUSTER ADDSLOTS", slot)
        while (await clustered.redis.execute_command("CLUSTER INFO"))["cluster_state"] != "ok":
            await clustered.redis.ping()
