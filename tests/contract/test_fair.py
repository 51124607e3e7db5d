"""Fair order: groups take turns inside a priority, of `weight` jobs each, however consumers ask for jobs."""

import pytest

from broker.diagnostics.consistency import check
from broker.models.groups import GroupChanges
from broker.models.jobs import Job
from broker.resp import keys
from tests.contract.building import configure, enqueue, forget_all, lose, new, partition, reap_after
from tests.stores import Store


@pytest.fixture
async def fair(store: Store) -> Store:
    """A store whose groups take turns."""
    await store.order.set("fair")
    return store


async def backlog(store: Store, count: int, *groups: str, **fields: int | str) -> None:
    """This number of jobs in each group; all of one group before the next one's."""
    for group in groups:
        await store.enqueue(group, [new(**fields)] * count)


async def served(store: Store, n: int, each: int = 1, **how: object) -> str:
    """The groups of the next n jobs in the order of their dispatch, from calls for `each` jobs."""
    found: list[Job] = []
    while len(found) < n and (jobs := await store.next(min(each, n - len(found)), **how)):
        found += jobs
    return "".join(job.group_name for job in found)


async def ring(store: Store) -> list[str]:
    """The groups of the ready index in its order."""
    return [name.decode() for name in await store.redis.zrange(keys.ready(store.partitions[0]), 0, -1)]


@pytest.mark.parametrize("images", [(), ("post",)])
@pytest.mark.parametrize("each", [1, 2, 5, 100])
async def test_groups_take_turns(fair: Store, each: int, images: tuple[str, ...]) -> None:
    """A group with a backlog of its own making lets the others pass, in calls of any size, by image too."""
    await backlog(fair, 8, "a", "b", "c")
    assert await served(fair, 24, each, images=images) == "abc" * 8
    assert await fair.next(1) == []
    assert await ring(fair) == []


@pytest.mark.parametrize("images", [(), ("post",)])
@pytest.mark.parametrize("each", [1, 4, 100])
async def test_a_turn_of_weight_jobs_spans_calls(fair: Store, each: int, images: tuple[str, ...]) -> None:
    """Weights hold for consumers that take one job at a time, as for those that take many."""
    await configure(fair, "a", weight=3)
    await configure(fair, "b", weight=2)
    await backlog(fair, 7, "a", "b", "c")
    assert await served(fair, 18, each, images=images) == "aaabbc" * 2 + "abbcbc"
    assert await served(fair, 9, each) == "ccc"
    assert not await fair.redis.exists(keys.turns(fair.partitions[0]))


async def test_a_turn_of_urgent_jobs_spans_calls(fair: Store) -> None:
    """Weights hold in the highest priority too, for consumers that take one job at a time."""
    await configure(fair, "a", weight=2)
    await backlog(fair, 4, "a", "b", priority=2)
    assert await served(fair, 6) == "aabaab"


async def test_newcomers_join_behind(fair: Store) -> None:
    """A group that had no job comes after those that wait already, and once; then as often as they."""
    await backlog(fair, 5, "a", "b")
    assert await served(fair, 3) == "aba"
    await backlog(fair, 5, "c")
    assert await served(fair, 6) == "bacbac"


@pytest.mark.parametrize("images", [(), ("post",)])
@pytest.mark.parametrize("each", [1, 3, 100])
async def test_priorities_stay_strict(fair: Store, each: int, images: tuple[str, ...]) -> None:
    """Turns are inside a priority: a job of a higher one goes first, of any group, in calls of any size."""
    await backlog(fair, 3, "a", "b")
    await backlog(fair, 2, "b", "c", priority=2)
    await backlog(fair, 1, "a", priority=1)
    assert await served(fair, 11, each, images=images) == "bcbc" + "a" + "bababa"


@pytest.mark.parametrize("images", [(), ("post",)])
async def test_urgent_jobs_do_not_cost_a_group_its_turn(fair: Store, images: tuple[str, ...]) -> None:
    """A group whose urgent jobs come again and again still gets turns for its other jobs."""
    await backlog(fair, 20, "a", "b", "c", "d")
    normal = []
    for _ in range(12):
        await enqueue(fair, "d", priority=2)
        [urgent, other] = await fair.next(1, images=images) + await fair.next(1, images=images)
        assert (urgent.group_name, urgent.priority) == ("d", 2)
        normal.append(other.group_name)
    assert normal[3:].count("d") >= 2
    assert await check(fair) == []


async def test_a_turn_survives_urgent_jobs_of_its_group(fair: Store) -> None:
    """A turn of several jobs continues where it was when a job of a higher priority came between."""
    await configure(fair, "a", weight=3)
    await backlog(fair, 6, "a", "b")
    assert await served(fair, 1) == "a"
    await enqueue(fair, "a", priority=1)
    assert await served(fair, 1) == "a"
    assert await served(fair, 4) == "aaba"


async def test_limits_of_two_groups_are_their_own(fair: Store) -> None:
    """C1 C2 a limit of one group is not one for all, nor is it another group's (bullmq#1322, bullmq#745)."""
    await configure(fair, "a", max_concurrency=1)
    await configure(fair, "b", max_concurrency=2)
    await backlog(fair, 5, "a", "b", "c")
    assert await served(fair, 100, 100) == "abcbcccc"
    assert await check(fair) == []


async def test_a_group_at_its_limit_waits_no_longer_than_others(fair: Store) -> None:
    """A group that comes back from its max_concurrency joins behind, and has its turn: it does not lose always."""
    await configure(fair, "a", max_concurrency=1, weight=2)
    await backlog(fair, 6, "a", "b", "c")
    order = ""
    for _ in range(9):
        [job] = await fair.next(1)
        order += job.group_name
        await fair.succeed(job.group_name, job.id, job.lease)
    assert order == "abcabcabc"


async def test_a_rate_limit_lets_others_pass(fair: Store) -> None:
    """C3 the rate is spent by dispatch, a token a job; jobs delayed elsewhere do not slow it (bullmq#3325)."""
    await configure(fair, "a", rate_limit=2)
    await enqueue(fair, "b", delay=1000)
    await backlog(fair, 20, "a", "c")
    assert await served(fair, 6) == "acaccc"
    for _ in range(3):  # it is as fast in the third second as in the first one
        await reap_after(fair, 1)
        assert await served(fair, 2) == "ca"
        assert await served(fair, 2) in {"ca", "ac"}
        assert await check(fair) == []


async def test_paused_groups_have_no_turn(fair: Store) -> None:
    """A paused group leaves the ring, and joins behind when it is resumed."""
    await backlog(fair, 6, "a", "b", "c")
    await fair.groups.adjust("a", GroupChanges(paused=True))
    assert await served(fair, 3) == "bcb"
    await fair.groups.adjust("a", GroupChanges(paused=False))
    assert await served(fair, 4) == "cbac"


async def test_jobs_that_come_back_do_not_jump_the_ring(fair: Store) -> None:
    """A delayed job joins behind when it is due; a released or lost one is the first of its group, in its turn."""
    await enqueue(fair, "d", delay=5)
    await backlog(fair, 4, "a", "b")
    [first] = await fair.next(1)
    await fair.release_all([first])
    assert await ring(fair) == ["b", "a"]
    await reap_after(fair, 5)
    assert await ring(fair) == ["b", "a", "d"]
    [_, again] = await fair.next(2)
    assert again.id == first.id
    await reap_after(fair, 60)
    assert (await ring(fair))[0] == "d"
    assert await check(fair) == []


async def test_named_groups_are_served_in_turns(fair: Store) -> None:
    """A consumer of some groups gets them in turns; what it takes counts as their turns for everybody."""
    await backlog(fair, 6, "a", "b", "c", "d")
    assert await served(fair, 4, groups=("d", "b", "none")) == "bdbd"
    assert await served(fair, 4) == "acbd"


@pytest.mark.parametrize("images", [(), ("post",)])
async def test_a_call_for_groups_without_jobs_ends_no_turn(fair: Store, images: tuple[str, ...]) -> None:
    """It gets nothing, while another group is in the middle of its turn, and that one continues."""
    await configure(fair, "a", weight=2)
    await backlog(fair, 3, "a", "b")
    assert await served(fair, 1) == "a"
    assert await fair.next(1, ["none"], images=images) == []
    assert await served(fair, 2) == "ab"


async def test_images_share_the_turns(fair: Store) -> None:
    """A group gives jobs of the image that is asked for, and is behind the others for all images then."""
    for group in "ab":
        await fair.enqueue(group, [new(image="x"), new(image="y")] * 2)
    assert await served(fair, 3, images=("y",)) == "aba"
    assert await served(fair, 3) == "bab"
    assert await check(fair) == []


async def test_a_group_that_is_alone_with_an_image_ends_its_turn(fair: Store) -> None:
    """What it gave while no other group had the image is its turn for all images."""
    await fair.enqueue("a", [new(image="x"), new(image="y")])
    await enqueue(fair, "b", image="y")
    assert await served(fair, 1, images=("x",)) == "a"
    assert await served(fair, 2) == "ba"


async def test_next_of_another_priority_by_image(fair: Store) -> None:
    """Jobs of an image are served by their own priority, though the first jobs of the groups have another one."""
    for group in "ab":
        await enqueue(fair, group, image="x", priority=2)
        await fair.enqueue(group, [new(image="y")] * 3)
    assert await served(fair, 4, images=("y",)) == "abab"
    assert await ring(fair) == ["a", "b"]
    assert await served(fair, 4, 4) == "abab"


@pytest.mark.parametrize("partitions", [1, 3])
async def test_switching_leaves_no_group_out(store: Store, other: Store) -> None:
    """From fifo to fair and back while jobs wait: each job is served once, and the index is as that order has it."""
    groups = [f"g{number}" for number in range(7)]
    await configure(store, "g3", weight=4)
    await backlog(store, 12, *groups)
    found = await store.next(3)
    await store.order.set("fair")
    assert [await one.order.show() for one in (store, other)] == ["fair"] * 2
    found += await other.next(4)  # it has not read it yet
    found += await store.next(30)
    assert await check(store) == []
    await other.modes.read()
    found += await other.next(10)
    await store.order.set("fifo")
    assert await check(store) == []
    found += await other.next(9)  # nor that
    assert await check(store) == []
    await other.modes.read()
    left = await other.next(1000)
    for p in store.partitions:
        here = [job for job in left if partition(store, job.group_name) == p]
        assert [job.group_name for job in here] == sorted(job.group_name for job in here)
        assert not await store.redis.exists(keys.turns(p), keys.modes(p))
    assert len({job.id for job in found + left}) == len(found + left) == 7 * 12


async def test_by_image_from_a_broker_that_has_not_read_the_order(fair: Store, other: Store) -> None:
    """A broker that takes the order for fair still serves a store that is fifo by rank."""
    await other.modes.read()
    await fair.order.set("fifo")
    await backlog(fair, 3, "a", "b")
    assert await served(other, 4, 4, images=("post",)) == "aaab"
    assert await check(fair) == []


async def test_many_groups_are_switched_in_pieces(fair: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Back in fifo order, the index has each group by its first job, however many groups there are."""
    monkeypatch.setattr("broker.store.order.PIECE", 2)
    await backlog(fair, 3, *"abcdefg")
    assert await served(fair, 10, 10) == "abcdefgabc"
    await fair.order.set("fifo")
    assert await check(fair) == []
    assert await ring(fair) == list("abcdefg")


async def test_large_jobs_keep_their_turns(fair: Store) -> None:
    """A reply that is full leaves jobs in their queues, and their groups where they stood."""
    await configure(fair, "b", weight=2)
    await backlog(fair, 4, "a", "b", "c", payload="x" * 400_000)
    order = ""
    for _ in range(4):
        found = await fair.next(1)
        order += found[0].group_name
    assert order == "abbc"
    order = ""
    while found := await fair.next(128):
        order += "".join(job.group_name for job in found)
    assert order == "abbcacac"


async def test_jobs_without_records_are_passed_over(fair: Store) -> None:
    """A damaged job costs its group a part of a turn, and stops nobody."""
    lost = await enqueue(fair, "a")
    await backlog(fair, 2, "a", "b")
    await lose(fair, lost)
    assert sorted(await served(fair, 4)) == ["a", "a", "b", "b"]
    await check(fair, is_repair=True)


async def test_a_group_whose_only_place_had_a_lost_job_gets_another(fair: Store) -> None:
    """A job without a record takes no place of max_concurrency: the same call gets the one behind it."""
    await configure(fair, "a", max_concurrency=1)
    lost, job = [await enqueue(fair, "a") for _ in range(2)]
    await lose(fair, lost)
    assert [one.id for one in await fair.next(5)] == [job.id]
    await check(fair, is_repair=True)


async def test_a_group_that_stands_in_a_priority_without_jobs_keeps_its_number(fair: Store) -> None:
    """The ring of a damaged store has it too early: its turn comes by its number, in the priority of its jobs."""
    await backlog(fair, 2, "a", "b", "c")
    await fair.redis.zadd(keys.ready(fair.partitions[0]), {"c": 0})
    assert await served(fair, 4) == "cabc"


async def test_check_finds_who_stands_wrong_in_the_ring(fair: Store) -> None:
    """It compares which groups the ring has, and in which priority; not the turn."""
    await backlog(fair, 3, "a", "b", "c", "d")
    assert await served(fair, 2) == "ab"
    assert await check(fair) == []
    key = keys.ready(fair.partitions[0])
    await fair.redis.zrem(key, "c")
    await fair.redis.zadd(key, {"a": 5})
    assert sorted((one.group, one.what) for one in await check(fair)) == [
        (group, "has a wrong or missing entry in ready") for group in "ac"
    ]
    await check(fair, is_repair=True)
    assert await check(fair) == []
    assert sorted(await served(fair, 4)) == list("abcd")


async def test_a_cancelled_urgent_job_gives_the_place_back(fair: Store) -> None:
    """When the job of a higher priority is gone, its group returns to its turn in the lower one."""
    await backlog(fair, 5, "a", "b", "c")
    await enqueue(fair, "c", priority=2)
    assert await served(fair, 2) == "ca"
    urgent = await enqueue(fair, "c", priority=2)
    before = await ring(fair)
    await fair.cancel("c", urgent.id)
    assert before == ["c", "b", "a"]
    assert await ring(fair) == ["b", "c", "a"]


async def test_a_deleted_group_leaves_no_turn(fair: Store) -> None:
    """A group of the same name begins without it."""
    await configure(fair, "a", weight=5)
    await backlog(fair, 3, "a")
    for _ in range(3):
        [job] = await fair.next(1)
        await fair.succeed("a", job.id, job.lease)
    assert not await fair.redis.exists(keys.turns(fair.partitions[0]))
    await fair.groups.delete_group("a")
    assert await check(fair) == []


async def test_plain_stores_have_no_turns(store: Store) -> None:
    """A weight without the order changes nothing, and writes nothing."""
    await configure(store, "a", weight=5)
    await backlog(store, 3, "a", "b")
    assert await served(store, 6) == "aaabbb"
    assert not await store.redis.exists(keys.turns(store.partitions[0]), keys.modes(store.partitions[0]))


@pytest.mark.parametrize("images", [(), ("post",)])
async def test_one_call_takes_several_turns(fair: Store, images: tuple[str, ...]) -> None:
    """A call gets as many jobs as it asks for, though each group has one turn after the other."""
    await configure(fair, "a", weight=2)
    await backlog(fair, 3, "a", "b")
    assert [job.group_name for job in await fair.next(6, images=images)] == list("aababb")


async def test_a_call_in_vain_notes_that_a_broker_waits(fair: Store) -> None:
    """Then the broker is notified of new jobs, as in the other order."""
    await fair.next(1)
    assert not await fair.redis.exists(f"{fair.partitions[0]}:pollers")
    await fair.next(1, waits=True)
    assert await fair.redis.zcard(f"{fair.partitions[0]}:pollers") == 1
    assert await fair.next(1, images=("post",)) == []


async def test_fifo_forgets_turns_that_have_begun(fair: Store) -> None:
    """A turn that had begun before the order was fifo does not count in a later one."""
    await configure(fair, "a", weight=2)
    await backlog(fair, 5, "a", "b")
    assert await served(fair, 1) == "a"
    assert await fair.redis.hkeys(keys.turns(fair.partitions[0])) == [b"a"]
    await fair.order.set("fifo")
    assert not await fair.redis.exists(keys.turns(fair.partitions[0]))


@pytest.mark.parametrize("images", [(), ("post",)])
async def test_a_lower_weight_ends_a_turn(fair: Store, images: tuple[str, ...]) -> None:
    """A group whose weight is lowered in its turn gives one more job at most, and turns continue."""
    await configure(fair, "a", weight=5)
    await backlog(fair, 6, "a", "b")
    assert await served(fair, 3, images=images) == "aaa"
    await configure(fair, "a", weight=1)
    assert await served(fair, 4, images=images) == "abab"


async def test_next_fair_of_many_groups(fair: Store) -> None:
    """A call opens 100 queues at most, and none of the other groups is passed over."""
    groups = [f"g{number:03}" for number in range(130)]
    for group in groups:
        await enqueue(fair, group)
    assert [job.group_name for job in await fair.next(1000)] == groups[:100]
    assert [job.group_name for job in await fair.next(1000)] == groups[100:]
    await forget_all(fair)


async def test_turns_that_are_whole_are_not_noted(fair: Store) -> None:
    """Between its turns a group with jobs of one priority needs no room but its place in the ring."""
    await backlog(fair, 3, "a", "b")
    before = int(await fair.redis.get(f"{fair.partitions[0]}:sequence"))
    assert await served(fair, 3) == "aba"
    assert not await fair.redis.exists(keys.turns(fair.partitions[0]))
    assert int(await fair.redis.get(f"{fair.partitions[0]}:sequence")) == before + 3  # a number for each turn


async def test_a_call_in_vain_writes_nothing(fair: Store) -> None:
    """Brokers that ask again and again cost a store without jobs no write."""
    await fair.next(1)
    assert await fair.redis.get(f"{fair.partitions[0]}:sequence") is None


@pytest.mark.parametrize("images", [(), ("post",)])
async def test_a_turn_of_a_lower_priority_is_whole(fair: Store, images: tuple[str, ...]) -> None:
    """A group that has no more urgent jobs has all of its weight for the others."""
    await configure(fair, "a", weight=2)
    await enqueue(fair, "a", priority=1)
    await backlog(fair, 3, "a", "b")
    assert await served(fair, 7, 7, images=images) == "aaabab" + "b"


async def test_a_turn_that_has_no_more_jobs_is_forgotten(fair: Store) -> None:
    """A group that has jobs of that priority again is behind those that waited meanwhile."""
    await enqueue(fair, "a", priority=1)
    await enqueue(fair, "a")
    assert await served(fair, 1) == "a"
    await enqueue(fair, "b", priority=1)
    await enqueue(fair, "a", priority=2)
    await enqueue(fair, "a", priority=1)
    assert await served(fair, 4) == "abaa"


async def test_groups_that_have_no_job_cost_nobody_a_turn(fair: Store) -> None:
    """The ring of a damaged store has some of them: a call passes them over, and keeps the order of the others."""
    await fair.redis.zadd(keys.ready(fair.partitions[0]), {"x": 1, "y": 2})
    await backlog(fair, 2, "a", "b")
    assert await served(fair, 4, 2) == "abab"


async def test_a_turn_that_a_full_reply_cuts_goes_on(fair: Store) -> None:
    """Three of these jobs fill a reply. The group in the middle of its turn has the rest of it first, and no more."""
    await configure(fair, "a", weight=2)
    await configure(fair, "b", weight=3)
    await backlog(fair, 4, "a", "b", payload="x" * 400_000)
    assert await served(fair, 8, 8) == "aabbbaab"


async def test_a_turn_ends_with_its_priority(fair: Store) -> None:
    """The very first job with the highest boost is none of those with a higher priority."""
    await configure(fair, "a", weight=2, priority_boost=1_000_000)
    await enqueue(fair, "a", priority=2)
    await configure(fair, "a", weight=2)
    await backlog(fair, 1, "a", "b", priority=1)
    assert await served(fair, 3, 3) == "aba"


async def test_a_group_with_a_boost_comes_into_the_ring_behind(fair: Store) -> None:
    """A boost is among its own jobs: it gives the group no earlier turn."""
    await configure(fair, "b", priority_boost=1000)
    await backlog(fair, 2, "a")
    await backlog(fair, 2, "b", priority=2)
    assert await served(fair, 4) == "abab"
