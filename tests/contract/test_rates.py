"""A group's rate_limit: how many of its jobs are dispatched a second, by the store's clock."""

import pytest

from broker.core.errors import LimitReached
from broker.diagnostics.consistency import check
from broker.models.groups import JobRate
from broker.resp import keys
from tests.conftest import NOW
from tests.contract.building import GROUP, configure, names, new, queued
from tests.stores import Store


def at(store: Store, ms: int) -> None:
    """Set the store's clock to this number of ms after its beginning."""
    store.now = str(NOW + ms)


async def handed_out(store: Store, ms: int, n: int = 1000) -> int:
    """How many jobs go out at a time, after the reaper has done what was due by then."""
    at(store, ms)
    await store.reap(100)
    return len(await store.next(n))


async def many(store: Store, n: int = 100) -> None:
    await store.enqueue(GROUP, [new() for _ in range(n)])


@pytest.mark.parametrize("n", [1, 3, 1000])
async def test_next_hands_out_a_second_of_jobs_and_no_more(store: Store, n: int) -> None:
    """A group with a rate_limit dispatches its jobs of one second, in one call or several; the rest stays queued."""
    await configure(store, rate_limit=6)
    await many(store)
    assert sum([len(await store.next(n)) for _ in range(10)]) == 6
    assert (await store.groups.show(GROUP)).counts.queued == 94


async def test_next_of_a_high_rate(store: Store) -> None:
    """The first second's jobs are exactly as many as the rate says."""
    await configure(store, rate_limit=1000)
    for _ in range(2):
        await many(store, 505)
    assert [len(await store.next(1000)) for _ in range(2)] == [1000, 0]


@pytest.mark.parametrize("rate", [10, 20, 100, 110])
async def test_next_after_a_tenth_of_a_second(store: Store, rate: int) -> None:
    """A group whose bucket is empty continues when a tenth of the bucket is available."""
    await configure(store, rate_limit=rate)
    await many(store, 2 * rate)
    assert len(await store.next(1000)) == rate
    assert (await store.reap(100)).wait_ms == 100
    assert await handed_out(store, 100) == rate // 10


@pytest.mark.parametrize("rate", [1, 2, 7, 10, 33, 100])
async def test_next_keeps_to_the_rate(store: Store, rate: int) -> None:
    """Asked all the time, a group gives its first second's jobs at once, and then as many a second as its rate says."""
    await configure(store, rate_limit=rate)
    await many(store, rate * 4 + 10)
    counts = [await handed_out(store, ms) for ms in range(0, 3001, 25)]
    assert counts[0] == rate
    assert 3 * rate - max(1, rate // 10) <= sum(counts[1:]) <= 3 * rate


async def test_next_holds_back_what_rounding_left_no_job_for(store: Store) -> None:
    """A bucket with a hair less than one job is empty: the group is not in `ready`."""
    await configure(store, rate_limit=931)
    await many(store, 5)
    [p] = store.partitions
    await store.redis.zadd(keys.rates(p), {GROUP: round(NOW + 1000 - 4 * 1000 / 931, 3)})  # as four jobs are left
    assert len(await store.next(3)) == 3
    assert await store.redis.zscore(keys.due(p), f"rate:{GROUP}") is not None
    assert await store.redis.zscore(keys.ready(p), GROUP) is None


async def test_next_hands_out_as_many_in_two_calls_as_in_one(store: Store) -> None:
    """A job that is available but for a thousandth of it, which rounding may take, is available to each call."""
    await configure(store, rate_limit=JobRate(1, 1, 3))
    await many(store, 9)
    assert [await handed_out(store, ms) for ms in (0, 1000)] == [3, 1]
    assert await handed_out(store, 2999) == 2
    assert await handed_out(store, 4000) == 1
    at(store, 5999)
    await store.reap(100)
    assert [len(await store.next(1)) for _ in range(3)] == [1, 1, 0]


async def test_next_is_told_when_the_rate_lets_jobs_go(store: Store) -> None:
    """A group with an empty bucket comes into `ready` by a timer, which is published to the reaper."""
    await configure(store, rate_limit=2)
    await many(store)
    assert len(await store.next(10)) == 2
    [p] = store.partitions
    assert await store.redis.zscore(keys.ready(p), GROUP) is None
    assert (await store.reap(100)).wait_ms == 500
    at(store, 499)
    await store.reap(100)
    assert await store.redis.zscore(keys.ready(p), GROUP) is None
    at(store, 500)
    await store.reap(100)
    assert await store.redis.zscore(keys.ready(p), GROUP) is not None
    assert await check(store) == []
    assert len(await store.next(10)) == 1


async def test_next_of_others_beside_a_held_group(store: Store) -> None:
    """A group with an empty bucket blocks nobody."""
    await configure(store, rate_limit=1)
    await many(store, 5)
    await queued(store, "other", payload="other")
    taken = await store.next(10)
    assert [job.group_name for job in taken] == [GROUP, "other"]
    await queued(store, "other", payload="more")
    assert await names(store, 10) == ["more"]


async def test_next_after_a_quiet_time(store: Store) -> None:
    """However long a group was quiet, no more than one second's jobs are saved up."""
    await configure(store, rate_limit=5)
    await many(store)
    assert await handed_out(store, 0) == 5
    assert await handed_out(store, 60_000) == 5


async def test_next_when_the_clock_went_back(store: Store) -> None:
    """A clock that jumps back an hour holds a group up for a second at most, once its timer was looked at."""
    await configure(store, rate_limit=5)
    await many(store)
    at(store, 3_600_000)
    assert len(await store.next(3)) == 3
    at(store, 0)
    assert await handed_out(store, 0) <= 5
    assert await handed_out(store, 1000) + await handed_out(store, 2000) >= 5


@pytest.mark.parametrize("rate", [1, 2, 10, 100])
@pytest.mark.parametrize("back_ms", [1, 700, 1000, 2000, 3_600_000, 366 * 86_400_000])
async def test_next_of_a_held_group_when_the_clock_went_back(store: Store, rate: int, back_ms: int) -> None:
    """A group with an empty bucket continues within a second of a clock that goes back, not faster than its rate."""
    await configure(store, rate_limit=rate)
    await many(store, 5 * rate)
    assert len(await store.next(1000)) == rate
    counts = [await handed_out(store, ms - back_ms) for ms in (0, 500, 1001, 1500, 2000, 2500, 3000)]
    assert sum(counts[:3]) > 0
    assert 2 * rate <= sum(counts) <= 3 * rate + rate // 2 + 1
    assert await check(store) == []


async def test_start_when_the_clock_went_back(store: Store) -> None:
    """A job of a held group can be started within a second of a clock that goes back."""
    await configure(store, rate_limit=1)
    first, second = [await queued(store) for _ in range(2)]
    await store.start(GROUP, first.id)
    for ms in (-3_600_000, -3_599_500):
        at(store, ms)
        await store.reap(100)
    assert (await store.start(GROUP, second.id)).status == "running"


async def test_a_bucket_when_the_clock_went_back(store: Store) -> None:
    """Half a second of it has passed, and its timer is due: of a group that nothing holds no timer is made."""
    p = store.partitions[0]
    for group in (GROUP, "held"):
        await configure(store, group, rate_limit=2)
        await store.enqueue(group, [new()] * 3)
    await store.next(1, [GROUP])
    await store.next(2, ["held"])
    await store.redis.zadd(keys.rates(p), {GROUP: NOW + 1000})
    at(store, -60_000)
    await store.reap(100)
    assert set(dict(await store.redis.zrange(keys.rates(p), 0, -1, withscores=True)).values()) == {NOW - 59_500}
    assert await store.redis.zscore(keys.due(p), f"rate:{GROUP}") is None


async def test_reap_of_many_held_groups_when_the_clock_went_back(store: Store) -> None:
    """All of them continue, however few the reaper handles at a time."""
    groups = [f"group-{number}" for number in range(7)]
    for group in groups:
        await configure(store, group, rate_limit=1)
        await store.enqueue(group, [new(), new()])
    assert len(await store.next(100)) == 7
    for ms in (0, 400, 800, 1000):
        at(store, ms - 60_000)
        await store.reap(3)
    assert len(await store.next(100)) >= 6


async def test_start_counts_and_is_refused(store: Store) -> None:
    """A job that a client starts counts too; one over the rate is refused, and can be started later."""
    await configure(store, rate_limit=1)
    first, second = [await queued(store) for _ in range(2)]
    await store.start(GROUP, first.id)
    with pytest.raises(LimitReached, match="rate_limit"):
        await store.start(GROUP, second.id)
    assert await store.next(5) == []
    at(store, 1000)
    await store.reap(100)
    assert (await store.start(GROUP, second.id)).status == "running"


async def test_start_from_a_bucket_that_is_empty_once_more(store: Store) -> None:
    """After the reaper has let the group continue, a clock that goes back makes its bucket empty again."""
    await configure(store, rate_limit=1)
    first, second = [await queued(store) for _ in range(2)]
    await store.start(GROUP, first.id)
    at(store, 1000)
    await store.reap(100)
    at(store, 300)
    with pytest.raises(LimitReached, match="rate_limit"):
        await store.start(GROUP, second.id)
    at(store, 1000)
    assert (await store.start(GROUP, second.id)).status == "running"


async def test_start_again_does_not_count(store: Store) -> None:
    """A job that runs already may be started at any rate."""
    await configure(store, rate_limit=1)
    await many(store, 2)
    [job] = await store.next(5)
    assert (await store.start(GROUP, job.id, job.lease)).status == "running"


async def test_configure_another_rate(store: Store) -> None:
    """Without a rate_limit all go at once; a new one applies from now on, and the same again gives nothing extra."""
    await configure(store, rate_limit=2)
    await many(store)
    assert len(await store.next(10)) == 2
    await configure(store, rate_limit=2)
    assert await store.next(10) == []
    await configure(store)
    assert len(await store.next(10)) == 10
    [p] = store.partitions
    assert await store.redis.exists(keys.rates(p)) == 0
    await configure(store, rate_limit=4)
    assert len(await store.next(10)) == 4


async def test_configure_a_lower_rate(store: Store) -> None:
    """The rest of a higher rate is no job of a lower one: nothing is dispatched until one is available."""
    await configure(store, rate_limit=10)
    await many(store)
    assert len(await store.next(7)) == 7
    await configure(store, rate_limit=1)
    assert await store.next(10) == []
    assert await check(store) == []
    assert await handed_out(store, 1000) == 1


async def test_next_keeps_all_limits(store: Store) -> None:
    """max_concurrency and rate_limit hold together, and the jobs that one of them kept back are not counted."""
    await configure(store, rate_limit=5, max_concurrency=2)
    await many(store)
    jobs = await store.next(10)
    assert len(jobs) == 2
    for job in jobs:
        await store.succeed(GROUP, job.id, job.lease)
    assert len(await store.next(10)) == 2
    assert (await store.groups.show(GROUP)).rate_limit == 5


async def test_check_finds_a_rate_without_a_limit(store: Store) -> None:
    """The remains of a deleted rate_limit are found, and repaired."""
    await queued(store)
    [p] = store.partitions
    await store.redis.zadd(keys.rates(p), {GROUP: NOW})
    assert [finding.what for finding in await check(store)] == ["is in rates, but has no rate_limit"]
    await check(store, is_repair=True)
    assert await check(store) == []
