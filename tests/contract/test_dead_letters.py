"""Groups that name another one for their dead letters: a copy of each job that failed for good comes there, once."""

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from broker.core.errors import Invalid, LimitReached
from broker.diagnostics.consistency import check
from broker.models.groups import GroupChanges, GroupSettings
from broker.models.jobs import Job
from broker.models.reports import Finish
from broker.models.retries import Retry
from broker.models.unique import Unique
from broker.resp import keys
from broker.store.format.exported import ExportedGroup, read_line
from broker.store.group_counts import FAILED, IN
from broker.store.looks import Filters
from tests.conftest import assert_known_keys
from tests.contract.building import GROUP, Run, enqueue, ids, now_ms, reap_after, running, running_many, wait
from tests.contract.listening import Heard
from tests.stores import Store

DEAD = "dead"


async def send_to(store: Store, to: str | None = DEAD, group: str = GROUP, **settings: Any) -> None:
    """Have the dead letters of a group come to another one."""
    await store.groups.configure(group, GroupSettings(dead_letter_to=to, **settings))


async def copies(store: Store, group: str = DEAD) -> list[Job]:
    """The jobs of the group for dead letters, oldest first."""
    return (await store.list(group, 50))[0]


async def fail(store: Store, job: Job, **more: Any) -> Job:
    return await store.fail(job.group_name, job.id, job.lease or "", "bad_exit", **more)


async def test_a_job_that_failed_is_copied(store: Store) -> None:
    """The copy has image, payload, timeout and priority, and says of which job it is; the job says where it is."""
    await send_to(store)
    job = await running(store, payload="order 7", timeout=9, priority=2, retries_delay=5)
    assert (await fail(store, job)).status == "failed"
    [copy] = await copies(store)
    assert (copy.status, copy.image, copy.payload, copy.timeout, copy.priority) == ("queued", "post", "order 7", 9, 2)
    assert (copy.retry_of, copy.dead_letter_of, copy.deliveries) == (job.id, GROUP, 0)
    old = await store.show(GROUP, job.id)
    assert old.dead_letter is not UNSET
    assert (old.dead_letter.group_name, old.dead_letter.id, old.retry_at) == (DEAD, copy.id, UNSET)
    [listed] = (await store.looks.jobs(GROUP, 9, Filters(), looks=9)).rows
    assert listed.dead_letter == old.dead_letter
    [taken] = await store.next(1, [DEAD])
    assert (taken.id, taken.retry_of, taken.dead_letter_of) == (copy.id, job.id, GROUP)
    assert not await store.redis.exists(keys.job(store.partitions[0], copy.id))
    assert (await store.groups.show(GROUP)).dead_letters == 1
    assert not await check(store)


async def test_the_copy_is_of_the_same_trace(store: Store) -> None:
    """Both words of the trace go along, and none of them takes the place of another setting."""
    await send_to(store)
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1"}
    job = await running(store, timeout=9, **trace)
    await fail(store, job)
    [copy] = await copies(store)
    assert (copy.traceparent, copy.tracestate) == tuple(trace.values())
    assert (copy.timeout, copy.retry_of, copy.dead_letter_of) == (9, job.id, GROUP)


async def test_a_group_without_the_setting_has_none_of_its_keys(store: Store) -> None:
    """Other groups have no copies, no count and no field."""
    await send_to(store, group="other")
    job = await running(store)
    await fail(store, job)
    p = store.partitions[0]
    assert not await store.redis.exists(keys.dead_letters(p), keys.modes(p))
    assert (await store.show(GROUP, job.id)).dead_letter is UNSET
    assert (await store.groups.show(GROUP)).dead_letters is UNSET


async def test_a_report_in_bulk(store: Store) -> None:
    """Each job that failed has a copy of its own; those that succeeded have none."""
    await send_to(store)
    jobs = await running_many(store, 5)
    words: list[Any] = ["failed", "succeeded", "failed", "failed", "succeeded"]
    items = [
        Finish(group_name=GROUP, id=job.id, lease=job.lease or "", status=word)
        for job, word in zip(jobs, words, strict=True)
    ]
    assert await store.finish(items) == [None] * 5
    assert [job.retry_of for job in await copies(store)] == [jobs[i].id for i in (0, 2, 3)]
    assert await store.finish(items) == [None] * 5
    assert len(await copies(store)) == 3


async def test_copies_are_counted_as_jobs_that_came_in(store: Store) -> None:
    """In the statistics a copy came into the group for dead letters, whether a report, a bulk or the reaper made it."""
    await send_to(store, delivery_limit=1)
    await fail(store, await running(store))
    jobs = await running_many(store, 20)
    await store.finish([Finish(group_name=GROUP, id=job.id, lease=job.lease, status="failed") for job in jobs])
    for fields in ({"timeout": 5}, {"start_within": 5}, {"start_within": 5, "end_within": 6}):
        await enqueue(store, **fields)
    await store.next(1, [GROUP])
    await reap_after(store, 5)
    tally = store.completer._tally
    assert len(await copies(store)) == tally.of(DEAD).counts[IN] == store.maintenance.dead_letters == 24
    assert (tally.of(GROUP).counts[FAILED], tally.of(GROUP).counts[IN]) == (24, 24)


async def test_a_copy_wakes_those_who_wait_for_its_image(store: Store, woken: Heard) -> None:
    """Also when its group has jobs of other images."""
    await send_to(store)
    await enqueue(store, DEAD, image="other")
    job = await running(store)
    assert await store.next(1, [DEAD], images=["post"], waits=True) == []
    await woken()
    await fail(store, job)
    assert await woken() == [DEAD]


async def test_once_for_a_repeated_report(store: Store) -> None:
    """A report whose answer was lost is sent again: there is one copy."""
    await send_to(store)
    job = await running(store)
    for _ in range(3):
        await fail(store, job)
    assert len(await copies(store)) == 1
    assert (await store.groups.show(GROUP)).dead_letters == 1


async def test_with_retries_left_there_is_none(store: Store) -> None:
    """Only the last of the automatic retries is a dead letter, and the copy has no retries of its own."""
    await send_to(store)
    await fail(store, await running(store, max_retries=1, retries_delay=0))
    assert await copies(store) == []
    [again] = await store.next(1, [GROUP])
    await fail(store, again)
    [copy] = await copies(store)
    assert (copy.retry_of, copy.max_retries) == (again.id, 0)


@pytest.mark.parametrize("retry", [Retry(max=1, delay=10, jitter=0), UNSET])
async def test_under_a_policy(store: Store, retry: Any) -> None:
    """A failure that the policy of the job or of the group forgives makes no copy; the last one does, without it."""
    await send_to(store, retry=Retry(max=1, delay=10, jitter=0))
    await fail(store, await running(store, retry=retry))
    assert await copies(store) == []
    await reap_after(store, 10)
    [again] = await store.next(1, [GROUP])
    await fail(store, again)
    [copy] = await copies(store)
    assert (copy.retry_of, copy.retry) == (again.id, UNSET)


async def test_a_report_that_forbids_the_retry(store: Store) -> None:
    """With `retry: false` the job is a dead letter at once."""
    await send_to(store)
    job = await running(store, max_retries=3)
    await store.finish([Finish(group_name=GROUP, id=job.id, lease=job.lease, status="failed", retry=False)])
    assert [copy.retry_of for copy in await copies(store)] == [job.id]


async def test_a_lease_that_was_lost_for_the_last_time(store: Store) -> None:
    """A job whose consumers died is a dead letter like any other, once, whichever broker reaps."""
    await send_to(store, delivery_limit=1)
    job = await running(store, timeout=5)
    await reap_after(store, 5)
    await store.reap(100)
    [copy] = await copies(store)
    assert (copy.retry_of, (await store.show(GROUP, job.id)).reason) == (job.id, "timeout")


async def test_deadlines_do_not_go_along(store: Store) -> None:
    """D6, F4, rabbitmq#18: the time of a job that expired does not kill its copy; nor does that of one that failed."""
    await send_to(store)
    late = await enqueue(store, start_within=5, end_within=9)
    await reap_after(store, 5)
    assert (await store.show(GROUP, late.id)).reason == "expired"
    assert [event.what for event in (await store.jobs.history(GROUP, late.id)).events] == ["created", "late", "failed"]
    job = await running(store, end_within=9)
    await fail(store, job)
    await reap_after(store, 3600)
    first, second = await copies(store)
    assert (first.retry_of, second.retry_of) == (late.id, job.id)
    assert [(one.status, one.start_before, one.end_before) for one in (first, second)] == [("queued", UNSET, UNSET)] * 2


async def test_key_and_waiting_stay_behind(store: Store) -> None:
    """The unique key of the job is free when its end is settled, its dependants are cancelled, and inputs go along."""
    await send_to(store)
    first = await running(store)
    job = await enqueue(store, after=[first.id], unique=Unique(key="k"))
    dependant = await enqueue(store, after=[job.id])
    await store.succeed(GROUP, first.id, first.lease)
    await store.maintenance.settle(100)
    [taken] = await store.next(1, [GROUP])
    await fail(store, taken)
    await store.maintenance.settle(100)
    [copy] = await copies(store)
    assert (copy.unique, copy.after, copy.waits_for) == (UNSET, [first.id], UNSET)
    assert (await store.show(GROUP, dependant.id)).status == "cancelled"
    assert not (await enqueue(store, unique=Unique(key="k"))).duplicate
    assert [one.id for one in await store.jobs.inputs(DEAD, copy.id)] == [first.id]
    assert not await check(store)


async def test_cancelled_jobs_are_no_dead_letters(store: Store) -> None:
    """A cancelled job did not fail."""
    await send_to(store)
    await store.cancel(GROUP, (await running(store)).id)
    assert await copies(store) == []


async def test_a_copy_that_fails_goes_to_the_next_group(store: Store) -> None:
    """The group for dead letters may have one of its own; without it, a copy that fails stays there."""
    await send_to(store)
    await send_to(store, "graves", DEAD)
    job = await running(store)
    await fail(store, job)
    [copy] = await store.next(1, [DEAD])
    await fail(store, copy)
    [last] = await store.next(1, ["graves"])
    assert (last.retry_of, last.dead_letter_of) == (copy.id, DEAD)
    await fail(store, last)
    assert [len(await copies(store, group)) for group in (GROUP, DEAD, "graves")] == [1, 1, 1]


async def test_rings_are_refused(store: Store) -> None:
    """A group cannot be reached by its own dead letters, so no job goes round and round; PATCH and PUT refuse it."""
    await send_to(store)
    await send_to(store, "graves", DEAD)
    for group, to in (("graves", GROUP), ("graves", DEAD), ("graves", "graves"), ("new", "new")):
        for more in ({}, {"image": "x"}):
            with pytest.raises(Invalid) as put:
                await send_to(store, to, group, **more)
            with pytest.raises(Invalid) as patch:
                await store.groups.adjust(group, GroupChanges(dead_letter_to=to, **more))
            assert (put.value.fields, patch.value.fields) == ("group.dead_letter_to",) * 2
            assert ("its own" in put.value.message) == (group == to)
    assert (await store.groups.show(DEAD)).dead_letter_to == "graves"
    await store.groups.adjust(DEAD, GroupChanges(dead_letter_to=None))
    await send_to(store, GROUP, "graves")


async def test_long_chains_are_refused(store: Store) -> None:
    """Ten groups, one behind the other, are enough: a longer chain could hide a ring."""
    for i in range(10):
        await send_to(store, f"g{i + 1}", f"g{i}")
    with pytest.raises(Invalid, match="10 groups"):
        await send_to(store, "g0", "first")


async def test_limits_do_not_hold_a_copy_up(store: Store, backend: str) -> None:
    """A full group, or one that is paused, gets the copy all the same: nothing is lost, and no report is refused."""
    await send_to(store)
    await store.groups.configure(DEAD, GroupSettings(paused=True))
    limited = Store(store.redis, msgspec.structs.replace(store.settings, max_group_jobs=1), is_plain=backend == "fake")
    limited.now = store.now
    await enqueue(limited, DEAD)
    with pytest.raises(LimitReached):
        await enqueue(limited, DEAD)
    job = await running(store)
    await fail(limited, job)
    assert len(await copies(store)) == 2
    assert await store.next(1, [DEAD]) == []


async def test_the_count_goes_with_the_group(store: Store) -> None:
    """A deleted group leaves no count; its copies stay. A deleted target is created again by the next copy."""
    await send_to(store)
    await fail(store, await running(store))
    await store.groups.delete_group(GROUP)
    assert not await store.redis.exists(keys.dead_letters(store.partitions[0]))
    await send_to(store)
    [copy] = await store.next(1, [DEAD])
    await store.succeed(DEAD, copy.id, copy.lease)
    await store.groups.delete_group(DEAD)
    await fail(store, await running(store))
    assert len(await copies(store)) == 1


async def test_the_target_keeps_its_age_and_counts_the_bytes(store: Store, backend: str) -> None:
    """A group that exists is as old as before, and the bytes of a copy count in it while bytes are limited."""
    limited = Store(
        store.redis, msgspec.structs.replace(store.settings, max_group_bytes=900), is_plain=backend == "fake"
    )
    limited.now = store.now
    await send_to(limited)
    await enqueue(limited, DEAD)
    p = store.partitions[0]
    before = await store.redis.zscore(f"{p}:groups", DEAD), await store.redis.zscore(f"{p}:bytes", DEAD)
    job = await running(limited)
    await reap_after(limited, 5)
    await fail(limited, job)
    assert await store.redis.zscore(f"{p}:groups", DEAD) == before[0]
    assert await store.redis.zscore(f"{p}:bytes", DEAD) == 2 * before[1]


async def test_large_payloads(store: Store) -> None:
    """A payload that is stored outside the record is copied too, and its bytes count where the copy is."""
    await send_to(store)
    await fail(store, await running(store, payload="x" * 9000))
    [copy] = await store.next(1, [DEAD])
    assert copy.payload == "x" * 9000


@pytest.mark.parametrize("partitions", [8])
async def test_groups_of_other_partitions_are_refused(store: Store) -> None:
    """A script writes to one partition: the refusal names the field."""
    other = next(f"g{i}" for i in range(99) if store.partition_of(f"g{i}") != store.partition_of(GROUP))
    near = next(f"g{i}" for i in range(99) if store.partition_of(f"g{i}") == store.partition_of(GROUP))
    with pytest.raises(Invalid, match="partition") as refused:
        await send_to(store, other)
    assert refused.value.fields == "group.dead_letter_to"
    await send_to(store, near)


async def test_check_ends_a_ring(store: Store) -> None:
    """A ring that somebody wrote by hand is a finding; the repair takes the setting out of it."""
    p = store.partitions[0]
    await send_to(store)
    await send_to(store, "graves", DEAD)
    await store.groups.configure("graves", GroupSettings())
    await store.redis.hset(keys.group(p, "graves"), "dead_letter_to", GROUP)
    assert {one.what for one in await check(store)} == {"has dead letters that come back"}
    await check(store, is_repair=True)
    assert await check(store) == []


async def test_copies_are_exported(store: Store, backend: str) -> None:
    """An export has what job and copy say of each other, and an import what the groups say; a ring comes in open."""
    await send_to(store, start_within=60)
    await fail(store, await running(store))
    lines = [line async for piece in store.transfer.export() for line in (piece.group, *piece.jobs) if line]
    read = [read_line(line) for line in lines]
    settings = msgspec.structs.replace(store.settings, key_prefix=f"{store.settings.key_prefix}-b")
    into = Store(store.redis, settings, is_plain=backend == "fake")
    ring = [ExportedGroup(name=name, created_at=1, settings={"dead_letter_to": to}) for name, to in ("ab", "ba")]
    groups, jobs = [line.group for line in read if line.group], [line.job for line in read if line.job]
    [p] = into.partitions
    await into.transfer.restore(p, [*groups, *ring], jobs)
    assert [await into.jobs.show(job.group, job.id) for job in jobs] == [
        await store.jobs.show(job.group, job.id) for job in jobs
    ]
    assert [(await into.groups.show(name)).dead_letter_to for name in (GROUP, "a", "b")] == [DEAD, "b", UNSET]
    await into.modes.read()
    assert into.modes.start_within(GROUP) == 60
    assert not await check(into)
    await assert_known_keys(into)


async def test_reap_says_where_copies_came(store: Store, run: Run) -> None:
    """Its reply has the group that got copies, and how many, and those whose jobs were late."""
    await send_to(store)
    await enqueue(store, start_within=5)
    await enqueue(store, start_within=5)
    wait(store, 5)
    new_ids = [f"{number:016}" for number in range(10)]
    reply = await run("reap", now_ms(store), 10, *new_ids)
    assert sorted([reply[9:15], reply[15:]]) == [[DEAD.encode(), 0, 0, 0, 0, 2], [GROUP.encode(), 0, 0, 0, 2, 0]]
    assert ids(await copies(store)) == new_ids[:2]
