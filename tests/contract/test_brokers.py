"""The brokers of a store: announce, list and forget."""

import pytest

from broker.models.brokers import KEPT_S, BrokerAnnouncement
from tests.conftest import NOW
from tests.stores import Store


def broker(name: str, version: str = "1.0") -> BrokerAnnouncement:
    """What a broker of this name says of itself."""
    since = "2026-01-01T00:00:00Z"
    return BrokerAnnouncement(
        name=name, version=version, address="http://here:8080", since=since, reads=[1, 2], writes=[1]
    )


async def names(store: Store) -> list[str]:
    """The brokers that are known."""
    return [one.name for one in (await store.brokers.list(100))[0]]


async def test_list_has_what_brokers_say(store: Store) -> None:
    """A broker is listed as it announced itself last, with the time of that."""
    store.now = str(NOW)
    await store.brokers.announce(broker("one", "0.9"))
    store.now = str(NOW + 1)
    await store.brokers.announce(broker("one"))
    [found], after = await store.brokers.list(100)
    assert (found.name, found.version, found.address) == ("one", "1.0", "http://here:8080")
    assert (found.reads, found.writes, after) == ([1, 2], [1], "")
    assert found.seen_at == "2026-11-23T19:23:14.166Z"


async def test_list_in_pages(store: Store) -> None:
    """Pages are in the order of names, and none is left out or repeated."""
    for name in ("c", "a", "d", "b"):
        await store.brokers.announce(broker(name))
    first, after = await store.brokers.list(3)
    rest, end = await store.brokers.list(3, after)
    assert [one.name for one in [*first, *rest]] == ["a", "b", "c", "d"]
    assert (len(first), end) == (3, "")


async def test_forget(store: Store) -> None:
    """A broker that stops is no longer listed; another one is."""
    await store.brokers.announce(broker("one"))
    await store.brokers.announce(broker("two"))
    await store.brokers.forget("one")
    assert await names(store) == ["two"]


@pytest.mark.parametrize("by_ms", [KEPT_S * 1000, -KEPT_S * 1000], ids=["later", "the clock went back"])
async def test_list_without_those_that_are_gone(store: Store, by_ms: int) -> None:
    """A broker is listed for KEPT_S after its last announcement, and then deleted by the next one of another."""
    store.now = str(NOW)
    await store.brokers.announce(broker("old"))
    store.now = str(NOW + by_ms)
    await store.brokers.announce(broker("another"))
    assert await names(store) == ["another", "old"]
    await store.brokers.forget("another")
    store.now = str(NOW + by_ms + (1 if by_ms > 0 else -1))
    assert await names(store) == []
    await store.brokers.announce(broker("new"))
    store.now = str(NOW)
    assert "old" not in await names(store)


async def test_list_reads_no_more_than_asked(store: Store) -> None:
    """The store answers with as many brokers as were asked for."""
    for name in "abc":
        await store.brokers.announce(broker(name))
    assert len(await store._partitions.run("brokers", store.partitions[0], store.now, 2, "", KEPT_S * 1000)) == 2
