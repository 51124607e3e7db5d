"""Keys, boosts and budgets of groups together with schedules, retries, dead letters and batches."""

import pytest

from broker.core.errors import LimitReached
from broker.diagnostics.consistency import check
from broker.models.batches import NewBatch
from broker.models.jobs import Job, NewJob
from broker.models.retries import Retry
from tests.contract.building import GROUP, configure, enqueue, names, reap_after
from tests.contract.flows import settle
from tests.contract.schedules import fire_next, history, made, put
from tests.stores import Store

ONE_STORE = pytest.mark.parametrize("backend", ["valkey"])


async def fail(store: Store, job: Job) -> None:
    await store.fail(job.group_name, job.id, job.lease, "bad_exit")


async def test_a_scheduled_job_has_a_key(store: Store) -> None:
    """It is held until a place of its key is free, and its schedule does not make another one meanwhile."""
    await configure(store, key_concurrency=1)
    await put(store, job={"key": "acme"})
    assert (await store.schedules.show(GROUP, "digest")).job.key == "acme"
    await enqueue(store, key="acme", payload="first")
    [fired] = await fire_next(store)
    assert (await store.show(GROUP, fired.job_id)).waits_for.key == "acme"
    [skipped] = await fire_next(store)
    assert (skipped.what, skipped.why) == ("skipped", "overlap")
    [first] = await store.next(1, [GROUP])
    await store.succeed(GROUP, first.id, first.lease)
    await settle(store)
    [second] = await store.next(1, [GROUP])
    assert second.id == fired.job_id
    assert await check(store) == []


@ONE_STORE
async def test_a_scheduled_job_takes_turns_and_has_its_lead(store: Store) -> None:
    """A fire has the place that an enqueue would have: the turn of its key, or the lead of its priority."""
    await store.order.set("fair")
    await configure(store, fair_keys=True)
    await put(store, job={"key": "s", "payload": "s"})
    await put(store, "plain", job={"payload": "-"})
    await store.enqueue(GROUP, [NewJob(image="post", key="a", payload="a")] * 4)
    await fire_next(store)
    assert sorted(await names(store, 3)) == ["-", "a", "s"]
    for name in ("digest", "plain"):
        await store.schedules.remove(GROUP, name)
    await configure(store, priority_boost=2)
    await put(store, "high", job={"priority": 1, "payload": "high"})
    assert await names(store, 99)
    for name in "bcdef":
        await enqueue(store, payload=name)
    await fire_next(store, "high")
    assert await names(store, 99) == ["b", "c", "d", "e", "high", "f"]
    assert await check(store) == []


@ONE_STORE
async def test_a_budget_skips_a_fire(store: Store) -> None:
    """A schedule of a group at its max_jobs skips the time and says why; dead letters and retries come all the same."""
    await configure(store, max_jobs=2, dead_letter_to="dead")
    await configure(store, "dead", max_jobs=1)
    await put(store, overlap="allow", job={"retry": Retry(max=1, delay=1, jitter=0)})
    for _ in range(3):
        await fire_next(store)
    assert await history(store) == ["fired", "fired", "limit"]
    for _ in range(2):
        for job in await store.next(2, [GROUP]):
            await fail(store, job)
        assert (await store.groups.show(GROUP)).counts.failed in {0, 2}
        await reap_after(store, 2)
    await settle(store)
    assert (await store.groups.show(GROUP)).counts.failed == 2
    assert (await store.groups.show("dead")).counts.queued == 2
    with pytest.raises(LimitReached):
        await enqueue(store, "dead")
    assert len(await made(store)) == 2
    assert await check(store) == []


@ONE_STORE
async def test_a_budget_counts_members_and_held_jobs(store: Store) -> None:
    """Members of a batch and jobs that are held for their key count; an automatic retry is no further one."""
    await configure(store, max_jobs=3, key_concurrency=1)
    job = NewJob(image="post", key="acme", max_retries=1, retries_delay=0)
    batch, _ = await store.batches.create(GROUP, NewBatch(jobs=[job] * 3, open=True))
    with pytest.raises(LimitReached):
        await store.batches.add(GROUP, batch.id, [job])
    [first] = await store.next(3, [GROUP])
    await fail(store, first)
    await settle(store)
    assert (await store.groups.show(GROUP)).counts.delayed == 2
    [again] = await store.next(3, [GROUP])
    assert again.retry_of == first.id
    await store.succeed(GROUP, again.id, again.lease)
    await settle(store)
    await store.batches.add(GROUP, batch.id, [NewJob(image="post", key="blue")])
    assert await check(store) == []


@ONE_STORE
async def test_limits_of_keys_while_groups_take_turns(store: Store) -> None:
    """A group whose keys are all at their limit has no turn; with the first free place it joins behind the others."""
    await store.order.set("fair")
    await configure(store, key_concurrency=1)
    await store.enqueue(GROUP, [NewJob(image="post", key="acme")] * 3)
    await store.enqueue("other", [NewJob(image="post")] * 6)
    taken = await store.next(4)
    assert [job.group_name for job in taken] == [GROUP, "other", "other", "other"]
    await store.succeed(GROUP, taken[0].id, taken[0].lease)
    await settle(store)
    assert [job.group_name for job in await store.next(3)] == ["other", GROUP, "other"]
    assert await check(store) == []


@ONE_STORE
@pytest.mark.parametrize("how", ["cancelled", "removed", "expired"])
async def test_keys_of_jobs_that_go(store: Store, how: str) -> None:
    """Whatever becomes of a job, nothing of its key is left that would keep others waiting."""
    await configure(store, key_concurrency=1)
    first, second = [await enqueue(store, key="acme", payload=name) for name in "ab"]
    if how == "expired":
        await store.enqueue(GROUP, [NewJob(image="post", key="acme", payload="late", start_within=1)])
        await reap_after(store, 2)
    await store.cancel(GROUP, first.id)
    await settle(store)
    if how == "removed":
        await store.remove(GROUP, first.id)
    assert await names(store, 9) == ["b"]
    [running] = [job for job in await made(store) if job.status == "running"]
    assert running.id == second.id
    await store.succeed(GROUP, running.id, running.lease)
    await settle(store)
    assert (await store.lanes.list(GROUP, 9)).keys == []
    assert await check(store) == []
