"""What fires of schedules note, count and limit, and what changes of schedules leave alone."""

import pytest

from broker.core.errors import Changed, Duplicate, LimitReached, NotFound, WrongState
from broker.diagnostics.consistency import check
from broker.models.unique import OnConflict, Unique
from broker.resp import keys
from broker.store.group_counts import CANCELLED
from tests.contract.building import GROUP, Run, lose, new, now_ms, wait
from tests.contract.flows import settle
from tests.contract.schedules import NAME, end, fire_all, fire_next, history, made, put, shown
from tests.stores import Store

MINUTE_MS = 60_000
LARGE = "x" * 400_000
"""Three of these payloads are more than one reply has room for."""


def key_of(store: Store, part: str = "") -> str:
    """The key of the schedule, or of one of its parts."""
    return f"{store.partitions[0]}:schedule:{GROUP}:{NAME}{part}"


async def open_jobs(store: Store, n: int) -> None:
    """A schedule of whose jobs this number may not have ended."""
    [job] = (await store.enqueue(GROUP, [new()])).jobs
    await store.redis.rpush(key_of(store, ":open"), *[job.id] * n)


async def test_a_put_keeps_when_the_schedule_was_created(store: Store) -> None:
    """A later put changes it, and does not make another one."""
    first = await put(store)
    wait(store, 5)
    assert (await put(store, every=7)).created_at == first.created_at
    await put(store, "other")  # the group is as old as its first schedule
    [(_, made_at)] = await store.redis.zrange(f"{store.partitions[0]}:groups", 0, -1, withscores=True)
    assert made_at == now_ms(store) - 5000


async def test_a_schedule_that_is_gone(store: Store, run: Run) -> None:
    """Nothing fires, and nothing is wrong with it."""
    words = (NAME, "1-1", "", "run", store.now, *[""] * 4, "skip", 0, "", 0, 0, "", "", 0)
    with pytest.raises(NotFound):
        await run("fire", store.now, GROUP, *words)
    with pytest.raises(NotFound):
        await run("schedule", store.now, GROUP, NAME, "pause", "1-1", *[""] * 4, 9, 9, "state", "paused")
    assert await run("check_schedules", store.now, "repair", GROUP, NAME) == []


async def test_times_that_follow_each_other_are_one_stretch(store: Store) -> None:
    """What a schedule remembers of its times grows only where it did not fire for one."""
    first = now_ms(store)
    await put(store, overlap="allow")
    times: list[int] = []
    for skips in (False, False, False, True, False, False):
        if skips:
            await put(store, overlap="skip")
        await fire_next(store)
        times.append(now_ms(store))
        await put(store, overlap="allow")
    stretches = await store.redis.zrange(key_of(store, ":times"), 0, -1, withscores=True)
    assert stretches == [(str(times[0]).encode(), times[2]), (str(times[4]).encode(), times[5])]
    start = times[0] - 3 * MINUTE_MS
    assert start < first
    assert await store.schedule_fires.backfill(GROUP, NAME, start, times[0] - 1, "allow") == 3
    [earliest, *_] = await store.redis.zrange(key_of(store, ":times"), 0, -1, withscores=True)
    assert earliest == (str(start).encode(), times[0] - MINUTE_MS)


async def test_a_time_that_fired_is_known(store: Store, run: Run) -> None:
    """A call for it replies that it is known, and makes nothing."""
    await put(store, overlap="allow")
    await fire_next(store)
    found = await store.schedules.stored(GROUP, NAME)
    words = (NAME, found.version, "", "backfill", store.now, *[""] * 4, "allow", 0, "", 0, 0, "", "", 0)
    assert await run("fire", store.now, GROUP, *words) == [b"known", b"", b"", 0]


async def test_the_stretches_are_bounded(store: Store) -> None:
    """A thousand of them are kept; the oldest goes first."""
    await put(store)
    old = {str(number): number + 1 for number in range(2, 2002, 2)}
    await store.redis.zadd(key_of(store, ":times"), old)
    await fire_next(store)
    kept = [member.decode() for member in await store.redis.zrange(key_of(store, ":times"), 0, -1)]
    assert kept == [*list(old)[1:], store.now]


@pytest.mark.parametrize(("how", "most"), [("time", 101), ("backfill", 1001)])
async def test_queue_all_is_bounded(store: Store, how: str, most: int) -> None:
    """One job runs, and 100 wait for it, or 1,000 of a backfill: there is no further one."""
    first = now_ms(store)
    await put(store, overlap="queue_all")
    await open_jobs(store, most - 1)
    for expected in ("fired", "limit"):
        if how == "time":
            await fire_next(store)
            assert (await history(store))[-1] == expected
        elif expected == "fired":
            assert await store.schedule_fires.backfill(GROUP, NAME, first - MINUTE_MS, first - 1, None) == 1
        else:
            with pytest.raises(LimitReached, match="wait already"):
                await store.schedule_fires.backfill(GROUP, NAME, first - 2 * MINUTE_MS, first - 1, None)
    assert await store.redis.llen(key_of(store, ":open")) == most


async def test_the_list_of_open_jobs_is_bounded(store: Store) -> None:
    """1,200 are known; the oldest is forgotten first."""
    await put(store, overlap="allow")
    await open_jobs(store, 1200)
    await fire_next(store)
    assert await store.redis.llen(key_of(store, ":open")) == 1200
    assert (await store.redis.lindex(key_of(store, ":open"), -1)).decode() == (await made(store))[-1].id


async def test_a_held_job_waits_for_a_hundred(store: Store) -> None:
    """When more jobs run it waits for the last ones, as many as a job may wait for."""
    await put(store, overlap="queue")
    jobs = (await store.enqueue(GROUP, [new()] * 101)).jobs
    await store.redis.rpush(key_of(store, ":open"), *(job.id for job in jobs))
    await fire_next(store)
    assert (await made(store))[-1].after == [job.id for job in jobs[1:]]


async def test_what_a_fire_cancels_is_counted(store: Store) -> None:
    """Only a fire with `overlap: cancel` cancels jobs: not one without an image, and not a repeated call."""
    counts = store.completer._tally.of(GROUP).counts
    await put(store, job={"image": None})
    await fire_next(store)
    await put(store, overlap="allow")
    for _ in range(2):
        await store.schedule_fires.run(GROUP, NAME, None, "key")
    await put(store, overlap="skip")
    await fire_next(store)
    assert (await history(store), counts[CANCELLED]) == (["no_image", "fired", "overlap"], 0)
    await put(store, overlap="cancel")
    await fire_next(store)
    assert (counts[CANCELLED], (await made(store))[-1].after or []) == (1, [])  # it waits for none of them


async def test_bytes_of_a_fire(store: Store) -> None:
    """Where bytes are limited the job counts for its own, and a time with too many of them is skipped."""
    await put(store, overlap="allow")
    await fire_next(store)
    assert not await store.redis.exists(f"{store.partitions[0]}:bytes")
    store.schedule_fires._limits = store.schedule_fires._limits._replace(bytes=40)
    for _ in range(3):
        await fire_next(store)
    assert await history(store) == ["fired", "fired", "fired", "limit"]
    assert store.completer._tally.of(GROUP).counts[CANCELLED] == 0


async def test_the_lowest_limit_of_bytes_holds_for_fires(store: Store) -> None:
    """One byte is a limit too: no job is as small."""
    await put(store)
    store.schedule_fires._limits = store.schedule_fires._limits._replace(bytes=1)
    await fire_next(store)
    assert await history(store) == ["limit"]


async def test_a_reply_has_a_mebibyte_of_schedules(store: Store, run: Run) -> None:
    """More of them come with the next call."""
    for name in "abcd":
        await put(store, name, job={"payload": LARGE})
    _, found, *rows = await run("schedules", store.now, "list", GROUP, "", 10)
    assert (found, [row[1] for row in rows]) == (4, [b"a", b"b", b"c"])


async def test_max_fires_counts_jobs(store: Store) -> None:
    """A schedule with `max_fires: 1` is done after its first job, and not after a time that it skipped."""
    await put(store, max_fires=1, job={"image": None})
    await fire_next(store)
    assert ((await shown(store)).state, await history(store)) == ("active", ["no_image"])
    await put(store, max_fires=1)
    await fire_next(store)
    done = await shown(store)
    assert (done.state, done.counts.fired) == ("done", 1)


async def test_a_pause_after_one_failure_says_so(store: Store) -> None:
    """Its reason is in the singular. The pause is a change, so it has a revision of its own."""
    await put(store, pause_after=1)
    await fire_next(store)
    await end(store, (await made(store))[0], "failed")
    await settle(store)
    paused = await shown(store)
    assert (paused.paused_because, paused.revision) == ("The last job failed.", 2)
    assert await fire_all(store) == []


async def test_other_times_forget_those_that_fired(store: Store) -> None:
    """A put with another expression forgets them; one that changes only the job does not."""
    await put(store, overlap="allow")
    await fire_next(store)
    await put(store, overlap="skip")
    assert await store.redis.exists(key_of(store, ":times"))
    await put(store, every=7)
    assert not await store.redis.exists(key_of(store, ":times"))


async def test_fires_by_hand_are_not_counted_for_max_fires(store: Store) -> None:
    """Nor are those of a backfill: the schedule still fires as often at its times."""
    first = now_ms(store)
    await put(store, max_fires=2, overlap="allow")
    await store.schedule_fires.run(GROUP, NAME, None)
    assert await store.schedule_fires.backfill(GROUP, NAME, first - MINUTE_MS, first - 1, None) == 1
    states = []
    for _ in range(2):
        await fire_next(store)
        states.append((await shown(store)).state)
    assert states == ["active", "done"]


async def test_overlap_follows_many_retries(store: Store) -> None:
    """A job that was retried again and again between fires is still the one that has not ended."""
    await put(store)
    await fire_next(store)
    [job] = await made(store)
    for _ in range(2):
        for _ in range(25):
            await end(store, job, "failed")
            job = await store.retry(GROUP, job.id)
        await fire_next(store)
    assert await history(store) == ["fired", "overlap", "overlap"]
    assert [one.decode() for one in await store.redis.lrange(key_of(store, ":open"), 0, -1)] == [job.id]


async def test_a_change_of_an_old_revision_is_refused(store: Store, run: Run) -> None:
    """What a broker read before another one changed the schedule is no base for a change."""
    await put(store)
    old = await store.schedules.stored(GROUP, NAME)
    await put(store, every=7)
    with pytest.raises(Changed):
        await run("schedule", store.now, GROUP, NAME, "pause", old.version, *[""] * 4, 9, 9, "state", "paused")
    assert (await shown(store)).state == "active"
    version = (await store.schedules.stored(GROUP, NAME)).version
    assert await run("schedule", store.now, GROUP, NAME, "remove", version, *[""] * 4, 9, 9) == [now_ms(store), 0]


async def test_nothing_is_left_of_a_removed_schedule(store: Store) -> None:
    """Nor does the end of its last job make a part of it again."""
    await put(store)
    await fire_next(store)
    [job] = await made(store)
    await store.schedules.remove(GROUP, NAME)
    await end(store, job, "failed")
    await settle(store)
    assert [key async for key in store.redis.scan_iter(f"{store.partitions[0]}:*schedule*", 1000)] == []


async def test_a_job_for_which_ten_thousand_wait(store: Store) -> None:
    """Nothing more can wait for it, so the time is skipped, and the history says: limit."""
    await put(store, overlap="queue")
    await fire_next(store)
    [job] = await made(store)
    waiting = keys.after(store.partitions[0], job.id)
    await store.redis.zadd(waiting, {f"other {number}": 0 for number in range(10_000)})
    await fire_next(store)
    assert (await history(store), len(await made(store))) == (["fired", "limit"], 1)
    await store.redis.delete(waiting)


@pytest.mark.parametrize("on_conflict", ["existing", "refuse"])
async def test_the_holder_of_a_unique_key_is_named(store: Store, on_conflict: OnConflict) -> None:
    """The line of a time that was skipped for it has the job that is in the way, and so has the refusal of a run."""
    await put(store, overlap="allow", job={"unique": Unique(key="k", on_conflict=on_conflict)})
    [holder] = (await store.enqueue(GROUP, [new(unique=Unique(key="k"))])).jobs
    [fired] = await fire_next(store)
    assert (fired.what, fired.why, fired.job_id) == ("skipped", "duplicate", holder.id)
    [fire] = await store.schedules.fires(GROUP, NAME, 9)
    assert (fire.why, fire.job) == ("duplicate", holder.id)
    with pytest.raises(Duplicate, match=holder.id):
        await store.schedule_fires.run(GROUP, NAME, None)
    assert store.completer._tally.of(GROUP).counts[CANCELLED] == 0


@pytest.mark.parametrize("state", ["paused", "in no state"])
async def test_check_of_a_schedule_that_must_not_fire(store: Store, state: str) -> None:
    """It says why; after the repair it does not fire, and its next time is as it was."""
    await put(store, paused=True)
    before = await store.schedules.stored(GROUP, NAME)
    if state != "paused":
        await store.redis.hdel(key_of(store), "state")
    await store.redis.zadd(keys.schedules(store.partitions[0]), {f"{GROUP}:{NAME}": now_ms(store)})
    [found] = await check(store, is_repair=True)
    assert found.what == f"the schedule {NAME} is {state}, but would fire"
    assert await fire_all(store) == []
    assert (await store.schedules.stored(GROUP, NAME)).next_at == before.next_at


async def test_a_repaired_list_is_by_name(store: Store) -> None:
    """A schedule that the list had lost is where it was, for pages too."""
    for name in "abc":
        await put(store, name)
    await store.redis.zrem(f"{store.partitions[0]}:group:{GROUP}:schedules", "a")
    assert len(await check(store, is_repair=True)) == 1
    names, cursor = "", ""
    for _ in range(3):
        [schedule], cursor = await store.schedules.list(GROUP, 1, cursor)
        names += schedule.name
    assert names == "abc"


async def test_a_job_that_is_gone_is_in_nobodys_way(store: Store) -> None:
    """A schedule whose last job was deleted fires again."""
    await put(store)
    await fire_next(store)
    await lose(store, *await made(store))
    await fire_next(store)
    assert await history(store) == ["fired", "fired"]
    await check(store, is_repair=True)


async def test_a_run_that_was_refused_is_not_repeated(store: Store) -> None:
    """With the same Idempotency-Key it makes its job later; without a key nothing is stored of it."""
    await put(store)
    await store.schedule_fires.run(GROUP, NAME, None)
    with pytest.raises(WrongState):
        await store.schedule_fires.run(GROUP, NAME, None, "key")
    assert [key async for key in store.redis.scan_iter(f"{store.partitions[0]}:answer:*")] == []
    [job] = await made(store)
    await end(store, job)
    await settle(store)
    await store.schedule_fires.run(GROUP, NAME, None, "key")
    assert len(await made(store)) == 2
