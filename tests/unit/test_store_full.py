"""A store without memory takes no new jobs, and ends those it has."""

import pytest

from broker.core.errors import StoreFull
from broker.core.settings import BrokerSettings
from broker.diagnostics.consistency import check
from broker.models.jobs import NewJob
from broker.resp.client import connect
from tests.stores import Store
from tests.unit.every_verb import finished, held, refused


@pytest.fixture
async def full(own_server):
    """A store with 60 jobs, half of them running, whose memory has then run out."""
    url, _ = own_server("--maxmemory-policy", "noeviction")
    redis = connect(url, 5, 4)
    store = Store(redis, BrokerSettings(key_prefix="test"))
    await store.open()
    await store.enqueue("maps", [NewJob(image="x", payload="y" * 1000, timeout=1)] * 60)
    await redis.config_set("maxmemory", 1)
    yield store
    assert await check(store) == []
    await redis.aclose()


async def test_enqueue_is_refused(full):
    """New jobs, by enqueue or by retry, are StoreFull, and nothing of them is left."""
    job = (await full.next(1))[0]
    await full.succeed("maps", job.id, job.lease)
    before = await full.groups.show("maps")
    assert await refused(full.enqueue("maps", [NewJob(image="x")])) is StoreFull
    assert await refused(full.enqueue("new", [NewJob(image="x")] * 100)) is StoreFull
    assert await refused(full.retry("maps", job.id)) is StoreFull
    assert await full.groups.show("maps") == before


async def test_work_goes_on(full):
    """Jobs are dispatched, touched, finished, released, cancelled, removed and requeued as usual."""
    jobs = await full.next(10)
    assert all(isinstance(end, int) for end in await full.touch([held(job) for job in jobs]))
    first, second, third, fourth, *rest = jobs
    await full.start("maps", first.id, first.lease)
    await full.log("maps", first.id, 12)
    assert (await full.succeed("maps", first.id, first.lease)).status == "succeeded"
    assert (await full.fail("maps", second.id, second.lease)).status == "failed"
    assert (await full.release("maps", third.id, third.lease)).status == "queued"
    assert (await full.cancel("maps", fourth.id)).status == "cancelled"
    assert await full.finish([finished(job) for job in rest[:3]]) == [None, None, None]
    assert await full.remove("maps", first.id)
    full.now = str(10**13)
    assert (await full.reap(100)).requeued == len(rest[3:])


async def test_work_makes_room(full):
    """Once enough jobs are ended and gone, new ones are taken again."""
    for job in await full.next(60):
        await full.succeed("maps", job.id, job.lease)
        await full.remove("maps", job.id)
    await full.redis.config_set("maxmemory", 100_000_000)
    assert (await full.enqueue("maps", [NewJob(image="x")])).jobs[0].status == "queued"
