"""When a job runs at the earliest, and by when it must have started and ended. Traps of other queues are named."""

import msgspec
import pytest

from broker.core.errors import WrongState
from broker.core.timestamps import rfc3339
from broker.diagnostics.consistency import check
from broker.models.jobs import Job, NewJob
from broker.resp import keys
from broker.store.format.exported import read_line
from tests.contract.building import (
    GROUP,
    Run,
    clock,
    configure,
    enqueue,
    ids,
    new,
    now_ms,
    queued,
    reap_after,
    running,
    status_of,
    touch,
    wait,
)
from tests.stores import Store


async def expiring(store: Store, group: str = GROUP) -> dict[str, int]:
    """The ids that wait for a deadline, with seconds from now."""
    pairs = await store.redis.zrange(keys.expiring(store.partitions[0], group), 0, -1, withscores=True)
    return {job_id.decode(): round((score - now_ms(store)) / 1000) for job_id, score in pairs}


async def test_plain_jobs_have_no_new_keys(store: Store) -> None:
    """A store whose jobs have no deadlines has none of their keys and words."""
    job = await running(store, delay=0, timeout=5)
    await store.succeed(GROUP, job.id, job.lease)
    await enqueue(store, delay=5)
    assert not await store.redis.exists(keys.expiring(store.partitions[0], GROUP))
    timers = await store.redis.zrange(keys.due(store.partitions[0]), 0, -1)
    assert not [timer for timer in timers if timer.startswith(b"expiring")]
    record = await store.redis.hget(keys.jobs(store.partitions[0]), job.id)
    assert b"hooks" not in record
    assert not (await store.redis.hget(keys.executions(store.partitions[0]), job.id)).count(b"+")


@pytest.mark.parametrize("ahead_s", [0, -1, -86_400])
async def test_run_at_in_the_past_is_now(store: Store, ahead_s: int) -> None:
    """A job whose time has come is queued, without a delay."""
    job = await enqueue(store, run_at=clock(store, ahead_s))
    assert (job.status, job.delay) == ("queued", 0)
    assert ids(await store.next(1)) == [job.id]


@pytest.mark.parametrize("ahead_s", [1, 30, 90.25, 40 * 365 * 86_400])
async def test_run_at_queues_at_that_time(store: Store, ahead_s: float) -> None:
    """A job is queued at its time to the ms, however far away that is; `delay` is rounded up."""
    job = await enqueue(store, run_at=clock(store, ahead_s))
    assert (job.status, job.delay) == ("delayed", -int(-ahead_s // 1))
    await reap_after(store, ahead_s - 0.001)
    assert await status_of(store, job) == "delayed"
    await reap_after(store, 0.001)
    assert await status_of(store, job) == "queued"


async def test_answer_of_enqueue_is_the_job_as_it_is_shown(store: Store) -> None:
    """What enqueue answers is what show answers right after it, for every combination of times."""
    times = [{}, {"run_at": clock(store, 90.25)}, {"delay": 5}]
    starts = [{}, {"start_within": 120}, {"start_before": clock(store, 7.5)}]
    ends = [{}, {"end_within": 300}, {"end_before": clock(store, -5)}]
    for time in times:
        for start in starts:
            for end in ends:
                job = await enqueue(store, timeout=30, priority=1, **time, **start, **end)
                assert job == await store.show(GROUP, job.id), (time, start, end)


async def test_deadlines_are_times_of_the_store(store: Store) -> None:
    """F7: a span begins with the creation of the job, by the store's clock, whatever the producer's is."""
    spans = await enqueue(store, start_within=120, end_within=300)
    times = await enqueue(store, start_before="2126-01-31T13:00:00+01:00", end_before=clock(store, 300))
    assert (spans.start_before, spans.end_before) == (clock(store, 120), clock(store, 300))
    assert (times.start_before, times.end_before) == ("2126-01-31T12:00:00.000Z", clock(store, 300))


async def test_start_within_fails_what_was_not_delivered(store: Store) -> None:
    """A job that nobody took in time fails with reason expired, and the one after it in time is delivered."""
    late, kept = await queued(store, start_within=120), await queued(store, start_within=121)
    await reap_after(store, 119.999)
    assert await status_of(store, late) == "queued"
    await reap_after(store, 0.001)
    failed = await store.show(GROUP, late.id)
    assert (failed.status, failed.reason, failed.deliveries, failed.completed_at) == (
        "failed",
        "expired",
        0,
        clock(store),
    )
    assert ids(await store.next(2)) == [kept.id]
    assert not await expiring(store)


async def test_start_within_ends_with_the_delivery(store: Store) -> None:
    """A delivered job has started: it is not failed when its time passes, nor after its lease was lost."""
    job = await running(store, timeout=60, start_within=30)
    assert not await expiring(store)
    await reap_after(store, 60)
    assert await status_of(store, job) == "queued"
    await reap_after(store, 600)
    assert await status_of(store, job) == "queued"


async def test_start_within_counts_again_after_a_release(store: Store) -> None:
    """A released delivery counts for nothing, so the job must be delivered in time again."""
    job = await running(store, start_within=30)
    await store.release(GROUP, job.id, job.lease)
    assert await expiring(store) == {job.id: 30}
    await reap_after(store, 30)
    assert (await store.show(GROUP, job.id)).reason == "expired"


async def test_start_refuses_a_job_whose_deadline_passed(store: Store) -> None:
    """F5: a client that starts an expired job before the reaper saw it is refused; each order has one outcome."""
    for field in ("start_within", "end_within"):
        job = await queued(store, **{field: 5})
        wait(store, 5)
        with pytest.raises(WrongState, match="deadline"):
            await store.start(GROUP, job.id)
        await store.reap(10)
        assert await status_of(store, job) == "failed"


async def test_start_by_id_keeps_deadlines(store: Store) -> None:
    """A job that a client started by its id has the lease and the deadline that a delivered one has."""
    job = await queued(store, timeout=60, start_within=10, end_within=30)
    started = await store.start(GROUP, job.id)
    assert started.expires_at == clock(store, 30)
    assert await expiring(store) == {job.id: 30}
    again = await store.start(GROUP, job.id, started.lease)
    assert (again.expires_at, await expiring(store)) == (clock(store, 30), {job.id: 30})
    await store.succeed(GROUP, job.id, started.lease)
    assert not await expiring(store)


@pytest.mark.parametrize("lease_s", [None, 5, 600])
async def test_end_within_bounds_leases(store: Store, lease_s: int | None) -> None:
    """No lease goes past the end of the job, neither the first nor a renewed one; then the job fails."""
    job = await running(store, lease_s=lease_s, timeout=60, max_retries=3, retries_delay=0, end_within=90)
    assert job.expires_at <= clock(store, 90)
    wait(store, 4)
    for _ in range(30):
        end = await touch(store, job)
        assert end <= now_ms(store) + 1000 * (90 - 4)
        if end - now_ms(store) <= 3000:
            break
        wait(store, 3)
    assert (await store.show(GROUP, job.id)).expires_at <= job.end_before
    await store.reap(10)
    wait(store, 90)
    await store.reap(10)
    ended = await store.show(GROUP, job.id)
    assert ended.status == "failed"
    assert ended.reason == "timeout"
    assert not await expiring(store)


async def test_end_within_ends_a_lease_at_its_time(store: Store) -> None:
    """A lease that would be longer ends with the job, to the ms, as the answer of next shows."""
    job = await running(store, timeout=600, max_retries=3, end_within=90)
    assert job.expires_at == job.end_before == clock(store, 90)
    await reap_after(store, 89.999)
    assert await status_of(store, job) == "running"
    await reap_after(store, 0.001)
    ended = await store.show(GROUP, job.id)
    assert (ended.status, ended.reason, ended.retry_at) == ("failed", "timeout", ended.retry_at)
    assert not ended.retry_at


@pytest.mark.parametrize("delay", [0, 3600])
async def test_end_within_ends_what_waits(store: Store, delay: int) -> None:
    """It also ends jobs that are queued or delayed."""
    job = await enqueue(store, delay=delay, end_within=90)
    await reap_after(store, 90)
    ended = await store.show(GROUP, job.id)
    assert (ended.status, ended.reason, ended.started_at) == ("failed", "timeout", ended.started_at)
    assert not ended.started_at


async def test_end_before_start_is_the_earlier_one(store: Store) -> None:
    """Of two deadlines the earlier one counts, whichever it is."""
    job = await enqueue(store, start_within=600, end_within=60)
    assert await expiring(store) == {job.id: 60}
    await reap_after(store, 60)
    assert (await store.show(GROUP, job.id)).reason == "timeout"


async def test_automatic_retry_keeps_the_end(store: Store) -> None:
    """The retry of a failed job ends with the whole job; one that would begin later is not made."""
    job = await running(store, max_retries=5, retries_delay=60, start_within=10, end_within=100)
    failed = await store.fail(GROUP, job.id, job.lease, "bad_exit")
    retry = await store.show(GROUP, failed.retry_at)
    assert (retry.end_before, bool(retry.start_before)) == (job.end_before, False)
    await reap_after(store, 60)
    [again] = await store.next(1)
    assert again.id == retry.id
    last = await store.fail(GROUP, again.id, again.lease, "bad_exit")
    assert not last.retry_at
    assert not await expiring(store)


@pytest.mark.parametrize(("after_s", "is_retried"), [(0.999, True), (1, False)])
async def test_no_automatic_retry_begins_at_the_end(store: Store, after_s: float, *, is_retried: bool) -> None:
    """A retry that would begin at that time or later is not made; one that begins a millisecond earlier is."""
    job = await running(store, max_retries=1, retries_delay=10, end_within=11)
    wait(store, after_s)
    failed = await store.fail(GROUP, job.id, job.lease, "bad_exit")
    assert bool(failed.retry_at) is is_retried


async def test_retry_by_hand_drops_the_limits(store: Store) -> None:
    """F4, rabbitmq#18: a retry by hand has neither deadline, so that a time that has passed does not kill it."""
    job = await enqueue(store, start_within=5, end_within=9, timeout=7)
    await reap_after(store, 5)
    retry = await store.retry(GROUP, job.id)
    assert (retry.status, retry.timeout, bool(retry.start_before), bool(retry.end_before)) == (
        "queued",
        7,
        False,
        False,
    )
    await reap_after(store, 600)
    assert await status_of(store, retry) == "queued"


async def test_expires_anywhere_in_the_queue(store: Store) -> None:
    """F1, F2, rabbitmq#2007, #10718: a job expires anywhere in the queue, in a paused group, with nobody polling."""
    first = await queued(store)
    middle = await queued(store, start_within=5)
    last = await queued(store)
    await configure(store, paused=True)
    await reap_after(store, 5)
    assert [await status_of(store, job) for job in (first, middle, last)] == ["queued", "failed", "queued"]


async def test_expired_jobs_are_not_counted(store: Store) -> None:
    """F3, azure-storage-net#645: what has expired is not counted as waiting any more."""
    await queued(store, start_within=5)
    await reap_after(store, 5)
    group = await store.groups.show(GROUP)
    assert (group.counts.queued, group.counts.failed) == (0, 1)


async def test_finished_jobs_leave_no_entry(store: Store) -> None:
    """Each way to finish a job with deadlines takes its entry away."""
    done = await running(store, end_within=90)
    assert await expiring(store) == {done.id: 90}
    await store.succeed(GROUP, done.id, done.lease)
    lost = await running(store, end_within=90)
    await store.fail(GROUP, lost.id, lost.lease, "bad_exit")
    ran, waits = await running(store, end_within=90), await queued(store, start_within=5)
    later = await enqueue(store, delay=5, end_within=9)
    for job in (ran, waits, later):
        await store.cancel(GROUP, job.id)
    assert not await expiring(store)


async def test_idempotent_enqueue_answers_as_before(store: Store) -> None:
    """A repeat of the call is answered with the same times, although they are nearer now."""
    jobs = [new(run_at=clock(store, 90.25), end_within=300), new(start_within=5), NewJob(image="post")]
    first = await store.enqueue(GROUP, jobs, "key")
    wait(store, 50)
    again = await store.enqueue(GROUP, jobs, "key")
    assert (again.jobs, again.is_replayed) == (first.jobs, True)


async def test_many_expire_in_steps(store: Store) -> None:
    """A reap of a limit fails no more jobs than that, and the rest at once after it."""
    await store.enqueue(GROUP, [new(start_within=5)] * 25)
    wait(store, 6)
    reaped = [await store.reap(10) for _ in range(3)]
    assert [one.failed for one in reaped] == [10, 10, 5]
    assert [one.wait_ms for one in reaped[:2]] == [0, 0]


async def test_clock_that_goes_back_expires_nothing(store: Store) -> None:
    """A deadline is a time: when the clock goes back, it is further away."""
    job = await queued(store, start_within=5)
    wait(store, -3600)
    await store.reap(10)
    await reap_after(store, 3604.999)
    assert await status_of(store, job) == "queued"
    await reap_after(store, 0.001)
    assert await status_of(store, job) == "failed"
    assert (await store.show(GROUP, job.id)).completed_at == rfc3339(now_ms(store))


async def test_check_finds_and_repairs_entries(store: Store) -> None:
    """An entry that is missing, at another time, of a plain job or of a finished one is found and repaired."""
    p = store.partitions[0]
    waits, moved, _ = [await queued(store, start_within=90, end_within=300) for _ in range(3)]
    plain, ended = await enqueue(store, delay=600), await queued(store, end_within=90)
    await store.cancel(GROUP, ended.id)
    before = await expiring(store)
    key = keys.expiring(p, GROUP)
    await store.redis.zrem(key, waits.id)
    await store.redis.zadd(key, {moved.id: 5, plain.id: 5, ended.id: 5, "0" * 16: 5})
    found = {(finding.job_id, finding.what) for finding in await check(store)}
    assert found == {
        (waits.id, "is not in expiring by its next deadline"),
        (moved.id, "is not in expiring by its next deadline"),
        (plain.id, "is in expiring without a deadline"),
        (ended.id, "is in expiring without a deadline"),
        ("0" * 16, "is in expiring but is no job"),
        ("", "has no timer, or a late one, for expiring"),
    }
    assert all(finding.is_repaired for finding in await check(store, is_repair=True))
    assert await check(store) == []
    assert await expiring(store) == before


async def test_check_sets_a_missing_timer(store: Store) -> None:
    """A lost timer is found; without it no deadline would be seen."""
    job = await queued(store, start_within=90)
    await store.redis.zrem(keys.due(store.partitions[0]), f"expiring:{GROUP}")
    [finding] = await check(store, is_repair=True)
    assert finding.what == "has no timer, or a late one, for expiring"
    await reap_after(store, 90)
    assert await status_of(store, job) == "failed"


async def test_entries_that_nobody_should_have_are_dropped(store: Store) -> None:
    """The reaper drops a due entry of a job that is gone, finished or plain; one with a later deadline is put there."""
    ran, plain, ended = await running(store), await queued(store), await queued(store, end_within=900)
    await store.cancel(GROUP, ended.id)
    limited, past = await queued(store, end_within=900), now_ms(store) - 1
    started = await queued(store, start_within=900)
    await store.redis.zadd(
        keys.expiring(store.partitions[0], GROUP),
        dict.fromkeys((plain.id, ended.id, ran.id, limited.id, started.id, "0" * 16), past),
    )
    await store.redis.zadd(keys.due(store.partitions[0]), {f"expiring:{GROUP}": past})
    reaped = await store.reap(100)
    assert (reaped.failed, reaped.queued, reaped.requeued) == (0, 0, 0)
    assert await expiring(store) == {limited.id: 900, started.id: 900}
    assert [await status_of(store, job) for job in (ran, plain, ended)] == ["running", "queued", "cancelled"]


async def test_deadlines_move_to_another_store(store: Store) -> None:
    """Deadlines are exported, and restored with their entries; a running job has only its end."""
    waits, ran = await enqueue(store, delay=5, start_within=90, end_within=300), await running(store, end_within=200)
    pieces = [piece async for piece in store.transfer.export()]
    await store.redis.delete(*[key async for key in store.redis.scan_iter(f"{store.partitions[0]}:*", 1000)])
    lines = [read_line(line) for piece in pieces for line in piece.jobs]
    await store.transfer.restore(store.partitions[0], [], [line.job for line in lines if line.job])
    assert await expiring(store) == {waits.id: 90, ran.id: 200}
    assert await check(store) == []
    await reap_after(store, 300)
    assert [(await store.show(GROUP, job.id)).reason for job in (waits, ran)] == ["timeout", "timeout"]


async def test_late_jobs_are_counted_and_noted(store: Store, run: Run) -> None:
    """The reply of reap counts late jobs by group, and the history of each has a line."""
    late, ran = await enqueue(store, delay=60, start_within=5), await running(store, "other", timeout=60, end_within=5)
    wait(store, 5)
    reply = await run("reap", now_ms(store), 10, *(f"{number:016}" for number in range(10)))
    assert sorted([reply[9:15], reply[15:]]) == [[GROUP.encode(), 0, 0, 0, 1, 0], [b"other", 0, 1, 0, 0, 0]]
    [note] = [msgspec.json.decode(line) for line in (await _field(store, late, "history")).splitlines()]
    assert note == {"at": now_ms(store), "what": "late", "from": "delayed", "to": "failed"}
    assert b'"lease_lost"' in await _field(store, ran, "history")


async def test_the_end_of_a_job_whose_bytes_count(store: Store) -> None:
    """A round in which no job was late to start fails those that run, in a group with a limit of bytes too."""
    await configure(store, max_bytes=10_000)
    job = await running(store, end_within=5)
    await reap_after(store, 5)
    assert await status_of(store, job) == "failed"
    assert not await store.redis.exists(f"{store.partitions[0]}:bytes")


async def test_a_delay_that_ends_before_the_deadline(store: Store) -> None:
    """A reaper that comes late does what was due first: the job was queued when its deadline passed."""
    late = await enqueue(store, delay=5, start_within=6)
    wait(store, 10)
    reaped = await store.reap(10)
    assert (reaped.queued, reaped.failed) == (1, 1)
    assert msgspec.json.decode(await _field(store, late, "history"))["from"] == "queued"


async def _field(store: Store, job: Job, name: str) -> bytes:
    return await store.redis.hget(keys.job(store.partitions[0], job.id), name)
