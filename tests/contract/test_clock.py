"""A store's clock that was set back: all that depends on it continues, or continues later, and never stops."""

import pytest

from broker.models.workers import Announcement
from broker.resp import keys
from broker.store.format.replies import Followed
from tests.conftest import NOW
from tests.contract.building import GROUP, Run, now_ms, queued, reap_after, running, status_of, touch, wait
from tests.stores import Store

HOUR_S = 3600


@pytest.mark.parametrize("images", [(), ("post",)])
async def test_next_when_the_clock_went_back(store: Store, images: tuple[str, ...]) -> None:
    """A broker that polled before the clock went back, and does not poll now, is not notified for hours."""
    [p] = store.partitions
    await store.redis.zadd(keys.pollers(p), {"gone": NOW + HOUR_S * 1000})
    await store.redis.zadd(keys.image_pollers(p), {"gone": NOW + HOUR_S * 1000})
    assert await store.next(1, images=images, waits=True) == []
    for key in (keys.pollers(p), *([keys.image_pollers(p)] if images else [])):
        assert [(at, name == b"gone") for name, at in await store.redis.zrange(key, 0, -1, withscores=True)] == [
            (NOW + 5000, False)
        ]
        assert 0 < await store.redis.pttl(key) <= 5000
    await store.redis.delete(keys.image_pollers(p), keys.pollers(p))


async def test_announce_when_the_clock_went_back(store: Store) -> None:
    """Workers that are silent since the clock went back are forgotten within a minute of it, as ever."""
    registry = store.workers
    for name in ("gone", "here"):
        store.now = str(NOW)
        await registry.announce(Announcement(name=name, host="h"))
    worker = keys.worker(store.partitions[0], "gone")
    await store.redis.pexpire(worker, HOUR_S * 1000)
    store.now = str(NOW - HOUR_S * 1000)
    await registry.announce(Announcement(name="here", host="h"))
    assert 0 < await store.redis.pttl(worker) <= 60_000
    store.now = str(NOW - HOUR_S * 1000 + 60_000)
    await registry.announce(Announcement(name="here", host="h"))
    assert [one.name for one in (await registry.list(10))[0]] == ["here"]


@pytest.mark.parametrize(("since_ms", "is_over"), [(-60_001, True), (-60_000, False), (5000, False), (5001, True)])
def test_follow_when_the_clock_went_back(since_ms: int, is_over: bool) -> None:
    """A log that does not come is not waited for until the clock has caught up."""
    followed = Followed(NOW + since_ms, "failed", 0, is_growing=False, delivery=1, completed_at=NOW)
    assert followed.is_over(5000) == is_over


async def test_touch_after_the_clock_went_back(store: Store) -> None:
    """The lease of a job that is touched counts from the new time, so it is not lost for long."""
    job = await running(store, timeout=60, lease_s=10)
    wait(store, -HOUR_S)
    assert await touch(store, job) == now_ms(store) + 10_000
    await reap_after(store, 10)
    assert await status_of(store, job) == "queued"


async def test_reap_of_what_was_given_before_the_clock_went_back(store: Store) -> None:
    """A lease or a delay that was given before ends as much later as the clock went back."""
    lost = await running(store, timeout=10)
    delayed = await queued(store, delay=10)
    await reap_after(store, 10 - HOUR_S)
    assert (await status_of(store, lost), await status_of(store, delayed)) == ("running", "delayed")
    await reap_after(store, HOUR_S)
    assert (await status_of(store, lost), await status_of(store, delayed)) == ("queued", "queued")
    assert (await store.groups.show(GROUP)).counts.queued == 2


async def test_clock_is_that_of_the_server(store: Store, run: Run) -> None:
    """The time is that of the server between two looks at it, in µs."""
    before, found, after = await store.redis.time(), await run("clock"), await store.redis.time()
    assert before[0] * 1_000_000 + before[1] <= found <= after[0] * 1_000_000 + after[1]
