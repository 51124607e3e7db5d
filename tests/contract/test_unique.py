"""Unique keys: which job holds one, how long, and what becomes of another job with the key."""

import asyncio

import msgspec
import pytest
from redis.asyncio import Redis

from broker.core.errors import Duplicate, NotFound
from broker.core.settings import BrokerSettings
from broker.diagnostics.consistency import check
from broker.models.batches import NewBatch
from broker.models.groups import Retentions
from broker.models.jobs import Job, NewJob
from broker.models.retries import Retry
from broker.models.unique import Unique
from broker.resp import keys
from tests.contract.building import GROUP, configure, ids, names, now_ms, reap_after, status_of, wait
from tests.contract.flows import keyed, named, settle
from tests.stores import Store


async def enqueue(store: Store, *jobs: NewJob, group: str = GROUP) -> Job:
    """The last of these jobs, enqueued one by one."""
    [*_, last] = [(await store.enqueue(group, [job])).jobs[0] for job in jobs]
    return last


async def take(store: Store) -> Job:
    """The next job."""
    [job] = await store.next(1)
    return job


async def test_existing_gives_the_holder(store: Store) -> None:
    """The second job is not made: the answer is the holder as it is, marked as a duplicate."""
    first = await enqueue(store, keyed("first"))
    second = await enqueue(store, keyed("second", delay=9))
    assert (second.id, second.payload, second.status, second.duplicate) == (first.id, "first", "queued", True)
    assert first.unique == Unique(key="doc-7")
    assert not first.duplicate
    assert await names(store, 10) == ["first"]


async def test_a_key_is_of_its_group(store: Store) -> None:
    """Other keys, and the same key in another group, do not meet."""
    await enqueue(store, keyed("a"), keyed("b", key="doc-8"))
    await enqueue(store, keyed("c"), group="notes")
    assert sorted(await names(store, 10)) == ["a", "b", "c"]


async def test_a_call_with_a_duplicate_makes_its_other_jobs(store: Store) -> None:
    """The answer has each job in its place, also two jobs of the call with one key."""
    first = await enqueue(store, keyed("first"))
    jobs = (await store.enqueue(GROUP, [named("x"), keyed("y"), keyed("z", key="k"), keyed("zz", key="k")])).jobs
    assert [job.payload for job in jobs] == ["x", "first", "z", "z"]
    assert jobs[1].id == first.id
    assert jobs[2].id == jobs[3].id
    assert sorted(await names(store, 10)) == ["first", "x", "z"]


async def test_refuse_makes_nothing(store: Store) -> None:
    """409 duplicate names the key, the holder and the place in the call, and nothing of the call is made."""
    first = await enqueue(store, keyed("first"))
    with pytest.raises(Duplicate, match=rf"^The job {first.id} holds the key doc-7\.$") as held:
        await store.enqueue(GROUP, [named("z", after=["x"]), named("x", ref="x"), keyed("second", "refuse")])
    with pytest.raises(Duplicate, match=r"^Two jobs of the call have the key new\.$") as taken:
        await store.enqueue(GROUP, [keyed("a", "refuse", key="new"), keyed("b", "refuse", key="new")])
    with pytest.raises(Duplicate) as in_batch:
        await store.batches.create(GROUP, NewBatch(jobs=[keyed("second", "refuse")]))
    fields = [refused.value.fields for refused in (held, taken, in_batch)]
    assert fields == ["jobs[2].unique.key", "jobs[1].unique.key", "batch.jobs[0].unique.key"]
    assert await names(store, 10) == ["first"]


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled", "dead", "deleted"])
@pytest.mark.parametrize("is_settled", [False, True])
async def test_e1_a_key_is_free_after_the_end_of_its_job(store: Store, end: str, *, is_settled: bool) -> None:
    """E1 however a job ends, the next one with its key is made, before and after the settlement."""
    await configure(store, delivery_limit=1)
    first = await enqueue(store, keyed("first"))
    if end == "cancelled":
        await store.cancel(GROUP, first.id)
    elif end == "dead":
        await take(store)
        await reap_after(store, 60)
    else:
        first = await take(store)
        await (store.fail if end == "failed" else store.succeed)(GROUP, first.id, first.lease)
        if end == "deleted":
            await store.remove(GROUP, first.id)
    if is_settled:
        await settle(store)
        assert not await store.redis.exists(keys.unique(store.partitions[0], GROUP))
    assert not (await enqueue(store, keyed("second"))).duplicate
    assert await names(store) == ["second"]
    assert (await enqueue(store, keyed("third"))).duplicate


async def test_e2_a_failure_that_is_retried_keeps_the_key(store: Store) -> None:
    """E2 the automatic retry holds the key, and its end frees it."""
    await enqueue(store, keyed("first", max_retries=1, retries_delay=5))
    first = await take(store)
    await store.fail(GROUP, first.id, first.lease)
    await settle(store)
    duplicate = await enqueue(store, keyed("second"))
    assert (duplicate.retry_of, duplicate.status) == (first.id, "delayed")
    await reap_after(store, 5)
    retry = await take(store)
    await store.fail(GROUP, retry.id, retry.lease)
    assert (await store.unique_keys.list(GROUP, 9))[0] == []


async def test_a_retry_that_is_replaced_stays_one(store: Store) -> None:
    """It says which job it retries, and its end frees the key."""
    await enqueue(store, keyed("first", max_retries=1, retries_delay=0))
    first = await take(store)
    await store.fail(GROUP, first.id, first.lease)
    await enqueue(store, keyed("second", "replace", timeout=7))
    retry = await take(store)
    assert (retry.payload, retry.retry_of, retry.timeout) == ("second", first.id, 7)
    await store.succeed(GROUP, retry.id, retry.lease)
    await settle(store)
    assert not await store.redis.exists(keys.unique(store.partitions[0], GROUP))


async def test_e3_the_settlement_of_an_old_job_leaves_the_key_of_a_new_one(store: Store) -> None:
    """E3 what an old job leaves behind never frees the key of its successor."""
    await enqueue(store, keyed("first"))
    first = await take(store)
    await store.succeed(GROUP, first.id, first.lease)
    second = await enqueue(store, keyed("second"))
    assert await check(store) == []
    await settle(store)
    await store.remove(GROUP, first.id)
    assert (await enqueue(store, keyed("third"))).id == second.id


async def test_e4_a_key_without_a_job_is_free(store: Store) -> None:
    """E4 a key whose job is gone, as after a loss of data, blocks nobody."""
    p = store.partitions[0]
    await store.redis.hset(keys.unique(p, GROUP), "doc-7", "VbpLuuIC3BdKEe89 - 0")
    assert not (await enqueue(store, keyed("first"))).duplicate


@pytest.mark.parametrize("ended", [False, True])
async def test_e7_a_window_counts_from_the_first_job(store: Store, *, ended: bool) -> None:
    """E7 a throttle: for its time the key is held, whether the job has ended or not; then it is free."""
    first = await enqueue(store, keyed("first", for_=60))
    if ended:
        job = await take(store)
        await store.succeed(GROUP, job.id, job.lease)
        await settle(store)
    wait(store, 59.999)
    duplicate = await enqueue(store, keyed("second", for_=60))
    assert (duplicate.id, duplicate.duplicate) == (first.id, True)
    wait(store, 0.001)
    assert not (await enqueue(store, keyed("third", for_=60))).duplicate


async def test_e7_a_window_outlives_the_retention(store: Store) -> None:
    """E7 a job whose retention ends within its window stays as long, so that the key is held; then both go."""
    await configure(store, retention=Retentions(succeeded=10, failed=10, cancelled=10))
    ends, due = now_ms(store) + 60_000, keys.due(store.partitions[0])
    first = await enqueue(store, keyed("first", for_=60))
    plain = await enqueue(store, named("plain"))
    for _ in range(2):
        job = await take(store)
        await store.succeed(GROUP, job.id, job.lease)
    await settle(store)
    await reap_after(store, 59.999)
    assert (await enqueue(store, keyed("second", for_=60))).id == first.id
    with pytest.raises(NotFound):
        await store.show(GROUP, plain.id)
    assert await store.redis.zscore(due, f"succeeded:{GROUP}") == ends  # until then nobody looks at it again
    await reap_after(store, 0.001)
    with pytest.raises(NotFound):
        await store.show(GROUP, first.id)


async def test_e5_a_window_that_ended_leaves_nothing(store: Store) -> None:
    """E5 the reaper deletes what is kept of a window after its end."""
    await enqueue(store, keyed("first", for_=60))
    job = await take(store)
    await store.succeed(GROUP, job.id, job.lease)
    await settle(store)
    p = store.partitions[0]
    assert await store.redis.hlen(keys.unique(p, GROUP)) == 1
    await reap_after(store, 60)
    assert await store.redis.exists(keys.unique(p, GROUP), keys.windows(p, GROUP)) == 0


@pytest.mark.parametrize("policy", ["refuse", "replace", "push", "follow"])
async def test_every_policy_answers_with_a_holder_that_has_ended_in_its_window(store: Store, policy: str) -> None:
    """Within its window a job that has ended is the answer of each policy."""
    first = await enqueue(store, keyed("first", for_=60))
    job = await take(store)
    await store.succeed(GROUP, job.id, job.lease)
    await settle(store)
    second = await enqueue(store, keyed("second", policy, for_=60, delay=5))
    assert (second.id, second.status, second.duplicate) == (first.id, "succeeded", True)


@pytest.mark.parametrize("priorities", [(0, 2), (2, 0)])
async def test_jobs_on_both_sides_of_a_duplicate_are_served_by_priority(
    store: Store, priorities: tuple[int, int]
) -> None:
    """The group has the place of the more urgent one, also when no other group is before it."""
    await enqueue(store, keyed("first"))
    await take(store)
    first, last = (named(str(priority), priority=priority) for priority in priorities)
    await store.enqueue(GROUP, [first, keyed("duplicate"), last])
    await store.enqueue("others", [named("between", priority=1)])
    assert await names(store, 3) == ["2", "between", "0"]


async def test_replace_of_a_retry(store: Store) -> None:
    """The holder repeats the same job as before, has the settings of the new one, and frees the key at its end."""
    first = await enqueue(store, keyed("first"))
    job = await take(store)
    await store.fail(GROUP, job.id, job.lease, "bad_exit")
    await settle(store)
    retry = await store.retry(GROUP, first.id)
    replaced = await enqueue(store, keyed("second", "replace", timeout=7, priority=2))
    assert (replaced.id, replaced.retry_of) == (retry.id, first.id)
    assert (replaced.payload, replaced.timeout, replaced.priority) == ("second", 7, 2)
    job = await take(store)
    await store.succeed(GROUP, job.id, job.lease)
    await settle(store)
    assert (await store.unique_keys.list(GROUP, 9))[0] == []


async def test_a_call_that_waits_for_a_follower_that_it_replaces(store: Store) -> None:
    """The follower has ended when the next job of the call is made: that job, which waits for its end, is queued."""
    await enqueue(store, keyed("holder"))
    await take(store)
    follower = await enqueue(store, keyed("follower", "follow"))
    other = keyed("second", "follow")
    child = named("child", after=[follower.id], after_on="over")
    made = (await store.enqueue(GROUP, [other, child])).jobs
    assert await status_of(store, follower) == "cancelled"
    assert [job.status for job in made] == ["delayed", "queued"]
    assert await names(store) == ["child"]


async def test_until_started_frees_the_key_with_the_delivery(store: Store) -> None:
    """A running job does not hold such a key; a second job waits in the queue then."""
    first = await enqueue(store, keyed("first", until="started"))
    assert (await enqueue(store, keyed("second", until="started"))).id == first.id
    job = await take(store)
    second = await enqueue(store, keyed("third", until="started"))
    assert not second.duplicate
    await store.succeed(GROUP, job.id, job.lease)
    await settle(store)
    assert (await enqueue(store, keyed("fourth", until="started"))).id == second.id


async def test_replace_gives_the_holder_what_is_new(store: Store) -> None:
    """Payload, image, priority and settings of a holder that does not run; its id and its creation stay."""
    first = await enqueue(store, keyed("first"))
    other = await enqueue(store, named("other", priority=1))
    wait(store, 5)
    second = await enqueue(store, keyed("second", "replace", priority=2, timeout=7))
    assert (second.id, second.payload, second.priority, second.timeout) == (first.id, "second", 2, 7)
    assert (second.created_at, second.duplicate) == (first.created_at, True)
    assert ids(await store.next(2)) == [first.id, other.id]


async def test_a_job_of_the_call_may_wait_for_the_one_that_it_replaces(store: Store) -> None:
    """Also when another one waits for that already: what is new stays."""
    first = await enqueue(store, keyed("first"))
    jobs = [named("a", after=[first.id]), keyed("second", "replace"), named("b", after=[first.id])]
    assert [job.id == first.id for job in (await store.enqueue(GROUP, jobs)).jobs] == [False, True, False]
    job = await take(store)
    assert job.payload == "second"
    await store.succeed(GROUP, job.id, job.lease)
    await settle(store)
    assert sorted(await names(store, 9)) == ["a", "b"]


async def test_a_new_group_whose_first_call_replaces_a_job_is_known(store: Store) -> None:
    """Also when that one has the key of a lane, which makes the group ready before the end of the call."""
    await store.enqueue(GROUP, [named("a"), keyed("first", key="lane", delay=2), keyed("second", "replace", delay=2)])
    assert (await store.groups.show(GROUP)).counts.queued == 1


async def test_a_job_that_is_replaced_in_its_own_call_has_the_place_of_the_new_priority(store: Store) -> None:
    """Its group too, which goes behind a group whose job came before."""
    [other] = (await store.enqueue("other", [named("other")])).jobs
    [first, _] = (await store.enqueue(GROUP, [keyed("first", priority=2), keyed("second", "replace")])).jobs
    assert await check(store) == []
    assert ids(await store.next(2)) == [other.id, first.id]


@pytest.mark.parametrize("policy", ["replace", "push", "follow"])
async def test_a_running_holder_is_followed(store: Store, policy: str) -> None:
    """A running job cannot be replaced: the new one waits for its end, whatever it is."""
    await enqueue(store, keyed("first"))
    first = await take(store)
    second = await enqueue(store, keyed("second", policy, delay=5 if policy == "push" else 0))
    assert (second.status, second.waits_for.jobs) == ("delayed", 1)
    await store.fail(GROUP, first.id, first.lease)
    await settle(store)
    await reap_after(store, 5)
    assert await names(store) == ["second"]


async def test_follow_keeps_the_last(store: Store) -> None:
    """E14 at most one runs and one waits: earlier followers are cancelled, reason `replaced`."""
    await enqueue(store, keyed("1", "follow"))
    first = await take(store)
    second, third = [await enqueue(store, keyed(n, "follow")) for n in ("2", "3")]
    kept = await store.show(GROUP, second.id)
    assert (kept.status, kept.reason) == ("cancelled", "replaced")
    assert third.id in kept.error
    await store.succeed(GROUP, first.id, first.lease)
    fourth = await enqueue(store, keyed("4", "follow"))
    await settle(store)
    assert await names(store, 10) == ["3"]
    assert await status_of(store, fourth) == "delayed"
    third = await store.show(GROUP, third.id)
    await store.succeed(GROUP, third.id)
    await settle(store)
    assert await names(store, 10) == ["4"]


async def test_a_job_of_the_call_may_wait_for_the_follower_that_it_replaces(store: Store) -> None:
    """That follower has ended then, so what waits for any end of it is queued at once."""
    await enqueue(store, keyed("1", "follow"))
    await take(store)
    second = await enqueue(store, keyed("2", "follow"))
    new = [keyed("3", "follow"), named("behind", after=[second.id], after_on="over")]
    assert [job.status for job in (await store.enqueue(GROUP, new)).jobs] == ["delayed", "queued"]
    assert await names(store, 10) == ["behind"]


async def test_a_follower_that_is_cancelled_leaves_the_key_to_the_holder(store: Store) -> None:
    """The holder stays the holder, and the key is free after its end."""
    await enqueue(store, keyed("1", "follow"))
    first = await take(store)
    second = await enqueue(store, keyed("2", "follow"))
    await store.cancel(GROUP, second.id)
    await settle(store)
    assert (await enqueue(store, keyed("x"))).id == first.id
    await store.succeed(GROUP, first.id, first.lease)
    await settle(store)
    assert not await store.redis.exists(keys.unique(store.partitions[0], GROUP))


async def test_a_follower_waits_for_the_retries_of_the_holder(store: Store) -> None:
    """The end of a holder that is retried automatically is not the end: its retry is followed."""
    await enqueue(store, keyed("1", "follow", max_retries=1, retries_delay=0))
    first = await take(store)
    second = await enqueue(store, keyed("2", "follow"))
    await store.fail(GROUP, first.id, first.lease)
    await settle(store)
    retry = await take(store)
    assert await status_of(store, second) == "delayed"
    await store.succeed(GROUP, retry.id, retry.lease)
    await settle(store)
    assert await names(store) == ["2"]


async def test_push_is_a_debounce(store: Store) -> None:
    """Each push begins the delay again; the last payload runs once."""
    for n in range(5):
        job = await enqueue(store, keyed(str(n), "push", delay=5, max_wait=60))
        await reap_after(store, 4)
    assert job.payload == "4"
    assert await store.next(1) == []
    await reap_after(store, 1)
    assert await names(store, 10) == ["4"]


async def test_e9_a_push_never_passes_max_wait(store: Store) -> None:
    """E9 E10 pushed again and again a job still runs once max_wait has passed since its creation, not later."""
    for n in range(5):
        await enqueue(store, keyed(str(n), "push", delay=5, max_wait=20))
        wait(store, 4)
        if n < 4:
            assert (await store.reap(100)).queued == 0
    assert (await store.reap(100)).queued == 1
    assert await names(store) == ["4"]


async def test_e11_max_wait_begins_again_with_the_next_burst(store: Store) -> None:
    """E11 the limit of one burst is not that of the next; without max_wait it is ten delays."""
    for n in range(30):
        await enqueue(store, keyed(str(n), "push", delay=2))
        await reap_after(store, 1)
    [first] = await store.next(10)
    await store.succeed(GROUP, first.id, first.lease)
    await settle(store)
    second = await enqueue(store, keyed("next", "push", delay=2))
    assert second.status == "delayed"
    await reap_after(store, 1.999)
    assert await status_of(store, second) == "delayed"


async def test_e12_nothing_limits_the_number_of_keys(store: Store) -> None:
    """E12 a call takes as many keys as jobs, and each is held."""
    jobs = [keyed(str(n), key=f"k{n}") for n in range(300)]
    first = (await store.enqueue(GROUP, jobs)).jobs
    second = (await store.enqueue(GROUP, jobs)).jobs
    assert ids(second) == ids(first)
    assert all(job.duplicate for job in second)


async def test_e13_of_many_at_once_one_is_made(store: Store) -> None:
    """E13 a hundred producers at once make one job."""
    made = await asyncio.gather(*(store.enqueue(GROUP, [keyed(str(n))]) for n in range(100)))
    assert len({one.jobs[0].id for one in made}) == 1
    assert sum(not one.jobs[0].duplicate for one in made) == 1


async def test_a_retry_by_hand_is_refused_while_another_job_holds_the_key(store: Store) -> None:
    """409 duplicate; once the key is free the retry holds it."""
    first = await enqueue(store, keyed("first"))
    await store.cancel(GROUP, first.id)
    second = await enqueue(store, keyed("second"))
    with pytest.raises(Duplicate, match=second.id):
        await store.retry(GROUP, first.id)
    await store.cancel(GROUP, second.id)
    retry = await store.retry(GROUP, first.id)
    assert (await enqueue(store, keyed("third"))).id == retry.id
    await settle(store)
    assert (await enqueue(store, keyed("fourth"))).id == retry.id


async def test_a_retry_by_hand_has_no_dependants_of_the_old_job(store: Store) -> None:
    """Those were settled with the old job; its own fields about `after` are not those of the retry."""
    first = await enqueue(store, named("first"))
    await store.cancel(GROUP, first.id)
    retry = await store.retry(GROUP, first.id)
    assert (retry.status, retry.after) == ("queued", first.after)


async def test_a_dependant_of_a_duplicate_waits_for_the_holder(store: Store) -> None:
    """A ref of a job that is not made stands for the job that has its key."""
    holder = await enqueue(store, keyed("holder"))
    one, two = (await store.enqueue(GROUP, [keyed("x", ref="x"), named("child", after=["x"])])).jobs
    assert (one.id, two.after) == (holder.id, [holder.id])
    job = await take(store)
    await store.succeed(GROUP, job.id, job.lease)
    await settle(store)
    assert await names(store) == ["child"]


async def test_e1_retention_zero_frees_the_key(store: Store) -> None:
    """E1 a job that is deleted at once after its end leaves no key."""
    await configure(store, retention=Retentions(succeeded=0, failed=0, cancelled=0))
    await enqueue(store, keyed("first"))
    job = await take(store)
    await store.succeed(GROUP, job.id, job.lease)
    await settle(store)
    await reap_after(store, 1)
    assert not (await enqueue(store, keyed("second"))).duplicate


async def test_a_repeat_with_an_idempotency_key_wins(store: Store) -> None:
    """A repeat of the call gets its first answer, though the key is free meanwhile."""
    jobs = [keyed("first")]
    first = (await store.enqueue(GROUP, jobs, "call")).jobs
    job = await take(store)
    await store.succeed(GROUP, job.id, job.lease)
    await settle(store)
    again = await store.enqueue(GROUP, jobs, "call")
    assert again.is_replayed
    assert again.jobs == first


async def test_a_retry_has_no_key_that_ended_with_the_delivery(store: Store) -> None:
    """With until started the delivery freed the key, so the automatic retry does not hold it."""
    await enqueue(store, keyed("first", until="started", max_retries=1))
    job = await take(store)
    await store.fail(GROUP, job.id, job.lease)
    assert not (await enqueue(store, keyed("second", until="started"))).duplicate


async def test_a_follower_may_wait_for_the_holder_too(store: Store) -> None:
    """A job that follows the holder of its key and names it in after waits for it once, and for its success."""
    first = await enqueue(store, keyed("first"))
    second = await enqueue(store, keyed("second", "follow", after=[first.id]))
    assert second.waits_for.jobs == 1
    job = await take(store)
    await store.fail(GROUP, job.id, job.lease)
    await settle(store)
    assert (await store.show(GROUP, second.id)).reason == "dependency"


async def test_a_staged_payload_replaces_the_old_one(store: Store, way: str) -> None:
    """Also where the specs of a call are sent before the script, and nothing of them stays."""
    large = "x" * 5000
    first = await enqueue(store, keyed(large))
    assert await store.redis.ttl(keys.job(store.partitions[0], first.id)) == -1  # what is staged would expire
    second = await enqueue(store, keyed("y" * 6000, "replace"))
    assert (second.id, second.payload) == (first.id, "y" * 6000)
    assert (await enqueue(store, keyed("short", "replace"))).payload == "short"
    assert (await enqueue(store, keyed("z" * 5000))).payload == "short"
    assert await names(store, 10) == ["short"]


async def test_e2_a_failure_that_a_policy_forgives_keeps_the_key(store: Store) -> None:
    """E2 a job that waits for its next try holds its key."""
    first = await enqueue(store, keyed("first", retry=Retry(max=1, delay=5, jitter=0)))
    job = await take(store)
    await store.fail(GROUP, job.id, job.lease)
    await settle(store)
    duplicate = await enqueue(store, keyed("second", "push", delay=60))
    assert (duplicate.id, duplicate.duplicate) == (first.id, True)
    await reap_after(store, 5)
    job = await take(store)
    assert (job.id, job.payload) == (first.id, "second")
    await store.fail(GROUP, job.id, job.lease)
    assert (await store.unique_keys.list(GROUP, 9))[0] == []


async def test_e6_a_window_that_ended_holds_no_key_though_its_job_waits(store: Store) -> None:
    """E6 E8 a second job is made then; that both are due later refuses neither, and stops no other job."""
    first = await enqueue(store, keyed("first", for_=5, delay=60))
    wait(store, 5)
    second = await enqueue(store, keyed("second", for_=100, delay=55))
    other = await enqueue(store, named("other", delay=55))
    assert not second.duplicate
    await reap_after(store, 55)
    assert {await status_of(store, job) for job in (first, second, other)} == {"queued"}
    assert (await enqueue(store, keyed("third", "refuse", for_=5, key="free"))).status == "queued"
    assert (await enqueue(store, keyed("fourth"))).id == second.id


async def test_a_delivery_that_is_released_leaves_the_key_to_another_job(store: Store) -> None:
    """A key until the delivery is free with it: whether another job took it meanwhile or not, nothing is wrong then."""
    first = await enqueue(store, keyed("first", until="started"))
    running = await take(store)
    await enqueue(store, keyed("second", until="started"))
    await store.release(GROUP, first.id, running.lease)
    assert await check(store) == []

    [second] = (await store.list(GROUP, 10, statuses=["queued"]))[0][:1]
    await store.cancel(GROUP, second.id)
    await settle(store)
    assert await check(store) == []


async def test_a_replacement_without_counted_bytes_leaves_no_sum(
    store: Store, redis: Redis, settings: BrokerSettings, backend: str
) -> None:
    """A broker without a limit of bytes replaces a job that one with a limit made: the group has no bytes then."""
    limited = Store(redis, msgspec.structs.replace(settings, max_group_bytes=1000), is_plain=backend == "fake")
    limited.now = store.now
    await enqueue(limited, keyed("first"))
    await enqueue(store, keyed("second", "replace"))
    assert not await redis.exists(f"{store.partitions[0]}:bytes")
    assert await check(store) == []


@pytest.mark.parametrize("how", ["alone", "bulk"])
async def test_deleting_a_holder_settles_it_first(store: Store, how: str) -> None:
    """Also where many jobs are deleted at once: a job that is deleted is gone, and its key free."""
    job = await enqueue(store, keyed("first"))
    await store.cancel(GROUP, job.id)
    if how == "alone":
        await store.remove(GROUP, job.id)
    else:
        assert (await store.bulks.act("delete", GROUP, [job.id], "ann")).outcomes == [None]
    with pytest.raises(NotFound):
        await store.show(GROUP, job.id)
    assert await check(store) == []
