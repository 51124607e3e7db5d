"""Who asks for jobs: noted in memory by `next`, and written to the store at times."""

import asyncio
from contextlib import suppress

import pytest

from broker.core.errors import StoreUnavailable
from broker.resp import keys
from tests.conftest import eventually
from tests.contract.building import GROUP, Run, now_ms, spread, wait
from tests.stores import Store

HOUR_S = 3600


async def noted(store: Store, partition: int = 0) -> tuple[dict[str, float], dict[str, float]]:
    """The groups, and the groups with images, by when somebody asked for them."""
    p = store.partitions[partition]
    found = [await store.redis.zrange(key, 0, -1, withscores=True) for key in (keys.asked(p), keys.asked_images(p))]
    groups, images = ({member.decode(): score for member, score in pairs} for pairs in found)
    return groups, images


async def test_next_notes_who_asks(store: Store) -> None:
    """Groups and images are noted by the next flush, with its time; a call for none of them is for all."""
    await store.next(1, ["a", "b"])
    await store.next(1, ["b"], images=['x"', "y z"])
    await store.next(1)
    assert await noted(store) == ({}, {})
    wait(store, 3)
    await store.dispatcher.asked.flush()
    at = now_ms(store)
    groups, images = await noted(store)
    assert groups == {"a": at, "b": at, "*": at}
    assert images == {"a ": at, "b ": at, 'b "x\\""': at, 'b "y z"': at, "* ": at}
    wait(store, 3)
    await store.dispatcher.asked.flush()
    assert (await noted(store))[0] == groups


@pytest.mark.parametrize("partitions", [3])
async def test_ask_in_the_partitions_of_the_groups(store: Store) -> None:
    """A group is noted in its partition, and all groups in every one; without calls nothing is written."""
    first, second, third = spread(store)
    await store.dispatcher.asked.flush()
    await store.next(1, [first, third])
    await store.dispatcher.asked.flush()
    assert [list((await noted(store, number))[0]) for number in range(3)] == [[first], [], [third]]
    await store.next(1, images=["x"])
    await store.dispatcher.asked.flush()
    assert sorted((await noted(store, 1))[1]) == ['* "x"']
    assert second not in (await noted(store, 1))[0]


async def test_ask_for_very_many(store: Store) -> None:
    """A call for more than 100 pairs counts as one for any image of its groups; of many calls 1,000 are noted."""
    asked = store.dispatcher.asked
    asked.note(tuple(f"g{number}" for number in range(10)), tuple("abcdefghij"))
    assert len(asked.pairs) == 100
    await asked.flush()
    asked.note(tuple(f"g{number}" for number in range(11)), tuple("abcdefghij"))
    assert asked.pairs == {(f"g{number}", "") for number in range(11)}
    for number in range(2000):
        asked.note((f"h{number}",), ())
    assert len(asked.pairs) == 11 + 999


async def test_ask_is_kept_for_an_hour(store: Store, run: Run) -> None:
    """What was asked for more than an hour ago goes with the next note; the keys expire then."""
    p = store.partitions[0]
    began = now_ms(store)
    assert await run("ask", began, "old", '"x"') == 1
    for key in (keys.asked(p), keys.asked_images(p)):
        assert 0 < await store.redis.pttl(key) <= 1000 * HOUR_S
    assert await run("ask", began + 1000 * HOUR_S - 1, GROUP, "") == 2
    assert await run("ask", began + 1000 * HOUR_S, GROUP, "") == 1
    assert await noted(store) == ({GROUP: began + 1000 * HOUR_S}, {f"{GROUP} ": began + 1000 * HOUR_S})


async def test_ask_after_the_clock_went_back(store: Store, run: Run) -> None:
    """Times ahead of the clock are removed; one of this moment is not."""
    began = now_ms(store)
    await run("ask", began + 5000, "ahead", "")
    await run("ask", began, "now", "")
    assert await run("ask", began, GROUP, "") == 2
    assert sorted((await noted(store))[0]) == [GROUP, "now"]


async def test_ask_for_more_than_is_kept(store: Store, run: Run) -> None:
    """10,000 groups and 1,000 images are kept: the latest."""
    began = now_ms(store)
    for part in range(6):
        words = [word for number in range(2000) for word in (f"g-{part}-{number}", "")]
        n = await run("ask", began + part, *words)
        groups, images = await noted(store)
        assert (n, len(groups), len(images)) == (len(groups), min(10_000, 2000 * (part + 1)), 1000)
    assert min(groups.values()) == began + 1
    assert min(images.values()) == began + 5


async def test_ask_is_written_at_times(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker writes what it was asked for again and again, also after the store did not answer."""
    monkeypatch.setattr("broker.store.asked.FLUSH_S", 0.01)
    asked = store.dispatcher.asked
    flush, faults, written = asked.flush, 0, []

    async def fails_at_first() -> None:
        nonlocal faults
        faults += 1
        if faults == 1:
            raise StoreUnavailable("away")
        pairs = asked.pairs
        await flush()
        written.extend(pairs)

    monkeypatch.setattr(asked, "flush", fails_at_first)
    writing = asyncio.create_task(asked.run())
    try:
        for group in ("a", "b"):
            await store.next(1, [group])
            await eventually(lambda group=group: (group, "") in written)
        assert sorted((await noted(store))[0]) == ["a", "b"]
    finally:
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
