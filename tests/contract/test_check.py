"""`titan check`: each kind of damage is found and named, a repair corrects it, and a second run finds nothing."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from broker.core.states import STATUSES, Status
from broker.diagnostics.consistency import check
from broker.models.jobs import Job
from broker.resp import keys
from tests.contract.building import (
    GROUP,
    LARGE_SPEC,
    WAYS_TO,
    cancelled,
    configure,
    delayed,
    dump,
    failed,
    ids,
    lose,
    members_key,
    new,
    of_each_status,
    partition,
    queued,
    reap_after,
    running,
    spread,
    status_of,
    succeeded,
    wait,
)
from tests.stores import Store

Bring = Callable[[Store], Awaitable[Job]]
Damage = Callable[[Store, Job], Awaitable[object]]


def _set(store: Store, status: Status) -> str:
    return members_key(store, GROUP, status)


def _hash(store: Store, job: Job) -> str:
    return keys.job(partition(store, GROUP), job.id)


async def _run(store: Store, job: Job, text: str) -> None:
    """Say something else of the job's last run."""
    await store.redis.hset(_key(store, keys.executions), job.id, text)


async def _lose_run(store: Store, job: Job) -> None:
    await store.redis.hdel(_key(store, keys.executions), job.id)


def _key(store: Store, name: Callable[[str], str]) -> str:
    return name(partition(store, GROUP))


async def _lose_from_jobs(store: Store, job: Job) -> None:
    await store.redis.zrem(keys.jobs_of(partition(store, GROUP), GROUP), job.id)


async def _make_older(store: Store, job: Job) -> None:
    await store.redis.hset(_key(store, keys.jobs), job.id, f'{GROUP} 7 {{"image":"post"}}')


async def _lose_from_all_sets(store: Store, job: Job) -> None:
    await store.redis.zrem(_set(store, job.status), job.id)
    await _lose_from_jobs(store, job)


JOB_DAMAGES: list[tuple[Bring, str, Damage]] = [
    (queued, "is in queued but is no job", lose),
    (queued, "is in jobs but is no job", lose),
    (running, "is in running but is no job", lose),
    (queued, "is in 2 sets; its status is queued", lambda s, j: s.redis.zadd(_set(s, "failed"), {j.id: 5})),
    (running, "is in 2 sets; its status is running", lambda s, j: s.redis.zadd(_set(s, "queued"), {j.id: 5})),
    (queued, "is in queued; its status is failed", lambda s, j: _run(s, j, "x-5 1 7 failed 8")),
    (queued, "is in queued; its status is running", lambda s, j: _run(s, j, "x-5 1 7")),
    (delayed, "is in delayed; its status is running", lambda s, j: _run(s, j, "x-5 1 7")),
    (running, "is in running; its status is queued", lambda s, j: _run(s, j, "1")),
    (running, "is in running; its status is queued", _lose_run),
    (running, "is in running; its status is succeeded", lambda s, j: _run(s, j, "x-5 1 7 succeeded 8")),
    (running, "its lease token has no rank", lambda s, j: _run(s, j, "x 1 7")),
    (succeeded, "is in succeeded; its status is running", lambda s, j: _run(s, j, "x-5 1 7")),
    (succeeded, "is in succeeded; its status is queued", _lose_run),
    (cancelled, "is in cancelled; its status is running", lambda s, j: _run(s, j, "x-5 1 7 30 9")),
    (queued, "is not in jobs by its creation", _lose_from_jobs),
    (queued, "is not in jobs by its creation", _make_older),
    (queued, "is in no set; its status is queued", _lose_from_all_sets),
    (running, "is in no set; its status is running", _lose_from_all_sets),
    (delayed, "is in no set; its status is delayed", _lose_from_all_sets),
]
"""A job, what is said of it, and the damage."""

GROUP_DAMAGES: list[tuple[Bring, str, Damage]] = [
    (queued, "has a wrong or missing entry in ready", lambda s, _: s.redis.zrem(_key(s, keys.ready), GROUP)),
    (queued, "has a wrong or missing entry in ready", lambda s, _: s.redis.zadd(_key(s, keys.ready), {GROUP: 5})),
    (running, "has a wrong or missing entry in ready", lambda s, _: s.redis.zadd(_key(s, keys.ready), {GROUP: 5})),
    (queued, "is not in groups", lambda s, _: s.redis.zrem(_key(s, keys.groups), GROUP)),
] + [
    (
        WAYS_TO[status][0],
        f"has no timer, or a late one, for {status}",
        lambda s, j: s.redis.zrem(_key(s, keys.due), f"{j.status}:{GROUP}"),
    )
    for status in STATUSES
    if status != "queued"
]
"""A job, what is said of its group, and the damage."""


def _what(value: object) -> str:
    return value.replace(" ", "-") if isinstance(value, str) else ""


async def assert_mends(store: Store, job_id: str, what: str) -> None:
    """A run finds it and changes nothing; a repair corrects it; then there is nothing to find."""
    before = await dump(store)
    found = [(finding.group, finding.job_id) for finding in await check(store) if what in finding.what]
    assert found == [(GROUP, job_id)]
    assert await dump(store) == before
    assert any(what in finding.what for finding in await check(store, is_repair=True))
    assert await check(store) == []


async def test_check_of_what_is_right(store: Store) -> None:
    """Where nothing is damaged nothing is found, and repair changes nothing."""
    await of_each_status(store)
    await configure(store, "paused", paused=True)
    await queued(store, "paused")
    before = await dump(store)
    assert await check(store) == []
    assert await check(store, is_repair=True) == []
    assert await dump(store) == before


@pytest.mark.parametrize(("bring", "what", "damage"), JOB_DAMAGES, ids=_what)
async def test_check_of_a_job(store: Store, bring: Bring, what: str, damage: Damage) -> None:
    """A problem of a job is named with its id, and repaired."""
    job = await bring(store)
    await queued(store)
    await damage(store, job)
    await assert_mends(store, job.id, what)


@pytest.mark.parametrize(("bring", "what", "damage"), GROUP_DAMAGES, ids=_what)
async def test_check_of_a_group(store: Store, bring: Bring, what: str, damage: Damage) -> None:
    """A problem of a group is named without an id, and repaired."""
    job = await bring(store)
    await damage(store, job)
    await assert_mends(store, "", what)


@pytest.mark.parametrize(("status", "way"), [(s, way) for s, ways in WAYS_TO.items() for way in ways])
async def test_check_of_a_job_lost_from_its_set(store: Store, status: Status, way: Bring) -> None:
    """A job whose set has lost it comes back into it; a running one, whose lease is not known any more, is queued."""
    job = await way(store)
    await store.redis.zrem(_set(store, status), job.id)
    await assert_mends(store, job.id, f"is in no set; its status is {status}")
    assert await status_of(store, job) == ("queued" if status == "running" else status)


async def test_check_of_a_late_timer(store: Store) -> None:
    """A timer that is later than what it is for is set back."""
    await delayed(store)
    await store.redis.zincrby(_key(store, keys.due), 1, f"delayed:{GROUP}")
    await assert_mends(store, "", "has no timer, or a late one, for delayed")
    assert (await store.reap(10)).wait_ms == 30_000


async def test_check_of_an_early_timer(store: Store) -> None:
    """A timer that is early is right: the reaper looks once more than it must."""
    await delayed(store)
    await store.redis.zincrby(_key(store, keys.due), -1000, f"delayed:{GROUP}")
    assert await check(store) == []


async def test_check_repairs_the_queue(store: Store) -> None:
    """After a repair the jobs go out again, in the order that they had."""
    jobs = [await queued(store) for _ in range(3)]
    await store.redis.delete(_set(store, "queued"), _key(store, keys.ready))
    await check(store, is_repair=True)
    assert ids(await store.next(10)) == ids(jobs)


async def test_check_repairs_the_timers(store: Store) -> None:
    """After a repair the reaper handles the timers again."""
    job = await running(store)
    await store.redis.delete(_key(store, keys.due))
    await reap_after(store, 60)
    assert await status_of(store, job) == "running"
    await check(store, is_repair=True)
    await store.reap(10)
    assert await status_of(store, job) == "queued"


async def test_check_repairs_a_lost_group(store: Store) -> None:
    """Of a group all of whose sets are gone the hashes are enough to have every job back."""
    made = await of_each_status(store)
    p = partition(store, GROUP)
    lost = [_set(store, status) for status in STATUSES]
    await store.redis.delete(*lost, keys.jobs_of(p, GROUP), keys.groups(p), keys.ready(p), keys.due(p))
    await check(store, is_repair=True)
    assert await check(store) == []
    for status, jobs in made.items():
        for job in jobs:
            assert await status_of(store, job) == ("queued" if status == "running" else status)
    assert len((await store.list(GROUP, 100))[0]) == sum(map(len, made.values()))


@pytest.mark.parametrize("partitions", [3])
async def test_check_of_a_job_in_a_foreign_partition(store: Store) -> None:
    """A job outside its group's partition is named; where it belongs is for a person to say."""
    here, elsewhere = spread(store)[:2]
    job = await queued(store, here)
    stray = keys.jobs(partition(store, elsewhere))
    await store.redis.hset(stray, job.id, f'{here} 1 {{"image":"post"}}')
    [finding] = await check(store, is_repair=True)
    assert (finding.job_id, finding.what) == (job.id, "is not in its group's partition")
    await store.redis.delete(stray)


async def test_check_of_many_jobs(store: Store) -> None:
    """A group of more jobs than one step looks at is looked at whole."""
    jobs = [job for n in (1000, 450) for job in (await store.enqueue(GROUP, [new() for _ in range(n)])).jobs]
    lost = ids(jobs[10::90])
    await lose(store, *jobs[10::90])
    steps: list[int] = []
    findings = await check(store, is_repair=True, progress=steps.append)
    assert {finding.job_id for finding in findings} == set(lost)
    assert max(steps) < 1100  # a step is about 1,000
    assert len(await store.next(1000)) + len(await store.next(1000)) == 1450 - len(lost)


async def test_check_beside_live_traffic(store: Store) -> None:
    """What moves or goes away between two steps is not damage."""
    for _ in range(5):
        await of_each_status(store)

    async def traffic() -> None:
        for _ in range(8):
            for job in await store.next(3):
                await store.succeed(GROUP, job.id, job.lease)
                await store.remove(GROUP, job.id)
            wait(store, 31)
            await store.reap(3)

    *results, _ = await asyncio.gather(*(check(store) for _ in range(4)), traffic())
    assert results == [[]] * 4


async def test_check_of_a_job_that_goes_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is removed between the step that saw it and the one that looks at it is no finding."""
    job = await cancelled(store)
    scan = store.redis.hscan

    async def scan_and_remove(*arguments: object, **options: int) -> object:
        found = await scan(*arguments, **options)
        if job.id.encode() in found[1] and await store.redis.hexists(_key(store, keys.jobs), job.id):
            await store.remove(GROUP, job.id)
        return found

    monkeypatch.setattr(store.redis, "hscan", scan_and_remove)
    assert await check(store) == []


@pytest.mark.parametrize("text", ["", "{", "maps"])
async def test_check_of_what_is_no_text_of_a_job(store: Store, text: str) -> None:
    """What does not say whose job it is is named; what to do with it is for a person to say."""
    stray = (await queued(store)).id[:-1] + "-"
    await store.redis.hset(_key(store, keys.jobs), stray, text)
    [finding] = await check(store, is_repair=True)
    assert (finding.job_id, finding.what) == (stray, "is not in its group's partition")
    await store.redis.hdel(_key(store, keys.jobs), stray)


@pytest.mark.parametrize(("field", "discarded"), [("log_bytes", 1), ("reason", 0)])
async def test_check_of_a_hash_without_a_job(store: Store, field: str, discarded: int) -> None:
    """Fields of a job that no longer exists are named, and deleted; so is its log, by the broker."""
    job = await failed(store)
    await store.redis.hset(_hash(store, job), field, "5")
    await store.redis.hdel(_key(store, keys.jobs), job.id)
    found = {finding.what for finding in await check(store)}
    assert found == {f"is in {place} but is no job" for place in ("failed", "jobs", "executions")} | {
        "has a hash but is no job"
    }
    await check(store, is_repair=True)
    assert not await store.redis.exists(_hash(store, job))
    assert await store.discarded(5) == [job.id] * discarded
    await store.forget([job.id])


async def test_check_of_a_large_job_without_its_spec(store: Store) -> None:
    """A large job of which its own hash is lost is none any more: it is named wherever it stands, and forgotten."""
    job = await queued(store, payload="x" * LARGE_SPEC)
    await store.redis.delete(_hash(store, job))
    found = {finding.what for finding in await check(store, is_repair=True)}
    assert found == {
        "is in queued but is no job",
        "is in jobs but is no job",
        "has a record that is damaged or has no spec",
        "has a wrong or missing entry in ready",
    }
    assert not await store.redis.exists(_key(store, keys.jobs))
