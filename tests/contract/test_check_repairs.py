"""`titan check --repair`: a repaired job has its old rank, time and holder where these are known."""

from collections.abc import Awaitable, Callable

import pytest
from msgspec import UNSET

from broker.core.errors import WrongState
from broker.diagnostics.consistency import check
from broker.models.groups import Retentions
from broker.models.jobs import Job
from broker.resp import keys
from tests.contract.building import (
    GROUP,
    cancelled,
    clock,
    configure,
    delayed,
    enqueue,
    failed,
    ids,
    lose,
    members_key,
    now_ms,
    queued,
    reap_after,
    running,
    status_of,
    succeeded,
    wait,
)
from tests.stores import Store

Bring = Callable[[Store], Awaitable[Job]]


def runs(store: Store) -> str:
    return keys.executions(store.partitions[0])


async def whats(store: Store) -> list[str]:
    """What a run finds, without repair."""
    return [finding.what for finding in await check(store)]


async def repair(store: Store) -> None:
    """Repair; then there is nothing to find."""
    await check(store, is_repair=True)
    assert await check(store) == []


async def test_check_repairs_a_lost_running_job_to_its_place(store: Store) -> None:
    """A running job whose set has lost it goes back before the jobs that came after it."""
    job = await running(store)
    later = await queued(store)
    await store.redis.zrem(members_key(store, GROUP, "running"), job.id)
    assert await whats(store) == ["is in no set; its status is running"]
    await repair(store)
    assert ids(await store.next(2)) == [job.id, later.id]


async def test_check_repairs_a_lost_delayed_job_to_its_place(store: Store) -> None:
    """A delayed job whose set has lost it is due at once; one that had a place goes back to it."""
    job = await running(store)
    later = await queued(store)
    await store.release(GROUP, job.id, job.lease or "", delay=30)
    await store.redis.zrem(members_key(store, GROUP, "delayed"), job.id)
    await repair(store)
    await reap_after(store, 0)
    assert ids(await store.next(2)) == [job.id, later.id]


@pytest.mark.parametrize("bring", [succeeded, failed, cancelled])
async def test_check_repairs_a_lost_finished_job_to_its_time(store: Store, bring: Bring) -> None:
    """A finished job is kept from when it ended."""
    job = await bring(store)
    ended = now_ms(store) - 3000
    await store.redis.hset(runs(store), job.id, f"x-5 1 7 {job.status} {ended}")
    await store.redis.zrem(members_key(store, GROUP, job.status), job.id)
    await repair(store)
    assert await store.redis.zscore(members_key(store, GROUP, job.status), job.id) == ended


@pytest.mark.parametrize(("gone_s", "due_s"), [(29.999, 30), (30, None)])
async def test_check_repairs_a_lost_delayed_job_to_its_time(store: Store, gone_s: float, due_s: int | None) -> None:
    """A delayed job is due when it was; one that would be queued by now is."""
    job = await delayed(store)
    due = now_ms(store) + 30_000
    wait(store, gone_s)
    await store.redis.zrem(members_key(store, GROUP, "delayed"), job.id)
    await repair(store)
    assert await store.redis.zscore(members_key(store, GROUP, "delayed"), job.id) == (due if due_s else None)
    assert await status_of(store, job) == ("delayed" if due_s else "queued")


async def test_check_of_a_new_job_without_a_delay(store: Store) -> None:
    """It is not taken for one that waits."""
    job, _ = await queued(store), await queued(store)
    await store.redis.zrem(members_key(store, GROUP, "queued"), job.id)
    assert "is in no set; its status is queued" in await whats(store)
    await repair(store)


async def test_check_of_a_job_in_both_sets_of_those_that_wait(store: Store) -> None:
    """What else is known of it says which of the two it is in."""
    early, late = await queued(store), await delayed(store)
    await store.redis.zadd(members_key(store, GROUP, "delayed"), {early.id: now_ms(store)})
    await store.redis.zadd(members_key(store, GROUP, "queued"), {late.id: 5})
    await repair(store)
    assert [await status_of(store, job) for job in (early, late)] == ["queued", "delayed"]


async def test_check_of_a_job_in_two_sets_of_which_none_is_its_status(store: Store) -> None:
    """Both findings are reported, and the job ends in one of the two."""
    job = await queued(store)
    await store.redis.zrem(members_key(store, GROUP, "queued"), job.id)
    for status in ("succeeded", "failed"):
        await store.redis.zadd(members_key(store, GROUP, status), {job.id: now_ms(store)})
    assert {"is in 2 sets; its status is queued", "is in failed; its status is queued"} <= set(await whats(store))
    await repair(store)
    assert await status_of(store, job) == "failed"


async def test_check_of_a_job_in_two_sets_of_which_one_is_its_status(store: Store) -> None:
    """It stays where its status says, at its place."""
    job, later = await queued(store), await queued(store)
    await store.redis.zadd(members_key(store, GROUP, "failed"), {job.id: now_ms(store)})
    await repair(store)
    assert await status_of(store, job) == "queued"
    assert ids(await store.next(2)) == [job.id, later.id]


async def test_check_repairs_a_lost_queued_job_to_the_end(store: Store) -> None:
    """A queued job whose set has lost it has lost its place too: it goes to the end of its priority."""
    job, other = await queued(store), await queued(store)
    await store.redis.zrem(members_key(store, GROUP, "queued"), job.id)
    await repair(store)
    assert ids(await store.next(2)) == [other.id, job.id]


async def test_check_repairs_all_at_once(store: Store) -> None:
    """Other problems of a job that returns to its set are repaired in the same run."""
    job = await queued(store)
    await store.redis.zrem(members_key(store, GROUP, "queued"), job.id)
    await store.redis.zrem(keys.jobs_of(store.partitions[0], GROUP), job.id)
    found = [finding.what for finding in await store.check(GROUP, [job.id], is_repair=True)]
    assert found == ["is in no set; its status is queued", "is not in jobs by its creation"]
    assert await store.check(GROUP, [job.id], is_repair=False) == []
    await repair(store)


async def test_check_of_a_run_without_a_job(store: Store) -> None:
    """An execution of an id that is no job, and in no set, is named, and deleted."""
    gone, kept = await succeeded(store), await succeeded(store)
    [p] = store.partitions
    for key in (members_key(store, GROUP, "succeeded"), keys.jobs_of(p, GROUP)):
        await store.redis.zrem(key, gone.id)
    await lose(store, gone)
    assert [(f.group, f.job_id, f.what) for f in await check(store)] == [
        ("", gone.id, "is in executions but is no job")
    ]
    await repair(store)
    assert await store.redis.hkeys(runs(store)) == [kept.id.encode()]


async def test_check_of_more_runs_than_one_step(store: Store) -> None:
    """All runs are looked at, however many there are."""
    await store.redis.hset(runs(store), mapping={f"{number:016}": "1" for number in range(1500)})
    found = await check(store)
    assert {finding.job_id for finding in found} == {f"{number:016}" for number in range(1500)}
    await repair(store)
    assert not await store.redis.exists(runs(store))


@pytest.mark.parametrize("bring", [queued, delayed])
async def test_check_mends_the_run_of_a_job_that_waits(store: Store, bring: Bring) -> None:
    """A job that has ended by its set keeps only the number of deliveries of its execution."""
    job = await bring(store)
    await store.redis.hset(runs(store), job.id, "x-5 2 7 30 9")
    await repair(store)
    assert await store.redis.hget(runs(store), job.id) == b"2"


@pytest.mark.parametrize(("text", "deliveries"), [("0", b"1"), ("1", b"1"), ("3", b"3")])
async def test_check_mends_the_run_of_a_running_job(store: Store, text: str, deliveries: bytes) -> None:
    """A running job has a lease token with a rank from now on, and at least one delivery."""
    job = await running(store)
    await store.redis.hset(runs(store), job.id, text)
    wait(store, 5)
    await repair(store)
    lease, counted, started_at = (await store.redis.hget(runs(store), job.id)).split()
    assert (counted, int(started_at)) == (deliveries, now_ms(store))
    assert lease[:1] == b"-"
    assert lease[1:].isdigit()


@pytest.mark.parametrize("bring", [succeeded, failed])
async def test_check_mends_the_run_of_a_finished_job(store: Store, bring: Bring) -> None:
    """A job that is finished by its set is finished from now on, and keeps its holder; a repeat changes nothing."""
    job = await bring(store)
    run = (await store.redis.hget(runs(store), job.id)).decode()
    await store.redis.hset(runs(store), job.id, " ".join(run.split()[:3]))
    wait(store, 5)
    await repair(store)
    assert (await store.show(GROUP, job.id)).completed_at == clock(store)
    assert (await store.redis.hget(runs(store), job.id)).decode().startswith(" ".join(run.split()[:3]))


async def test_check_mends_the_run_of_a_job_that_nobody_finished(store: Store) -> None:
    """Where nothing is known of a finished job's run, nobody held it."""
    job = await succeeded(store)
    await store.redis.hdel(runs(store), job.id)
    await repair(store)
    mended = await store.show(GROUP, job.id)
    assert (mended.status, mended.deliveries, mended.started_at) == ("succeeded", 0, UNSET)
    with pytest.raises(WrongState):
        await store.succeed(GROUP, job.id, "*")


async def test_check_repairs_a_lease_without_a_place(store: Store) -> None:
    """The rest of a damaged token remains its first part."""
    job = await running(store)
    await store.redis.hset(runs(store), job.id, "x 1 7")
    await repair(store)
    assert (await store.redis.hget(runs(store), job.id)).startswith(b"x-")
    await reap_after(store, 60)
    assert await status_of(store, job) == "queued"


async def test_check_of_a_group_at_its_limits(store: Store) -> None:
    """A group with room for one more is in ready, a full one is not: both are right."""
    await configure(store, max_concurrency=1)
    await queued(store)
    await configure(store, "full", max_concurrency=1)
    await running(store, "full")
    await queued(store, "full")
    assert await check(store) == []


@pytest.mark.parametrize(("kept_s", "late_s"), [(100, 50), (None, 1)])
async def test_check_of_a_late_retention(store: Store, kept_s: int | None, late_s: int) -> None:
    """A timer of finished jobs that is later than their group keeps them is set back."""
    if kept_s is not None:
        await configure(store, retention=Retentions(succeeded=kept_s))
    await succeeded(store)
    [p] = store.partitions
    right = await store.redis.zscore(keys.due(p), f"succeeded:{GROUP}")
    await store.redis.zincrby(keys.due(p), late_s * 1000, f"succeeded:{GROUP}")
    assert await whats(store) == ["has no timer, or a late one, for succeeded"]
    await repair(store)
    assert await store.redis.zscore(keys.due(p), f"succeeded:{GROUP}") == right


async def test_check_of_a_timer_that_is_past(store: Store) -> None:
    """A timer that is late but already in the past needs no repair: the next reap handles it."""
    await delayed(store)
    await store.redis.zincrby(keys.due(store.partitions[0]), 5000, f"delayed:{GROUP}")
    wait(store, 40)
    assert await check(store) == []


async def test_check_repairs_a_group_that_is_not_known(store: Store) -> None:
    """The group is in `groups` from now on."""
    await enqueue(store)
    wait(store, 5)
    await store.redis.zrem(keys.groups(store.partitions[0]), GROUP)
    await repair(store)
    assert (await store.groups.show(GROUP)).created_at == clock(store)
