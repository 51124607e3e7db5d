"""What a step of settle counts, in which order it writes, and what it leaves for the next one."""

from broker.models.batches import CallbackJob, NewBatch
from broker.models.unique import Unique
from broker.resp import keys
from tests.contract.building import GROUP, Run, configure, enqueue, names, now_ms, reap_after, status_of, wait
from tests.contract.flows import enqueue_flow, named, settle
from tests.stores import Store

OVER = CallbackJob(image="post", payload="over")


async def test_a_step_says_what_it_did(store: Store, run: Run) -> None:
    """How many ends remain and for how long, how many batches ended; by group the cancelled jobs and its callbacks."""
    stopped, _ = await store.batches.create("stopped", NewBatch(jobs=[named("a")], on_over=OVER))
    await store.batches.cancel("stopped", stopped.id)
    assert await run("settle", now_ms(store), 100) == [
        1,
        0,
        1,
        b"stopped",
        1,
        1,
    ]  # the end of the member itself is left
    assert await run("settle", now_ms(store), 100) == [0, 0, 0]

    await store.batches.create("done", NewBatch(jobs=[named("b")], on_over=OVER))
    [job] = await store.next(1, ["done"])
    await store.succeed("done", job.id, job.lease)
    assert await run("settle", now_ms(store), 100) == [0, 0, 1, b"done", 0, 1]

    parent, _ = await enqueue_flow(store, named("c", ref="c"), named("d", after=["c"]), group="chain")
    await store.cancel("chain", parent.id)
    assert await run("settle", now_ms(store), 2) == [0, 0, 0, b"chain", 1, 0]  # that of a plain job needs no step
    assert await run("settle", now_ms(store), 100) == [0, 0, 0]


async def test_a_member_that_is_cancelled_with_its_parent_counts_once(store: Store, run: Run) -> None:
    """Its batch was cancelled too, and is settled in the same step: the job it waited for was first."""
    [parent] = await enqueue_flow(store, named("parent"))
    batch, _ = await store.batches.create(GROUP, NewBatch(jobs=[named("child", after=[parent.id]), named("other")]))
    members, _ = await store.batches.members(GROUP, batch.id, 9)
    await store.cancel(GROUP, parent.id)
    wait(store, 1)
    await store.batches.cancel(GROUP, batch.id)
    assert await run("settle", now_ms(store), 100) == [1, 0, 1, GROUP.encode(), 2, 0]
    reasons = {job.payload: (await store.show(GROUP, job.id)).reason for job in members}
    assert reasons == {"child": "dependency", "other": "client_request"}
    await settle(store)
    assert (await store.batches.show(GROUP, batch.id)).counts.cancelled == 2


async def test_a_holder_that_is_cancelled_with_its_parent_leaves_its_key(store: Store) -> None:
    """Its end is settled in the step that cancels it, and that finds it cancelled: its follower has the key."""
    [parent] = await enqueue_flow(store, named("parent"))
    key = Unique(key="k", on_conflict="follow")
    [_holder] = await enqueue_flow(store, named("holder", unique=key, after=[parent.id]))
    [follower] = await enqueue_flow(store, named("follower", unique=key))
    await store.cancel(GROUP, parent.id)
    await store.maintenance.settle(100)
    stored = await store.redis.hget(keys.unique(store.partitions[0], GROUP), "k")
    assert (stored.decode(), await names(store, 9)) == (f"{follower.id} - 0", ["follower"])


async def test_a_step_keeps_a_cancelled_job_with_more_dependants_than_it_may_handle(store: Store) -> None:
    """That job is in P:settle then, until all who wait for it are cancelled."""
    [root, _, *leaves] = await enqueue_flow(
        store,
        named("root", ref="root"),
        named("middle", ref="middle", after=["root"]),
        *(named(str(i), after=["middle"]) for i in range(5)),
    )
    await store.cancel(GROUP, root.id)
    assert (await store.maintenance.settle(4)).n == 1
    assert [await status_of(store, job) for job in leaves].count("cancelled") == 2
    await settle(store, 4)
    assert {await status_of(store, job) for job in leaves} == {"cancelled"}


async def test_the_place_of_a_dependant_in_the_queue(store: Store) -> None:
    """It comes behind those that were queued before it, with a priority_boost as far before them as that says."""
    await configure(store, priority_boost=2)
    [parent] = await enqueue_flow(store, named("parent"))
    await enqueue_flow(store, named("boosted", after=[parent.id], priority=1), named("plain", after=[parent.id]))
    [taken] = await store.next(1)
    for payload in ("first", "second"):
        await enqueue(store, payload=payload)
    await enqueue(store, "others")
    await enqueue(store, payload="third")
    await store.succeed(GROUP, parent.id, taken.lease)
    await settle(store)
    assert await store.redis.zscore(keys.due(store.partitions[0]), f"delayed:{GROUP}") is None  # none has a delay
    assert await names(store, 9, (GROUP,)) == ["first", "second", "boosted", "third", "plain"]


async def test_a_delay_is_over_with_the_first_delivery(store: Store) -> None:
    """A job with a delay that waited in the middle of its work is queued as soon as it waits for nothing."""
    await enqueue(store, payload="parent", delay=30)
    await reap_after(store, 30)
    [parent] = await store.next(1)
    child = await enqueue(store, payload="child")
    await store.completer.wait(GROUP, parent.id, [child.id], "over", parent.lease)
    [taken] = await store.next(1)
    await store.succeed(GROUP, child.id, taken.lease)
    await settle(store)
    assert await names(store) == ["parent"]


async def test_a_cancelled_dependant_has_no_deadline(store: Store) -> None:
    """Neither one whose end is settled, nor one whose end matters to nobody."""
    jobs = [named("a", ref="a", end_within=60), named("b", ref="b", after=["a"], end_within=90)]
    [first, *_] = await enqueue_flow(store, *jobs, named("c", after=["b"], end_within=90))
    await store.cancel(GROUP, first.id)
    await settle(store)
    assert not await store.redis.exists(keys.expiring(store.partitions[0], GROUP))


async def test_the_end_of_a_job_without_a_record(store: Store) -> None:
    """A job that is gone has not succeeded, though it has an execution with that status."""
    [parent] = await enqueue_flow(store, named("parent"))
    [child] = await enqueue_flow(store, named("child", after=[parent.id]))
    [taken] = await store.next(1)
    await store.succeed(GROUP, parent.id, taken.lease)
    p = store.partitions[0]
    await store.redis.hdel(keys.jobs(p), parent.id)
    await settle(store)
    assert (await store.show(GROUP, child.id)).reason == "dependency"
    await store.redis.hdel(keys.executions(p), parent.id)
    await store.redis.zrem(f"{p}:group:{GROUP}:succeeded", parent.id)
    await store.redis.zrem(f"{p}:group:{GROUP}:jobs", parent.id)
