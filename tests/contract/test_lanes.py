"""Keys of jobs: at most key_concurrency jobs of one key are queued or run, others are held until a place is free."""

from typing import Any

import pytest
from msgspec import UNSET

from broker.core.errors import WrongState
from broker.diagnostics.consistency import check
from broker.models.batches import NewBatch
from broker.models.groups import GroupChanges, JobRate
from broker.models.jobs import Job, NewJob, WaitsFor
from broker.models.lanes import KeyJobs, NoKeyJobs
from broker.models.retries import Retry
from broker.models.unique import Unique
from broker.resp import keys
from broker.store.format.exported import read_line
from tests.contract.building import GROUP, clock, configure, names, reap_after, status_of, wait
from tests.contract.flows import enqueue_flow, move, named, settle
from tests.contract.listening import Heard
from tests.stores import Store


def of(key: str, payload: str = "", **fields: Any) -> NewJob:
    """A job of a key."""
    return named(payload or key, key=key, **fields)


async def enqueue(store: Store, *jobs: NewJob, group: str = GROUP) -> list[Job]:
    """These jobs, one call each."""
    return [(await store.enqueue(group, [job])).jobs[0] for job in jobs]


async def take(store: Store, n: int = 100) -> list[Job]:
    """The next jobs."""
    return await store.next(n, [GROUP])


async def statuses(store: Store, *jobs: Job) -> list[str | None]:
    return [await status_of(store, job) for job in jobs]


async def succeed(store: Store, *jobs: Job) -> None:
    """End these running jobs well, and settle that."""
    for job in jobs:
        await store.succeed(GROUP, job.id, job.lease)
    await settle(store)


async def test_a_key_has_so_many_jobs(store: Store) -> None:
    """Two jobs of the key may be queued or run; others are held, and get places in their order."""
    await configure(store, key_concurrency=2)
    made = await enqueue_flow(store, *(of("acme", name) for name in "abcd"))
    assert [job.status for job in made] == ["queued", "queued", "delayed", "delayed"]
    assert [job.waits_for for job in made[2:]] == [WaitsFor(key="acme")] * 2
    assert made[2] == await store.show(GROUP, made[2].id)
    a, b = await take(store)
    assert await take(store) == []
    await succeed(store, b)
    [c] = await take(store)
    assert c.payload == "c"
    await succeed(store, a)
    assert await names(store, 9) == ["d"]


async def test_a_group_whose_new_jobs_are_all_held(store: Store) -> None:
    """It has nothing to dispatch, so nobody looks for its jobs."""
    await configure(store, key_concurrency=1)
    await enqueue_flow(store, of("acme", "runs"))
    assert await names(store, 1) == ["runs"]
    await enqueue_flow(store, of("acme", "held"), of("acme", "held too"))
    assert await store.redis.zscore(keys.ready(store.partitions[0]), GROUP) is None
    await enqueue_flow(store, of("blue"), of("green"))
    [(_, first)] = await store.redis.zrange(keys.members(store.partitions[0], GROUP, "queued"), 0, 0, withscores=True)
    assert await store.redis.zscore(keys.ready(store.partitions[0]), GROUP) == first


async def test_each_key_has_its_own_places(store: Store) -> None:
    """C1 C2 one limit was for all keys (bullmq#1322), and those of two queues were mixed up (bullmq#745)."""
    await configure(store, key_concurrency=1)
    await configure(store, "notes", key_concurrency=1)
    await enqueue(store, of("acme"), of("blue"), of("acme"), named("plain"), named("plain"))
    await enqueue(store, of("acme"), of("acme"), group="notes")
    assert [job.payload for job in await take(store)] == ["acme", "blue", "plain", "plain"]
    assert await names(store, 9, ("notes",)) == ["acme"]


async def test_a_place_is_of_a_job_and_not_of_its_worker(store: Store) -> None:
    """C6 slots of dropped tasks leaked (hatchet#4494): a lost lease keeps the place, and the last loss frees it."""
    await configure(store, key_concurrency=1, delivery_limit=2)
    first, second = await enqueue(store, of("acme", "first", timeout=5), of("acme", "second"))
    for _ in range(2):
        [taken] = await take(store)
        assert (taken.id, await status_of(store, second)) == (first.id, "delayed")
        await reap_after(store, 6)
    await settle(store)
    assert await statuses(store, first, second) == ["failed", "queued"]


@pytest.mark.parametrize("order", ["call", "calls"])
async def test_no_order_of_calls_admits_too_many(store: Store, order: str) -> None:
    """C8 the order of commits admitted too many (hatchet#4778): the places are counted where the job is made."""
    await configure(store, key_concurrency=3)
    jobs = [of("acme", str(i)) for i in range(10)]
    await (enqueue_flow(store, *jobs) if order == "call" else enqueue(store, *jobs))
    for last in range(3, 10, 3):
        running = await take(store)
        assert [int(job.payload) for job in running] == list(range(last - 3, last))
        await succeed(store, *running)
    assert await names(store, 9) == ["9"]


async def test_a_freed_place_wakes_one_waiter(store: Store) -> None:
    """C11 nobody was woken, or all of them (bullmq#909): one place is one job."""
    await configure(store, key_concurrency=1)
    made = await enqueue(store, *(of("acme", str(i)) for i in range(5)))
    [first] = await take(store)
    await succeed(store, first)
    assert await statuses(store, *made) == ["succeeded", "queued", "delayed", "delayed", "delayed"]


async def test_who_came_first_has_the_place_first(store: Store) -> None:
    """C5 the same waiter lost each time (sidekiq#5315): a job that comes while a place is free overtakes nobody."""
    await configure(store, key_concurrency=1)
    await enqueue(store, *(of("acme", str(i)) for i in range(3)))
    got = []
    for new in ("3", "4", "5"):
        [running] = await take(store)
        got.append(running.payload)
        await store.succeed(GROUP, running.id, running.lease)
        await enqueue(store, of("acme", new))  # between the end and its settlement
        await settle(store)
    assert got == ["0", "1", "2"]
    assert await names(store) == ["3"]


async def test_a_place_that_is_free_is_for_those_who_wait(store: Store) -> None:
    """A job that is delayed leaves its place at once. Nobody takes it before settle gives it to the first who waits."""
    await configure(store, key_concurrency=1)
    await enqueue(store, of("acme", "first"), of("acme", "second"))
    [first] = await take(store)
    await store.release(GROUP, first.id, first.lease, 60)
    [third] = await enqueue(store, of("acme", "third"))
    assert third.waits_for == WaitsFor(key="acme")
    await settle(store)
    assert await names(store, 9) == ["second"]


async def test_jobs_of_one_millisecond_keep_their_order(store: Store) -> None:
    """C9 a place went to the wrong key, and jobs of one moment lost their order (hatchet PR#1164).

    Here the first waiter of its own key gets it, and no other key waits longer or less for that.
    """
    await configure(store, key_concurrency=2)
    both = [of(key, f"{key}{n}") for n in range(6) for key in ("acme", "blue")]
    await enqueue_flow(store, *both)  # all of one moment
    first, *others = await take(store)
    assert [job.payload for job in (first, *others)] == ["acme0", "blue0", "acme1", "blue1"]
    for n in range(2, 6):
        await succeed(store, first)
        [first] = await take(store)
        assert first.payload == f"acme{n}"
    await succeed(store, *(job for job in others if job.payload.startswith("blue")))
    assert [job.payload for job in await take(store)] == ["blue2", "blue3"]


async def test_several_limits_add_no_wait(store: Store) -> None:
    """C10 with several limits jobs waited for seconds though none was reached (hatchet#2866). Here they do not."""
    await configure(store, key_concurrency=1, max_concurrency=2, rate_limit=JobRate(100, 1, 100))
    await enqueue(store, *(of(key, f"{key}{n}") for n in range(9) for key in ("acme", "blue")))
    got = []
    for _ in range(9):  # the clock stands still
        running = await take(store)
        got += [job.payload for job in running]
        await succeed(store, *running)
    assert got == [f"{key}{n}" for n in range(9) for key in ("acme", "blue")]


async def test_a_higher_priority_waits_less(store: Store) -> None:
    """Of those that wait the highest priority is first, and it keeps its place in the queue."""
    await configure(store, key_concurrency=1)
    await enqueue(store, of("acme", "runs"), of("acme", "low"), of("acme", "high", priority=2), named("plain"))
    running, _plain = await take(store)
    await enqueue(store, named("later"))
    await succeed(store, running)
    assert await names(store, 9) == ["high", "later"]


@pytest.mark.parametrize("end", ["fail", "cancel", "deadline"])
async def test_every_end_gives_the_place_on(store: Store, end: str) -> None:
    """A held job that ends before its turn is passed over."""
    await configure(store, key_concurrency=1)
    first, second, third = await enqueue(
        store, of("acme", end_within=60 if end == "deadline" else None), of("acme", "2"), of("acme", "3")
    )
    await store.cancel(GROUP, second.id)
    assert not (await store.show(GROUP, second.id)).waits_for
    if end == "fail":
        [running] = await take(store)
        await store.fail(GROUP, running.id, running.lease, "bad_exit")
    elif end == "cancel":
        await store.cancel(GROUP, first.id)
    else:
        await reap_after(store, 61)
    await settle(store, limit=1)  # the first one's end before that of the second one, which has no turn any more
    assert await statuses(store, second, third) == ["cancelled", "queued"]
    await take(store)
    assert (await store.lanes.list(GROUP, 9)).keys == [
        KeyJobs(key="acme", queued=0, running=1, held=0, oldest_at=third.created_at)
    ]


@pytest.mark.parametrize("is_strict", [False, True])
@pytest.mark.parametrize("how", ["policy", "retries", "release", "lost"])
async def test_a_job_that_waits_for_its_retry(store: Store, how: str, *, is_strict: bool) -> None:
    """It gives its place on, and takes one again; with key_strict it keeps the place, so jobs run one after another."""
    await configure(store, key_concurrency=1, key_strict=is_strict, delivery_limit=1)
    fields = {"retries": {"max_retries": 1, "retries_delay": 10}, "release": {}}
    own = fields.get(how, {"retry": Retry(max=3, backoff="constant", delay=10, jitter=0)})
    await enqueue(store, of("acme", "first", timeout=5, **own), of("acme", "second"))
    [first] = await take(store)
    if how == "release":
        await store.release(GROUP, first.id, first.lease, 10)
    elif how == "lost":
        await reap_after(store, 5)
    else:
        await store.fail(GROUP, first.id, first.lease, "bad_exit")
    await settle(store)
    assert await check(store) == []
    second = await take(store)
    assert [job.payload for job in second] == ([] if is_strict else ["second"])
    await reap_after(store, 10)
    again = await take(store)
    assert [job.payload for job in again] == (["first"] if is_strict else [])
    await succeed(store, *second, *again)
    assert await names(store, 9) == (["second"] if is_strict else ["first"])


async def test_the_last_failure_keeps_its_place_until_it_is_settled(store: Store) -> None:
    """A job with a policy that fails for good has its place as long as one without: until its end is settled."""
    await configure(store, key_concurrency=1)
    own = {"retry": Retry(max=3), "unique": Unique(key="doc"), "end_within": 60}
    await enqueue(store, of("acme", **own), of("acme", "second"))
    [first] = await take(store)
    lane = keys.lane(store.partitions[0], GROUP, "acme")
    await store.fail(GROUP, first.id, first.lease, "bad_exit", retry=False)
    assert await store.redis.zscore(lane, first.id) == 0
    await settle(store)
    assert await store.redis.zscore(lane, first.id) is None
    assert await names(store, 9) == ["second"]


async def test_the_very_first_job_waits_like_any_other(store: Store) -> None:
    """Of all jobs it has the lowest rank: 1. It gives its place on while it is delayed, and waits for it then."""
    await configure(store, key_concurrency=1)
    first, second = await enqueue(store, of("acme", priority=2), of("acme", priority=2))
    [taken] = await take(store)
    await store.release(GROUP, taken.id, taken.lease, 5)
    await settle(store)
    [running] = await take(store)
    await reap_after(store, 5)
    assert (await store.show(GROUP, first.id)).waits_for == WaitsFor(key="acme")
    assert await store.redis.zscore(keys.lane(store.partitions[0], GROUP, "acme"), first.id) == 1
    assert await check(store) == []
    [found] = (await store.lanes.list(GROUP, 9)).keys
    assert (found.running, found.held) == (1, 1)
    [reason] = (await store.why.why(GROUP, first.id)).reasons
    assert (reason.code, reason.n, reason.ids) == ("waits_for_key", 1, [second.id])
    await succeed(store, running)
    assert await statuses(store, first, second) == ["queued", "succeeded"]


async def test_a_held_job_that_was_cancelled_leaves_the_lane_with_the_end_before_it(store: Store) -> None:
    """It is not counted for its key any more, though its own end is not settled yet."""
    await configure(store, key_concurrency=1)
    _, held = await enqueue(store, of("acme", "first"), of("acme", "second"))
    [first] = await take(store)
    await store.succeed(GROUP, first.id, first.lease)
    wait(store, 1)
    await store.cancel(GROUP, held.id)
    assert (await store.maintenance.settle(1)).n == 1
    assert (await store.lanes.list(GROUP, 9)).keys == []


async def test_a_job_that_is_released_at_once_keeps_the_place(store: Store) -> None:
    """It is queued again, so nobody gets its place."""
    await configure(store, key_concurrency=1)
    first, second = await enqueue(store, of("acme", "first"), of("acme", "second"))
    [taken] = await take(store)
    await store.release(GROUP, first.id, taken.lease)
    assert await check(store) == []
    await settle(store)
    assert await statuses(store, first, second) == ["queued", "delayed"]


@pytest.mark.parametrize("is_strict", [False, True])
async def test_a_retry_at_once_keeps_the_place(store: Store, *, is_strict: bool) -> None:
    """An automatic retry without a delay is queued, so it has the place of the job that it repeats."""
    await configure(store, key_concurrency=1, key_strict=is_strict)
    await enqueue(store, of("acme", "first", max_retries=1, retries_delay=0), of("acme", "second"))
    [first] = await take(store)
    await store.fail(GROUP, first.id, first.lease, "bad_exit")
    assert await check(store) == []
    await settle(store)
    [again] = await take(store)
    assert (again.retry_of, (await store.show(GROUP, again.id)).key) == (first.id, "acme")
    await succeed(store, again)
    assert await names(store, 9) == ["second"]


async def test_a_retry_by_hand_takes_a_place_or_waits(store: Store) -> None:
    """It has the key of the job that it repeats."""
    await configure(store, key_concurrency=1)
    await enqueue(store, of("acme", "first"), of("acme", "second"))
    [first] = await take(store)
    await succeed(store, first)
    again = await store.retry(GROUP, first.id)
    assert (again.key, again.status, again.waits_for) == ("acme", "delayed", WaitsFor(key="acme"))
    await succeed(store, *await take(store))
    assert await names(store, 9) == ["first"]


async def test_limits_change(store: Store) -> None:
    """A lower limit ends nothing and admits nobody until it is met; a higher one admits at once; without one all go."""
    await configure(store, key_concurrency=3)
    made = await enqueue(store, *(of("acme", str(i)) for i in range(9)))
    running = await take(store)
    await configure(store, key_concurrency=1)
    await settle(store)
    await succeed(store, *running[:2])
    assert await take(store) == []
    await succeed(store, running[2])
    assert [job.payload for job in await take(store)] == ["3"]
    await store.groups.adjust(GROUP, GroupChanges(key_concurrency=4))
    await settle(store, limit=1)
    assert [job.payload for job in await take(store)] == ["4", "5", "6"]
    await store.groups.adjust(GROUP, GroupChanges(key_concurrency=None))
    await settle(store)
    assert await statuses(store, *made[7:]) == ["queued", "queued"]


async def test_a_limit_of_many_keys_changes(store: Store) -> None:
    """Settle looks at a few keys a step, those with the most jobs first, until it has looked at all."""
    await configure(store, key_concurrency=1)
    await enqueue_flow(store, *(of(f"key-{i}") for i in range(25) for _ in range(2)), of("key-7"))
    await configure(store)
    assert (await store.maintenance.settle(100)).n == 1
    found = (await store.lanes.list(GROUP, 100)).keys
    assert [one.held for one in found].count(0) == 10
    assert (found[0].key, found[0].held) == ("key-7", 0)
    await settle(store)
    assert all(one.held == 0 for one in (await store.lanes.list(GROUP, 100)).keys)


async def test_a_step_looks_at_lanes_of_several_groups(store: Store) -> None:
    """Each lane that it looks at counts for its limit."""
    groups = (GROUP, "notes")
    for group in groups:
        await configure(store, group, key_concurrency=1)
        await enqueue_flow(store, *(of(f"key-{i}") for i in range(6) for _ in range(2)), group=group)
        await configure(store, group)
    await store.maintenance.settle(4)
    assert [sum(one.held == 0 for one in (await store.lanes.list(group, 9)).keys) for group in groups] in (
        [4, 0],
        [0, 4],
    )
    await settle(store)
    assert [sum(one.held == 0 for one in (await store.lanes.list(group, 9)).keys) for group in groups] == [6, 6]


async def test_a_step_counts_groups_without_lanes(store: Store) -> None:
    """A group whose lanes another step has handled counts as one lane, so a step is bounded whatever is noted."""
    await store.redis.zadd(keys.settle(store.partitions[0]), {f"lanes:{number}": 0 for number in range(3)})
    assert [(await store.maintenance.settle(2)).n for _ in range(2)] == [1, 0]
    batch, _ = await store.batches.create(GROUP, NewBatch(jobs=[of("acme"), of("acme")]))
    await store.batches.cancel(GROUP, batch.id)
    await store.redis.zadd(keys.settle(store.partitions[0]), {"lanes:0": 0})
    await store.maintenance.settle(2)
    assert (await store.batches.show(GROUP, batch.id)).counts.cancelled == 1


async def test_a_limit_counts_the_jobs_that_were_there_before_it(store: Store) -> None:
    """Places are counted without a limit too."""
    await enqueue(store, of("acme"), of("acme"))
    await configure(store, key_concurrency=2)
    [third] = await enqueue(store, of("acme"))
    assert third.status == "delayed"
    assert [(found.queued, found.held) for found in (await store.lanes.list(GROUP, 9)).keys] == [(2, 1)]


async def test_no_place_is_kept_when_strictness_ends(store: Store) -> None:
    """A job that waits for its retry gives its place on when its group has key_strict no more."""
    await configure(store, key_concurrency=1, key_strict=True)
    await enqueue(store, of("acme", "first"), of("acme", "second"))
    [first] = await take(store)
    await store.release(GROUP, first.id, first.lease, 60)
    await settle(store)
    assert await take(store) == []
    await configure(store, key_concurrency=1)
    await settle(store)
    assert await names(store, 9) == ["second"]


@pytest.mark.parametrize("is_strict", [False, True])
async def test_a_job_that_waits_for_others_gives_its_place_on(store: Store, *, is_strict: bool) -> None:
    """It neither runs nor is queued then; with key_strict it keeps the place."""
    await configure(store, key_concurrency=1, key_strict=is_strict)
    await enqueue(store, of("acme", "first"), of("acme", "second"))
    [first] = await take(store)
    [child] = await enqueue(store, named("child"))
    await store.completer.wait(GROUP, first.id, [child.id], "over", first.lease)
    await settle(store)
    taken = await take(store)
    assert [job.payload for job in taken] == (["child"] if is_strict else ["second", "child"])
    await succeed(store, taken[-1])
    assert await status_of(store, first) == ("queued" if is_strict else "delayed")
    if not is_strict:
        assert (await store.show(GROUP, first.id)).waits_for == WaitsFor(key="acme")
        await succeed(store, taken[0])
    assert await names(store, 9) == ["first"]


async def test_a_job_is_held_for_others_and_then_for_its_key(store: Store) -> None:
    """A job with `after` takes a place when the others have ended, not before."""
    await configure(store, key_concurrency=1)
    [parent] = await enqueue(store, named("parent"))
    child, other = await enqueue(store, of("acme", "child", after=[parent.id]), of("acme", "other"))
    assert (child.waits_for, other.status) == (WaitsFor(jobs=1), "queued")
    ended, busy = await take(store)
    await succeed(store, ended)
    assert (await store.show(GROUP, child.id)).waits_for == WaitsFor(key="acme")
    await succeed(store, busy)
    assert await names(store, 9) == ["child"]


async def test_a_delayed_job_takes_a_place_when_it_is_due(store: Store) -> None:
    """C3 delayed jobs slowed others (bullmq#3325): before, it counts nowhere. Promote queues it if a place is free."""
    await configure(store, key_concurrency=1)
    later, sooner, now = await enqueue(
        store, of("acme", "later", delay=9), of("acme", "sooner", delay=9), of("acme", "now")
    )
    assert [later.status, now.status] == ["delayed", "queued"]
    assert (await store.promote(GROUP, later.id)).waits_for == WaitsFor(key="acme")
    with pytest.raises(WrongState, match="place of its key"):
        await store.promote(GROUP, later.id)
    await reap_after(store, 9)
    assert (await store.show(GROUP, sooner.id)).waits_for == WaitsFor(key="acme")
    for name in ("now", "later", "sooner"):
        [running] = await take(store)
        assert running.payload == name
        await succeed(store, running)


async def test_a_job_with_another_key_replaces_a_holder(store: Store) -> None:
    """The holder of the unique key leaves one lane for another."""
    await configure(store, key_concurrency=1)
    await enqueue(store, of("acme", "first"), of("blue", "blue"))
    unique = Unique(key="doc", on_conflict="replace")
    await enqueue(store, of("acme", "old", unique=unique), of("acme", "waits"))
    [replaced] = await enqueue(store, of("blue", "new", unique=unique))
    assert (replaced.key, replaced.waits_for, replaced.payload) == ("blue", WaitsFor(key="blue"), "new")
    [plain] = await enqueue(store, named("plain", unique=unique))
    assert (plain.id, plain.key or "", plain.status) == (replaced.id, "", "queued")
    first, _blue, _plain = await take(store)
    await succeed(store, first)
    assert await names(store, 9) == ["waits"]


async def test_a_job_without_a_key_gets_one(store: Store) -> None:
    """A holder of a unique key that had no key takes a place, or waits for one."""
    await configure(store, key_concurrency=1)
    unique = Unique(key="doc", on_conflict="replace")
    await enqueue(store, of("acme", "first"), named("old", unique=unique))
    [replaced] = await enqueue(store, of("acme", "new", unique=unique))
    assert (replaced.key, replaced.waits_for, replaced.payload) == ("acme", WaitsFor(key="acme"), "new")
    await succeed(store, *await take(store))
    assert await names(store, 9) == ["new"]


async def test_a_job_with_the_same_key_keeps_the_place_of_the_holder(store: Store) -> None:
    """Nothing changes for its lane, though others wait there."""
    await configure(store, key_concurrency=1)
    unique = Unique(key="doc", on_conflict="replace")
    _, waiting = await enqueue(store, of("acme", "old", unique=unique), of("acme", "waits"))
    [replaced] = await enqueue(store, of("acme", "new", unique=unique))
    assert (replaced.status, bool(replaced.waits_for)) == ("queued", False)
    await settle(store)
    assert [await status_of(store, waiting), await names(store, 9)] == ["delayed", ["new"]]


async def test_a_held_holder_without_its_key_is_queued(store: Store) -> None:
    """It is dispatched though no other job of its group is queued, and waits for nothing."""
    await configure(store, key_concurrency=1)
    unique = Unique(key="doc", on_conflict="replace")
    await enqueue(store, of("acme", "first"))
    await take(store)
    await enqueue(store, of("acme", "old", unique=unique))
    assert await take(store) == []
    [replaced] = await enqueue(store, named("plain", unique=unique))
    assert (replaced.status, bool(replaced.waits_for)) == ("queued", False)
    assert await names(store, 9) == ["plain"]


async def test_members_and_their_retries_have_keys(store: Store) -> None:
    """Groups whose jobs are paused or limited hold no more places than they have."""
    await configure(store, key_concurrency=1, paused=True)
    made = await enqueue(store, of("acme"), of("acme"))
    assert await take(store) == []
    await configure(store, key_concurrency=1)
    await settle(store)
    assert [job.id for job in await take(store)] == [made[0].id]


async def test_jobs_without_a_key(store: Store) -> None:
    """They are counted next to the keys; not when there are more keys than asked for, whose jobs would count too."""
    await enqueue(store, of("acme"), of("blue"), *[named("alone")] * 3, of("acme"), named("later", delay=9))
    await store.next(3, [GROUP])
    assert (await store.lanes.list(GROUP, 2)).no_key == NoKeyJobs(queued=2, running=1)
    assert (await store.lanes.list(GROUP, 1)).no_key is UNSET


async def test_keys_of_a_group(store: Store) -> None:
    """The keys with the most jobs are first; what is delayed is no part of them."""
    await configure(store, key_concurrency=2)
    first, *_ = await enqueue(store, of("acme"), of("blue"), of("acme"))
    at = clock(store)
    wait(store, 1)
    await enqueue(store, of("acme"), of("acme"), of("late", delay=9))
    await store.next(1, [GROUP])
    assert (await store.lanes.list(GROUP, 50)).keys == [
        KeyJobs(key="acme", queued=1, running=1, held=2, oldest_at=at),
        KeyJobs(key="blue", queued=1, running=0, held=0, oldest_at=at),
    ]
    assert [found.key for found in (await store.lanes.list(GROUP, 1)).keys] == ["acme"]
    assert (await store.lanes.list(GROUP, 2)).no_key == NoKeyJobs(queued=0, running=0)
    assert first.created_at == at
    assert (await store.lanes.list("none", 9)).keys == []


async def test_the_oldest_job_of_a_key_may_be_one_that_waits(store: Store) -> None:
    """A job with a higher priority got the place that an older job waits for."""
    await configure(store, key_concurrency=1)
    [first] = await enqueue(store, of("acme"))
    await take(store)
    at = clock(store)
    await enqueue(store, of("acme", "old"))
    wait(store, 1)
    await enqueue(store, of("acme", "urgent", priority=2))
    await store.cancel(GROUP, first.id)
    await settle(store)
    [found] = (await store.lanes.list(GROUP, 9)).keys
    assert (found.queued, found.held, found.oldest_at) == (1, 1, at)


async def test_a_job_that_gets_a_place_wakes_who_asks_for_its_image(store: Store, woken: Heard) -> None:
    """Long polls learn of it, also those for an image in a group that is ready already."""
    await store.redis.zadd(keys.image_pollers(store.partitions[0]), {"another broker": 10**13})
    await configure(store, key_concurrency=1)
    await enqueue(store, of("acme"), of("acme"), named("plain"), named("plain"))
    [first] = await store.next(1, [GROUP])
    await woken()
    await store.succeed(GROUP, first.id, first.lease)
    await settle(store)
    assert await woken() == [GROUP]
    await store.redis.delete(keys.image_pollers(store.partitions[0]))


async def test_why_names_the_jobs_with_the_places(store: Store) -> None:
    """The reason says how many have places, and which ones."""
    await configure(store, key_concurrency=2)
    a, b, held = await enqueue(store, of("acme"), of("acme"), of("acme"))
    found = await store.why.why(GROUP, held.id)
    assert found.verdict == "It waits for a place of its key acme: 2 jobs of 2 are queued or run."
    [reason] = found.reasons
    assert (reason.code, reason.n, reason.limit, sorted(reason.ids)) == ("waits_for_key", 2, 2, [a.id, b.id])


@pytest.mark.parametrize("is_strict", [False, True])
async def test_an_export_has_places_and_waiters(store: Store, *, is_strict: bool) -> None:
    """The restored jobs run in their order, also one that waits for its retry."""
    await configure(store, key_concurrency=1, key_strict=is_strict)
    await enqueue(store, of("acme", "first"), of("acme", "second"), of("acme", "third"))
    [first] = await take(store)
    await store.release(GROUP, first.id, first.lease, 30)
    await settle(store)
    await move(store)
    await configure(store, key_concurrency=1, key_strict=is_strict)
    await settle(store)
    assert await check(store) == []
    assert await names(store, 9) == ([] if is_strict else ["second"])
    await reap_after(store, 30)
    assert await names(store, 9) == (["first"] if is_strict else [])


async def move_group(store: Store) -> None:
    """Export the group with its settings and jobs, and bring it into the empty store."""
    [piece] = [piece async for piece in store.transfer.export()]
    await store.redis.delete(*[key async for key in store.redis.scan_iter(f"{store.partitions[0]}:*", 1000)])
    jobs = [read_line(line).job for line in piece.jobs]
    await store.transfer.restore(store.partitions[0], [read_line(piece.group).group], jobs)


async def test_an_export_has_places_that_were_freed_and_not_yet_given(store: Store) -> None:
    """The job that waits for one gets it after the import, though nothing happens to its key there."""
    await configure(store, key_concurrency=1)
    await enqueue(store, of("acme", "first"), of("acme", "second"))
    [first] = await take(store)
    await store.release(GROUP, first.id, first.lease, 30)
    await move_group(store)
    await settle(store)
    assert await names(store, 9) == ["second"]


async def test_an_export_has_a_place_for_the_very_first_job(store: Store) -> None:
    """It waits with the rank 1, and gets the place that was freed before the export."""
    await configure(store, key_concurrency=1)
    await enqueue(store, of("acme", "first", priority=2), of("acme", "second", priority=2))
    [first] = await take(store)
    await store.release(GROUP, first.id, first.lease, 5)
    await settle(store)
    [second] = await take(store)
    await reap_after(store, 5)
    await store.release(GROUP, second.id, second.lease, 30)
    await move_group(store)
    await settle(store)
    assert await names(store, 9) == ["first"]


async def test_an_export_has_the_numbers_of_jobs_of_keys(store: Store) -> None:
    """Also of a key at which settle need not look, since nobody waits for a place."""
    await configure(store, key_concurrency=2)
    await enqueue(store, of("acme"), of("acme"), of("blue"))
    before = (await store.lanes.list(GROUP, 9)).keys
    await move(store)
    assert await check(store) == []
    assert (await store.lanes.list(GROUP, 9)).keys == before


async def _no_place(store: Store, lane: str, running: Job, held: Job) -> None:
    await store.redis.zrem(lane, running.id)


async def _not_waiting(store: Store, lane: str, running: Job, held: Job) -> None:
    await store.redis.zrem(lane, held.id)


async def _stranger(store: Store, lane: str, running: Job, held: Job) -> None:
    await store.redis.zadd(lane, {"nobody": 0})


async def _asleep(store: Store, lane: str, running: Job, held: Job) -> None:
    await store.redis.hset(keys.group(store.partitions[0], GROUP), "key_concurrency", 2)


async def _forgotten(store: Store, lane: str, running: Job, held: Job) -> None:
    await store.redis.zadd(keys.lanes(store.partitions[0], GROUP), {"acme": 0})


DAMAGES = {
    "has no place in the lane of its key": _no_place,
    "is held for its key, but does not wait in its lane": _not_waiting,
    "is in the lane of a key without a reason": _stranger,
    "has a key whose jobs wait although places are free: acme": _asleep,
    "has keys that settle would not look at": _forgotten,
}


@pytest.mark.parametrize("problem", DAMAGES)
async def test_check_repairs_a_lane(store: Store, problem: str) -> None:
    """Each damage is found and repaired, and the held job has its turn then."""
    await configure(store, key_concurrency=1)
    _, held = await enqueue(store, of("acme", "first"), of("acme", "second"))
    [running] = await take(store)
    await DAMAGES[problem](store, keys.lane(store.partitions[0], GROUP, "acme"), running, held)
    assert problem in [finding.what for finding in await check(store)]
    await check(store, is_repair=True)
    await settle(store)
    assert await check(store) == []
    await succeed(store, running)
    assert await names(store, 9) == ["second"]


async def test_nothing_is_kept_of_a_key_without_jobs(store: Store) -> None:
    """A key that nobody uses any more has no keys of the store."""
    await configure(store, key_concurrency=1)
    await enqueue(store, of("acme"), of("acme"))
    await succeed(store, *await take(store))
    await succeed(store, *await take(store))
    p = store.partitions[0]
    assert await store.redis.exists(keys.lane(p, GROUP, "acme"), keys.keys_of(p, GROUP), keys.lanes(p, GROUP)) == 0


async def test_push_of_a_held_job_onto_no_key(store: Store) -> None:
    """It is queued, as a job without a key, and is in no other set: its delay does not begin."""
    await configure(store, key_concurrency=1)
    await enqueue(store, of("x", "first"), of("x", "held", unique=Unique(key="u")))
    assert await names(store, 9) == ["first"]
    await enqueue(store, named("pushed", delay=2, unique=Unique(key="u", on_conflict="push")))
    assert await check(store) == []
    assert await names(store, 9) == ["pushed"]
    await reap_after(store, 3)
    assert await names(store, 9) == []


async def test_replace_of_a_held_job_keeps_its_place(store: Store) -> None:
    """With the same priority it is before a job of its key that came later."""
    await configure(store, key_concurrency=1)
    await enqueue(store, of("x", "first"), of("x", "held", unique=Unique(key="u")), of("x", "last"))
    [first] = await take(store)
    await enqueue(store, of("x", "again", unique=Unique(key="u", on_conflict="replace")))
    await succeed(store, first)
    assert await names(store, 9) == ["again"]


async def test_replace_of_a_held_job_with_a_higher_priority(store: Store) -> None:
    """When its key has a place it is in the queue with its new priority."""
    await configure(store, key_concurrency=1)
    await enqueue(store, of("x", "first"), of("x", "held", unique=Unique(key="u")), of("x", "last"))
    [first] = await take(store)
    await enqueue(store, of("x", "urgent", priority=2, unique=Unique(key="u", on_conflict="replace")))
    await enqueue(store, named("other", priority=1))
    await succeed(store, first)
    assert await check(store) == []
    assert await names(store, 9) == ["urgent", "other"]
