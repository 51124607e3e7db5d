"""What `titan check` finds about jobs that wait for others and about unique keys; and that an export has all of it."""

from collections.abc import Awaitable, Callable

import pytest

from broker.diagnostics.consistency import check
from broker.models.jobs import Job
from broker.models.unique import Unique
from broker.resp import keys
from broker.store.format.exported import read_line
from tests.contract.building import GROUP, Run, lose, members_key, names, now_ms, reap_after, running, status_of
from tests.contract.flows import bring, enqueue_flow, move, named, settle, take_out
from tests.stores import Store

Damage = Callable[[Store, Job, Job], Awaitable[object]]


async def _wrong_number(store: Store, parent: Job, child: Job) -> None:
    await store.redis.hset(keys.job(store.partitions[0], child.id), "needs", 7)


async def _no_number(store: Store, parent: Job, child: Job) -> None:
    await store.redis.hdel(keys.job(store.partitions[0], child.id), "needs")


async def _not_held(store: Store, parent: Job, child: Job) -> None:
    await store.redis.zadd(members_key(store, GROUP, "delayed"), {child.id: int(store.now) + 86_400_000})
    await store.redis.zadd(keys.due(store.partitions[0]), {f"delayed:{GROUP}": int(store.now)})


async def _in_no_set(store: Store, parent: Job, child: Job) -> None:
    await store.redis.zrem(members_key(store, GROUP, "delayed"), child.id)


async def _no_hooks(store: Store, parent: Job, child: Job) -> None:
    p = store.partitions[0]
    record = await store.redis.hget(keys.jobs(p), parent.id)
    await store.redis.hset(keys.jobs(p), parent.id, record.replace(b'{"hooks":2} ', b""))
    execution = await store.redis.hget(keys.executions(p), parent.id)
    await store.redis.hset(keys.executions(p), parent.id, execution.replace(b" ++", b""))


DAMAGES: dict[str, Damage] = {
    "says that it waits for 7 jobs; it waits for 1": _wrong_number,
    "says that it waits for 0 jobs; it waits for 1": _no_number,
    "waits for other jobs, but is not held": _not_held,
    "is in no set; its status is delayed": _in_no_set,
    "has dependants, but its end would not be settled": _no_hooks,
}


@pytest.mark.parametrize("problem", DAMAGES)
async def test_check_repairs_a_job_that_waits(store: Store, problem: str) -> None:
    """Each damage is found and repaired, and the end of the parent queues the child then."""
    parent = await running(store)
    [child] = await enqueue_flow(store, named("child", after=[parent.id]))
    await DAMAGES[problem](store, parent, child)
    assert problem in [finding.what for finding in await check(store)]
    await check(store, is_repair=True)
    assert await check(store) == []
    assert not await store.redis.exists(keys.settle(store.partitions[0]))  # nothing has ended yet
    await store.succeed(GROUP, parent.id, parent.lease)
    await settle(store)
    assert await status_of(store, child) == "queued"


async def test_check_of_a_queued_job_that_says_it_waits(store: Store) -> None:
    """It stays where it is, and waits for nobody then."""
    first, _ = await enqueue_flow(store, named("first", unique=Unique(key="k")), named("second"))
    key = keys.job(store.partitions[0], first.id)
    await store.redis.hset(key, "needs", 1)
    for is_repair in (False, True):
        findings = await check(store, is_repair=is_repair)
        assert [finding.what for finding in findings] == ["is queued, but waits for other jobs"]
    assert await check(store) == []
    assert not await store.redis.hexists(key, "needs")
    assert await names(store, 2) == ["first", "second"]


async def test_check_releases_a_job_that_waits_for_nobody(store: Store) -> None:
    """A held job that no job has as a dependant would never run: it is queued."""
    parent = await running(store)
    await enqueue_flow(store, named("child", after=[parent.id]))
    await store.redis.delete(keys.after(store.partitions[0], parent.id))
    for is_repair in (False, True):
        findings = await check(store, is_repair=is_repair)
        assert [finding.what for finding in findings] == ["is held, but waits for no job"]
    assert await names(store) == ["child"]


async def test_check_releases_a_job_with_a_delay(store: Store) -> None:
    """Its delay begins when it is released, as after the last end that it waits for."""
    parent = await running(store)
    [child] = await enqueue_flow(store, named("child", after=[parent.id], delay=5))
    await store.redis.delete(keys.after(store.partitions[0], parent.id))
    await check(store, is_repair=True)
    assert await check(store) == []
    assert not (await store.show(GROUP, child.id)).waits_for
    await reap_after(store, 4.999)
    assert await status_of(store, child) == "delayed"
    await reap_after(store, 0.001)
    assert await names(store) == ["child"]


async def test_check_releases_a_job_that_ran_to_its_old_place(store: Store) -> None:
    """A job that waits in the middle of its work is the first again, whatever was its delay."""
    [waiting] = await enqueue_flow(store, named("waiting", delay=60))
    await reap_after(store, 60)
    [taken] = await store.next(1)
    [child, _] = await enqueue_flow(store, named("child"), named("other"))
    await store.completer.wait(GROUP, waiting.id, [child.id], "over", taken.lease)
    await store.redis.delete(keys.after(store.partitions[0], child.id))
    await check(store, is_repair=True)
    assert await check(store) == []
    assert await store.redis.hmget(keys.job(store.partitions[0], waiting.id), "needs", "rank") == [None, None]
    assert await names(store, 9) == ["waiting", "child", "other"]


@pytest.mark.parametrize("is_gone", [False, True])
async def test_check_settles_an_end_that_was_forgotten(store: Store, *, is_gone: bool) -> None:
    """An end that an older broker did not note is settled; of a parent that is gone the dependants are cancelled."""
    parent = await running(store)
    [child] = await enqueue_flow(store, named("child", after=[parent.id]))
    await store.succeed(GROUP, parent.id, parent.lease)
    p = store.partitions[0]
    await store.redis.delete(keys.settle(p))
    if is_gone:
        await reap_after(store, 86_400)
        assert await status_of(store, parent) is None
    assert {finding.what for finding in await check(store)} == {"has ended, but its end is not settled"}
    await check(store, is_repair=True)
    await settle(store)
    assert await status_of(store, child) == ("cancelled" if is_gone else "queued")


async def problems(store: Store, run: Run, *job_ids: str, repair: str = "") -> list[str]:
    """What the script finds about these jobs, or about the group when none is given, and about nothing else."""
    return [row[1].decode() for row in await run("check", now_ms(store), repair, GROUP, *job_ids)]


async def test_a_repair_of_a_held_job_offers_it_at_once(store: Store, run: Run) -> None:
    """Its group can dispatch it, whatever else is looked at."""
    parent = await running(store)
    [child] = await enqueue_flow(store, named("child", after=[parent.id]))
    await store.redis.delete(keys.after(store.partitions[0], parent.id))
    assert await problems(store, run, child.id, repair="repair") == ["is held, but waits for no job"]
    assert await names(store) == ["child"]


async def test_check_counts_a_parent_that_was_retried(store: Store, run: Run) -> None:
    """A job waits for the last automatic retry of its parent; it may name the first one."""
    parent = await running(store, max_retries=2, retries_delay=0)
    [child] = await enqueue_flow(store, named("child", after=[parent.id]))
    for _ in range(2):
        await store.fail(GROUP, parent.id, parent.lease, "bad_exit")
        [parent] = await store.next(1)
    assert await problems(store, run, child.id) == []
    await _wrong_number(store, parent, child)
    assert await problems(store, run, child.id, repair="repair") == ["says that it waits for 7 jobs; it waits for 1"]


async def test_check_of_one_job_finds_an_end_that_was_forgotten(store: Store, run: Run) -> None:
    """Also of a job that nobody waits for."""
    [job] = await enqueue_flow(store, named("x", unique=Unique(key="k")))
    [taken] = await store.next(1)
    await store.succeed(GROUP, job.id, taken.lease)
    await store.redis.delete(keys.settle(store.partitions[0]))
    assert await problems(store, run, job.id, repair="repair") == ["has ended, but its end is not settled"]
    await settle(store)
    assert not await store.redis.exists(keys.unique(store.partitions[0], GROUP))


async def test_check_of_a_job_that_had_a_key(store: Store, run: Run) -> None:
    """Once it has ended the key is free, or another job has it: it need not hold it."""
    [job] = await enqueue_flow(store, named("x", unique=Unique(key="k")))
    [taken] = await store.next(1)
    await store.succeed(GROUP, job.id, taken.lease)
    await settle(store)
    assert await problems(store, run, job.id) == []


async def test_check_leaves_a_key_to_the_follower_of_a_job_that_is_gone(store: Store, run: Run) -> None:
    """The key of a lost holder is not free: a follower that has not ended has it; the key of one that has is."""
    [holder] = await enqueue_flow(store, named("holder", unique=Unique(key="k")))
    await store.next(1)
    [follower] = await enqueue_flow(store, named("follower", unique=Unique(key="k", on_conflict="follow")))
    await lose(store, holder)
    assert await problems(store, run) == []
    await store.cancel(GROUP, follower.id)
    assert await problems(store, run, repair="repair") == ["has a unique key that no job holds: k"]
    await settle(store)
    await check(store, is_repair=True)
    assert (await store.unique_keys.list(GROUP, 9))[0] == []


async def test_check_leaves_an_entry_of_a_window_to_the_reaper(store: Store, run: Run) -> None:
    """A key without a window that has one listed is held as it says: the reaper deletes the entry."""
    p = store.partitions[0]
    await enqueue_flow(store, named("x", unique=Unique(key="k")))
    await store.redis.zadd(keys.windows(p, GROUP), {"k": now_ms(store) + 5000})
    await store.redis.zadd(keys.due(p), {f"windows:{GROUP}": now_ms(store) + 5000})
    assert await problems(store, run) == []
    await reap_after(store, 5)
    assert not await store.redis.exists(keys.windows(p, GROUP))
    assert (await store.unique_keys.list(GROUP, 10))[0]


async def test_check_settles_the_end_of_a_holder(store: Store) -> None:
    """An end that was forgotten is found though nobody waits for it: it must free the unique key."""
    await enqueue_flow(store, named("x", unique=Unique(key="k")))
    [job] = await store.next(1)
    await store.succeed(GROUP, job.id, job.lease)
    await store.redis.delete(keys.settle(store.partitions[0]))
    assert "has ended, but its end is not settled" in [finding.what for finding in await check(store)]
    await check(store, is_repair=True)
    await settle(store)
    assert not await store.redis.exists(keys.unique(store.partitions[0], GROUP))


async def test_check_leaves_a_key_to_its_holder(store: Store) -> None:
    """A job that seems to have the key of another one has none."""
    holder, other = await enqueue_flow(store, named("x", unique=Unique(key="k")), named("y", unique=Unique(key="l")))
    p = store.partitions[0]
    await store.redis.hset(keys.job(p, other.id), "unique_key", "k")
    await store.redis.hdel(keys.unique(p, GROUP), "l")
    assert [finding.what for finding in await check(store, is_repair=True)] == ["does not hold its unique key"]
    assert (await store.unique_keys.show(GROUP, "k")).holder == holder.id
    assert await check(store) == []


async def test_check_finds_keys_of_no_job(store: Store) -> None:
    """A key whose job is gone is freed, and a job without its key gets it."""
    p = store.partitions[0]
    [job] = await enqueue_flow(store, named("x", unique=Unique(key="k")))
    await store.redis.hset(keys.unique(p, GROUP), mapping={"k": "VbpLuuIC3BdKEe89 - 0", "old": "VbpLuuIC3BdKEe89 - 0"})
    assert {finding.what for finding in await check(store)} == {
        "has a unique key that no job holds: k",
        "has a unique key that no job holds: old",
        "does not hold its unique key",
    }
    await check(store, is_repair=True)
    await check(store, is_repair=True)
    assert (await store.unique_keys.show(GROUP, "k")).holder == job.id
    assert (await store.unique_keys.list(GROUP, 10))[0] == [await store.unique_keys.show(GROUP, "k")]


async def test_check_finds_a_window_without_an_end(store: Store) -> None:
    """A window that the reaper would not end is found."""
    await enqueue_flow(store, named("x", unique=Unique(key="k", for_=60)))
    await store.redis.delete(keys.windows(store.partitions[0], GROUP))
    assert [finding.what for finding in await check(store)] == ["has a unique key whose window never ends: k"]
    await check(store, is_repair=True)
    await reap_after(store, 60)
    assert (await store.unique_keys.list(GROUP, 10))[0] == []


async def test_an_export_has_flows_and_keys(store: Store) -> None:
    """After a restore held jobs wait as before, keys are held, and ends that were not settled are settled."""
    over = await running(store)
    parent = await running(store)
    await enqueue_flow(
        store,
        named("after over", after=[over.id]),
        named("after parent", after=[parent.id]),
        named("holder", unique=Unique(key="k", on_conflict="follow")),
    )
    [follower] = await enqueue_flow(store, named("follower", unique=Unique(key="k", on_conflict="follow")))
    [window] = await enqueue_flow(store, named("window", unique=Unique(key="w", for_=60)))
    await store.succeed(GROUP, over.id, over.lease)
    before = sorted((await store.unique_keys.list(GROUP, 10))[0], key=lambda held: held.key)
    await move(store)

    assert await check(store) == []
    assert sorted((await store.unique_keys.list(GROUP, 10))[0], key=lambda held: held.key) == before
    assert {held.holder for held in before} >= {window.id}
    await settle(store)
    assert await status_of(store, follower) == "delayed"
    again = await store.start(GROUP, parent.id)
    await store.succeed(GROUP, parent.id, again.lease)
    await settle(store)
    assert sorted(await names(store, 10)) == ["after over", "after parent", "holder", "window"]


async def test_an_export_leaves_nothing_in_the_fields_of_a_job(store: Store) -> None:
    """What ties a job to others has keys of its own again: its fields are as they were, and so are those keys."""
    p, key = store.partitions[0], Unique(key="k", on_conflict="follow")
    [parent, failed] = await enqueue_flow(store, named("parent"), named("failed", priority=2))
    await enqueue_flow(store, *(named(str(n), after=[parent.id], key="lane") for n in range(3)))
    jobs = [parent, *await enqueue_flow(store, named("holder", unique=key), named("queued", key="lane"))]
    jobs += await enqueue_flow(store, named("follower", unique=key))
    await enqueue_flow(store, *(named(f"cancelled {n}", after=[failed.id]) for n in range(3)))
    [taken] = await store.next(1)
    await store.fail(GROUP, failed.id, taken.lease, "bad_exit")
    await settle(store)
    names_of = [*(keys.job(p, job.id) for job in [*jobs, failed])]
    before = [await store.redis.hgetall(name) for name in names_of]
    tied = [keys.after(p, parent.id), keys.undone(p, failed.id)]
    members = [await store.redis.zrange(name, 0, -1, withscores=True) for name in tied]
    assert [len(found) for found in members] == [3, 3]
    await move(store)
    assert [await store.redis.hgetall(name) for name in names_of] == before
    assert [await store.redis.zrange(name, 0, -1, withscores=True) for name in tied] == members
    assert await check(store) == []


async def test_an_export_has_no_field_of_a_job_that_nobody_waits_for(store: Store) -> None:
    """It has those fields only that tie it to others."""
    parent = await running(store)
    children = await enqueue_flow(store, *(named("child", after=[parent.id]) for _ in range(3)))
    lines = await take_out(store)
    assert lines[parent.id].fields.keys() == {"dependants"}
    dependants = lines[parent.id].fields["dependants"].split("\n")
    assert sorted(dependants) == sorted(f"{GROUP} {child.id} 0" for child in children)
    for child in children:
        assert lines[child.id].fields == {"after": parent.id, "after_on": "succeeded", "needs": "1"}


async def test_an_export_has_windows_of_jobs_that_have_ended(store: Store) -> None:
    """A key whose job has ended and is settled is held in the other store too, until its window ends."""
    [job] = await enqueue_flow(store, named("once", unique=Unique(key="w", for_=60)))
    [taken] = await store.next(1)
    await store.succeed(GROUP, taken.id, taken.lease)
    await settle(store)
    await move(store)

    [again] = await enqueue_flow(store, named("again", unique=Unique(key="w", for_=60)))
    assert (again.id, again.duplicate) == (job.id, True)
    await reap_after(store, 61)
    assert (await store.unique_keys.list(GROUP, 10))[0] == []
    assert await check(store) == []


async def test_an_export_has_dependants_of_a_job_that_failed_before(store: Store) -> None:
    """A job that waits for a failed one is cancelled, also when the export comes before the settlement."""
    parent = await running(store)
    await store.fail(GROUP, parent.id, parent.lease, "bad_exit")
    await settle(store)
    [child] = await enqueue_flow(store, named("child", after=[parent.id]))
    await move(store)
    await settle(store)
    assert await status_of(store, child) == "cancelled"
    assert await check(store) == []


async def test_freeing_a_key(store: Store) -> None:
    """The holder stays as a job without a key, and its follower still waits for its end."""
    [first] = await enqueue_flow(store, named("a", unique=Unique(key="k", on_conflict="follow")))
    [second] = await enqueue_flow(store, named("b", unique=Unique(key="k", on_conflict="follow")))
    freed = await store.unique_keys.free(GROUP, "k")
    assert (freed.holder, freed.follower) == (first.id, second.id)
    [third] = await enqueue_flow(store, named("c", unique=Unique(key="k")))
    assert (await store.unique_keys.show(GROUP, "k")).holder == third.id
    assert await status_of(store, second) == "delayed"


async def test_a_live_import_in_several_calls_keeps_flows_together(store: Store) -> None:
    """A parent may run and be settled before its dependants are restored: these learn of its end, whatever it was."""
    first, second = await running(store), await running(store)
    [both, last] = await enqueue_flow(
        store, named("both", after=[first.id, second.id], ref="both"), named("last", after=["both"])
    )
    lines = await take_out(store)
    await bring(store, lines, first, second)
    for job in await store.next(2):
        await (store.succeed if job.id == first.id else store.fail)(GROUP, job.id, job.lease)
    await settle(store)
    await bring(store, lines, both)
    await settle(store)
    assert await status_of(store, both) == "cancelled"
    await bring(store, lines, last)
    await settle(store)
    shown = await store.show(GROUP, last.id)
    assert (shown.status, shown.reason) == ("cancelled", "dependency")


async def test_an_import_counts_no_end_twice(store: Store) -> None:
    """What had been settled before the export is not settled again; a parent may come after its dependants."""
    first, second = await running(store), await running(store)
    [both] = await enqueue_flow(store, named("both", after=[first.id, second.id]))
    await store.succeed(GROUP, first.id, first.lease)
    await settle(store)
    lines = await take_out(store)
    await bring(store, lines, first, both)
    await settle(store)
    assert await status_of(store, both) == "delayed"
    await bring(store, lines, second)
    [job] = await store.next(1)
    await store.succeed(GROUP, job.id, job.lease)
    await settle(store)
    assert await names(store) == ["both"]


@pytest.mark.parametrize("how", ["succeeded", "failed"])
@pytest.mark.parametrize("is_taken", [False, True])
async def test_a_live_import_in_several_calls_keeps_followers(store: Store, how: str, *, is_taken: bool) -> None:
    """However a holder ended before its follower is restored: that is queued, and has the key unless another has it."""
    key = Unique(key="k", on_conflict="follow")
    await enqueue_flow(store, named("holder", unique=key))
    [holder] = await store.next(1)
    [follower] = await enqueue_flow(store, named("follower", unique=key))
    lines = await take_out(store)
    await bring(store, lines, holder)
    [job] = await store.next(1)
    await (store.succeed if how == "succeeded" else store.fail)(GROUP, job.id, job.lease)
    await settle(store)
    if is_taken:
        await enqueue_flow(store, named("other", unique=key))
    await bring(store, lines, follower)
    await settle(store)
    assert await status_of(store, follower) == "queued"
    [again] = await enqueue_flow(store, named("again", unique=Unique(key="k")))
    assert (again.id == follower.id) is not is_taken
    assert again.duplicate


async def test_an_import_takes_any_end_of_a_parent(store: Store) -> None:
    """A job that waits for the end of another, whatever it is, is queued after one that failed before the job came."""
    parent = await running(store)
    [child] = await enqueue_flow(store, named("child", after=[parent.id], after_on="over"))
    lines = await take_out(store)
    await bring(store, lines, parent)
    [taken] = await store.next(1)
    await store.fail(GROUP, parent.id, taken.lease, "bad_exit")
    await settle(store)
    await bring(store, lines, child)
    await settle(store)
    assert await names(store, 9) == ["child"]


async def test_an_import_of_a_delayed_job_that_followed(store: Store) -> None:
    """It waits for its own delay, no more for the job that had its key before."""
    key = Unique(key="k", on_conflict="follow")
    await enqueue_flow(store, named("holder", unique=key))
    [holder] = await store.next(1)
    [follower] = await enqueue_flow(store, named("follower", unique=key, delay=5))
    await store.succeed(GROUP, holder.id, holder.lease)
    await settle(store)
    await move(store)
    assert not await store.redis.exists(keys.after(store.partitions[0], holder.id))
    assert await check(store) == []
    assert await status_of(store, follower) == "delayed"
    await reap_after(store, 5)
    assert await names(store, 9) == ["follower"]


@pytest.mark.parametrize("is_running", [False, True])
async def test_a_dependant_may_be_imported_after_its_parent_was(store: Store, *, is_running: bool) -> None:
    """A parent that an earlier export had, before anything waited for it, is settled for the dependant."""
    [parent] = await enqueue_flow(store, named("parent"))
    earlier = [piece async for piece in store.transfer.export()]
    [child] = await enqueue_flow(store, named("child", after=[parent.id]))
    later = await take_out(store)
    await store.transfer.restore(store.partitions[0], [], [read_line(earlier[0].jobs[0]).job])
    taken = (await store.next(1)) if is_running else []
    await bring(store, later, child)
    await settle(store)
    assert await status_of(store, child) == "delayed"
    assert await check(store) == []
    [job] = taken or await store.next(1)
    await store.succeed(GROUP, job.id, job.lease)
    await settle(store)
    assert await names(store, 9) == ["child"]


async def test_a_follower_may_be_imported_before_its_holder(store: Store) -> None:
    """It waits for the holder, which has the key when it comes."""
    key = Unique(key="k", on_conflict="follow")
    [holder] = await enqueue_flow(store, named("holder", unique=key))
    [_] = await store.next(1)
    [follower] = await enqueue_flow(store, named("follower", unique=key))
    lines = await take_out(store)
    await bring(store, lines, follower)
    await bring(store, lines, holder)
    await settle(store)
    held = await store.unique_keys.show(GROUP, "k")
    assert (held.holder, held.follower) == (holder.id, follower.id)
    [job] = await store.next(1)
    await store.succeed(GROUP, job.id, job.lease)
    await settle(store)
    assert await names(store, 9) == ["follower"]


async def test_an_import_leaves_a_key_with_its_holder(store: Store) -> None:
    """A job whose key another job has by now is restored without the key."""
    [old] = await enqueue_flow(store, named("old", unique=Unique(key="k")))
    lines = await take_out(store)
    [new] = await enqueue_flow(store, named("new", unique=Unique(key="k")))
    await bring(store, lines, old)
    [again] = await enqueue_flow(store, named("again", unique=Unique(key="k")))
    assert again.id == new.id


async def test_an_import_leaves_a_key_that_a_follower_waited_for(store: Store) -> None:
    """Neither the old holder, which has not ended, nor its follower has the key, and both run."""
    key = Unique(key="k", on_conflict="follow")
    [old] = await enqueue_flow(store, named("old", unique=key))
    [follower] = await enqueue_flow(store, named("follower", unique=key))
    lines = await take_out(store)
    [new] = await enqueue_flow(store, named("new", unique=key))
    await bring(store, lines, old, follower)
    assert await check(store) == []
    for job in await store.next(9):
        await store.succeed(GROUP, job.id, job.lease)
    await settle(store)
    assert await names(store, 9) == ["follower"]
    assert [await status_of(store, job) for job in (old, new)] == ["succeeded"] * 2
    assert await check(store) == []


async def test_check_finds_a_lost_timer_of_windows(store: Store) -> None:
    """Without it the key of a window that has ended would stay until its next use."""
    await enqueue_flow(store, named("x", unique=Unique(key="k", for_=60)))
    await store.redis.zrem(keys.due(store.partitions[0]), f"windows:{GROUP}")
    assert [finding.what for finding in await check(store)] == ["has no timer, or a late one, for windows"]
    await check(store, is_repair=True)
    assert await check(store) == []
