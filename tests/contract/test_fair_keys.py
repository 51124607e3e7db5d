"""Groups with fair_keys: keys take turns, so a quiet one waits for one job of each other key."""

from typing import Any

import pytest
from msgspec import UNSET

from broker.diagnostics.consistency import check
from broker.models.batches import CallbackJob, NewBatch
from broker.models.groups import GroupChanges
from broker.models.jobs import Job, NewJob
from broker.models.unique import Unique
from broker.resp import keys
from tests.contract.building import GROUP, configure, forget_all, names, reap_after, status_of
from tests.contract.flows import enqueue_flow, named, settle
from tests.contract.transfers import lines_of, restore
from tests.stores import Store

STEP = 2**51
"""The distance between the ranks of two priorities, see lua/lib/prelude.lua."""


@pytest.fixture
async def fair(store: Store) -> Store:
    """A store whose groups take turns, with one group whose keys do."""
    await store.order.set("fair")
    await configure(store, fair_keys=True)
    return store


def of(key: str | None, n: int = 1, **fields: Any) -> list[NewJob]:
    """Jobs of a key, known by its name."""
    return [named(key or "-", key=key, **fields) for _ in range(n)]


async def put(store: Store, key: str | None, n: int = 1, **fields: Any) -> list[Job]:
    """Enqueue jobs of a key in one call."""
    return await enqueue_flow(store, *of(key, n, **fields))


async def served(store: Store, n: int = 1000, each: int = 1, images: tuple[str, ...] = ()) -> str:
    """The keys of the next n jobs in the order of their dispatch, from calls for `each` jobs."""
    found: list[Job] = []
    while len(found) < n and (jobs := await store.next(min(each, n - len(found)), [GROUP], images=images)):
        found += jobs
    return "".join(job.payload or "" for job in found)


@pytest.mark.parametrize("images", [(), ("post",)])
@pytest.mark.parametrize("each", [1, 3, 100])
async def test_a_quiet_key_passes_a_backlog(fair: Store, each: int, images: tuple[str, ...]) -> None:
    """A tenant with many jobs lets each other one pass, in calls of any size, for workers that ask by image too."""
    await put(fair, "a", 10)
    await put(fair, "b", 2)
    assert await served(fair, 3, each, images) == "aba"
    await put(fair, "c", 3)
    await put(fair, "b")
    assert await served(fair, 100, each, images) == "bc" + "acb" + "ac" + "a" * 6
    assert await check(fair) == []


async def test_a_key_waits_for_one_job_of_each_other(fair: Store) -> None:
    """However long the backlogs are, and whenever it comes: the first job of a key is behind one of each other key."""
    for key in "abcd":
        await put(fair, key, 30)
    for _ in range(5):
        await put(fair, "q")
        assert "q" in await served(fair, 5)
    assert await check(fair) == []


async def test_a_job_whose_key_changes_again_and_again(fair: Store) -> None:
    """Each time it is the last one of its key, but never behind the end of the queue, where a new job would pass it."""
    unique = Unique(key="doc", on_conflict="replace")
    for key in "ababab":
        await enqueue_flow(fair, named(key, key=key, unique=unique))
        assert await check(fair) == []
    await put(fair, "c")
    assert await served(fair) == "bc"


async def test_a_job_that_is_older_than_the_boost(fair: Store) -> None:
    """A job that was held, or gets another key, after priority_boost was set or raised has no place behind the end."""
    unique = Unique(key="doc", on_conflict="replace")
    for boost in (None, 5, 100):
        settings: dict[str, Any] = {"fair_keys": True, "key_concurrency": 1}
        await configure(fair, **settings, **({"priority_boost": boost} if boost else {}))
        await put(fair, "a", 2, priority=1)
        await enqueue_flow(fair, named("b", key="b", unique=unique, priority=1))
        await configure(fair, **settings, priority_boost=2 * (boost or 1))
        await enqueue_flow(fair, named("c", key="c", unique=unique, priority=1))
        assert await check(fair) == []
        for _ in range(3):
            [job] = await fair.next(1, [GROUP])
            await fair.succeed(GROUP, job.id, job.lease)
            await settle(fair)
            assert await check(fair) == []


@pytest.mark.parametrize(("priority", "boost", "order"), [(0, 5, "bcda"), (1, 1, "abcd")])
async def test_a_boost_leads_jobs_with_a_priority(fair: Store, priority: int, boost: int, order: str) -> None:
    """A held job gets the turn of its key, and only one with a priority is before that turn."""
    await configure(fair, fair_keys=True, key_concurrency=1, priority_boost=boost)
    await put(fair, "a", 2, priority=priority)
    for key in "bcd":
        await put(fair, key)
    [job] = await fair.next(1, [GROUP])
    await fair.succeed(GROUP, job.id, job.lease)
    await settle(fair)
    assert await served(fair) == order


async def test_jobs_of_a_key_stay_in_their_order(fair: Store) -> None:
    """Turns are between keys: inside a key the first that came is the first that goes."""
    for n in range(4):
        await enqueue_flow(fair, *(named(f"{key}{n}{i}", key=key) for i, key in enumerate("aab")))
    taken = await names(fair, 100)
    assert len(taken) == 12
    for key in "ab":
        own = [name for name in taken if name[0] == key]
        assert own == sorted(own)


async def test_jobs_without_a_key_are_those_of_one_more(fair: Store) -> None:
    """Otherwise they would be at the end of the queue, which is behind all turns of keys."""
    await put(fair, "a", 6)
    await put(fair, None, 3)
    assert await served(fair) == "a-a-a-aaa"


async def test_priorities_stay_strict(fair: Store) -> None:
    """Keys take turns inside a priority; in each of them a key has its own turns."""
    await put(fair, "a", 3)
    await put(fair, "b", 2)
    await put(fair, "a", 2, priority=2)
    await put(fair, "b", 1, priority=2)
    assert await served(fair) == "aba" + "ababa"
    assert await check(fair) == []


async def test_asleep_while_the_order_is_fifo(store: Store) -> None:
    """Places lag behind the sequence, so in fifo order such a group would go before others: it has none then."""
    await configure(store, fair_keys=True)
    assert (await store.groups.show(GROUP)).asleep == ["fair_keys"]
    await put(store, "a", 3)
    await put(store, "b", 1)
    assert not await store.redis.exists(keys.members(store.partitions[0], GROUP, "virtual_time"))
    await store.order.set("fair")
    assert not (await store.groups.show(GROUP)).asleep
    await put(store, "b", 1)
    assert await served(store) == "abaab"


async def test_nothing_is_kept_without_the_setting(fair: Store) -> None:
    """The places of keys go with the setting, and with the group."""
    times = keys.members(fair.partitions[0], GROUP, "virtual_time")
    await put(fair, "a", 2)
    assert await fair.redis.exists(times)
    await fair.groups.adjust(GROUP, GroupChanges(fair_keys=None))
    assert not await fair.redis.exists(times)
    await put(fair, "a", 2)
    assert not await fair.redis.exists(times)


async def test_other_settings_change_no_place(fair: Store) -> None:
    """After a change of another setting, a new job of a key is still behind its old ones."""
    for n in range(3):
        await enqueue_flow(fair, named(f"a{n}", key="a"))
    await fair.groups.adjust(GROUP, GroupChanges(delivery_limit=3))
    await enqueue_flow(fair, named("a3", key="a"))
    assert await names(fair, 9) == ["a0", "a1", "a2", "a3"]


async def test_a_group_keeps_its_turn_among_groups(fair: Store) -> None:
    """The places of keys lag behind the numbers of turns: a group does not go before others for that."""
    await configure(fair, "boosted", priority_boost=1000)
    await fair.enqueue("others", of("x", 9))
    await put(fair, "a", 9)
    await fair.enqueue("boosted", of("z", 3))
    await fair.next(3)
    for _ in range(3):
        await put(fair, "b")
        await fair.enqueue("boosted", of("z", priority=2))
        jobs = [job.group_name for job in await fair.next(3)]
        assert jobs == ["others", GROUP, "boosted"]
    assert await check(fair) == []


async def test_a_lead_is_of_turns(fair: Store) -> None:
    """With priority_boost a job is ahead by that number of turns; leads of several keys do not add up."""
    await fair.groups.adjust(GROUP, GroupChanges(priority_boost=2))
    await put(fair, "a", 8)
    assert await served(fair, 4) == "aaaa"
    for key in "bcd":
        await put(fair, key, 1, priority=1)
    await put(fair, "e", 1)
    await put(fair, "a", 1, priority=2)
    assert await served(fair) == "bcd" + "aeaa" + "aa"
    assert await check(fair) == []


async def test_jobs_that_come_later_take_turns_too(fair: Store) -> None:
    """Delayed, promoted, retried and held jobs, and callbacks, are behind one job of each other key when they come."""
    await put(fair, "d", delay=5)
    [promoted] = await put(fair, "p", delay=50)
    [ended] = await put(fair, "r")
    [job] = await fair.next(1, [GROUP])
    await fair.fail(GROUP, job.id, job.lease, "bad_exit")
    [first] = await put(fair, "w")
    [running] = await fair.next(1, [GROUP])
    await enqueue_flow(fair, named("f", key="f", after=[first.id]))
    await fair.batches.create(GROUP, NewBatch(jobs=of("m"), on_over=CallbackJob(image="post", payload="k")))
    await settle(fair)
    [member] = await fair.next(1, [GROUP])
    await put(fair, "a", 20)
    await reap_after(fair, 6)
    await fair.promote(GROUP, promoted.id)
    await fair.retry(GROUP, ended.id)
    await fair.succeed(GROUP, running.id, running.lease)
    await fair.succeed(GROUP, member.id, member.lease)
    await settle(fair)
    order = await served(fair)
    assert sorted(order[:7]) == sorted("adprfk" + "a")
    assert await check(fair) == []


async def test_the_first_job_keeps_its_rank(fair: Store) -> None:
    """In an empty queue a job is where it would be without turns, with the lead of its priority."""
    await fair.groups.adjust(GROUP, GroupChanges(priority_boost=2))
    [job] = await put(fair, "a", priority=1)
    p = fair.partitions[0]
    assert await fair.redis.zscore(keys.members(p, GROUP, "queued"), job.id) == 2 * 2**51 - 2 + 1
    assert await fair.redis.zscore(keys.members(p, GROUP, "virtual_time"), "2 a") == 2 * 2**51 + 1


@pytest.mark.parametrize("key", [None, "r"])
@pytest.mark.parametrize("delay_s", [0, 1])
async def test_an_automatic_retry_takes_its_turn(fair: Store, key: str | None, delay_s: int) -> None:
    """It is behind one job of each other key, at once or after its delay, and not behind their backlogs."""
    [job] = await put(fair, key, max_retries=1, retries_delay=delay_s)
    [taken] = await fair.next(1, [GROUP])
    await put(fair, "a", 9)
    await fair.fail(GROUP, job.id, taken.lease, "bad_exit")
    await reap_after(fair, delay_s)
    assert await served(fair, 2) == f"a{key or '-'}"
    assert await check(fair) == []


async def test_a_dead_letter_takes_its_turn(fair: Store) -> None:
    """A copy is one of the jobs without a key in its new group, so it does not wait for the backlog of another key."""
    await configure(fair, "notes", dead_letter_to=GROUP)
    await enqueue_flow(fair, named("-"), group="notes")
    [job] = await fair.next(1, ["notes"])
    await put(fair, "a", 9)
    await fair.fail("notes", job.id, job.lease, "bad_exit")
    assert await served(fair, 2) == "a-"


async def test_a_group_has_the_turn_of_its_first_new_job(fair: Store) -> None:
    """When jobs of a higher priority come, the place of the group among others is that of the first of them."""
    await put(fair, "a")
    first, *_ = await put(fair, "b", 3, priority=2)
    p = fair.partitions[0]
    rank = await fair.redis.zscore(keys.members(p, GROUP, "queued"), first.id)
    assert await fair.redis.zscore(keys.ready(p), GROUP) == rank


async def test_a_released_job_does_not_turn_the_time_back(fair: Store) -> None:
    """A job at its old place is the first again, but no new key gets a place as early."""
    await put(fair, "a", 10)
    [first] = await fair.next(1, [GROUP])
    assert await served(fair, 5) == "aaaaa"
    await put(fair, "b")
    await fair.release_all([first])
    await put(fair, "c", 4)
    assert await served(fair) == "a" + "abc" + "acacac"
    assert await check(fair) == []


async def test_a_job_that_comes_back_later_has_its_old_place(fair: Store) -> None:
    """A job that was released for some time is the first again, also when it is promoted."""
    await enqueue_flow(fair, *(named(f"a{n}", key="a") for n in range(4)))
    first, second = await fair.next(2, [GROUP])
    await fair.release(GROUP, first.id, first.lease, 60)
    await fair.release(GROUP, second.id, second.lease, 5)
    await fair.promote(GROUP, first.id)
    assert await names(fair, 2) == ["a0", "a2"]
    await reap_after(fair, 6)
    assert await names(fair, 9) == ["a1", "a3"]


@pytest.mark.parametrize("boost", [0, 2])
async def test_a_delayed_job_has_the_lead_of_its_priority(fair: Store, boost: int) -> None:
    """When it comes it is at the first place, but one of the priority 0 is before no other job."""
    if boost:
        await fair.groups.adjust(GROUP, GroupChanges(priority_boost=boost))
    await put(fair, "a", 3)
    await put(fair, "d", delay=5)
    await put(fair, "e", delay=5, priority=1)
    await reap_after(fair, 6)
    assert await served(fair) == "eadaa"
    assert await check(fair) == []


async def test_a_priority_takes_no_place_of_the_next_one(fair: Store) -> None:
    """The first job of a priority is at its own place, though all others have lower ones."""
    await put(fair, "a", 3)
    for priority in (1, 2):
        await put(fair, "a", 2, priority=priority)
        await put(fair, "b", 1, priority=priority)
    assert await served(fair) == "aba" * 2 + "aaa"
    assert await check(fair) == []


async def test_keys_that_are_as_new_are_dropped(fair: Store) -> None:
    """The places of keys whose jobs are long gone need no room in the store."""
    times = keys.members(fair.partitions[0], GROUP, "virtual_time")
    for key in "abc":
        await put(fair, key)
        await put(fair, key, priority=2)
    await served(fair)
    await put(fair, "d", 2)
    left = {member.decode() for member in await fair.redis.zrange(times, 0, -1)}
    assert left == {"2", "2 d", "0", "0 a", "0 b", "0 c"}


async def test_lanes_and_turns(fair: Store) -> None:
    """A held job has its turn from when it gets a place: a key that was at its limit has no places in the past."""
    await fair.groups.adjust(GROUP, GroupChanges(key_concurrency=2))
    await put(fair, "a", 6)
    running = await fair.next(2, [GROUP])
    for key in "bcde":
        await put(fair, key, 2)
    assert await served(fair, 4) == "bcde"
    for job in running:
        await fair.succeed(GROUP, job.id, job.lease)
    await settle(fair)
    assert await served(fair) == "abcdea"
    assert await check(fair) == []


async def test_a_retry_by_hand_that_is_held_has_no_turn_yet(fair: Store) -> None:
    """It has its turn from when it gets a place, like any other job."""
    await fair.groups.adjust(GROUP, GroupChanges(key_concurrency=1))
    await put(fair, "a", 2)
    [first] = await fair.next(1, [GROUP])
    await fair.fail(GROUP, first.id, first.lease, "bad_exit")
    await settle(fair)
    retry = await fair.retry(GROUP, first.id)
    assert await status_of(fair, retry) == "delayed"
    [second] = await fair.next(9, [GROUP])
    await fair.succeed(GROUP, second.id, second.lease)
    await settle(fair)
    assert [job.id for job in await fair.next(9, [GROUP])] == [retry.id]
    assert await check(fair) == []


async def test_an_export_has_the_places_of_keys(fair: Store) -> None:
    """In another store new jobs of a key are behind its old ones."""
    await put(fair, "a", 3)
    await put(fair, "b", 1)
    lines = await lines_of(fair)
    await fair.redis.delete(*[key async for key in fair.redis.scan_iter(f"{fair.partitions[0]}:*", 1000)])
    await restore(fair, lines)
    await fair.order.set("fair")
    await put(fair, "a")
    await put(fair, "b")
    assert await served(fair) == "abab" + "aa"
    assert await check(fair) == []


async def test_an_export_without_the_setting_has_no_places(store: Store) -> None:
    """Its jobs with keys are queued, and nothing is kept of turns."""
    await configure(store, key_concurrency=3)
    await put(store, "a", 2)
    lines = await lines_of(store)
    await store.redis.delete(*[key async for key in store.redis.scan_iter(f"{store.partitions[0]}:*", 1000)])
    await restore(store, lines)
    assert not await store.redis.exists(keys.members(store.partitions[0], GROUP, "virtual_time"))
    assert await served(store) == "aa"


@pytest.mark.parametrize("boost", [0, 2])
async def test_an_export_has_the_last_place_of_each_key(fair: Store, boost: int) -> None:
    """With the lead of each job: the places are those of before."""
    if boost:
        await fair.groups.adjust(GROUP, GroupChanges(priority_boost=boost))
    await put(fair, "a", 3)
    await put(fair, "b", 1, priority=1)
    await put(fair, None)
    times = keys.members(fair.partitions[0], GROUP, "virtual_time")
    before = dict(await fair.redis.zrange(times, 0, -1, withscores=True))
    of_b = b"2 b" if boost else b"1 b"
    assert before.keys() == {b"2", b"2 a", b"2 ", of_b, of_b[:1]}
    lines = await lines_of(fair)
    await fair.redis.delete(*[key async for key in fair.redis.scan_iter(f"{fair.partitions[0]}:*", 1000)])
    await restore(fair, lines)
    last = {member: place for member, place in before.items() if b" " in member}
    assert dict(await fair.redis.zrange(times, 0, -1, withscores=True)) == last


async def test_a_replaced_job_has_the_turn_of_its_new_key(fair: Store) -> None:
    """A holder of a unique key that gets another key is behind one job of each other key, not where it was."""
    unique = Unique(key="doc", on_conflict="replace")
    await put(fair, "a", 3)
    await put(fair, "a", unique=unique)
    await put(fair, "b", unique=unique)
    assert await served(fair) == "abaa"


@pytest.mark.parametrize("band", [0, 1, 2])
async def test_check_finds_wrong_places(fair: Store, band: int) -> None:
    """A place behind the end of the queue would make a key wait; places without the setting are of no use."""
    times = keys.members(fair.partitions[0], GROUP, "virtual_time")
    await put(fair, "a", 2)
    await fair.redis.zadd(times, {f"{band} a": band * 2**51 + 10**6})
    [found] = await check(fair, is_repair=True)
    assert "places behind the end" in found.what
    assert await check(fair) == []
    await fair.redis.hdel(keys.group(fair.partitions[0], GROUP), "fair_keys")
    findings = [found.what for found in await check(fair, is_repair=True)]
    assert any("without fair_keys" in found for found in findings)
    assert await check(fair) == []


async def test_the_turns_of_keys_are_told(fair: Store) -> None:
    """1 is the key whose job is the next; jobs without a key count as one; no turn without a queued job, or in fifo."""

    async def turns() -> dict[str, Any]:
        return {found.key: found.turn for found in (await fair.lanes.list(GROUP, 9)).keys}

    await put(fair, "a", 3)
    await put(fair, None)
    await put(fair, "b")
    await put(fair, "c")
    assert await turns() == {"a": 1, "b": 3, "c": 4}
    assert await served(fair, 3) == "a-b"
    assert await turns() == {"a": 2, "b": UNSET, "c": 1}
    await put(fair, "b", priority=2)
    assert await turns() == {"a": 3, "b": 1, "c": 2}
    await fair.order.set("fifo")
    assert await turns() == dict.fromkeys("abc", UNSET)


async def test_turns_are_told_of_the_first_jobs_only(fair: Store) -> None:
    """A key whose first job is behind 1,000 others has no turn yet."""
    await put(fair, "a", 1000)
    await fair.order.set("fifo")
    await put(fair, "b")
    await fair.order.set("fair")
    assert {found.key: found.turn for found in (await fair.lanes.list(GROUP, 9)).keys} == {"a": 1, "b": UNSET}
    await fair.next(1, [GROUP])
    assert {found.key: found.turn for found in (await fair.lanes.list(GROUP, 9)).keys} == {"a": 1, "b": 2}


async def test_the_places_of_a_priority_end_where_the_next_one_begins(fair: Store) -> None:
    """The very first job with the highest boost is no neighbour of those with a higher priority."""
    await configure(fair, fair_keys=True, priority_boost=1_000_000)
    await put(fair, "a", priority=2)
    await configure(fair, fair_keys=True)
    await put(fair, "b", priority=1)
    queued = keys.members(fair.partitions[0], GROUP, "queued")
    [(_, first), (_, other)] = await fair.redis.zrange(queued, 0, -1, withscores=True)
    assert first < other == 2 * STEP - 2_000_000 + 1


async def test_a_job_that_waited_in_its_work_keeps_its_turn(fair: Store) -> None:
    """It had one when it began; jobs of its key that came meanwhile are behind it."""
    await put(fair, "a")
    [begun] = await fair.next(1, [GROUP])
    [parent] = await put(fair, "p")
    await fair.completer.wait(GROUP, begun.id, [parent.id], lease=begun.lease)
    [taken] = await fair.next(1, [GROUP])
    await put(fair, "b", 2)
    await put(fair, "a", 3)
    await fair.succeed(GROUP, taken.id, taken.lease)
    await settle(fair)
    assert [job.id for job in await fair.next(1, [GROUP])] == [begun.id]
    assert await check(fair) == []


async def test_jobs_that_waited_have_the_turns_of_their_keys(fair: Store) -> None:
    """Those that enter the queue together are in turns, each as one of its own key."""
    [parent] = await put(fair, None)
    await enqueue_flow(fair, *(job for key in "aaba" for job in of(key, after=[parent.id])))
    [taken] = await fair.next(1, [GROUP])
    await fair.succeed(GROUP, taken.id, taken.lease)
    await settle(fair)
    assert await served(fair) == "abaa"
    assert await check(fair) == []


async def test_many_jobs_of_a_key_in_one_call(fair: Store) -> None:
    """Their places are given in pieces, and follow each other."""
    await put(fair, "a", 1001)
    queued = await fair.redis.zrange(keys.members(fair.partitions[0], GROUP, "queued"), 0, -1, withscores=True)
    assert [score for _, score in queued] == [queued[0][1] + number for number in range(1001)]
    await forget_all(fair)
