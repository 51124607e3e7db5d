"""A rate_limit with a time and a burst: "5,000 an hour, 50 at once". Tests name traps of other limiters."""

import random
from collections.abc import Sequence

import pytest

from broker.core.errors import LimitReached
from broker.diagnostics.consistency import check
from broker.models.groups import GroupChanges, JobRate
from broker.resp import keys
from tests.conftest import NOW
from tests.contract.building import GROUP, configure, delayed, queued
from tests.contract.test_rates import at, handed_out, many
from tests.stores import Store

ONE_STORE = pytest.mark.parametrize("backend", ["valkey"])
HOUR_MS = 3_600_000


async def test_5000_an_hour_50_at_once(store: Store) -> None:
    """The burst goes out at once, and then a job each 720 ms."""
    await configure(store, rate_limit=JobRate(5000, 3600, 50))
    await many(store, 60)
    assert await handed_out(store, 0) == 50
    assert (await store.reap(100)).wait_ms == 720
    assert [await handed_out(store, ms) for ms in (719, 720, 1439, 1440, 7200)] == [0, 1, 0, 1, 8]


@ONE_STORE
async def test_without_a_burst_all_jobs_of_the_time_go_at_once(store: Store) -> None:
    """A rate without a burst has room for the jobs of its time, as a number has for those of a second."""
    await configure(store, rate_limit=JobRate(jobs=4, per=60))
    await many(store, 9)
    assert (await store.groups.show(GROUP)).rate_limit == JobRate(4, 60, 4)
    assert [await handed_out(store, ms) for ms in (0, 14_999, 15_000, 75_000)] == [4, 0, 1, 4]


@ONE_STORE
@pytest.mark.parametrize("seed", range(6))
async def test_no_window_has_more_than_the_burst_and_the_rate(store: Store, seed: int) -> None:
    """Over any window the deliveries are at most burst + rate * window, also with starts and `n`."""
    rng = random.Random(seed)
    rate = JobRate(rng.choice([1, 7, 100, 5000]), rng.choice([1, 10, 3600]), rng.choice([1, 3, 50]))
    await configure(store, rate_limit=rate)
    each_ms = 1000 * rate.per / rate.jobs
    assert rate.burst is not None
    out: list[int] = []
    ms = 0
    for _ in range(60):
        ms += rng.choice([0, 1, round(each_ms / 3), round(each_ms), round(each_ms * rng.randint(1, 2 * rate.burst))])
        at(store, ms)
        if rng.random() < 0.7:
            await store.reap(100)
        job = await queued(store)
        await many(store, rng.randint(1, 30))
        if rng.random() < 0.2:
            try:
                await store.start(GROUP, job.id)
                out.append(ms)
            except LimitReached:
                pass
        out += [ms] * len(await store.next(rng.choice([1, 2, 100])))
    assert over_rate(out, rate.burst, each_ms) == []
    assert len(out) > rate.burst


def over_rate(out: Sequence[int], burst: int, each_ms: float) -> list[tuple[int, int]]:
    """Windows, by their first and last ms, with more jobs than the burst and the rate allow."""
    return [
        (first, last)
        for i, first in enumerate(out)
        for j, last in enumerate(out[i:], i)
        if j - i + 1 > burst + (last - first) / each_ms + 0.01
    ]


@ONE_STORE
async def test_a_limiter_does_not_become_slower_by_the_hour(store: Store) -> None:
    """C4 sidekiq-rate-limiter#10: after hours it still gives its full rate, though a job takes no whole ms."""
    await configure(store, rate_limit=JobRate(7, 1800, 3))
    await many(store, 70)
    steps = [await handed_out(store, ms) for ms in range(0, 4 * HOUR_MS + 1, 300_000)]
    assert steps[0] == 3
    assert 56 - 1 <= sum(steps[1:]) <= 56


@ONE_STORE
async def test_an_empty_look_spends_nothing(store: Store) -> None:
    """Trap trigger.dev PR#3166: a consumer that finds no job takes nothing from the bucket, by group or by image."""
    await configure(store, rate_limit=JobRate(2, 3600, 2))
    for _ in range(5):
        assert await store.next(10) == []
        assert await store.next(10, images=["post"]) == []
    await many(store, 3)
    assert [len(await store.next(1, images=["other"])), len(await store.next(10))] == [0, 2]


async def test_a_look_with_a_clock_that_is_ahead_spends_nothing(store: Store) -> None:
    """A group that gave no job has its whole burst once the clock is right again."""
    await configure(store, rate_limit=JobRate(2, 3600, 2))
    await many(store, 3)
    at(store, 366 * 24 * HOUR_MS)
    assert await store.next(10, images=["other"]) == []
    at(store, 0)
    assert len(await store.next(10)) == 2


async def test_the_largest_burst_is_whole_at_first(store: Store) -> None:
    """A group that gave no job yet has all of its burst, though the rate would have needed 2,700 years for it."""
    await configure(store, rate_limit=JobRate(1, 86_400, 1_000_000))
    await many(store, 1)
    assert await handed_out(store, 0) == 1
    [p] = store.partitions
    left_ms = NOW - (await store.redis.zscore(keys.rates(p), GROUP) - 1000)
    assert left_ms == 999_999 * 24 * HOUR_MS


async def test_a_held_group_waits_for_the_jobs_of_a_tenth_of_a_second(store: Store) -> None:
    """Not for more: a second job is available after 101 ms, so the first one goes out when it is available."""
    await configure(store, rate_limit=JobRate(2000, 101, 10))
    await many(store, 20)
    assert await handed_out(store, 0) == 10
    assert (await store.reap(100)).wait_ms == 51
    assert [await handed_out(store, ms) for ms in (50, 51)] == [0, 1]


@ONE_STORE
async def test_the_limits_of_two_groups_are_apart(store: Store) -> None:
    """C2 bullmq#745: the rate of one queue holds no other queue, in one call of all groups."""
    await configure(store, rate_limit=JobRate(1, 3600, 1))
    await configure(store, "other", rate_limit=JobRate(3, 3600, 3))
    await many(store, 4)
    for _ in range(4):
        await queued(store, "other")
    assert sorted(job.group_name for job in await store.next(100)) == [GROUP] + ["other"] * 3
    await configure(store, "other")
    assert [job.group_name for job in await store.next(100)] == ["other"]


@ONE_STORE
async def test_delayed_jobs_do_not_slow_the_rate(store: Store) -> None:
    """C3 bullmq#3325: a delayed job, and the one that becomes due, take nothing until they are delivered."""
    await configure(store, rate_limit=JobRate(60, 60, 2))
    for _ in range(3):
        await delayed(store)
    await many(store, 4)
    assert [await handed_out(store, ms) for ms in (0, 1000, 2000, 29_999)] == [2, 1, 1, 0]
    assert [await handed_out(store, ms) for ms in (30_000, 31_000)] == [2, 1]


@ONE_STORE
async def test_a_job_without_a_slot_spends_nothing(store: Store) -> None:
    """C7 hatchet PR#4804: a group at max_concurrency does not spend its rate, and one without rate takes no slot."""
    await configure(store, rate_limit=JobRate(2, 3600, 2), max_concurrency=1)
    await many(store, 4)
    [first] = await store.next(10)
    assert await store.next(10) == []
    await store.succeed(GROUP, first.id, first.lease)
    [second] = await store.next(10)
    await store.succeed(GROUP, second.id, second.lease)
    assert await store.next(10) == []
    assert (await store.groups.show(GROUP)).counts.running == 0


async def test_a_higher_rate_takes_hold_at_once(store: Store) -> None:
    """A group that waits for an hour continues with its new rate, by the same timer that the reaper has."""
    await configure(store, rate_limit=JobRate(1, 3600, 1))
    await many(store, 9)
    assert [await handed_out(store, ms) for ms in (0, 1000)] == [1, 0]
    await store.groups.adjust(GROUP, GroupChanges(rate_limit=JobRate(60, 60, 5)))
    assert [await handed_out(store, ms) for ms in (1000, 1999, 2000, 4000)] == [1, 0, 1, 2]


@ONE_STORE
async def test_a_lower_rate_takes_hold_at_once(store: Store) -> None:
    """What was left of the old bucket is not more than the new one has, and a smaller burst holds at once."""
    await configure(store, rate_limit=100)
    await many(store, 100)
    assert len(await store.next(10)) == 10
    await store.groups.adjust(GROUP, GroupChanges(rate_limit=JobRate(3600, 3600, 2)))
    counts = [await handed_out(store, ms) for ms in (0, 1000, 60_000)]
    assert counts[0] <= 2
    assert counts[1:] == [1, 2]


@ONE_STORE
async def test_a_refused_start_of_a_lowered_rate(store: Store) -> None:
    """A start is refused when the bucket is empty, not only while its timer waits."""
    await configure(store, rate_limit=JobRate(2, 3600, 2))
    first, second, third = [await queued(store) for _ in range(3)]
    await store.start(GROUP, first.id)
    await store.start(GROUP, second.id)
    with pytest.raises(LimitReached, match="rate_limit"):
        await store.start(GROUP, third.id)


@ONE_STORE
@pytest.mark.parametrize("back_ms", [1000, 60_000, HOUR_MS, 366 * 86_400_000])
async def test_a_clock_that_goes_back_holds_no_group_for_long(store: Store, back_ms: int) -> None:
    """After a step back a held group waits for no longer than one job takes, and gets no second burst."""
    await configure(store, rate_limit=JobRate(360, 3600, 20))
    await many(store, 60)
    assert await handed_out(store, 0) == 20
    counts = [await handed_out(store, ms - back_ms) for ms in (0, 500, 10_000, 20_000, 30_000)]
    assert sum(counts[:3]) <= 2
    assert 2 <= sum(counts) <= 4


@ONE_STORE
async def test_a_clock_that_goes_ahead_gives_one_burst(store: Store) -> None:
    """A step ahead fills the bucket once, whatever its length."""
    await configure(store, rate_limit=JobRate(360, 3600, 20))
    await many(store, 90)
    assert [await handed_out(store, ms) for ms in (0, 86_400_000, 86_400_000)] == [20, 20, 0]


async def test_check_of_held_groups(store: Store) -> None:
    """A group that is held for an hour agrees with itself; its bucket is kept as a number that any version reads."""
    await configure(store, rate_limit=JobRate(1, 3600, 1))
    await many(store, 2)
    assert await handed_out(store, 0) == 1
    [p] = store.partitions
    assert await store.redis.zscore(keys.rates(p), GROUP) == NOW + HOUR_MS - HOUR_MS + 1000
    assert await store.redis.zscore(keys.due(p), f"rate:{GROUP}") == NOW + HOUR_MS
    assert await check(store) == []
