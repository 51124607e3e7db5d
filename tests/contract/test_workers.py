"""Workers that announce themselves, and the orders that wait for them."""

import pytest

from broker.core.errors import LimitReached, NotFound
from broker.models.workers import KEPT_S, Announcement, Order
from tests.conftest import NOW
from tests.stores import Store


def says(name: str = "w1", **fields: object) -> Announcement:
    """What a worker says of itself."""
    return Announcement(**{"name": name, "host": "h1", "slots": 4, **fields})


def at(store: Store, seconds: float) -> None:
    """Set the clock so long after NOW."""
    store.now = str(NOW + int(seconds * 1000))


async def test_announce_makes_a_worker_known(store: Store) -> None:
    """The announcement of a worker is read as it was sent, with the time of its last heartbeat."""
    at(store, 0)
    orders = await store.workers.announce(says(runner="process", busy=1, running=["0hYjB6dJb7Pq2Xk9"]))
    assert (orders.number, orders.order or None) == (0, None)
    [worker], cursor = await store.workers.list(10)
    assert (worker.name, worker.host, worker.slots, worker.busy, worker.running) == (
        "w1", "h1", 4, 1, ["0hYjB6dJb7Pq2Xk9"],
    )  # fmt: skip
    assert (worker.seen_at, cursor) == ("2026-11-23T19:23:14.165Z", "")
    assert await store.workers.show("w1") == worker


async def test_announce_says_what_a_worker_asks_for(store: Store) -> None:
    """Groups and images of the announcement are listed; a worker that says none, as older ones do, has none."""
    await store.workers.announce(says(groups=["mail"], images=["send", "x y"]))
    worker = await store.workers.show("w1")
    assert (worker.groups, worker.images) == (["mail"], ["send", "x y"])
    await store.workers.announce(says())
    worker = await store.workers.show("w1")
    assert (worker.groups, worker.images) == ([], [])


async def test_announce_keeps_a_worker_for_a_minute(store: Store) -> None:
    """Its keys expire a minute after its last heartbeat; then the worker is not found."""
    await store.workers.announce(says())
    keys = [key async for key in store.redis.scan_iter(f"{store.settings.key_prefix}:*worker*")]
    assert len(keys) == 2
    for key in keys:
        assert 0 < await store.redis.pttl(key) <= KEPT_S * 1000
        await store.redis.pexpire(key, 0)
    assert await store.workers.list(10) == ([], "")
    with pytest.raises(NotFound):
        await store.workers.order("w1", "quiet")


async def test_announce_forgets_those_who_are_silent(store: Store) -> None:
    """A heartbeat removes the names of workers whose last one is more than a minute old."""
    at(store, 0)
    await store.workers.announce(says("old"))
    at(store, KEPT_S)
    await store.workers.announce(says("young"))
    assert await store.redis.zrange(f"{store.partitions[0]}:workers", 0, -1) == [b"young"]


async def test_announce_of_a_worker_that_stops(store: Store) -> None:
    """A worker's announcement that it stops removes it from the list at once."""
    await store.workers.announce(says())
    await store.workers.announce(says(state="stopped"))
    assert await store.workers.list(10) == ([], "")
    assert not await store.redis.exists(f"{store.partitions[0]}:workers")
    with pytest.raises(NotFound):
        await store.workers.show("w1")


async def test_announce_of_one_worker_too_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry is bounded: a new worker above the limit is refused, a known one is still accepted."""
    monkeypatch.setattr("broker.store.workers.MAX_WORKERS", 2)
    await store.workers.announce(says("a"))
    await store.workers.announce(says("b"))
    with pytest.raises(LimitReached):
        await store.workers.announce(says("c"))
    await store.workers.announce(says("a"))


@pytest.mark.parametrize("word", ["quiet", "resume", "drain"])
async def test_order_waits_until_it_is_done(store: Store, word: Order) -> None:
    """An order comes with each heartbeat until the worker reports that it carried it out."""
    await store.workers.announce(says())
    assert (await store.workers.order("w1", word)).order == word
    first = await store.workers.announce(says())
    again = await store.workers.announce(says())
    assert first == again
    assert first.order == word
    after = await store.workers.announce(says(done=first.number))
    assert not after.order
    assert not (await store.workers.show("w1")).order


async def test_order_replaces_an_earlier_one(store: Store) -> None:
    """The last order counts, and a report on the one before does not remove it."""
    await store.workers.announce(says())
    await store.workers.order("w1", "quiet")
    first = await store.workers.announce(says())
    await store.workers.order("w1", "resume")
    second = await store.workers.announce(says(done=first.number))
    assert (second.number, second.order) == (first.number + 1, "resume")


async def test_workers_come_in_pages(store: Store) -> None:
    """Pages go by name, none twice and none left out."""
    for ms, name in enumerate(("c", "a", "b", "d", "e")):  # by time they would have another order
        store.now = str(NOW + ms)
        await store.workers.announce(says(name))
    names, cursor, pages = [], "", 0
    while pages == 0 or cursor:
        found, cursor = await store.workers.list(2, cursor)
        names += [worker.name for worker in found]
        pages += 1
    assert (names, pages) == (["a", "b", "c", "d", "e"], 3)
