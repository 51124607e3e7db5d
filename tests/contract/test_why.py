"""Why a job does not run: each reason with its true numbers, and which ones go together."""

import re
from typing import Any

import pytest
from msgspec import UNSET

from broker.core.errors import NotFound
from broker.models.groups import GroupSettings, JobRate, Retentions
from broker.models.jobs import Job, NewJob
from broker.models.retries import Retry
from broker.models.unique import Unique
from broker.models.why import Explanation, WhyReason
from broker.models.workers import Announcement
from broker.resp import keys
from broker.store.format.prose_times import clock as prose_clock
from broker.store.format.worker_reasons import SIGHT
from tests.contract.building import (
    DAY_S,
    GROUP,
    Run,
    cancelled,
    clock,
    configure,
    enqueue,
    failed,
    lose,
    members_key,
    new,
    now_ms,
    queued,
    reap_after,
    running,
    running_many,
    spread,
    succeeded,
    wait,
)
from tests.contract.test_look import calls, on_real_servers
from tests.stores import Store


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of workers is read each time."""
    monkeypatch.setattr("broker.store.why.WORKERS_S", 0)


async def why(store: Store, job: Job) -> Explanation:
    """An explanation. Its sentences have no times that are for programs: those are in its fields."""
    told = await store.why.why(job.group_name, job.id)
    for text in (told.verdict, *(reason.text for reason in told.reasons)):
        without_ids = re.sub(r"\bV[\w-]{15}", "", text)
        assert not re.search(r"\d[Tt]\d|\dZ", without_ids), text
    return told


def time_in(store: Store, seconds: float) -> str:
    """A time from now on, as sentences have it."""
    return prose_clock(int(now_ms(store) + seconds * 1000), now_ms(store))


async def reasons(store: Store, job: Job) -> dict[str, WhyReason]:
    return {reason.code: reason for reason in (await why(store, job)).reasons}


async def codes(store: Store, job: Job) -> list[str]:
    return [reason.code for reason in (await why(store, job)).reasons]


async def ask(store: Store, *groups: str, images: tuple[str, ...] = ()) -> None:
    """Have somebody ask for jobs, without effect on them."""
    store.dispatcher.asked.note(groups, images)
    await store.dispatcher.asked.flush()


async def test_why_next_up(store: Store) -> None:
    """The first job of a group that somebody asks for is next."""
    job = await queued(store)
    await ask(store)
    told = await why(store, job)
    assert [reason.code for reason in told.reasons] == ["next_up"]
    assert (told.ahead, told.eta_s, told.out_per_s, told.job) == (0, UNSET, UNSET, job.id)
    assert (told.now, told.verdict) == (clock(store), told.reasons[0].text)


async def test_why_paused(store: Store) -> None:
    """A paused group says since when, by whom and why, if that is known; it comes before all other reasons."""
    await queued(store)
    job = await queued(store)
    await configure(store, paused=True)
    await store.redis.hdel(keys.group(store.partitions[0], GROUP), "paused_at")  # as an older broker paused it
    await ask(store)
    assert (await reasons(store, job))["group_paused"] == WhyReason(code="group_paused", text=f"{GROUP} is paused.")
    since = {"paused_at": now_ms(store), "paused_by": "ann", "note": "provider down"}
    await store.redis.hset(keys.group(store.partitions[0], GROUP), mapping=since)
    at = clock(store)
    wait(store, 125)
    await ask(store)
    told = await why(store, job)
    assert [reason.code for reason in told.reasons] == ["group_paused", "behind_in_group"]
    assert told.reasons[0] == WhyReason(
        code="group_paused",
        text=f"{GROUP} is paused by ann for 2 min 5 s (since {time_in(store, -125)}): provider down.",
        since=at,
        by="ann",
        note="provider down",
    )
    assert told.verdict == told.reasons[0].text


async def test_why_at_max_concurrency(store: Store) -> None:
    """A group that runs as many jobs as it may names ten of them; with room for one more it is no reason."""
    await configure(store, max_concurrency=12)
    held = await running_many(store, 12)
    job = await queued(store)
    await ask(store)
    told = await reasons(store, job)
    assert list(told) == ["at_max_concurrency"]
    found = told["at_max_concurrency"]
    assert (found.n, found.limit) == (12, 12)
    assert len(found.ids) == 10
    assert set(found.ids) < {held.id for held in held}
    await store.succeed(GROUP, held[0].id, held[0].lease)
    assert await codes(store, job) == ["next_up"]


async def test_why_rate_limited(store: Store) -> None:
    """A group whose rate is used up says until when."""
    await configure(store, rate_limit=2)
    await store.enqueue(GROUP, [new()] * 3)
    await store.next(2)
    [job], _ = await store.list(GROUP, 1, statuses=["queued"])
    await ask(store)
    assert await reasons(store, job) == {
        "rate_limited": WhyReason(
            code="rate_limited",
            text=f"{GROUP} has reached its rate limit, 2 a second; the next job goes in 0.5 s ({time_in(store, 0.5)}).",
            limit=2,
            until=clock(store, 0.5),
        )
    }
    await reap_after(store, 0.5)
    assert await codes(store, job) == ["next_up"]


async def test_why_rate_limited_after_a_burst(store: Store) -> None:
    """A group that gave more jobs at once than in the time of its rate is not said to have given only those."""
    await configure(store, rate_limit=JobRate(jobs=2, per=3600, burst=3))
    await store.enqueue(GROUP, [new()] * 4)
    assert len(await store.next(4)) == 3
    [job], _ = await store.list(GROUP, 1, statuses=["queued"])
    await ask(store)
    text = f"{GROUP} has reached its rate limit, 2 in 1 h, 3 at once; the next job goes in 30 min "
    assert (await reasons(store, job))["rate_limited"].text.startswith(text)


async def test_why_nobody_asks(store: Store) -> None:
    """Half a minute after somebody asked for the group or for all, nobody does, since that time."""
    job = await queued(store)
    nobody = await reasons(store, job)
    assert nobody["no_worker_asks"] == WhyReason(
        code="no_worker_asks", text=f"Nobody has asked for jobs of {GROUP} in the last hour."
    )
    await ask(store, "other")
    assert list(await reasons(store, job)) == ["no_worker_asks"]
    for groups in ((GROUP,), ()):
        await ask(store, *groups)
        at = clock(store)
        wait(store, 30)
        assert await codes(store, job) == ["next_up"]
        wait(store, 0.001)
        found = (await reasons(store, job))["no_worker_asks"]
        assert (found.since, found.n) == (at, 30)
        assert "for 30 s" in found.text


async def test_why_when_somebody_asks_right_now(store: Store) -> None:
    """What this broker was asked for counts before it is in the store; what is for other groups does not."""
    job = await queued(store)
    store.dispatcher.asked.note(("other",), ())
    assert await codes(store, job) == ["no_worker_asks"]
    store.dispatcher.asked.note((GROUP,), ("other",))
    assert await codes(store, job) == ["no_worker_for_image"]
    store.dispatcher.asked.note((), ())
    assert await codes(store, job) == ["next_up"]


async def test_why_no_worker_for_the_image(store: Store) -> None:
    """If only other images are asked for, the reason names them; one for the group, all groups or any image ends it."""
    job = await queued(store, image='po"st')
    await ask(store, GROUP, images=("b", "c"))
    wait(store, 1)
    await ask(store, images=("a",))
    await ask(store, "other", images=('po"st',))
    found = await reasons(store, job)
    assert list(found) == ["no_worker_for_image"]
    assert found["no_worker_for_image"].images == ["a", "c", "b"]
    wait(store, 30)
    assert (await reasons(store, job))["no_worker_for_image"].images == ["a"]
    for groups, images in (((GROUP,), ('po"st',)), ((), ('po"st',)), ((GROUP,), ()), ((), ())):
        await ask(store, *groups, images=images)
        assert await codes(store, job) == ["next_up"]
        wait(store, 31)
        await ask(store, GROUP, images=("b",))
        assert await codes(store, job) == ["no_worker_for_image"]


async def test_why_with_too_many_images_to_know(store: Store) -> None:
    """When the store has as many images as it keeps, an image that is not among them may have been asked for."""
    job = await queued(store)
    for part in range(10):
        await ask(store, GROUP, images=tuple(f"{part}-{number}" for number in range(100)))
        assert await codes(store, job) == (["no_worker_for_image"] if part < 9 else ["next_up"])


async def test_why_out_of_sight(store: Store) -> None:
    """Behind 200 other jobs consumers that ask by image do not see it, and those that ask for any image do."""
    await store.enqueue(GROUP, [new(image="other")] * (SIGHT - 1))
    seen, hidden = await queued(store), await queued(store)
    await ask(store, GROUP, images=("post", "other"))
    assert await codes(store, seen) == ["behind_in_group"]
    found = await reasons(store, hidden)
    assert list(found) == ["out_of_sight", "behind_in_group"]
    assert (found["out_of_sight"].n, found["out_of_sight"].limit) == (SIGHT, SIGHT)
    await ask(store, GROUP)
    assert await codes(store, hidden) == ["behind_in_group"]


async def announce(store: Store, name: str, *, busy: int = 0, slots: int = 4, **given: object) -> None:
    await store.workers.announce(Announcement(name=name, host="h", busy=busy, slots=slots, **given))


async def test_why_workers_are_full(store: Store) -> None:
    """If no worker for it has a free slot, the slots are counted, and that nobody asks is no news."""
    job = await queued(store)
    await announce(store, "w1", busy=4)
    await announce(store, "w2", busy=9, slots=8, groups=[GROUP], images=["post", "x"])
    await announce(store, "w3", groups=["other"])
    await announce(store, "w4", images=["other"])
    found = await reasons(store, job)
    assert list(found) == ["workers_full"]
    assert (found["workers_full"].n, found["workers_full"].limit) == (13, 12)
    await announce(store, "w4", groups=[GROUP, "x"], busy=3)
    assert await codes(store, job) == ["no_worker_asks"]
    await ask(store)
    assert await codes(store, job) == ["next_up"]


async def test_why_workers_are_quiet(store: Store) -> None:
    """Workers that are quiet or draining take no jobs; others that are full are named as well."""
    job = await queued(store)
    await announce(store, "w1", state="quiet")
    await announce(store, "w2", state="draining")
    found = await reasons(store, job)
    assert list(found) == ["workers_quiet"]
    assert found["workers_quiet"].n == 2
    await announce(store, "w3", busy=4)
    assert await codes(store, job) == ["workers_full", "workers_quiet"]
    await announce(store, "w3", busy=3)
    await ask(store)
    assert await codes(store, job) == ["next_up"]


@pytest.mark.parametrize("images", [[], ["post", "x"]])
async def test_why_when_the_last_worker_has_left(store: Store, images: list[str]) -> None:
    """As soon as the only worker for it has stopped, no worker takes it, though its last call is noted after that."""
    job = await queued(store)
    await announce(store, "w1", groups=[GROUP], images=images)
    await ask(store, GROUP, images=tuple(images))
    assert await codes(store, job) == ["next_up"]
    store.dispatcher.asked.note((GROUP,), tuple(images))
    await announce(store, "w1", state="stopped")
    at = clock(store)
    for seconds in (0, 10):
        wait(store, seconds)
        found = await reasons(store, job)
        assert list(found) == ["no_worker_for_image"]
        assert (found["no_worker_for_image"].worker, found["no_worker_for_image"].since) == ("w1", at)
        await store.dispatcher.asked.flush()
    assert "with the image post now: the last one, w1, left 10 s ago (" in found["no_worker_for_image"].text
    wait(store, 2)
    await ask(store, GROUP, images=tuple(images))
    assert await codes(store, job) == ["next_up"], "somebody else asks"


async def test_why_when_another_worker_has_left(store: Store) -> None:
    """A worker that stopped is no news while another one takes the job, or if it took other jobs."""
    job = await queued(store)
    await ask(store)
    for name, given in (("w1", {"groups": ["other"]}), ("w2", {"images": ["x"]})):
        await announce(store, name, **given)
        await announce(store, name, state="stopped")
    assert await codes(store, job) == ["next_up"]
    await announce(store, "w3")
    await announce(store, "w4")
    await announce(store, "w3", state="stopped")
    assert await codes(store, job) == ["next_up"]
    await announce(store, "w4", state="stopped")
    assert await codes(store, job) == ["no_worker_for_image"]
    await announce(store, "w3")
    assert await codes(store, job) == ["next_up"], "it is back"


async def test_announce_remembers_a_hundred_that_left(store: Store) -> None:
    """Those that stopped are kept for a minute, and a hundred of them at most."""
    for number in range(101):
        await announce(store, f"w{number}")
        await announce(store, f"w{number}", state="stopped")
        assert len(await store.workers.departed()) == (1 if number == 100 else number + 1)
    assert 0 < await store.redis.pttl(keys.departed(store.partitions[0])) <= 60_000
    await announce(store, "unseen", state="stopped")
    assert len(await store.workers.departed()) == 1


async def test_why_behind_others(store: Store) -> None:
    """The jobs before it in its group, and the groups with a job before its group's first one, are counted."""
    await queued(store, "first")
    await queued(store, "second", priority=1)
    await store.enqueue(GROUP, [new()] * 412)
    job = await queued(store)
    await queued(store, "third")
    await ask(store)
    told = await why(store, job)
    assert [(reason.code, reason.n) for reason in told.reasons] == [("behind_in_group", 412), ("behind_groups", 2)]
    assert told.ahead == 412
    assert told.verdict.startswith("412 jobs of ")


async def test_why_in_fair_order(store: Store) -> None:
    """It says which turn of its group the job has, and how many groups are before its group."""
    await store.order.set("fair")
    await store.configure(GROUP, GroupSettings(weight=3))
    await queued(store, "first")
    await store.enqueue(GROUP, [new()] * 8)
    job = await queued(store)
    await ask(store)
    told = await why(store, job)
    assert [(reason.code, reason.n) for reason in told.reasons] == [("behind_in_group", 8), ("behind_groups", 1)]
    assert told.reasons[1].text == f"Groups take turns: it has its group's 3rd turn, and 1 group is before {GROUP}."
    await store.next(1)
    assert (await why(store, job)).reasons[1].text == "Groups take turns: it has its group's 3rd turn."
    assert (await store.why.why(GROUP)).reasons[0].code == "next_up"


async def test_why_not_in_ready(store: Store) -> None:
    """A group that may dispatch and is not in the ready index needs a repair."""
    job = await queued(store)
    await ask(store)
    p = store.partitions[0]
    rank = await store.redis.zscore(keys.ready(p), GROUP)
    await store.redis.zrem(keys.ready(p), GROUP)
    assert await codes(store, job) == ["not_in_ready"]
    await store.redis.zadd(keys.ready(p), {GROUP: rank})
    assert await codes(store, job) == ["next_up"]


async def test_why_the_broker_sheds(store: Store) -> None:
    """Requests that wait at this broker are a reason."""
    job = await queued(store)
    await ask(store)
    [reason] = (await store.why.why(GROUP, job.id, 7)).reasons
    assert (reason.code, reason.n) == ("broker_sheds", 7)


def minutes_key(store: Store) -> str:
    """The key of the statistics of the group by minute."""
    return f"{store.partitions[0]}:group:{GROUP}:minutes"


async def statistics(store: Store, *minutes: tuple[int, int]) -> None:
    """Statistics of the group: for each minute before this one, how many jobs were taken in it."""
    key = minutes_key(store)
    this = now_ms(store) // 60_000
    for before, n in minutes:
        await store.redis.hset(key, str((this - before) % 60), f"{this - before} 1000 {n} 3 4 5 6 7 8")
    await store.redis.pexpire(key, 60_000)


async def test_why_with_an_estimate(store: Store) -> None:
    """The time is the jobs before it by the rate of the last five whole minutes; without statistics there is none."""
    await store.enqueue(GROUP, [new()] * 300)
    job = await queued(store)
    await ask(store)
    await statistics(store, (0, 9000), (6, 9000), (60, 9000))
    assert ((await why(store, job)).eta_s, (await why(store, job)).out_per_s) == (UNSET, UNSET)
    await statistics(store, (1, 100), (5, 200))
    told = await why(store, job)
    assert (told.ahead, told.eta_s, told.out_per_s) == (300, 300.0, 1.0)
    assert told.verdict == f"300 jobs of {GROUP} are before it. About 5 min at 1 a second."
    assert (await store.why.why(GROUP)).eta_s == 301.0
    await statistics(store, (1, 0), (5, 0))
    assert ((await why(store, job)).eta_s, (await why(store, job)).out_per_s) == (UNSET, 0)
    await store.redis.delete(minutes_key(store))


async def test_why_reads_five_minutes(store: Store, run: Run) -> None:
    """The script reads the slots of the last five whole minutes, the latest first."""
    job = await queued(store)
    await store.redis.hset(minutes_key(store), mapping={str(number): str(number) for number in range(60)})
    hour_ms = now_ms(store) // 3_600_000 * 3_600_000
    assert (await run("why", hour_ms, GROUP, job.id))[9] == [b"59", b"58", b"57", b"56", b"55"]
    await store.redis.delete(minutes_key(store))


async def test_why_without_an_estimate(store: Store) -> None:
    """While something stops a job, no time is given."""
    job = await queued(store)
    await statistics(store, (1, 100))
    assert [(await why(store, job)).eta_s, (await why(store, job)).verdict.count("About")] == [UNSET, 0]
    await ask(store)
    assert (await why(store, job)).eta_s == 0
    await configure(store, paused=True)
    assert (await why(store, job)).eta_s is UNSET
    await store.redis.delete(minutes_key(store))


async def test_why_delayed(store: Store) -> None:
    """A delayed job says until when, and whether it is its delay, that of a retry, or that of a release."""
    job = await enqueue(store, delay=90)
    told = await why(store, job)
    assert [(reason.code, reason.until) for reason in told.reasons] == [("delayed_until", clock(store, 90))]
    assert (told.ahead, told.eta_s) == (UNSET, UNSET)
    assert "is due in 1 min 30 s (" in told.verdict
    old = await failed(store, max_retries=1, retries_delay=30)
    retry = await store.show(GROUP, (await store.show(GROUP, old.id)).retry_at)
    [reason] = (await why(store, retry)).reasons
    assert (reason.code, reason.job, reason.until) == ("retry_delay", old.id, clock(store, 30))
    held = await running(store)
    await store.release(GROUP, held.id, held.lease, 20)
    [reason] = (await why(store, held)).reasons
    assert (reason.code, reason.until) == ("released_until", clock(store, 20))


async def test_why_the_reaper_is_late(store: Store) -> None:
    """A delay that ended more than a second ago shows that no reaper runs, and so does a lease."""
    job, held = await enqueue(store, delay=60), await running(store)
    due = clock(store, 60)
    wait(store, 61)
    assert await codes(store, job) == ["delayed_until"]
    assert await codes(store, held) == ["held"]
    wait(store, 4)
    for each, code, codes_ in ((job, "reaper_late", "delayed_until"), (held, "lease_over", "held")):
        found = await reasons(store, each)
        assert list(found) == [code, codes_]
        assert (found[code].since, found[code].n) == (due, 5)
    await store.reap(10)
    assert "reaper_late" not in await codes(store, job)


async def test_why_running(store: Store) -> None:
    """A running job names its worker, since when it runs, the end of its lease, and its delivery of how many."""
    job = await running(store, timeout=10)
    at = clock(store)
    await reap_after(store, 10)
    [job] = await store.next(1)
    [reason] = (await why(store, job)).reasons
    assert (reason.code, reason.worker, reason.n, reason.limit) == ("held", "", 2, 5)
    assert (reason.since, reason.until) == (clock(store), clock(store, 10))
    assert reason.since != at
    await announce(store, "w1", running=["other"])
    await announce(store, "w2", running=["x", job.id])
    await configure(store, delivery_limit=3)
    [reason] = (await why(store, job)).reasons
    assert (reason.worker, reason.limit) == ("w2", 3)
    assert "on w2" in reason.text


async def test_why_finished(store: Store) -> None:
    """A finished job says how and when it ended, as what it was retried, and until when it is kept."""
    done, bad, stopped = await succeeded(store), await failed(store), await cancelled(store)
    at = clock(store)
    for job, reason, kept_s in ((done, "", DAY_S), (bad, "bad_exit", 7 * DAY_S), (stopped, "client_request", DAY_S)):
        [found] = (await why(store, job)).reasons
        assert found.code == "finished"
        assert (found.status, found.since, found.reason, found.job) == (job.status, at, reason, "")
        assert found.until == clock(store, kept_s)
    again = await store.retry(GROUP, bad.id)
    await configure(store, retention=Retentions(failed=0))
    [found] = (await why(store, bad)).reasons
    assert (found.job, found.until) == (again.id, at)
    assert again.id in found.text


async def test_why_of_a_group(store: Store) -> None:
    """A group explains its first queued job, with all that wait; without one it counts the others."""
    first = await queued(store)
    await queued(store)
    await ask(store)
    told = await store.why.why(GROUP)
    assert (told.job, [reason.code for reason in told.reasons], told.ahead) == (first.id, ["next_up"], 2)
    await store.next(1)
    await store.next(1)
    await enqueue(store, delay=9)
    await configure(store, paused=True, max_concurrency=2)
    told = await store.why.why(GROUP)
    assert (told.job, [reason.code for reason in told.reasons], told.ahead) == (
        "",
        ["group_paused", "nothing_queued"],
        0,
    )
    assert "1 delayed, 2 running" in told.reasons[1].text


async def test_why_of_what_is_not_there(store: Store) -> None:
    """An unknown group or job, or one of another group, is not found; a queued id without a job is none."""
    job = await queued(store)
    for group, job_id in (("unknown", ""), ("unknown", job.id), (GROUP, "0" * 16)):
        with pytest.raises(NotFound):
            await store.why.why(group, job_id)
    await lose(store, job)
    assert [reason.code for reason in (await store.why.why(GROUP)).reasons] == ["nothing_queued"]
    p = store.partitions[0]
    await store.redis.delete(*[key async for key in store.redis.scan_iter(f"{p}:*", 1000)])


@pytest.mark.parametrize("partitions", [3])
async def test_why_in_each_partition(store: Store) -> None:
    """A group is explained in whichever partition it is, with the workers of the first."""
    await announce(store, "w1", busy=4)
    for group in spread(store):
        job = await queued(store, group)
        assert await codes(store, job) == ["workers_full"]


@on_real_servers
@pytest.mark.parametrize("payload", ["", "x" * 5000])
async def test_why_takes_few_commands(store: Store, payload: str) -> None:
    """A call runs 25 commands in the store at most, whatever the status, and one for the list of workers."""
    await configure(store, max_concurrency=5, rate_limit=100)
    jobs = [
        *(await queued(store, payload=payload), await enqueue(store, delay=9, payload=payload)),
        *(await succeeded(store, priority=2, payload=payload), await running(store, priority=2, payload=payload)),
    ]
    await why(store, jobs[0])
    for job_id in ("", *(job.id for job in jobs)):
        before = await calls(store)
        await store.why.why(GROUP, job_id)
        after = await calls(store)
        taken = {name: n - before.get(name, 0) for name, n in after.items()}
        n = sum(taken.values()) - taken["evalsha"] - taken["info"] - 1  # the workers are read by one command
        assert taken["evalsha"] == 2
        assert n <= 25, taken
    assert await store.redis.zcard(members_key(store, GROUP, "queued")) == 1


async def test_why_waits_for_jobs(store: Store) -> None:
    """A held job says for how many jobs it waits, and which; a follower names the job that has its key."""
    parents = [await queued(store, payload=str(n)) for n in range(2)]
    unique = Unique(key="k", on_conflict="follow")
    [child] = (await store.enqueue(GROUP, [NewJob(image="x", after=[job.id for job in parents])])).jobs
    [holder] = (await store.enqueue(GROUP, [NewJob(image="x", unique=unique)])).jobs
    [follower] = (await store.enqueue(GROUP, [NewJob(image="x", unique=unique)])).jobs
    told = await store.why.why(GROUP, child.id)
    assert told.verdict == "It waits for 2 jobs."
    assert [(reason.code, reason.ids) for reason in told.reasons] == [("waits_for_jobs", [job.id for job in parents])]
    told = await store.why.why(GROUP, follower.id)
    assert told.verdict == f"It waits for 1 job: {holder.id}, which has its unique key."


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "it failed 2 times, and its policy forgives 1 failure"),
        ({"except_": ("other", "bad_*")}, "its policy excepts the reason bad_exit"),
        ({"only": ("timeout", "net_*")}, "its policy is only for timeout, net_*"),
        ({"max": 3}, "its report forbade it"),
        ({"max": 3, "max_age": 3600}, "its report forbade it, or the next try would have been later than its max_age"),
    ],
    ids=["used up", "excepted", "not among the only", "forbidden", "forbidden or too old"],
)
async def test_why_not_retried(store: Store, fields: dict[str, Any], words: str) -> None:
    """A failed job with a policy says why it was not tried again: which rule of the policy forbade that."""
    policy = Retry(**{"max": 1, "delay": 1, "jitter": 0} | fields)
    job = await running(store, retry=policy)
    if not fields:
        await store.fail(GROUP, job.id, job.lease, "bad_exit")
        await reap_after(store, 1)
        [job] = await store.next(1)
    await store.fail(GROUP, job.id, job.lease, "bad_exit", retry="max" not in fields)
    found = (await reasons(store, job))["not_retried"]
    assert f"It was not tried again: {words}" in found.text
    assert (found.n, found.limit, found.reason) == (1 if fields else 2, policy.max, "bad_exit")


async def test_why_not_retried_by_the_policy_of_the_group(store: Store) -> None:
    """It may be the policy of the group; leases that ended without a report are no failures of the job."""
    await configure(store, retry=Retry(max=5, only=("net_*",)), delivery_limit=1)
    job = await failed(store)
    assert "its policy is only for net_*" in (await reasons(store, job))["not_retried"].text
    await configure(store, retry=Retry(max=0), delivery_limit=1)
    job = await running(store, timeout=1)
    await reap_after(store, 1)
    assert "not tried again: it failed 1 time" in (await reasons(store, job))["not_retried"].text


async def test_why_not_retried_is_for_jobs_that_could_be(store: Store) -> None:
    """A job without a policy, one that succeeded, and one with a retry have no such reason."""
    assert await codes(store, await failed(store)) == ["finished"]
    again = await failed(store, max_retries=1)
    await configure(store, retry=Retry(max=0))
    assert await codes(store, again) == ["finished"]
    assert await codes(store, await succeeded(store)) == ["finished"]
    late = await failed(store)
    assert await codes(store, late) == ["finished", "not_retried"]
    await store.retry(GROUP, late.id)
    assert await codes(store, late) == ["finished"]
