"""Schedules: when they fire, once for each time, and what their policies do."""

import asyncio
from typing import Any

import msgspec
import pytest

from broker.core.errors import Changed, Duplicate, Invalid, LimitReached, NotFound, WrongState
from broker.core.timestamps import milliseconds
from broker.diagnostics.consistency import check
from broker.models.jobs import NewJob
from broker.models.retries import Retry
from broker.models.unique import Unique
from broker.reaper.scheduler import Scheduler
from broker.resp import keys
from broker.store.format.exported import read_line
from broker.store.group_counts import CANCELLED
from tests.conftest import NOW
from tests.contract.building import GROUP, configure, now_ms, status_of, wait
from tests.contract.flows import settle
from tests.contract.schedules import NAME, at, end, fire_all, fire_next, history, made, put, shown, spec
from tests.stores import Store

MINUTE_MS = 60_000


async def test_a_fire_makes_the_job(store: Store) -> None:
    """The job is queued with what the schedule says, and knows the schedule and its time."""
    schedule = await put(store, job={"payload": "hello", "priority": 2, "timeout": 9})
    assert (schedule.state, schedule.revision, schedule.created_at) == ("active", 1, at(store, 0))
    assert await fire_all(store) == []
    [fired] = await fire_next(store)
    [job] = await made(store)
    assert (fired.what, fired.job_id) == ("fired", job.id)
    assert (job.status, job.image, job.payload, job.priority, job.timeout) == ("queued", "post", "hello", 2, 9)
    assert (job.schedule, job.scheduled_for) == (NAME, schedule.next_at)
    after = await shown(store)
    assert milliseconds(after.next_at) - milliseconds(schedule.next_at) == MINUTE_MS
    assert (after.counts.fired, after.revision, after.last.job) == (1, 1, job.id)
    [delivered] = await store.next(1)
    assert (delivered.schedule, delivered.scheduled_for) == (NAME, schedule.next_at)


async def test_a_schedule_makes_its_group(store: Store) -> None:
    """The group exists from the schedule on, and its image is that of jobs that name none."""
    await put(store, job={"image": None})
    assert await fire_next(store)
    assert await history(store) == ["no_image"]
    await configure(store, image="from the group")
    await fire_next(store)
    assert [job.image for job in await made(store)] == ["from the group"]


async def test_two_brokers_fire_once(store: Store, other: Store) -> None:
    """A9, A10: of brokers that saw the same time one fires; the others make nothing, however late they come."""
    await put(store)
    found = await store.schedules.stored(GROUP, NAME)
    other.now = store.now = str(found.score)
    outcomes = await asyncio.gather(*(one.schedule_fires.fire(found, found.score) for one in (store, other, store)))
    assert sorted(fired.what for fired in outcomes) == ["changed", "changed", "fired"]
    wait(store, 600)
    assert (await other.schedule_fires.fire(found, now_ms(store))).what == "changed"
    assert len(await made(store)) == 1


async def test_a_crash_between_reading_and_firing_loses_nothing(store: Store, other: Store) -> None:
    """A13, A14: what a broker read and did not fire is fired by any other one; a restart of brokers changes nothing."""
    await put(store)
    found = await store.schedules.stored(GROUP, NAME)
    store.now = other.now = str(found.score)
    assert len(await fire_all(other)) == 1
    assert len(await made(store)) == 1


async def test_a_put_reaches_the_next_job(store: Store) -> None:
    """A18: a broker that read the schedule before the change does not fire the old one."""
    await put(store, job={"payload": "old"})
    found = await store.schedules.stored(GROUP, NAME)
    store.now = str(found.score)
    await put(store, job={"payload": "new"})
    assert (await store.schedule_fires.fire(found, found.score)).what == "changed"
    await fire_all(store)
    assert [job.payload for job in await made(store)] == ["new"]


async def test_the_same_put_again_changes_nothing(store: Store) -> None:
    """A17, A20: with jitter the next time stays too; a put in a crash loop makes no more schedules, and no jobs."""
    first = await put(store, every=3600, jitter=600)
    score = (await store.schedules.stored(GROUP, NAME)).score
    wait(store, 30)
    for _ in range(3):
        assert await put(store, every=3600, jitter=600) == first
    assert (await store.schedules.stored(GROUP, NAME)).score == score
    assert not await made(store)
    store.now = str(milliseconds(first.next_at))  # its jitter is not over yet
    before = score - now_ms(store)
    assert before > 0
    assert await put(store, every=3600, jitter=600) == first
    assert await fire_all(store) == []
    assert [fired.what for fired in await fire_next(store)] == ["fired"]


async def test_a_put_keeps_the_time_unless_it_changes_it(store: Store) -> None:
    """A time that is due survives a put of another job; another expression counts from now on."""
    first = await put(store)
    store.now = str(milliseconds(first.next_at) + 500)
    changed = await put(store, job={"payload": "x"}, overlap="allow")
    assert (changed.next_at, changed.revision) == (first.next_at, 2)
    other = await put(store, every=7)
    assert now_ms(store) < milliseconds(other.next_at) <= now_ms(store) + 7000
    assert await fire_all(store) == []


async def test_remove_then_put_makes_one(store: Store) -> None:
    """A19: a schedule with the name of a removed one fires, and what a broker read of the old one does not."""
    await put(store)
    old = await store.schedules.stored(GROUP, NAME)
    await store.schedules.remove(GROUP, NAME)
    with pytest.raises(NotFound):
        await store.schedules.remove(GROUP, NAME)
    with pytest.raises(NotFound):
        await store.schedules.show(GROUP, NAME)
    wait(store, 1)
    again = await put(store)
    assert (again.revision, again.counts.fired) == (1, 0)
    store.now = str(old.score)
    assert (await store.schedule_fires.fire(old, old.score)).what == "changed"
    assert [fired.what for fired in await fire_all(store)] == ["fired"]


async def test_if_match_refuses_a_stale_change(store: Store) -> None:
    """A put with the revision of an earlier one is refused, and changes nothing; `*` is any schedule that exists."""
    with pytest.raises(Changed):
        await store.schedules.put(GROUP, NAME, spec(), if_match="*")
    await put(store)
    await put(store, every=7)
    with pytest.raises(Changed, match="revision 2"):
        await store.schedules.put(GROUP, NAME, spec(every=8), if_match="1")
    assert (await shown(store)).every == 7
    await store.schedules.put(GROUP, NAME, spec(every=8), if_match="2")
    assert (await store.schedules.put(GROUP, NAME, spec(every=9), if_match="*")).schedule.revision == 4
    with pytest.raises(Changed, match="already, of revision 4"):
        await store.schedules.put(GROUP, NAME, spec(every=10), if_match="0")
    assert (await store.schedules.put(GROUP, "new", spec(every=10), if_match="0")).is_new


async def test_overlap_skip(store: Store) -> None:
    """A11: while the last job, or its retry, has not ended there is no other one; the history names it."""
    await put(store, job={"max_retries": 1, "retries_delay": 0})
    await fire_next(store)
    [first] = await made(store)
    await fire_next(store)
    await end(store, first, "failed")  # its retry follows in the same script
    await fire_next(store)
    [_, retry] = await made(store)
    assert (retry.schedule, retry.scheduled_for) == (NAME, first.scheduled_for)
    await end(store, retry)
    await settle(store)
    await fire_next(store)
    assert await history(store) == ["fired", "overlap", "overlap", "fired"]
    fires = await store.schedules.fires(GROUP, NAME, 50)
    assert [fire.job for fire in fires[1:3]] == [retry.id, first.id]
    assert (fires[3].job, fires[3].retried_as, fires[3].outcome) == (first.id, retry.id, "succeeded")
    assert not any(fire.outcome for fire in fires[:3])  # of a time that was skipped the job is another one's
    assert (await shown(store)).counts.skipped == 2


async def test_overlap_follows_a_retry_by_hand(store: Store) -> None:
    """The retry of the last job by hand counts as well."""
    await put(store)
    await fire_next(store)
    [job] = await made(store)
    await end(store, job, "failed")
    await settle(store)
    retry = await store.retry(GROUP, job.id)
    assert retry.schedule == NAME
    await fire_next(store)
    assert await history(store) == ["fired", "overlap"]
    await end(store, retry)
    await settle(store)
    assert (await shown(store)).last.outcome == "succeeded"
    await fire_next(store)
    assert await history(store) == ["fired", "overlap", "fired"]


async def test_overlap_with_a_job_that_is_gone(store: Store) -> None:
    """A job that was removed is not open: the next fire makes one."""
    await put(store)
    await fire_next(store)
    [job] = await made(store)
    await end(store, job)
    await settle(store)
    await store.remove(GROUP, job.id)
    await fire_next(store)
    assert await history(store) == ["fired", "fired"]


async def test_overlap_queue(store: Store) -> None:
    """One job waits for the end of the last one, whatever that end is; for further times there is none."""
    await put(store, overlap="queue")
    for _ in range(3):
        await fire_next(store)
    first, second = await made(store)
    assert (first.status, second.status, second.after, second.after_on) == ("queued", "delayed", [first.id], "over")
    assert await history(store) == ["fired", "fired", "overlap"]
    await end(store, first, "failed")
    await settle(store)
    assert await status_of(store, second) == "queued"
    await fire_next(store)
    assert [job.status for job in await made(store)][2:] == ["delayed"]


async def test_overlap_queue_waits_for_the_retries(store: Store) -> None:
    """A held job waits for the last automatic retry of the one before."""
    await put(store, overlap="queue", job={"max_retries": 1, "retries_delay": 0})
    await fire_next(store)
    await fire_next(store)
    first, second = await made(store)
    await end(store, first, "failed")
    await settle(store)
    assert await status_of(store, second) == "delayed"
    [retry] = [job for job in await made(store) if job.retry_of]
    await end(store, retry, "failed")
    await settle(store)
    assert await status_of(store, second) == "queued"


@pytest.mark.parametrize("backend", ["valkey"])
async def test_overlap_queue_all_is_bounded(store: Store) -> None:
    """Each time has its job, one after the other; when 100 wait, the next is skipped, and the history says: limit."""
    await put(store, every=1, overlap="queue_all")
    for _ in range(102):
        await fire_next(store)
    jobs = await made(store)
    assert [job.status for job in jobs] == ["queued"] + ["delayed"] * 100
    assert [job.after for job in jobs[1:]] == [[job.id] for job in jobs[:-1]]
    assert (await history(store))[-2:] == ["fired", "limit"]
    await end(store, jobs[0])
    await settle(store)
    await fire_next(store)
    assert (await history(store))[-1] == "fired"


async def test_a_held_job_that_is_cancelled_lets_none_overtake(store: Store) -> None:
    """The first job still runs when the one behind it is cancelled by hand."""
    await put(store, overlap="queue")
    await fire_next(store)
    await fire_next(store)
    first, second = await made(store)
    await store.cancel(GROUP, second.id)
    await settle(store)
    await fire_next(store)
    assert [job.after for job in await made(store)][2:] == [[first.id]]
    await put(store, overlap="skip")
    await store.cancel(GROUP, (await made(store))[2].id)
    await fire_next(store)
    assert (await history(store))[-1] == "overlap"


@pytest.mark.parametrize("is_running", [False, True])
async def test_overlap_cancel(store: Store, *, is_running: bool) -> None:
    """The last job is cancelled, running or not, and says why; the new one does not wait."""
    await put(store, overlap="cancel")
    await fire_next(store)
    if is_running:
        await store.next(1)
    await fire_next(store)
    first, second = await made(store)
    assert (first.status, first.reason, second.status) == ("cancelled", "client_request", "queued")
    assert NAME in first.error
    if is_running:
        [[_, notice]] = [list(pair) for pair in await notices(store)]
        assert notice == f"cancelled {GROUP} {first.id}"
    else:
        assert await notices(store) == []  # no worker has it
    await settle(store)
    fires = await store.schedules.fires(GROUP, NAME, 2)
    assert [fire.outcome for fire in fires if fire.outcome] == ["cancelled"]
    told = await store.jobs.history(GROUP, first.id)
    assert [event.what for event in told.events] == ["created", *["taken"] * is_running, "cancelled"]
    assert (told.events[-1].from_, told.events[-1].to) == ("running" if is_running else "queued", "cancelled")
    assert told.is_whole


async def test_overlap_cancel_follows_a_retry_by_hand(store: Store) -> None:
    """A job that a fire cancelled may be retried: then it is cancelled by the next fire, as every other retry."""
    await put(store, overlap="cancel")
    await fire_next(store)
    await fire_next(store)
    first, second = await made(store)
    retry = await store.retry(GROUP, first.id)
    await fire_next(store)
    assert [await status_of(store, job) for job in (retry, second)] == ["cancelled"] * 2
    for _ in range(3):
        await fire_next(store)
    assert await store.redis.llen(f"{store.partitions[0]}:schedule:{GROUP}:{NAME}:open") <= 3


async def notices(store: Store) -> list[tuple[float, str]]:
    """The notices to workers."""
    found = await store.redis.zrange(keys.notices(store.partitions[0]), 0, -1, withscores=True)
    return [(score, member.decode()) for member, score in found]


async def test_overlap_allow(store: Store) -> None:
    """Both run."""
    await put(store, overlap="allow")
    for _ in range(3):
        await fire_next(store)
    assert [job.status for job in await made(store)] == ["queued"] * 3
    await put(store, overlap="queue")
    await fire_next(store)
    assert len((await made(store))[3].after) == 3


@pytest.mark.parametrize(
    ("missed", "expected"),
    [("one", ["missed x9", "fired"]), ("all", ["fired"] * 10), ("none", ["missed x9", "fired"])],
)
async def test_missed_times(store: Store, missed: Any, expected: list[str]) -> None:
    """A15, A22: after ten minutes without a broker the policy decides, and the history counts what was missed.

    The last of these times is not a minute late, so `none` fires for it too.
    """
    first = await put(store, missed=missed, overlap="allow")
    await fire_next(store, late_s=9 * 60 + 59)
    assert await history(store) == expected
    jobs = await made(store)
    last = milliseconds(first.next_at) + 9 * MINUTE_MS
    if missed != "all":
        assert [milliseconds(job.scheduled_for) for job in jobs] == [last]
    if missed == "all":
        times = list(range(last - 9 * MINUTE_MS, last + 1, MINUTE_MS))
        assert [milliseconds(job.scheduled_for) for job in jobs] == times
    counts = (await shown(store)).counts
    assert (counts.fired, counts.missed) == (len(jobs), 10 - len(jobs))
    assert milliseconds((await shown(store)).next_at) == last + MINUTE_MS


async def test_a_short_outage_drops_nothing(store: Store) -> None:
    """A22: with `none` a time that is less than a minute late is fired."""
    await put(store, every=3600, missed="none")
    await fire_next(store, late_s=59)
    assert await history(store) == ["fired"]
    await fire_next(store, late_s=61)
    assert await history(store) == ["fired", "missed x1"]
    assert store.completer._tally.of(GROUP).counts[CANCELLED] == 0


@pytest.mark.parametrize("missed", ["one", "all"])
async def test_times_older_than_catch_up_never_fire(store: Store, missed: Any) -> None:
    """A16: after two weeks without a broker there is no flood: what is older than catch_up was missed."""
    await put(store, every=86_400, missed=missed, catch_up=3 * 86_400, overlap="allow")
    await fire_next(store, late_s=14 * 86_400 + 60)
    fired = {"one": 1, "all": 3}[missed]
    assert await history(store) == [f"missed x{15 - fired}"] + ["fired"] * fired


@pytest.mark.parametrize("backend", ["valkey"])
async def test_more_than_a_hundred_missed_times(store: Store) -> None:
    """A15: a schedule that missed thousands of times fires again, and says how many as far as it counts."""
    await put(store, every=1)
    await fire_next(store, late_s=5000)
    assert await history(store) == ["missed x1000", "fired"]
    await put(store, every=1, missed="all", overlap="allow")
    await fire_next(store, late_s=150)
    assert (await shown(store)).counts.fired == 152


async def test_a_single_time_fires_once(store: Store) -> None:
    """A schedule with `at` is done then, and stays to be seen. One that passed a moment ago fires at once."""
    schedule = await put(store, every=None, at=at(store, 5))
    assert schedule.next_at == at(store, 5)
    await fire_next(store)
    done = await shown(store)
    assert (done.state, done.next_at or "", done.counts.fired, done.revision) == ("done", "", 1, 2)
    wait(store, 10**6)
    assert await fire_all(store) == []
    await put(store, "late", every=None, at=at(store, -86_000))
    assert [fired.what for fired in await fire_all(store)] == ["fired"]
    with pytest.raises(Invalid, match="catch_up"):
        await put(store, "too late", every=None, at=at(store, -86_401))


async def test_max_fires_and_ends_at(store: Store) -> None:
    """After a number of jobs, or at its end, it is done; with a greater number it continues."""
    await put(store, max_fires=2, overlap="allow")
    await put(store, "ends", ends_at=at(store, 100))
    for _ in range(3):
        wait(store, 60)
        await fire_all(store)
    assert [(await shown(store, name)).state for name in (NAME, "ends")] == ["done", "done"]
    assert [(await shown(store, name)).counts.fired for name in (NAME, "ends")] == [2, 1]
    assert (await put(store, max_fires=3, overlap="allow")).state == "active"
    await fire_next(store)
    assert ((await shown(store)).state, (await shown(store)).counts.fired) == ("done", 3)


async def test_starts_at(store: Store) -> None:
    """It fires from then on."""
    schedule = await put(store, starts_at=at(store, 1000))
    assert milliseconds(schedule.next_at) >= now_ms(store) + 1_000_000


async def test_pause_and_resume(store: Store) -> None:
    """A21: while it is paused nothing fires; a resume does not make up for it, and the history has what it skipped."""
    first = await put(store)
    paused = await store.schedules.pause(GROUP, NAME, "provider down", "ann")
    assert (paused.state, paused.note, paused.paused_by, paused.next_at or "") == ("paused", "provider down", "ann", "")
    assert await store.schedules.pause(GROUP, NAME, "again") == paused
    store.now = str(milliseconds(first.next_at) + 5 * MINUTE_MS + 1)
    assert await fire_all(store) == []
    assert (await put(store)).state == "paused"
    resumed = await store.schedules.resume(GROUP, NAME)
    assert (resumed.state, resumed.note or "", resumed.counts.skipped) == ("active", "", 6)
    assert milliseconds(resumed.next_at) == milliseconds(first.next_at) + 6 * MINUTE_MS
    assert await store.schedules.resume(GROUP, NAME) == resumed
    await fire_next(store)
    assert await history(store) == ["paused x6", "fired"]


async def test_put_pauses_and_resumes(store: Store) -> None:
    """`paused` of a put decides if it is given."""
    assert (await put(store, paused=True)).state == "paused"
    wait(store, 600)
    assert (await put(store, every=7)).state == "paused"
    assert (await put(store, every=7, paused=False)).state == "active"
    await put(store, every=7, paused=True)
    assert (await shown(store)).paused_by == "ann"
    await store.schedules.resume(GROUP, NAME)
    assert len(await fire_next(store)) == 1


async def test_pause_after_failures(store: Store) -> None:
    """After a number of final failures in a row it pauses and has the reason; a success sets the number to 0."""
    await put(store, pause_after=2, job={"max_retries": 1, "retries_delay": 0})
    for ends in (["failed", "failed"], ["failed", "succeeded"], ["failed", "failed"], ["failed", "failed"]):
        await fire_next(store)
        for how in ends:
            [job] = [job for job in await made(store) if job.status == "queued"]
            await end(store, job, how)
            await settle(store)
    schedule = await shown(store)
    assert (schedule.state, schedule.paused_because, schedule.counts.failed) == ("paused", "The last 2 jobs failed.", 3)
    assert (schedule.last.outcome, schedule.paused_by or "") == ("failed", "")
    assert (await store.schedules.resume(GROUP, NAME)).state == "active"
    await fire_next(store)
    assert (await shown(store)).state == "active"


async def test_a_retry_policy_decides_what_is_final(store: Store) -> None:
    """A failure that the policy forgives is none of the schedule."""
    await put(store, pause_after=1, job={"retry": Retry(max=1, delay=0, jitter=0)})
    await fire_next(store)
    [job] = await made(store)
    await end(store, job, "failed")
    await store.reap(100)
    await settle(store)
    assert (await shown(store)).state == "active"
    await end(store, job, "failed")
    await settle(store)
    assert ((await shown(store)).state, (await shown(store)).counts.failed) == ("paused", 1)


async def test_run_fires_now(store: Store) -> None:
    """A fire by hand leaves the next time, obeys overlap unless the call has another one, and works while paused."""
    schedule = await put(store)
    job_id, _ = await store.schedule_fires.run(GROUP, NAME, None)
    [job] = await made(store)
    assert (job.id, job.scheduled_for, (await shown(store)).next_at) == (job_id, at(store, 0), schedule.next_at)
    with pytest.raises(WrongState, match=job.id):
        await store.schedule_fires.run(GROUP, NAME, None)
    await store.schedules.pause(GROUP, NAME)
    await store.schedule_fires.run(GROUP, NAME, "allow")
    fires = await store.schedules.fires(GROUP, NAME, 10)
    assert [(fire.what, fire.by) for fire in fires] == [("fired", "run"), ("skipped", "run"), ("fired", "run")]
    with pytest.raises(NotFound):
        await store.schedule_fires.run(GROUP, "other", None)


async def test_run_is_repeated_with_its_key(store: Store) -> None:
    """The same Idempotency-Key gives the first job again."""
    await put(store, overlap="allow")
    first = await store.schedule_fires.run(GROUP, NAME, None, "key")
    assert await store.schedule_fires.run(GROUP, NAME, None, "key") == (first[0], True)
    assert len(await made(store)) == 1


async def test_run_just_after_a_fire_skips_no_time(store: Store) -> None:
    """A24: by hand and by time are different times: neither takes the place of the other."""
    first = await put(store, overlap="allow")
    await fire_next(store)
    await store.schedule_fires.run(GROUP, NAME, None)
    assert milliseconds((await shown(store)).next_at) == milliseconds(first.next_at) + MINUTE_MS


async def test_backfill_fires_each_time_once(store: Store) -> None:
    """Times before the put, and those that were missed, get their jobs; a second backfill makes nothing."""
    await put(store, every=60, overlap="allow")
    await fire_next(store)
    start = now_ms(store)
    await fire_next(store, late_s=120)  # two are missed
    first, last = start - 3 * MINUTE_MS, now_ms(store)
    assert await store.schedule_fires.backfill(GROUP, NAME, first, last, None) == 5
    assert await store.schedule_fires.backfill(GROUP, NAME, first, last, None) == 0
    times = sorted(milliseconds(job.scheduled_for) for job in await made(store))
    assert times == [start + i * MINUTE_MS for i in range(-3, 4)]
    await end(store, (await made(store))[0])
    assert await store.schedule_fires.backfill(GROUP, NAME, first - 2 * MINUTE_MS, last, "allow") == 2
    await fire_next(store)
    assert len(await made(store)) == 10


async def test_backfill_is_bounded(store: Store) -> None:
    """It is for times that have passed, 1,000 at most."""
    await put(store, every=1)
    for first, last in ((0, 1), (1, 0)):
        with pytest.raises(Invalid):
            await store.schedule_fires.backfill(GROUP, NAME, now_ms(store) + first, now_ms(store) + last, None)
    with pytest.raises(Invalid, match="1000"):
        await store.schedule_fires.backfill(GROUP, NAME, now_ms(store) - 1_001_000, now_ms(store), None)


async def test_a_time_fires_once_though_the_clock_goes_back(store: Store) -> None:
    """A8: after a step back nothing fires again; after a step ahead and back the next time stays where it is."""
    await put(store, overlap="allow")
    for _ in range(3):
        await fire_next(store)
    wait(store, -200)
    assert await fire_all(store) == []
    await store.schedules.pause(GROUP, NAME)
    await store.schedules.resume(GROUP, NAME)
    for _ in range(4):
        await fire_next(store)
    times = [job.scheduled_for for job in await made(store)]
    assert len(times) == len(set(times)) == 7


async def test_overlap_cancel_ends_a_replaced_job_once(store: Store) -> None:
    """A job that other fires replaced stands for several of them, but is cancelled and counted once."""
    await put(store, overlap="cancel", job={"unique": Unique(key="k", on_conflict="replace")})
    made_ids = {(await store.schedule_fires.run(GROUP, NAME, "allow"))[0] for _ in range(2)}
    [job_id] = made_ids
    await fire_next(store)
    assert [event.what for event in (await store.jobs.history(GROUP, job_id)).events] == ["created", "cancelled"]
    assert store.completer._tally.of(GROUP).counts[CANCELLED] == 1


async def test_limits_skip(store: Store, settings: Any) -> None:
    """A group that is full, and a unique key that is held, skip the time, and the history has the reason."""
    await put(store, overlap="allow", job={"unique": Unique(key="k")})
    await fire_next(store)
    await fire_next(store)
    assert await history(store) == ["fired", "duplicate"]
    await put(store, overlap="allow", job={"unique": Unique(key="k", on_conflict="refuse")})
    await fire_next(store)
    with pytest.raises(Duplicate):
        await store.schedule_fires.run(GROUP, NAME, None)
    await put(store, overlap="allow", job={"unique": Unique(key="k", on_conflict="replace"), "payload": "newest"})
    await fire_next(store)
    [job] = await made(store)
    assert (job.payload, (await history(store))[-1]) == ("newest", "fired")
    store.schedule_fires._limits = store.schedule_fires._limits._replace(jobs=1)
    await put(store, overlap="allow")
    await fire_next(store)
    assert (await history(store))[-1] == "limit"
    with pytest.raises(LimitReached):
        await store.schedule_fires.run(GROUP, NAME, None)


async def test_limits_of_schedules(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group and a partition have a most; a put of one that exists is no new one."""
    monkeypatch.setattr("broker.store.schedules.MOST_SCHEDULES", 2)
    monkeypatch.setattr("broker.store.schedules.MOST_IN_ALL", 3)
    await put(store, "a")
    await put(store, "b")
    with pytest.raises(LimitReached, match="group has 2"):
        await put(store, "c")
    await put(store, "a", every=7)
    await put(store, "a", "notes")
    with pytest.raises(LimitReached, match="partition has 3"):
        await put(store, "b", "notes")


async def test_list_is_by_name(store: Store) -> None:
    """A page at a time, also with large jobs."""
    for name in ("c", "a", "d", "b"):
        await put(store, name, job={"payload": "x" * 400_000 if name != "c" else ""})
    await put(store, "z", "notes")
    names: list[str] = []
    cursor = ""
    while True:
        schedules, cursor = await store.schedules.list(GROUP, 3, cursor)
        names += [schedule.name for schedule in schedules]
        if not cursor:
            break
    assert names == ["a", "b", "c", "d"]
    assert await store.schedules.list("none", 3) == ([], "")


async def test_the_history_is_bounded(store: Store) -> None:
    """The last 50 fires are kept."""
    await put(store, every=1, overlap="allow")
    for _ in range(51):
        await fire_next(store)
    assert [len(await store.schedules.fires(GROUP, NAME, n)) for n in (100, 3)] == [50, 3]
    with pytest.raises(NotFound):
        await store.schedules.fires(GROUP, "none", 1)


async def test_a_deleted_group_has_no_schedules(store: Store) -> None:
    """They go with the group, and do not make it again."""
    await put(store)
    await fire_next(store)
    [job] = await made(store)
    await end(store, job)
    await settle(store)
    await store.groups.delete_group(GROUP)
    wait(store, 1000)
    assert await fire_all(store) == []
    assert [key async for key in store.redis.scan_iter(f"{store.partitions[0]}:schedule*")] == []


async def test_the_zones_of_a_newer_database_count(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker with newer zones sets the next time again; the time of another broker's fire stands."""
    schedule = await put(store, cron="30 7 * * *", every=None, zone="Europe/Berlin")
    found = await store.schedules.stored(GROUP, NAME)
    p = store.partitions[0]
    await store.redis.zadd(keys.schedules(p), {f"{GROUP}:{NAME}": found.score + 7_200_000})
    moved = await store.schedules.stored(GROUP, NAME)
    assert await store.schedules.refresh(moved, now_ms(store))
    assert (await store.schedules.stored(GROUP, NAME)).score == found.score
    assert not await store.schedules.refresh(moved, now_ms(store))
    assert (await shown(store)).next_at == schedule.next_at


async def test_a_large_job_is_whole(store: Store) -> None:
    """A payload that is no part of the record is made and kept as any other."""
    await put(store, job={"payload": "y" * 9000})
    await fire_next(store)
    [job] = await store.next(1)
    assert job.payload == "y" * 9000


async def test_reap_says_when_a_schedule_fires(store: Store) -> None:
    """The reaper learns with its own call when the next schedule is due."""
    assert (await store.reap(10)).fires_in_ms is None
    await put(store)
    found = await store.schedules.stored(GROUP, NAME)
    assert (await store.reap(10)).fires_in_ms == found.score - now_ms(store)
    store.now = str(found.score + 3)
    assert (await store.reap(10)).fires_in_ms == -3


async def test_an_export_has_the_schedules(store: Store) -> None:
    """They come back as they were, with their next time, and do not overlap with a job that still runs."""
    await put(store, job={"payload": "x"}, pause_after=3)
    await put(store, "paused", cron="30 7 * * *", zone="Europe/Berlin", paused=True)
    await fire_next(store)
    before = {name: await shown(store, name) for name in (NAME, "paused")}
    pieces = [piece async for piece in store.transfer.export()]
    await store.redis.delete(*[key async for key in store.redis.scan_iter(f"{store.partitions[0]}:*", 1000)])
    groups = [group for piece in pieces if (group := read_line(piece.group).group)]
    jobs = [job for piece in pieces for line in piece.jobs if (job := read_line(line).job)]
    for _ in range(2):
        await store.transfer.restore(store.partitions[0], groups, jobs)
    for name, schedule in before.items():
        restored = await shown(store, name)
        changed = {field: getattr(schedule, field) for field in ("revision", "updated_at")}
        assert msgspec.structs.replace(restored, **changed) == schedule
    await fire_next(store)
    assert (await history(store))[-1] == "overlap"
    again = [piece.group async for piece in store.transfer.export()]
    assert len(again) == len([piece for piece in pieces if piece.group])


MEMBER = f"{GROUP}:{NAME}"
DAMAGE: dict[str, tuple[str, Any]] = {
    "it would fire though it is paused": ("paused", lambda r, p: r.zadd(f"{p}:schedules", {MEMBER: 5})),
    "it would never fire": ("active", lambda r, p: r.zadd(f"{p}:schedules", {MEMBER: 2**53})),
    "it is not in the zset": ("active", lambda r, p: r.zrem(f"{p}:schedules", MEMBER)),
    "it is not in the list": ("active", lambda r, p: r.zrem(f"{p}:group:{GROUP}:schedules", NAME)),
    "it has no fields": ("active", lambda r, p: r.delete(f"{p}:schedule:{MEMBER}")),
    "it would fire again": (
        "active",
        lambda r, p: r.hset(f"{p}:schedule:{MEMBER}", mapping={"handled": NOW + 10**6, "next_at": NOW + 10**6}),
    ),
    "only the list has it": ("active", lambda r, p: r.zadd(f"{p}:group:{GROUP}:schedules", {"gone": 0})),
    "only the zset has it": ("active", lambda r, p: r.zadd(f"{p}:schedules", {f"{GROUP}:gone": 5})),
    "it is a remainder": ("active", lambda r, p: r.rpush(f"{p}:schedule:{GROUP}:gone:fires", "x")),
}


@pytest.mark.parametrize("what", DAMAGE)
async def test_check_finds_and_repairs(store: Store, what: str) -> None:
    """Fields, score and list of a schedule agree; after a repair a broker computes the next time of an active one."""
    state, damage = DAMAGE[what]
    schedule = await put(store, paused=state == "paused")
    assert await check(store) == []
    await damage(store.redis, store.partitions[0])
    assert [finding.is_repaired for finding in await check(store)] == [False]
    assert [finding.is_repaired for finding in await check(store, is_repair=True)] == [True]
    assert await check(store) == []
    await fire_all(store)
    if what not in {"it has no fields", "it would fire though it is paused"}:
        assert (await shown(store)).next_at == schedule.next_at


async def test_newer_time_zones_set_the_next_times_again(store: Store, redis: Any, monkeypatch: Any) -> None:
    """A broker that starts with a newer tz database computes the next times again; an older one leaves them."""
    names = [f"s{number}" for number in range(3)]
    for name in names:
        await put(store, name, every=3600)
    [partition] = store.partitions
    right = (await store.schedules.stored(GROUP, "s0")).score
    stale = {"s1": "2020a", "s2": "2099a"}
    for name, version in stale.items():  # a version of the tz database said that they are due five minutes later
        await redis.zadd(keys.schedules(partition), {f"{GROUP}:{name}": right + 300_000})
        await redis.hset(f"{partition}:schedule:{GROUP}:{name}", "tzdata", version)
    monkeypatch.setattr("broker.store.schedules._PAGE", 2)
    await Scheduler(store).refresh()
    scores = [(await store.schedules.stored(GROUP, name)).score for name in names]
    assert scores == [right, right, right + 300_000]
    assert (await shown(store, "s1")).revision == 1  # nobody changed it
    assert await store.schedules.refresh_all(partition) == 0


async def test_a_backfill_finds_a_time_that_was_skipped_between_others(store: Store) -> None:
    """The times before and after it fired; only the skipped one is made up for."""
    await put(store)
    await fire_next(store)
    [first] = await made(store)
    await fire_next(store)  # it overlaps
    skipped = now_ms(store)
    await end(store, first)
    await fire_next(store)
    assert await history(store) == ["fired", "overlap", "fired"]
    start, stop = skipped - 2 * MINUTE_MS, now_ms(store)
    assert await store.schedule_fires.backfill(GROUP, NAME, start + 1, stop, "allow") == 1
    assert milliseconds((await made(store))[-1].scheduled_for) == skipped


async def test_a_replaced_job_stays_that_of_its_fire(store: Store) -> None:
    """A producer may replace what the job of a schedule does; the fire still has the outcome of the job."""
    schedule = await put(store, job={"unique": Unique(key="k")})
    await fire_next(store)
    given = NewJob(image="post", payload="newer", unique=Unique(key="k", on_conflict="replace"))
    await store.enqueue(GROUP, [given])
    [job] = await made(store)
    assert (job.payload, job.schedule, job.scheduled_for) == ("newer", NAME, schedule.next_at)
    await end(store, job)
    await settle(store)
    [fire] = await store.schedules.fires(GROUP, NAME, 5)
    assert (fire.job, fire.outcome) == (job.id, "succeeded")


async def test_a_schedule_says_that_another_one_replaced_its_job(store: Store) -> None:
    """Two schedules with one unique key have one job: that of the last fire. Only its schedule gets the outcome."""
    given = {"unique": Unique(key="k", on_conflict="replace")}
    await put(store, job=given)
    await fire_next(store)
    await put(store, name="other", job=given)
    [mine] = await made(store)
    await store.schedule_fires.run(GROUP, "other", None)
    [fire] = await store.schedules.fires(GROUP, NAME, 5)
    assert (fire.what, fire.job, fire.outcome) == ("fired", mine.id, "replaced")
    [job] = await made(store)
    assert (job.id, job.schedule) == (mine.id, "other")
    await end(store, job)
    await settle(store)
    [fire] = await store.schedules.fires(GROUP, NAME, 5)
    [other] = await store.schedules.fires(GROUP, "other", 5)
    assert (fire.outcome, other.outcome) == ("replaced", "succeeded")
    found = await store.schedules.show(GROUP, NAME)
    assert (found.last.outcome, await check(store)) == ("replaced", [])  # type: ignore[union-attr]


async def test_a_fire_does_not_replace_a_job_that_has_ended(store: Store) -> None:
    """Within its window the job of another schedule holds the key, so the time is skipped, and the history says why."""
    given = {"unique": Unique(key="k", for_=3600, on_conflict="replace")}
    await put(store, job=given)
    await fire_next(store)
    await put(store, name="other", overlap="allow", job=given)
    [job] = await made(store)
    await end(store, job)
    await settle(store)
    await fire_next(store, "other")
    assert ((await history(store))[0], await history(store, "other")) == ("fired", ["duplicate"])
    [fire] = await store.schedules.fires(GROUP, "other", 5)
    assert fire.job == job.id


async def test_a_job_that_another_fire_replaced_is_of_that_fire(store: Store) -> None:
    """A schedule made both: the job has the time of the newest fire, once."""
    await put(store, overlap="allow", job={"unique": Unique(key="k", on_conflict="replace")})
    await fire_next(store)
    [first] = await made(store)
    await fire_next(store)
    [job] = await made(store)
    assert (job.id, job.schedule) == (first.id, NAME)
    assert milliseconds(job.scheduled_for) == milliseconds(first.scheduled_for) + MINUTE_MS
    record = await store.redis.hget(keys.jobs(store.partitions[0]), job.id)
    assert record.count(b'"scheduled_for"') == 1
    fires = await store.schedules.fires(GROUP, NAME, 5)
    assert [(fire.job, fire.outcome or "") for fire in fires] == [(job.id, "")] * 2
    await end(store, job)
    await settle(store)
    assert [fire.outcome for fire in await store.schedules.fires(GROUP, NAME, 5)] == ["succeeded"] * 2


async def test_a_fire_cancels_nothing_for_nothing(store: Store) -> None:
    """The window of its key outlasts the job that it would cancel, so it leaves that alone and makes none."""
    await put(store, overlap="cancel", job={"unique": Unique(key="k", for_=7200, on_conflict="replace")})
    await fire_next(store)
    await fire_next(store)
    assert await history(store) == ["fired", "duplicate"]
    [fire, _] = await store.schedules.fires(GROUP, NAME, 5)
    [job] = await made(store)
    assert (fire.job, job.status) == (job.id, "queued")
    assert store.completer._tally.of(GROUP).counts[CANCELLED] == 0
    await end(store, job)
    await settle(store)
    await fire_next(store)
    assert await history(store) == ["fired", "duplicate", "duplicate"]


@pytest.mark.parametrize(
    ("on_conflict", "n_of_fire", "why"),
    [("existing", 0, "duplicate"), ("replace", 1, "fired"), ("refuse", 0, "duplicate")],
)
async def test_a_fire_that_cancels_meets_the_job_of_somebody_else(
    store: Store, on_conflict: Any, n_of_fire: int, why: str
) -> None:
    """It cancels the job of the fire before only when it makes one in its place."""
    await put(store, overlap="cancel")
    await fire_next(store)
    [mine] = await made(store)
    await store.enqueue(GROUP, [NewJob(image="other", unique=Unique(key="k"))])
    await put(store, overlap="cancel", job={"unique": Unique(key="k", on_conflict=on_conflict)})
    await fire_next(store)
    found = await store.show(GROUP, mine.id)
    assert (found.status == "cancelled", (await history(store))[-1]) == (n_of_fire == 1, why)


async def test_a_fire_that_cancels_leaves_its_room_to_others(store: Store) -> None:
    """The new job waits for the job of somebody else that has its key, so another job of the group may run."""
    await configure(store, max_concurrency=2)
    await put(store, overlap="cancel")
    await fire_next(store)
    await store.enqueue(GROUP, [NewJob(image="holder", unique=Unique(key="k"), priority=-1)])
    assert len(await store.next(5)) == 2
    [other] = (await store.enqueue(GROUP, [NewJob(image="other")])).jobs
    await put(store, overlap="cancel", job={"unique": Unique(key="k", on_conflict="replace")})
    await fire_next(store)
    assert await check(store) == []
    assert [job.id for job in await store.next(5)] == [other.id]
