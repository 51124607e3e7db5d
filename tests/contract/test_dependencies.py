"""Jobs that wait for others: when they are queued, when they are cancelled, and what is refused."""

import pytest

from broker.core.errors import Invalid, LimitReached, WrongState
from broker.diagnostics.consistency import check
from broker.models.groups import Retentions
from broker.models.jobs import Job
from broker.models.retries import Retry
from broker.resp import keys
from broker.store.format.references import check_edges
from tests.contract.building import (
    GROUP,
    configure,
    enqueue,
    forget_all,
    ids,
    members_key,
    names,
    partition,
    queued,
    reap_after,
    running,
    shown,
    spread,
    status_of,
    succeeded,
    wait,
)
from tests.contract.flows import enqueue_flow, named, needs, settle
from tests.stores import Store


async def end(store: Store, job: Job, how: str) -> Job:
    """End a job that runs, or one that does not."""
    if how == "cancelled":
        return await store.cancel(job.group_name, job.id)
    if how == "failed":
        return await store.fail(job.group_name, job.id, job.lease, "bad_exit")
    return await store.succeed(job.group_name, job.id, job.lease)


async def test_a_dependant_is_held_until_its_parent_succeeds(store: Store) -> None:
    """It is delayed and says for how many jobs it waits; the settlement of its parent queues it."""
    parent = await running(store)
    [job] = await enqueue_flow(store, named("child", after=[parent.id]))
    assert (job.status, job.waits_for.jobs, job.after) == ("delayed", 1, [parent.id])
    kept = await store.show(GROUP, job.id)
    assert (kept.status, kept.waits_for.jobs, kept.after) == ("delayed", 1, [parent.id])
    await reap_after(store, 86_400 * 365 * 10, limit=0)
    await end(store, parent, "succeeded")
    assert await status_of(store, job) == "delayed"
    await settle(store)
    assert await names(store) == ["child"]
    assert not (await store.show(GROUP, job.id)).waits_for


async def test_no_time_promotes_a_held_job(store: Store) -> None:
    """The reaper never comes to a held job, and another delayed job is still queued in time."""
    parent = await running(store, timeout=604_800)
    [held] = await enqueue_flow(store, named("held", after=[parent.id]))
    await enqueue(store, delay=5, payload="delayed")
    await reap_after(store, 5)
    assert await names(store) == ["delayed"]
    assert await status_of(store, held) == "delayed"


async def test_a_diamond(store: Store) -> None:
    """Refs name jobs of the call, in any order; the last job waits for both in the middle."""
    last, a, b, first = await enqueue_flow(
        store,
        named("last", after=["a", "b"]),
        named("a", ref="a", after=["first"]),
        named("b", ref="b", after=["first"]),
        named("first", ref="first"),
    )
    assert [job.payload for job in (last, a, b, first)] == ["last", "a", "b", "first"]
    assert [job.status for job in (last, a, b, first)] == ["delayed", "delayed", "delayed", "queued"]
    assert last.after == [a.id, b.id]
    order = []
    while taken := await store.next(10):
        order.append(sorted(str(job.payload) for job in taken))
        for job in taken:
            await end(store, job, "succeeded")
        await settle(store)
    assert order == [["first"], ["a", "b"], ["last"]]


async def test_a_fan_in_waits_for_each(store: Store) -> None:
    """It waits for each parent once, though one is named twice."""
    parents = [await queued(store, payload=str(n)) for n in range(3)]
    [job] = await enqueue_flow(store, named("last", after=[parent.id for parent in parents * 2]))
    for left in (2, 1, 0):
        [taken] = await store.next(1)
        await end(store, taken, "succeeded")
        await settle(store)
        assert await needs(store, job) == left
    assert await names(store) == ["last"]


@pytest.mark.parametrize("how", ["failed", "cancelled"])
async def test_a_parent_that_does_not_succeed_cancels_its_dependants(store: Store, how: str) -> None:
    """B1 B3 a parent that failed leaves nobody waiting: reason `dependency`, and the error names the parent."""
    parent = await running(store)
    child, grandchild = await enqueue_flow(
        store, named("child", ref="child", after=[parent.id]), named("grandchild", after=["child"])
    )
    await end(store, parent, how)
    await settle(store)
    child = await store.show(GROUP, child.id)
    grandchild = await store.show(GROUP, grandchild.id)
    assert [(job.status, job.reason) for job in (child, grandchild)] == [("cancelled", "dependency")] * 2
    assert parent.id in child.error
    assert child.id in grandchild.error
    assert await store.next(10) == []


@pytest.mark.parametrize("how", ["succeeded", "failed", "cancelled"])
async def test_after_on_over_takes_any_end(store: Store, how: str) -> None:
    """With after_on over the end of the parent is enough."""
    parent = await running(store)
    await enqueue_flow(store, named("cleanup", after=[parent.id], after_on="over"))
    await end(store, parent, how)
    await settle(store)
    assert await names(store) == ["cleanup"]


async def test_a_chain_that_is_cancelled_is_settled_in_bounded_steps(store: Store) -> None:
    """B24 each step cancels a limited number of jobs; what a step ends is settled by the next."""
    n = 60
    chain = await enqueue_flow(
        store, named("0", ref="0"), *(named(str(i), ref=str(i), after=[str(i - 1)]) for i in range(1, n))
    )
    await store.cancel(GROUP, chain[0].id)
    steps = 0
    while (await store.maintenance.settle(4)).n:
        steps += 1
    assert steps >= n / 4
    assert {await status_of(store, job) for job in chain} == {"cancelled"}


async def test_a_step_takes_a_limited_number_of_dependants(store: Store) -> None:
    """B10 the rest of the dependants stays for the next step, and each is queued once."""
    parent = await running(store)
    await enqueue_flow(store, *(named(str(i), after=[parent.id]) for i in range(5)))
    await end(store, parent, "succeeded")
    assert (await store.maintenance.settle(2)).n == 1
    assert sorted(await names(store, 10)) == ["0", "1"]
    await settle(store, 2)
    assert sorted(await names(store, 10)) == ["2", "3", "4"]


async def test_an_automatic_retry_takes_the_dependants(store: Store) -> None:
    """B16 a failure that is retried releases nothing and cancels nothing; the success of the retry releases."""
    parent = await running(store, max_retries=1, retries_delay=0)
    [job] = await enqueue_flow(store, named("child", after=[parent.id]))
    await end(store, parent, "failed")
    await settle(store)
    assert (await status_of(store, job), await needs(store, job)) == ("delayed", 1)
    assert await check(store) == []
    [retry] = await store.next(1)
    assert retry.retry_of == parent.id
    await end(store, retry, "succeeded")
    await settle(store)
    assert await names(store) == ["child"]


async def test_the_last_failure_of_retries_cancels(store: Store) -> None:
    """B14 the dependants are cancelled when no automatic retry is left."""
    parent = await running(store, max_retries=1, retries_delay=0)
    [job] = await enqueue_flow(store, named("child", after=[parent.id]))
    await end(store, parent, "failed")
    [retry] = await store.next(1)
    await end(store, retry, "failed")
    await settle(store)
    assert (await store.show(GROUP, job.id)).reason == "dependency"


async def test_a_dependant_of_a_job_that_was_retried_waits_for_the_retry(store: Store) -> None:
    """B18 `after` may name a job that failed and was retried automatically: its retry decides."""
    parent = await running(store, max_retries=1, retries_delay=0)
    await end(store, parent, "failed")
    [job] = await enqueue_flow(store, named("child", after=[parent.id]))
    [retry] = await store.next(1)
    await end(store, retry, "succeeded")
    await settle(store)
    assert await names(store) == ["child"]
    assert await needs(store, job) == 0


@pytest.mark.parametrize("is_running", [False, True])
async def test_jobs_of_a_call_share_a_parent_that_was_retried(store: Store, *, is_running: bool) -> None:
    """Its retry decides for each of them, whether it runs or is queued; the call reads it once."""
    parent = await running(store, max_retries=1, retries_delay=0)
    await end(store, parent, "failed")
    taken = await store.next(1) if is_running else []
    jobs = await enqueue_flow(store, *[named(f"child {n}", after=[parent.id]) for n in range(3)])
    assert [await needs(store, job) for job in jobs] == [1, 1, 1]
    [retry] = taken or await store.next(1)
    await end(store, retry, "succeeded")
    await settle(store)
    assert await names(store, 3) == ["child 0", "child 1", "child 2"]


async def test_each_parent_of_a_call_stays_as_it_is(store: Store) -> None:
    """What is noted of several parents, one of which runs, mixes up neither their payloads nor their runs."""
    runs = await running(store, payload="a")
    parents = await enqueue_flow(store, named("b"), named("c"), named("d"))
    [child] = await enqueue_flow(store, named("child", after=[runs.id, *(job.id for job in parents)]))
    assert await needs(store, child) == 4
    assert await names(store, 10) == ["b", "c", "d"]
    assert (await store.succeed(GROUP, runs.id, runs.lease)).payload == "a"


async def test_a_parent_that_is_over_counts_at_once(store: Store) -> None:
    """B20 a job whose parent has succeeded already, during the call at the latest, is queued at once."""
    parent = await succeeded(store)
    [job] = await enqueue_flow(store, named("child", after=[parent.id]))
    assert (job.status, shown(job, "waits_for")) == ("queued", [])
    assert await names(store) == ["child"]


async def test_a_parent_that_failed_before_cancels_at_once(store: Store) -> None:
    """B1 a job whose parent has failed already is cancelled by the next settlement."""
    parent = await running(store)
    await end(store, parent, "failed")
    [job] = await enqueue_flow(store, named("child", after=[parent.id]))
    await settle(store)
    assert (await store.show(GROUP, job.id)).reason == "dependency"


async def test_the_delay_of_a_dependant_begins_when_its_parents_are_over(store: Store) -> None:
    """Its own delay begins then, not at its creation."""
    parent = await running(store)
    [job] = await enqueue_flow(store, named("child", after=[parent.id], delay=30))
    wait(store, 20)
    await end(store, parent, "succeeded")
    await settle(store)
    await reap_after(store, 29.999)
    assert await status_of(store, job) == "delayed"
    await reap_after(store, 0.001)
    assert await names(store) == ["child"]


@pytest.mark.parametrize("lease_s", [None, 10])
async def test_a_parent_that_runs_already_is_settled(store: Store, lease_s: int | None) -> None:
    """A job that was delivered before its first dependant came is settled, also after a start."""
    parent = await running(store, lease_s=lease_s)
    await enqueue_flow(store, named("child", after=[parent.id]))
    await store.start(GROUP, parent.id, parent.lease)
    await end(store, parent, "succeeded")
    await settle(store)
    assert await names(store) == ["child"]


async def test_a_parent_that_is_delivered_again_is_settled(store: Store) -> None:
    """B15 a parent whose lease was lost, or that was released, still has its end settled."""
    parent = await running(store, timeout=5)
    await enqueue_flow(store, named("child", after=[parent.id]))
    await reap_after(store, 5)
    [parent] = await store.next(1)
    await store.release(GROUP, parent.id, parent.lease)
    [parent] = await store.next(1)
    await end(store, parent, "succeeded")
    await settle(store)
    assert await names(store) == ["child"]


async def test_a_parent_whose_consumers_all_die_cancels(store: Store) -> None:
    """B15 the last lost lease ends the parent, and that is settled too."""
    await configure(store, delivery_limit=1)
    parent = await running(store, timeout=5)
    [job] = await enqueue_flow(store, named("child", after=[parent.id]))
    await reap_after(store, 5)
    await settle(store)
    assert (await store.show(GROUP, job.id)).reason == "dependency"


async def test_a_dependant_that_was_deleted_stays_so(store: Store) -> None:
    """B2 one that was deleted does not come back when its parent fails, is tried again, and succeeds."""
    parent = await running(store, max_retries=1, retries_delay=0)
    [job] = await enqueue_flow(store, named("child", after=[parent.id]))
    await store.cancel(GROUP, job.id)
    await store.remove(GROUP, job.id)
    await end(store, parent, "failed")
    await settle(store)
    [again] = await store.next(2)
    await end(store, again, "succeeded")
    await settle(store)
    assert (again.retry_of, await store.next(1)) == (parent.id, [])


async def test_a_dependant_that_was_cancelled_stays_so(store: Store) -> None:
    """B17 a held job may be cancelled; the end of its parent changes nothing then."""
    parent = await running(store)
    [job] = await enqueue_flow(store, named("child", after=[parent.id]))
    await store.cancel(GROUP, job.id)
    await store.remove(GROUP, job.id)
    await end(store, parent, "succeeded")
    await settle(store)
    assert await store.next(1) == []


@pytest.mark.parametrize("how", ["succeeded", "failed"])
async def test_retention_waits_for_the_settlement(store: Store, how: str) -> None:
    """B5 with a retention of 0 too, a parent goes only when its dependants know how it ended; others go at once."""
    await configure(store, retention=Retentions(succeeded=0, failed=0, cancelled=0))
    plain, parent = await running(store), await running(store)
    await end(store, plain, how)
    [job] = await enqueue_flow(store, named("child", after=[parent.id]))
    await end(store, parent, how)
    await reap_after(store, 1)
    assert [await status_of(store, job) for job in (plain, parent)] == [None, how]
    await settle(store)
    assert await status_of(store, job) == ("queued" if how == "succeeded" else "cancelled")
    await reap_after(store, 1)
    assert await status_of(store, parent) is None


async def test_remove_settles_first(store: Store) -> None:
    """B1 deleting a parent by hand queues its dependants first."""
    parent = await running(store)
    await enqueue_flow(store, *(named(str(i), after=[parent.id]) for i in range(3)))
    await end(store, parent, "succeeded")
    await store.remove(GROUP, parent.id)
    assert sorted(await names(store, 10)) == ["0", "1", "2"]


async def test_delete_group_settles_first(store: Store) -> None:
    """B1 deleting the group of a parent queues its dependants of another group first."""
    parent = await running(store, "parents")
    await enqueue_flow(store, named("child", after=[parent.id]))
    await end(store, parent, "succeeded")
    await store.groups.delete_group("parents")
    assert await names(store) == ["child"]


async def test_promote_refuses_a_held_job(store: Store) -> None:
    """A job that waits for others is not queued by hand."""
    parent = await running(store)
    [job] = await enqueue_flow(store, named("child", after=[parent.id]))
    with pytest.raises(WrongState, match="waits for other jobs"):
        await store.promote(GROUP, job.id)


async def test_enqueue_refuses_an_unknown_parent(store: Store) -> None:
    """B19 nothing of the call is made; the refusal names the place of the id."""
    parent = await queued(store)
    with pytest.raises(Invalid) as refused:
        await enqueue_flow(store, named("a"), named("b", after=[parent.id, "VbpLuuIC3BdKEe89"]))
    assert refused.value.fields == "jobs[1].after[1]"
    assert ids((await store.list(GROUP, 10))[0]) == [parent.id]


async def test_enqueue_refuses_a_parent_without_its_payload(store: Store) -> None:
    """A job whose large payload was lost is no job, and will never end."""
    parent = await queued(store, payload="x" * 5000)
    await store.redis.hdel(keys.job(store.partitions[0], parent.id), "spec")
    with pytest.raises(Invalid, match="no such job"):
        await enqueue_flow(store, named("child", after=[parent.id]))
    await forget_all(store)


async def test_enqueue_refuses_a_ring(store: Store) -> None:
    """Refs that wait for each other are refused, and named."""
    with pytest.raises(Invalid, match=r"(a waits for b, b waits for a|b waits for a, a waits for b)$") as refused:
        await enqueue_flow(store, named("a", ref="a", after=["b"]), named("b", ref="b", after=["a"]))
    assert refused.value.fields in {"jobs[0].after", "jobs[1].after"}
    with pytest.raises(Invalid, match=r"a waits for a$"):
        await enqueue_flow(store, named("a", ref="a", after=["a"]))


async def test_enqueue_refuses_a_ref_that_two_jobs_have(store: Store) -> None:
    """Two jobs of a call with the same ref are refused."""
    with pytest.raises(Invalid) as refused:
        await enqueue_flow(store, named("a", ref="a"), named("b", ref="a"))
    assert refused.value.fields == "jobs[1].ref"


async def test_a_job_may_have_ten_thousand_dependants(store: Store) -> None:
    """The next one is refused with 429, and nothing is made."""
    parent = await running(store)
    [job] = await enqueue_flow(store, named("first", after=[parent.id]))
    key = keys.after(store.partitions[0], parent.id)
    await store.redis.zadd(key, {f"{GROUP} none{n}": 0 for n in range(9_998)})
    await enqueue_flow(store, named("last", after=[parent.id]))
    with pytest.raises(LimitReached, match="10000 jobs wait already"):
        await enqueue_flow(store, named("second", after=[parent.id]))
    await end(store, parent, "succeeded")
    await enqueue_flow(store, named("after the end", after=[parent.id]))
    await settle(store)
    assert await status_of(store, job) == "queued"


async def test_the_jobs_of_a_call_have_a_limited_number_of_parents(store: Store) -> None:
    """10,000 entries in `after` of all jobs of a call are the most, since more occupy the store; nothing is made."""
    parents = [job.id for job in await enqueue_flow(store, *[named("parent")] * 100)]
    with pytest.raises(Invalid) as refused:
        await enqueue_flow(store, *[named("child", after=parents)] * 100, named("one too many", after=parents[:1]))
    assert refused.value.fields == "jobs[100].after"
    assert "10,000" in refused.value.message
    assert (await store.groups.show(GROUP)).counts.delayed == 0
    check_edges([named("child", after=parents)] * 100)


@pytest.mark.parametrize("partitions", [3])
async def test_parents_are_in_the_partition_of_the_group(store: Store) -> None:
    """A job may wait for one of another group of its partition; one of another partition is unknown."""
    group, near, far = "", "", ""
    own = spread(store, 2)
    group, near, far = own[0], own[1], own[2]
    assert partition(store, group) == partition(store, near) != partition(store, far)
    parent, stranger = await running(store, near), await queued(store, far)
    [job] = await enqueue_flow(store, named("child", after=[parent.id]), group=group)
    with pytest.raises(Invalid, match="partition"):
        await enqueue_flow(store, named("child", after=[stranger.id]), group=group)
    await end(store, parent, "succeeded")
    await settle(store)
    assert await status_of(store, job) == "queued"


async def test_a_repeat_with_an_idempotency_key_gives_the_same_answer(store: Store) -> None:
    """The first answer, though the dependant is queued meanwhile; and no second job waits."""
    parent = await running(store)
    jobs = [named("a", after=[parent.id]), named("b")]
    first = (await store.enqueue(GROUP, jobs, "key")).jobs
    await end(store, parent, "succeeded")
    await settle(store)
    second = await store.enqueue(GROUP, jobs, "key")
    assert second.is_replayed
    assert second.jobs == first
    assert len((await store.list(GROUP, 10))[0]) == 3


async def test_settled_jobs_have_no_hooks(store: Store) -> None:
    """What is settled is as if it had never had dependants: no key of a feature stays."""
    parent = await running(store)
    [job] = await enqueue_flow(store, named("child", after=[parent.id]))
    await end(store, parent, "succeeded")
    await settle(store)
    [p] = store.partitions
    assert b"hooks" not in await store.redis.hget(keys.jobs(p), parent.id)
    assert await store.redis.exists(keys.settle(p), keys.after(p, parent.id)) == 0
    assert await store.redis.zscore(members_key(store, GROUP, "queued"), job.id) is not None


async def test_a_cancelled_dependant_waits_for_nothing(store: Store) -> None:
    """What a job waited for is not shown after its end."""
    parent = await running(store)
    [job] = await enqueue_flow(store, named("child", after=[parent.id]))
    assert shown(await store.cancel(GROUP, job.id), "waits_for") == []


async def test_a_held_job_expires(store: Store) -> None:
    """F6 a deadline counts while a job is held, and the jobs that wait for it are cancelled."""
    parent = await running(store)
    child, grandchild = await enqueue_flow(
        store, named("child", ref="c", after=[parent.id], start_within=5), named("grandchild", after=["c"])
    )
    await reap_after(store, 5)
    await settle(store)
    assert [(await store.show(GROUP, job.id)).reason for job in (child, grandchild)] == ["expired", "dependency"]


async def test_a_job_and_its_retry_are_one(store: Store) -> None:
    """A job that names a failed job and the automatic retry of that waits for one job."""
    parent = await running(store, max_retries=1, retries_delay=0)
    failed = await end(store, parent, "failed")
    [job] = await enqueue_flow(store, named("child", after=[parent.id, str(failed.retry_at)]))
    assert job.waits_for.jobs == 1
    [retry] = await store.next(1)
    await end(store, retry, "succeeded")
    await settle(store)
    assert await names(store) == ["child"]


async def test_large_payloads_wait_too(store: Store, way: str) -> None:
    """Jobs with large payloads, sent before the script or in it, wait like others."""
    first, second = await enqueue_flow(store, named("x" * 5000, ref="a"), named("y" * 5000, after=["a"]))
    [taken] = await store.next(10)
    assert taken.id == first.id
    await end(store, taken, "succeeded")
    await settle(store)
    assert ids(await store.next(10)) == [second.id]


async def test_a_retry_policy_decides_when_a_parent_has_failed(store: Store) -> None:
    """B14 a failure that the policy of the parent forgives releases and cancels nothing; the last one cancels."""
    [parent] = await enqueue_flow(store, named("parent", retry=Retry(max=1, delay=1, jitter=0)))
    [job] = await enqueue_flow(store, named("child", after=[parent.id]))
    [taken] = await store.next(1)
    assert (await end(store, taken, "failed")).status == "delayed"
    await settle(store)
    assert (await status_of(store, job), await needs(store, job)) == ("delayed", 1)
    await reap_after(store, 1)
    [taken] = await store.next(1)
    assert taken.id == parent.id
    await end(store, taken, "failed")
    await settle(store)
    assert (await store.show(GROUP, job.id)).reason == "dependency"


async def test_a_parent_that_failed_and_was_retried_by_hand_cancels(store: Store) -> None:
    """A retry by hand is a job of its own: only automatic retries decide for a parent."""
    parent = await end(store, await running(store), "failed")
    retry = await store.retry(GROUP, parent.id)
    [child, other] = await enqueue_flow(store, named("child", after=[parent.id]), named("other", after=[retry.id]))
    await settle(store)
    assert (await store.show(GROUP, child.id)).reason == "dependency"
    assert await needs(store, other) == 1


async def test_a_parent_with_deadlines_is_awaited(store: Store) -> None:
    """Its record says once what is to be done at its end, and nothing of that when it is settled."""
    [parent] = await enqueue_flow(store, named("parent", end_within=60))
    [child] = await enqueue_flow(store, named("child", after=[parent.id]))
    records = keys.jobs(store.partitions[0])
    assert (await store.redis.hget(records, parent.id)).count(b'"hooks"') == 1
    [taken] = await store.next(1)
    await store.succeed(GROUP, parent.id, taken.lease)
    await settle(store)
    assert b'"hooks"' not in await store.redis.hget(records, parent.id)
    assert await status_of(store, child) == "queued"


@pytest.mark.parametrize("is_over", [False, True])
async def test_a_job_names_two_hundred_that_waited_for_it(store: Store, *, is_over: bool) -> None:
    """Whether they came before or after its end: more would make it large."""
    parent = await running(store)
    if is_over:
        await store.succeed(GROUP, parent.id, parent.lease)
        await settle(store)
    children = [
        child
        for n in (50, 200)
        for child in await enqueue_flow(store, *(named(str(i), after=[parent.id]) for i in range(n)))
    ]
    if not is_over:
        await store.succeed(GROUP, parent.id, parent.lease)
        await settle(store)
    before = (await store.redis.hget(keys.job(store.partitions[0], parent.id), "before")).decode()
    assert len(set(before.split(" "))) == 200
    assert set(before.split(" ")) <= {child.id for child in children}
    if is_over:
        assert before.split(" ") == [child.id for child in children[:200]]
