"""What a group may have unfinished: jobs, and bytes of them."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from broker.core.errors import Invalid, LimitReached, TooLarge
from broker.core.settings import BrokerSettings
from broker.core.states import Status
from broker.diagnostics.consistency import check
from broker.models.jobs import Job, NewJob
from broker.resp import keys
from tests.contract.building import (
    GROUP,
    cancelled,
    configure,
    dump,
    failed,
    ids,
    members_key,
    new,
    partition,
    queued,
    reap_after,
)
from tests.stores import Store

pytestmark = pytest.mark.usefixtures("way")

ONE = b'{"image":"post","payload":"%b"}' % (b"x" * 70)
"""What is kept of a job of `new(payload="x" * 70)`."""


@pytest.fixture
def limits() -> tuple[int, int]:
    """Three unfinished jobs, and no limit of bytes."""
    return 3, 0


@pytest.fixture
def settings(settings: BrokerSettings, limits: tuple[int, int]) -> BrokerSettings:
    """A broker with limits."""
    jobs, size_bytes = limits
    return msgspec.structs.replace(settings, max_group_jobs=jobs, max_group_bytes=size_bytes)


def another(store: Store, backend: str, max_group_jobs: int = 0, max_group_bytes: int = 0) -> Store:
    """A broker with other limits on the same store."""
    settings = msgspec.structs.replace(store.settings, max_group_jobs=max_group_jobs, max_group_bytes=max_group_bytes)
    return Store(store.redis, settings, is_plain=backend == "fake")


async def put(store: Store, *sizes: int, group: str = GROUP) -> Sequence[Job]:
    """New jobs that are kept in this number of bytes each."""
    jobs = [new(payload="x" * (size - len(ONE) + 70)) for size in sizes]
    return (await store.enqueue(group, jobs)).jobs


async def counted(store: Store, group: str = GROUP) -> float | None:
    """The sum of the group."""
    score: float | None = await store.redis.zscore(partition(store, group) + ":bytes", group)
    return score


async def test_enqueue_at_the_limit_of_jobs(store: Store) -> None:
    """A group takes jobs up to its limit; a call above the limit changes nothing."""
    await store.enqueue(GROUP, [new(), new(delay=30)])
    before = await dump(store)
    for key in ("", "key"):
        with pytest.raises(LimitReached, match="has 2 unfinished jobs, and may have 3"):
            await store.enqueue(GROUP, [new(), new(delay=30)], key)
    assert await dump(store) == before
    await store.enqueue(GROUP, [new()], "key")
    with pytest.raises(LimitReached):
        await store.enqueue(GROUP, [new(delay=30)])
    assert (await store.enqueue(GROUP, [new()], "key")).is_replayed


@pytest.mark.parametrize("most", [1, 2])
async def test_a_repeat_of_jobs_with_deadlines_needs_no_room(store: Store, backend: str, most: int) -> None:
    """It makes nothing, whether its group is full by now or not."""
    limited = another(store, backend, max_group_jobs=most)
    limited.now = store.now
    first = await limited.enqueue(GROUP, [new(start_within=60)], "key")
    again = await limited.enqueue(GROUP, [new(start_within=60)], "key")
    assert (again.is_replayed, again.jobs) == (True, first.jobs)
    assert len((await store.list(GROUP, 9))[0]) == 1


@pytest.mark.parametrize(("most_jobs", "most_bytes"), [(1, 0), (0, 120), (1, 120)])
async def test_jobs_with_deadlines_are_limited(store: Store, backend: str, most_jobs: int, most_bytes: int) -> None:
    """By the number of jobs and by their bytes, with either limit alone and with both."""
    limited = another(store, backend, most_jobs, most_bytes)
    limited.now = store.now
    await limited.enqueue(GROUP, [new(payload="x" * 60, start_within=60)])
    with pytest.raises(LimitReached):
        await limited.enqueue(GROUP, [new(payload="x" * 60, start_within=60)])


async def test_enqueue_beside_one_unfinished_job(store: Store) -> None:
    """A single unfinished job is said in the singular."""
    await store.enqueue(GROUP, [new()])
    with pytest.raises(LimitReached, match="has 1 unfinished job, and may have 3"):
        await store.enqueue(GROUP, [new(), new(), new()])


@pytest.mark.parametrize("limits", [(1, 0)])
async def test_enqueue_at_a_limit_of_one_job(store: Store) -> None:
    """The lowest limit holds as well: a group has one job at a time."""
    await queued(store)
    with pytest.raises(LimitReached):
        await queued(store)


async def test_enqueue_counts_what_is_not_finished(store: Store) -> None:
    """A job takes room while it is delayed, queued or running, and no longer."""
    [job, *_] = (await store.enqueue(GROUP, [new(), new(), new(delay=30)])).jobs
    [running] = await store.next(1)
    assert running.id == job.id
    with pytest.raises(LimitReached):
        await queued(store)
    await store.release(GROUP, job.id, running.lease)
    with pytest.raises(LimitReached):
        await queued(store)
    [running] = await store.next(1)
    await store.succeed(GROUP, job.id, running.lease)
    await queued(store)
    with pytest.raises(LimitReached):
        await queued(store)
    await queued(store, "another")


async def test_enqueue_of_more_than_ever_fits(store: Store) -> None:
    """A call that is above the limit alone gets no advice to try again."""
    for key in ("", "key"):
        with pytest.raises(Invalid) as refused:
            await store.enqueue(GROUP, [new()] * 4, key)
        assert refused.value.fields == "jobs"
    assert await check(store) == []


@pytest.mark.parametrize("limits", [(0, 303)])
async def test_enqueue_at_the_limit_of_bytes(store: Store) -> None:
    """A group takes jobs up to its limit of bytes: of image and payload, as they are kept."""
    await put(store, 101, 101)
    before = await dump(store)
    with pytest.raises(LimitReached, match="have 202 bytes, and may have 303"):
        await put(store, 102)
    with pytest.raises(TooLarge):
        await put(store, 101, 203)
    assert await dump(store) == before
    assert await counted(store) == 202
    await put(store, 101)
    with pytest.raises(LimitReached):
        await put(store, 32)
    await put(store, 101, 101, 101, group="another")


@pytest.mark.parametrize("limits", [(0, 303)])
async def test_the_bytes_of_the_only_job(store: Store) -> None:
    """A single unfinished job counts as well, and the group is as full as its bytes say."""
    full = []
    for size in (101, 101):
        job = new(payload="x" * (size - len(ONE) + 70))
        full.append((await store.enqueuer.enqueue(GROUP, [job])).full)
        with pytest.raises(LimitReached):
            await put(store, 203)
    assert full == [0, 0]


@pytest.mark.parametrize("limits", [(0, 1)])
async def test_enqueue_at_a_limit_of_one_byte(store: Store) -> None:
    """The lowest limit holds as well: no job is as small."""
    for key in ("", "key"):
        with pytest.raises(TooLarge):
            await store.enqueue(GROUP, [new()], key)
    assert await counted(store) is None


@pytest.mark.parametrize("limits", [(0, 303)])
async def test_bytes_are_free_when_a_job_is_over(store: Store) -> None:
    """Whatever ends a job frees its bytes, once."""
    await put(store, 100, 101, 102)
    first, second, third = await store.next(3)
    await store.succeed(GROUP, first.id, first.lease)
    await store.succeed(GROUP, first.id, first.lease)
    assert await counted(store) == 203
    await store.cancel(GROUP, second.id)
    await store.cancel(GROUP, second.id)
    assert await counted(store) == 102
    await store.remove(GROUP, second.id)
    await store.fail(GROUP, third.id, third.lease)
    assert await counted(store) is None
    await put(store, 303)


@pytest.mark.parametrize("limits", [(0, 101)])
async def test_bytes_are_free_when_a_lost_job_is_failed(store: Store) -> None:
    """What the reaper queues again keeps its bytes, what it fails frees them."""
    await configure(store, delivery_limit=2)
    [job] = await put(store, 101)
    for _ in range(2):
        assert ids(await store.next(1)) == [job.id]
        assert await counted(store) == 101
        await reap_after(store, 61)
    assert await counted(store) is None


@pytest.mark.parametrize("limits", [(1, 101)])
@pytest.mark.parametrize("by", ["fail", "reap"])
async def test_automatic_retry_is_not_held_up(store: Store, by: str) -> None:
    """A job that failed is retried even in a group that is full, and the retry counts as the job did."""
    await configure(store, delivery_limit=1)
    [job] = (await store.enqueue(GROUP, [new(payload="x" * 70, max_retries=2, retries_delay=0)])).jobs
    [held] = await store.next(1)
    if by == "fail":
        await store.fail(GROUP, job.id, held.lease)
    else:
        await reap_after(store, 61)
    [again] = await store.next(1)
    assert again.retry_of == job.id
    assert await counted(store) == len(ONE)
    with pytest.raises(LimitReached):
        await queued(store)


@pytest.mark.parametrize(("limits", "fits"), [((1, 0), False), ((0, 19), False), ((0, 40), True), ((2, 40), True)])
async def test_retry_at_the_limit(store: Store, backend: str, limits: tuple[int, int], fits: bool) -> None:
    """A retry by hand needs room as any new job does; refused, it changes nothing and may be asked for again."""
    job = await cancelled(store)
    other = await queued(store)
    before = await dump(store)
    if not fits:
        with pytest.raises(LimitReached):
            await store.retry(GROUP, job.id)
        assert await dump(store) == before
        await store.cancel(GROUP, other.id)
    assert (await store.retry(GROUP, job.id)).retry_of == job.id


@pytest.mark.parametrize("limits", [(2, 0)])
async def test_enqueues_of_one_turn_are_refused_by_themselves(store: Store) -> None:
    """Calls that share a script call: those that find no room are refused, all others are done."""
    await store.enqueue("full", [new(), new()])
    calls = [
        store.enqueue(group, [new()] * n) for group, n in (("a", 2), ("full", 1), (GROUP, 1), (GROUP, 2), (GROUP, 1))
    ]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "Enqueued", "LimitReached", "Enqueued", "LimitReached", "Enqueued",
    ]  # fmt: skip
    assert [(await store.groups.show(group)).counts.queued for group in ("a", "full", GROUP)] == [2, 2, 2]


@pytest.mark.parametrize("limits", [(0, 0)])
async def test_limit_of_bytes_set_later(store: Store, backend: str) -> None:
    """Jobs that were there before the limit count as jobs, not as bytes; without it new ones do not count either."""
    await put(store, 500)
    limited = another(store, backend, 2, 101)
    await put(limited, 101)
    assert await counted(store) == 101
    with pytest.raises(LimitReached, match="2 unfinished jobs"):
        await put(limited, 32)
    await put(store, 500)
    for left in (101, None, None):
        [job] = await store.next(1)
        await store.succeed(GROUP, job.id, job.lease)
        assert await counted(store) == left
    await put(limited, 101)


@pytest.mark.parametrize("limits", [(0, 0)])
async def test_retry_by_hand_counts_under_a_limit(store: Store, backend: str) -> None:
    """A job from before the limit counts once it is retried by hand under it."""
    job = await failed(store)
    await another(store, backend, 0, 100).retry(GROUP, job.id)
    assert await counted(store) == len(b'{"image":"post"}')


@pytest.mark.parametrize("limits", [(0, 303)])
@pytest.mark.parametrize("sum_", [None, 7, 300])
async def test_check_of_a_wrong_sum(store: Store, sum_: int | None) -> None:
    """A sum that somebody changed is named, and repaired; it does not block a group without unfinished jobs."""
    [job] = await put(store, 101)
    key = partition(store, GROUP) + ":bytes"
    if sum_ is None:
        await store.redis.delete(key)
    else:
        await store.redis.zadd(key, {GROUP: sum_})
    [finding] = await check(store)
    assert finding.what == f"has a sum of {sum_ or 0} bytes; its unfinished jobs have 101"
    await check(store, is_repair=True)
    assert await counted(store) == 101
    await store.cancel(GROUP, job.id)
    await store.redis.zadd(key, {GROUP: 300})
    await put(store, 101)
    await check(store, is_repair=True)


@pytest.mark.parametrize("limits", [(0, 3000)])
async def test_an_empty_group_is_as_full_as_its_new_jobs(store: Store) -> None:
    """A sum that is wrong since somebody changed it does not count, also where it only just matters."""
    await store.redis.zadd(partition(store, GROUP) + ":bytes", {GROUP: 2400})
    assert (await store.enqueuer.enqueue(GROUP, [NewJob(image="i", payload="x" * 100)])).full == 0  # else 83 %
    await check(store, is_repair=True)


@pytest.mark.parametrize("limits", [(0, 3000)])
async def test_check_of_a_sum_that_no_job_has(store: Store) -> None:
    """A sum whose jobs are gone goes."""
    await store.redis.zadd(partition(store, GROUP) + ":bytes", {GROUP: 5})
    await store.enqueue(GROUP, [NewJob(image="i")])
    await check(store, is_repair=True)
    assert await counted(store) == len(b'{"image":"i"}')


@pytest.mark.parametrize("limits", [(0, 3000)])
async def test_check_of_a_sum_without_any_bytes(store: Store) -> None:
    """A group whose unfinished jobs have no bytes that count has no sum either, not one of 0."""
    await cancelled(store)
    await store.redis.zadd(partition(store, GROUP) + ":bytes", {GROUP: 5})
    await check(store, is_repair=True)
    assert await counted(store) is None


@pytest.mark.parametrize(("n", "is_counted"), [(10_000, True), (10_001, False)])
async def test_check_of_the_sum_of_very_many_jobs(store: Store, n: int, is_counted: bool) -> None:
    """The bytes of more than 10,000 unfinished jobs are not counted in one call, whichever sets they are in."""
    sum_ = partition(store, GROUP) + ":bytes"
    sets: tuple[Status, Status] = ("delayed", "queued")
    await store.redis.zadd(sum_, {GROUP: 5})
    for status, some in zip(sets, (range(5000), range(5000, n)), strict=True):
        await store.redis.zadd(members_key(store, GROUP, status), {f"gone-{number}": number for number in some})
    whats = [finding.what for finding in await store.check(GROUP, (), is_repair=False)]
    assert ("has a sum of 5 bytes; its unfinished jobs have 0" in whats) == is_counted
    await store.redis.delete(sum_, *[members_key(store, GROUP, status) for status in sets])


@pytest.mark.parametrize("limits", [(0, 3000)])
async def test_check_of_the_sum_of_more_jobs_than_one_step_reads(store: Store) -> None:
    """Records are read in steps of 1,000. Each job counts once, those at both sides of a border too."""
    [job] = await put(store, 101)
    records, waiting = keys.jobs(partition(store, GROUP)), members_key(store, GROUP, "queued")
    copies = [f"copy-{number}" for number in range(2001)]
    await store.redis.hset(records, mapping=dict.fromkeys(copies, await store.redis.hget(records, job.id)))
    await store.redis.zadd(waiting, dict.fromkeys(copies, 1))
    whats = [finding.what for finding in await store.check(GROUP, (), is_repair=False)]
    assert f"has a sum of 101 bytes; its unfinished jobs have {101 * 2002}" in whats
    await store.redis.zrem(waiting, *copies)
    await store.redis.hdel(records, *copies)


async def test_limits_of_jobs_with_deadlines(store: Store) -> None:
    """Jobs that another script creates count and are refused as plain ones are; all of a call or none."""
    timed = NewJob(image="post", start_within=60)
    await store.enqueue(GROUP, [timed, timed])
    with pytest.raises(LimitReached, match="has 2 unfinished jobs, and may have 3"):
        await store.enqueue(GROUP, [timed, timed])
    await store.enqueue(GROUP, [timed])
    with pytest.raises(LimitReached, match="has 3 unfinished jobs"):
        await store.enqueue(GROUP, [new()])


async def test_bytes_of_jobs_with_deadlines(store: Store) -> None:
    """Jobs that another script creates count with their bytes, each of a call with its own."""
    await configure(store, max_bytes=128, max_jobs=1000)
    timed = [NewJob(image="post", payload="x" * n, start_within=60) for n in (1, 20)]  # 30 and 49 bytes
    await store.enqueue(GROUP, timed)
    with pytest.raises(LimitReached, match="have 79 bytes, and may have 128"):
        await store.enqueue(GROUP, timed)
    await store.enqueue(GROUP, timed[1:])
    assert await store.redis.zscore(f"{store.partitions[0]}:bytes", GROUP) == 128
    found = [key async for key in store.redis.scan_iter(f"{store.settings.key_prefix}:*:job:*")]
    assert len(found) in {0, 3}  # none of those that were refused


async def test_a_group_of_one_job(store: Store) -> None:
    """The least limit holds for jobs that another script creates, too."""
    await configure(store, max_jobs=1)
    timed = NewJob(image="post", start_within=60)
    await store.enqueue(GROUP, [timed])
    with pytest.raises(LimitReached):
        await store.enqueue(GROUP, [timed])
