"""`wait`: a running job is held until other jobs have ended, and continues with what they made."""

import pytest
from msgspec import UNSET, Raw

from broker.core.errors import GAVE_BACK, Duplicate, Invalid, LeaseLost, LimitReached, NotFound, WrongState
from broker.models.jobs import Job, WaitsFor
from broker.models.reports import Finish, Held
from broker.models.retries import Retry
from broker.models.unique import Unique
from broker.models.workers import Receipt
from broker.resp import keys
from tests.contract.building import (
    GROUP,
    clock,
    configure,
    dump,
    enqueue,
    ids,
    names,
    queued,
    reap_after,
    running,
    wait,
)
from tests.contract.flows import enqueue_flow, move, named, needs, settle
from tests.stores import Store


async def hold(store: Store, job: Job, *others: Job, after_on: str = "over", lease: str | None = None) -> Job:
    """Have a running job wait for others; the job."""
    held = job.lease or "" if lease is None else lease
    return await store.completer.wait(job.group_name, job.id, [other.id for other in others], after_on, held)


async def take(store: Store) -> Job:
    """The next job of the group."""
    [job] = await store.next(1, [GROUP])
    return job


async def end(store: Store, job: Job, how: str = "succeeded", result: str = "") -> None:
    """Settle the end of a queued or running job."""
    if how == "cancelled":
        await store.cancel(job.group_name, job.id)
    else:
        held = job if job.lease else await store.start(job.group_name, job.id)
        given = {"group_name": job.group_name, "id": job.id, "lease": held.lease}
        made = Raw(result.encode()) if result else UNSET
        await store.completer.finish(
            [Finish(status="succeeded" if how == "succeeded" else "failed", **given, result=made)]
        )
    await settle(store)


async def test_a_job_waits_for_its_children(store: Store) -> None:
    """It is held, and says for how many; once all have ended it is queued, and has what they made."""
    parent = await running(store)
    first, second = await enqueue_flow(store, named("first"), named("second"))
    shown = await hold(store, parent, first, second)
    assert (shown.status, shown.deliveries, shown.after, shown.after_on) == (
        "delayed",
        0,
        [first.id, second.id],
        "over",
    )
    assert (shown.expires_at, shown.started_at) == (UNSET, UNSET)
    assert not await store.redis.hexists(keys.executions(store.partitions[0]), parent.id)
    await end(store, first, result="1")
    assert await needs(store, parent) == 1
    await end(store, second, "failed")
    again = await take(store)
    assert (again.id, again.deliveries, again.has_inputs) == (parent.id, 1, True)
    made = [(one.status, bytes(one.result or b"")) for one in await store.jobs.inputs(GROUP, parent.id)]
    assert made == [("succeeded", b"1"), ("failed", b"")]
    await end(store, again)


async def test_a_job_that_waited_has_its_old_rank(store: Store) -> None:
    """It comes before jobs that were queued while it waited, and its delay does not begin again."""
    await enqueue(store, payload="parent", delay=5)
    await reap_after(store, 5)
    parent = await take(store)
    [child] = await enqueue_flow(store, named("child"), group="others")
    await enqueue(store, payload="later")
    await hold(store, parent, child)
    await end(store, child)
    assert await names(store, 2) == ["parent", "later"]


async def test_a_wait_for_jobs_that_have_ended_queues_at_once(store: Store) -> None:
    """Nothing is held then, and the inputs are known."""
    parent, child = await running(store), await queued(store, "others")
    await end(store, child, result='"x"')
    assert (await hold(store, parent, child)).status == "queued"
    assert (await store.jobs.history(GROUP, parent.id)).events[-1].to == "queued"
    fields = await store.redis.hgetall(keys.job(store.partitions[0], parent.id))
    assert b'"receipts":0' in fields[b"history"]
    assert b"receipts" not in fields
    assert not await store.redis.hexists(keys.executions(store.partitions[0]), parent.id)
    assert bytes((await store.jobs.inputs(GROUP, parent.id))[0].result) == b'"x"'
    assert (await take(store)).id == parent.id


@pytest.mark.parametrize("how", ["failed", "cancelled"])
@pytest.mark.parametrize("is_early", [False, True])
async def test_after_on_succeeded_cancels(store: Store, how: str, *, is_early: bool) -> None:
    """B1 a job that waits for the success of others is cancelled when one does not succeed, also before the wait."""
    parent, child = await running(store), await queued(store, "others")
    if is_early:
        await end(store, child, how)
    await hold(store, parent, child, after_on="succeeded")
    if not is_early:
        await end(store, child, how)
    await settle(store)
    shown = await store.show(GROUP, parent.id)
    assert (shown.status, shown.reason) == ("cancelled", "dependency")
    assert child.id in (shown.error or "")


async def test_a_repeat_with_the_same_lease_changes_nothing(store: Store) -> None:
    """The answer may have been lost: the same wait is answered again, also when the job runs again or has ended."""
    parent, child = await running(store), await queued(store, "others")
    first = await hold(store, parent, child)
    before = await dump(store)
    assert await hold(store, parent, child) == first
    assert await dump(store) == before
    await end(store, child)
    again = await take(store)
    before = await dump(store)
    assert (await hold(store, parent, child)).status == "running"
    assert await dump(store) == before
    await end(store, again)
    assert (await hold(store, parent, child)).status == "succeeded"


async def test_another_wait_with_the_same_lease_is_refused(store: Store) -> None:
    """A repeat names the same jobs; and without a lease nothing shows that it is one."""
    parent, child, other = await running(store), await queued(store, "others"), await queued(store, "others")
    await hold(store, parent, child)
    with pytest.raises(LeaseLost, match=GAVE_BACK):
        await hold(store, parent, other)
    with pytest.raises(WrongState, match="delayed"):
        await hold(store, parent, child, lease="")


async def test_a_late_report_is_refused(store: Store) -> None:
    """The delivery that waited holds the job no more: its success, failure or touch changes nothing."""
    parent, child = await running(store), await queued(store, "others")
    await hold(store, parent, child)
    late = (store.succeed, store.fail, store.release, store.start)
    for report in late:
        with pytest.raises(LeaseLost, match=GAVE_BACK):
            await report(GROUP, parent.id, parent.lease)
    [touched] = await store.touch([Held(group_name=GROUP, id=parent.id, lease=parent.lease)])
    assert isinstance(touched, LeaseLost)
    with pytest.raises(WrongState):
        await store.succeed(GROUP, parent.id)
    await end(store, child)
    again = await take(store)
    for report in late:
        with pytest.raises(LeaseLost, match=GAVE_BACK):
            await report(GROUP, parent.id, parent.lease)
    await end(store, again)
    with pytest.raises(LeaseLost, match=GAVE_BACK):
        await store.succeed(GROUP, parent.id, parent.lease)


async def test_a_wait_needs_the_lease(store: Store) -> None:
    """Another delivery's lease is refused, and none where the group requires one."""
    parent, child = await running(store), await queued(store, "others")
    with pytest.raises(LeaseLost):
        await hold(store, parent, child, lease="else-1")
    await configure(store, require_lease=True)
    with pytest.raises(LeaseLost):
        await hold(store, parent, child, lease="")
    await configure(store)
    assert (await hold(store, parent, child, lease="")).status == "delayed"


async def test_an_unknown_job_is_refused(store: Store) -> None:
    """B19 the refusal names its place; the job runs on."""
    parent, child = await running(store), await queued(store, "others")
    before = await dump(store)
    with pytest.raises(Invalid) as refused:
        await store.completer.wait(GROUP, parent.id, [child.id, "0" * 16], lease=parent.lease or "")
    assert refused.value.fields == "after[1]"
    assert await dump(store) == before
    with pytest.raises(NotFound):
        await store.completer.wait("others", parent.id, [child.id], lease=parent.lease or "")


async def test_a_deep_graft(store: Store) -> None:
    """B22 a child that waits in turn for its own child has not ended: the first job waits for all levels."""
    top = await running(store)
    await enqueue(store, payload="middle")
    middle = await take(store)
    await hold(store, top, middle)
    bottom = await queued(store, "others")
    await hold(store, middle, bottom)
    assert await needs(store, top) == await needs(store, middle) == 1
    await end(store, bottom)
    assert await needs(store, top) == 1
    assert await names(store) == ["middle"]


async def test_no_job_waits_for_itself(store: Store) -> None:
    """Nor for a job that waits for it, through any number of others; the refusal names it, and the job runs on."""
    top = await running(store)
    [a, b] = await enqueue_flow(store, named("a", after=[top.id], ref="a"), named("b", after=["a"]))
    before = await dump(store)
    for one in (top, a, b):
        with pytest.raises(WrongState, match=one.id):
            await hold(store, top, one)
    assert await dump(store) == before


async def test_two_jobs_cannot_wait_for_each_other(store: Store) -> None:
    """The second wait would close the circle, and is refused; the first one is served."""
    first = await running(store)
    second = await running(store, max_retries=1, retries_delay=0)
    await hold(store, first, second)
    with pytest.raises(WrongState, match="which waits for it"):
        await hold(store, second, first)
    await store.fail(GROUP, second.id, second.lease)
    retry = await take(store)
    with pytest.raises(WrongState, match="which waits for it"):
        await hold(store, retry, first)
    await end(store, retry)
    assert (await take(store)).id == first.id


async def test_a_retry_is_named_by_the_job_that_it_repeats(store: Store) -> None:
    """A job whose name in the call is that of an earlier try is found among those that wait, too."""
    first = await running(store, max_retries=1, retries_delay=0)
    await store.fail(GROUP, first.id, first.lease)
    retry, old = await take(store), first
    with pytest.raises(WrongState, match=retry.id):
        await hold(store, retry, old)


async def test_the_walk_is_bounded(store: Store) -> None:
    """All of 1,000 dependants are walked. With more a job cannot wait, except for jobs that have ended."""
    top, other, done = await running(store), await queued(store, "others"), await queued(store, "others")
    await end(store, done)
    dependants = await enqueue_flow(store, *[named("x", after=[top.id])] * 1000)
    with pytest.raises(WrongState, match=dependants[-1].id):
        await hold(store, top, dependants[-1])
    assert (await hold(store, top, other)).status == "delayed"
    await end(store, other)
    top, other = await take(store), await queued(store, "others")
    await enqueue_flow(store, named("x", after=[top.id]))
    with pytest.raises(WrongState, match="More than 1000 jobs wait for it"):
        await hold(store, top, other)
    assert (await hold(store, top, done)).status == "queued"


async def test_each_dependant_is_walked_once(store: Store) -> None:
    """Jobs that can be reached on thousands of ways are few."""
    top, other = await running(store), await queued(store, "others")
    rows = [
        named("x", ref=f"{layer}.{side}", after=[f"{layer - 1}.{one}" for one in "ab"] if layer else [top.id])
        for layer in range(11)
        for side in "ab"
    ]
    await enqueue_flow(store, *rows)
    assert (await hold(store, top, other)).status == "delayed"


async def test_a_job_waits_more_than_once(store: Store) -> None:
    """Each wait adds to `after` and to the inputs; a job that is named again is waited for again, and listed once."""
    parent, first = await running(store), await queued(store, "others")
    await hold(store, parent, first, first)
    await end(store, first, result="1")
    again, second = await take(store), await queued(store, "others")
    shown = await hold(store, again, first, second, after_on="succeeded")
    assert (shown.after, shown.after_on or "succeeded", shown.deliveries) == ([first.id, second.id], "succeeded", 0)
    assert await needs(store, parent) == 1
    await end(store, second, result="2")
    assert [bytes(one.result) for one in await store.jobs.inputs(GROUP, parent.id)] == [b"1", b"2"]
    assert (await take(store)).id == parent.id


async def test_a_job_may_have_waited_for_a_thousand(store: Store) -> None:
    """One more is refused, so that its list stays readable."""
    parent = await running(store)
    key = keys.job(store.partitions[0], parent.id)
    await store.redis.hset(key, "after", " ".join(f"x{n}" for n in range(1000)))
    with pytest.raises(WrongState, match="too many"):
        await hold(store, parent, await queued(store, "others"))
    await store.redis.hset(key, "after", " ".join(f"x{n}" for n in range(999)))
    await hold(store, parent, await queued(store, "others"))


async def test_a_wait_is_in_the_history(store: Store) -> None:
    """Who gave the job back, and the receipt of the delivery, which does not count."""
    parent, child = await running(store), await queued(store, "others")
    wait(store, 3)
    receipt = Receipt(worker="w", delivery=1)
    await store.completer.wait(GROUP, parent.id, [child.id], "over", parent.lease or "", receipt, "ann")
    history = await store.jobs.history(GROUP, parent.id)
    assert [(event.what, event.to) for event in history.events] == [
        ("created", "queued"),
        ("taken", "running"),
        ("waited", "delayed"),
    ]
    last = history.events[-1]
    assert (last.at, last.by, last.delivery) == (clock(store), "ann", 1)
    assert last.receipt is not None
    assert last.receipt.outcome == "waited"
    assert history.is_whole


async def test_a_wait_without_a_receipt_is_in_the_history(store: Store) -> None:
    """It has none; that of the wait before it stays where it is."""
    parent = await running(store)
    for receipt in (Receipt(worker="w", delivery=1), None):
        child = await queued(store, "others")
        await store.completer.wait(GROUP, parent.id, [child.id], "over", parent.lease or "", receipt)
        await store.cancel("others", child.id)
        await settle(store)
        [parent] = await store.next(1, [GROUP])
    history = await store.jobs.history(GROUP, parent.id)
    waits = [event for event in history.events if event.what == "waited"]
    assert [event.receipt.worker if event.receipt else None for event in waits] == ["w", None]
    assert [event.to for event in waits] == ["delayed", "delayed"]


async def test_progress_is_that_of_its_delivery(store: Store) -> None:
    """How far the job was is not shown while it waits, nor of the next delivery."""
    parent, child = await running(store), await queued(store, "others")
    held = Held(group_name=GROUP, id=parent.id, lease=parent.lease, progress=40)
    await store.completer.touch([held])
    shown = await hold(store, parent, child)
    assert (shown.progress, shown.note) == (UNSET, UNSET)
    await end(store, child)
    await take(store)
    shown = await store.show(GROUP, parent.id)
    assert (shown.progress, shown.note) == (UNSET, UNSET)


async def test_a_job_that_waits_has_begun(store: Store) -> None:
    """F6 its start_before is met and gone; end_before counts while it waits."""
    job = await running(store, start_within=60, end_within=300, timeout=5)
    child = await queued(store, "others")
    held = await hold(store, job, child)
    assert (held.start_before, held.end_before) == (UNSET, job.end_before)
    await reap_after(store, 100)
    assert (await store.show(GROUP, job.id)).status == "delayed"
    await reap_after(store, 200)
    shown = await store.show(GROUP, job.id)
    assert (shown.status, shown.reason) == ("failed", "timeout")


async def test_a_job_that_waits_gives_its_place_free(store: Store) -> None:
    """With max_concurrency 1 its children can run in the same group."""
    await configure(store, max_concurrency=1)
    parent = await running(store)
    child = await enqueue(store, payload="child")
    assert await store.next(1, [GROUP]) == []
    await hold(store, parent, child)
    assert await names(store) == ["child"]


async def test_lost_deliveries_are_counted_without_waits(store: Store) -> None:
    """A job may wait as often as it likes under a delivery_limit, and its lost leases still count."""
    await configure(store, delivery_limit=2)
    job = await running(store, timeout=10)
    for _ in range(3):
        child = await queued(store, "others")
        await hold(store, job, child)
        await end(store, child)
        job = await take(store)
        assert job.deliveries == 1
    await reap_after(store, 10)
    job = await take(store)
    child = await queued(store, "others")
    assert (await hold(store, job, child)).deliveries == 1
    await end(store, child)
    await take(store)
    await reap_after(store, 10)
    assert (await store.show(GROUP, job.id)).status == "failed"


async def test_an_automatic_retry_continues_after_the_wait(store: Store) -> None:
    """A new job that repeats one that waited has its inputs and waits for nothing; so has the next try of a policy."""
    old = await running(store, max_retries=1, retries_delay=0)
    child = await queued(store, "others")
    await hold(store, old, child)
    await end(store, child, result="1")
    old = await take(store)
    await store.fail(GROUP, old.id, old.lease)
    retry = await take(store)
    assert (retry.id != old.id, retry.has_inputs) == (True, True)
    assert (await store.show(GROUP, retry.id)).after == [child.id]
    assert [bytes(one.result) for one in await store.jobs.inputs(GROUP, retry.id)] == [b"1"]


async def test_a_policy_waits_in_its_own_way(store: Store) -> None:
    """B14 a failure after the wait is forgiven as any other: the job is delayed, joins the end, and may wait again."""
    job = (await enqueue_flow(store, named("job", retry=Retry(max=2, delay=10, jitter=0))))[0]
    job, child = await take(store), await queued(store, "others")
    await hold(store, job, child)
    await end(store, child)
    job = await take(store)
    await store.fail(GROUP, job.id, job.lease)
    assert (await store.show(GROUP, job.id)).status == "delayed"
    await reap_after(store, 10)
    job, second = await take(store), await queued(store, "others")
    assert job.deliveries == 2
    await hold(store, job, second)
    await end(store, second)
    assert (await take(store)).id == job.id


@pytest.mark.parametrize("how", ["replace", "push", "follow", "refuse", "existing"])
async def test_a_waiting_job_keeps_its_key(store: Store, how: str) -> None:
    """E2 a holder in the middle of its work is not replaced: a later job follows it, or is answered with it."""
    [job] = await enqueue_flow(store, named("first", unique=Unique(key="k")))
    job, child = await take(store), await queued(store, "others")
    await hold(store, job, child)
    delay = {"delay": 5} if how == "push" else {}
    new = named("second", unique=Unique(key="k", on_conflict=how), **delay)
    if how == "refuse":
        with pytest.raises(Duplicate):
            await enqueue_flow(store, new)
    else:
        [made] = await enqueue_flow(store, new)
        assert (made.id == job.id) == (how == "existing")
    assert (await store.show(GROUP, job.id)).payload == "first"
    await end(store, child)
    assert (await take(store)).id == job.id


async def test_a_waiting_job_does_not_wait_for_its_follower(store: Store) -> None:
    """The follower of its key waits for it, so the circle is refused."""
    await enqueue_flow(store, named("first", unique=Unique(key="k")))
    job = await take(store)
    [follower] = await enqueue_flow(store, named("second", unique=Unique(key="k", on_conflict="follow")))
    with pytest.raises(WrongState, match=follower.id):
        await hold(store, job, follower)


async def test_a_waiting_job_can_be_cancelled(store: Store) -> None:
    """It stays cancelled when its children end, and the jobs that wait for it are cancelled too."""
    job = await running(store)
    [after] = await enqueue_flow(store, named("after", after=[job.id]))
    child = await queued(store, "others")
    await hold(store, job, child)
    await store.cancel(GROUP, job.id)
    await settle(store)
    await end(store, child)
    assert [(await store.show(GROUP, one.id)).status for one in (job, after)] == ["cancelled", "cancelled"]


async def test_a_flow_is_repaired_with_a_job_that_waited(store: Store) -> None:
    """A child that failed is retried with its dependants: the new job waits for the new child."""
    parent, child = await running(store), await queued(store, "others")
    await hold(store, parent, child, after_on="succeeded")
    await end(store, child, "failed")
    await settle(store)
    new_child, [others] = await store.jobs.retry_flow("others", child.id)
    assert others.retry_of == parent.id
    assert (await store.show(GROUP, others.id)).after == [new_child.id]
    await end(store, new_child, result="5")
    again = await take(store)
    assert (again.id, again.has_inputs) == (others.id, True)


async def test_a_job_may_be_waited_for_by_ten_thousand(store: Store) -> None:
    """Its next dependant is refused with 429, and the job that asked runs on."""
    child, parent = await queued(store, "others"), await running(store)
    dependants = {f"{GROUP} x{n}": 1 for n in range(10_000)}
    await store.redis.zadd(keys.after(store.partitions[0], child.id), dependants)
    with pytest.raises(LimitReached):
        await hold(store, parent, child)
    await store.redis.delete(keys.after(store.partitions[0], child.id))


async def test_a_waiting_job_is_exported(store: Store) -> None:
    """An export and its restore have the rank, what it waits for, and what it got."""
    parent, first = await running(store), await queued(store, "others")
    second = await queued(store, "others")
    await hold(store, parent, first, second)
    await end(store, first, result="1")
    await move(store)
    assert (await store.show(GROUP, parent.id)).waits_for == WaitsFor(jobs=1)
    later = await queued(store)
    await end(store, second, result="2")
    assert ids(await store.next(2, [GROUP])) == [parent.id, later.id]
    assert [bytes(one.result) for one in await store.jobs.inputs(GROUP, parent.id)] == [b"1", b"2"]


async def test_a_waiting_job_that_is_cancelled_keeps_its_deliveries(store: Store) -> None:
    """A job that lost a lease, waits for the success of another one and is cancelled with it was delivered once."""
    job = await running(store)
    await reap_after(store, 60)
    again = await take(store)
    [other] = await enqueue_flow(store, named("other"))
    await hold(store, again, other, after_on="succeeded")
    await end(store, other, "failed")
    found = await store.show(GROUP, job.id)
    assert (found.status, found.reason, found.deliveries) == ("cancelled", "dependency", 1)
