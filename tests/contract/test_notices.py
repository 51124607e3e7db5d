"""Notices to workers at once: orders, and cancels of running jobs, at any broker of the store."""

import asyncio
from collections.abc import Callable

import pytest

from broker.core.settings import BrokerSettings
from broker.models.jobs import Job
from broker.models.workers import Announcement
from broker.resp import keys
from broker.store.notices import Heard, Notices
from tests.contract.building import GROUP, delayed, queued, running, spread
from tests.stores import Store

LONG_S = 30


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers look many times a second."""
    monkeypatch.setattr("broker.store.notices.LOOK_S", 0.01)


def everywhere(_: str) -> bool:
    """What a token for all groups reaches."""
    return True


async def waits(
    store: Store, name: str = "w1", seen: str = "", reaches: Callable[[str], bool] = everywhere, wait_s: float = LONG_S
) -> asyncio.Task[Heard]:
    """A worker that waits, behind what it has seen or else from now on."""
    notices = store.workers.notices
    seen = seen or (await notices.hear(name, "", reaches, 0)).seen
    waiting = asyncio.create_task(notices.hear(name, seen, reaches, wait_s))
    await asyncio.sleep(0)
    return waiting


async def told(waiting: asyncio.Task[Heard]) -> Heard:
    """The notices that a waiting worker gets."""
    async with asyncio.timeout(10):
        return await waiting


async def test_hear_of_a_cancel(store: Store) -> None:
    """All waiting workers are notified of a running job that is cancelled, and not of others."""
    workers = [await waits(store, name) for name in ("w1", "w2")]
    for bring in (queued, delayed):
        await store.cancel(GROUP, (await bring(store)).id)
    job = await running(store)
    await store.cancel(GROUP, job.id)
    await store.cancel(GROUP, job.id)
    for heard in [await told(worker) for worker in workers]:
        assert (heard.cancelled, heard.order, heard.has_gap) == ([job.id], None, False)
    assert (await told(await waits(store, seen=heard.seen, wait_s=0.1))).cancelled == ()


async def test_hear_of_cancels_between_two_calls(store: Store) -> None:
    """A notice from a time without a waiting worker is delivered when it waits again, once."""
    worker = await waits(store)
    jobs: list[Job] = []
    seen, heard = "", Heard("")
    for _ in range(3):
        jobs.append(await running(store))
        await store.cancel(GROUP, jobs[-1].id)
        heard = await told(worker if not seen else await waits(store, seen=seen))
        assert list(heard.cancelled) == [jobs[-1].id]
        seen = heard.seen
    assert len({job.id for job in jobs}) == 3


async def test_hear_of_an_order(store: Store) -> None:
    """An order reaches its worker, with the number by which the worker reports that it is done."""
    await store.workers.announce(Announcement(name="w1", host="h"))
    one, other = [await waits(store, name, wait_s=0.5) for name in ("w1", "w2")]
    await store.workers.order("w1", "quiet")
    await store.workers.order("w1", "resume")
    heard = await told(one)
    assert (heard.number, heard.order) in ((1, "quiet"), (2, "resume"))
    assert (await told(other)).order is None
    orders = await store.workers.announce(Announcement(name="w1", host="h"))
    assert (orders.number, orders.order) == (2, "resume")


async def test_hear_at_another_broker(store: Store) -> None:
    """It does not matter which broker cancels. What a worker has seen there says nothing here: there is a gap."""
    other = Store(store.redis, store.settings, is_plain=True)
    there = await waits(other)
    job = await running(store)
    await store.cancel(GROUP, job.id)
    heard = await told(there)
    assert list(heard.cancelled) == [job.id]
    here = await told(await waits(store, seen=heard.seen))
    assert (here.cancelled, here.has_gap) == ((), True)


@pytest.mark.parametrize("seen", ["", "x", "-", "x-1", "-1", "x--1", "x-1-2", "²-²"])
async def test_hear_behind_what_is_unknown(store: Store, seen: str) -> None:
    """Whatever a client says that it has seen, if that is not known it is answered at once that there is a gap."""
    assert (await store.workers.notices.hear("w1", seen, everywhere, LONG_S)).has_gap


async def test_hear_of_what_the_token_reaches(store: Store) -> None:
    """A worker gets no ids of jobs of other groups than its token's."""
    own, every = await waits(store, reaches=GROUP.__eq__, wait_s=0.5), await waits(store)
    job = await running(store, "other")
    await store.cancel("other", job.id)
    assert list((await told(every)).cancelled) == [job.id]
    assert list((await told(own)).cancelled) == []


async def test_hear_when_the_store_has_lost_notices(store: Store) -> None:
    """After a flush, or a failover to a server that is behind, workers are notified of the gap."""
    job = await running(store)
    await store.cancel(GROUP, job.id)
    worker = await waits(store)
    await store.redis.delete(keys.notices(store.partitions[0]))
    assert (await told(worker)).has_gap


async def test_hear_of_more_than_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store keeps 1,000 notices. A broker that missed some reports a gap; one that looked in time knows all."""
    await store.workers.announce(Announcement(name="w1", host="h"))
    monkeypatch.setattr("broker.store.notices.LOOK_S", 60)
    await store.workers.notices.look()
    for _ in range(5):
        await store.workers.order("w1", "quiet")
    await store.workers.notices.look()
    seen = (await store.workers.notices.hear("w1", "", everywhere, 0)).seen
    for _ in range(1000):
        await store.workers.order("w1", "resume")
    [p] = store.partitions
    assert await store.redis.zcard(keys.notices(p)) == 1000
    assert await store.redis.zrange(keys.notices(p), 0, 0) == [b"order w1 6 resume"]
    await store.workers.notices.look()
    heard = await told(await waits(store, seen=seen))
    assert (heard.number, heard.order, heard.has_gap) == (1005, "resume", False)
    for _ in range(1001):
        await store.workers.order("w1", "resume")
    await store.workers.notices.look()
    assert (await told(await waits(store, seen=heard.seen))).has_gap
    assert (await told(await waits(store, seen=seen))).has_gap


async def test_hear_of_more_than_a_broker_remembers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that was away for too many notices reports a gap."""
    monkeypatch.setattr("broker.store.notices.MOST", 2)
    notices = store.workers.notices = Notices(store._partitions)
    seen = [(await notices.hear("w1", "", everywhere, 0)).seen]
    for _ in range(3):
        await store.cancel(GROUP, (await running(store)).id)
        await notices.look()
        seen.append((await notices.hear("w1", "", everywhere, 0)).seen)
    heard = [await notices.hear("w1", one, everywhere, 0.05) for one in seen]
    assert [(len(one.cancelled), one.has_gap) for one in heard] == [(0, True), (2, False), (1, False), (0, False)]


async def test_hear_ends_at_a_stop(store: Store) -> None:
    """A broker that stops lets everyone go."""
    workers = [await waits(store, name) for name in ("w1", "w2")]
    store.workers.notices.stop()
    assert [(await told(worker)).cancelled for worker in workers] == [(), ()]


async def test_hear_costs_the_store_no_more_for_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers read the store's notices once for all workers that wait, and not at all for none."""
    looks: list[str] = []
    run_where = store._partitions.run_where

    async def counted(verb: str, names: list[str], arguments: list[list[str]]) -> object:
        looks.append(verb)
        return await run_where(verb, names, arguments)

    monkeypatch.setattr(store._partitions, "run_where", counted)
    monkeypatch.setattr("broker.store.notices.LOOK_S", 0.2)
    for wait_s in (0.5, 0.5):
        before = len(looks)
        workers = [await waits(store, f"w{number}", wait_s=wait_s) for number in range(50)]
        await asyncio.gather(*workers)
        assert 1 <= len(looks) - before <= 6
    before = len(looks)
    await asyncio.sleep(0.5)
    assert len(looks) - before <= 1


class TestPartitions:
    """Groups in several partitions."""

    @pytest.fixture
    def settings(self, settings: BrokerSettings) -> BrokerSettings:
        """Three of them."""
        return BrokerSettings(key_prefix=settings.key_prefix, store_timeout_s=5, partitions=3)

    async def test_hear_of_a_cancel_in_each(self, store: Store) -> None:
        """A worker is notified of its jobs in every partition."""
        seen = (await store.workers.notices.hear("w1", "", everywhere, 0)).seen
        for group in spread(store):
            job = await running(store, group)
            await store.cancel(group, job.id)
            heard = await told(await waits(store, seen=seen))
            assert list(heard.cancelled) == [job.id]
            seen = heard.seen
