"""What a store keeps whose clients use nothing but what the seed has: no key of a later feature."""

from typing import Any

import pytest

from broker.models.batches import CallbackJob, NewBatch
from broker.models.groups import GroupSettings
from broker.models.jobs import Job
from broker.models.unique import Unique
from tests.contract.building import DAY_S, GROUP, new, queued, reap_after, running, succeeded
from tests.stores import Store

KINDS = {
    *("jobs", "job", "executions", "sequence", "groups", "ready", "due", "notices", "discarded", "rates", "answer"),
    *("group", "group:jobs", "group:delayed", "group:queued", "group:running"),
    *("group:succeeded", "group:failed", "group:cancelled"),
}
"""The keys of a partition, without the names of groups, jobs and Idempotency-Keys."""


async def kinds(store: Store) -> set[str]:
    """The kinds of all keys of the store."""
    found = set()
    async for key in store.redis.scan_iter(f"{store.settings.key_prefix}*", 1000):
        _, _, name = key.decode().partition("}:")
        if not name:
            continue  # what the store says of itself
        kind, _, rest = name.partition(":")
        found.add(f"{kind}:{rest.partition(':')[2]}" if kind == "group" and ":" in rest else kind)
    return found


async def test_plain_jobs_have_the_keys_that_they_always_had(store: Store) -> None:
    """Jobs in every status, with retries, lost leases, logs, and a group with the settings of the seed's time."""
    await store.configure(GROUP, GroupSettings(image="i", rate_limit=1000, max_concurrency=1000, delivery_limit=2))
    for fields in ({}, {"max_retries": 1, "retries_delay": 0}, {"delay": 5, "priority": 2}):
        await queued(store, **fields)
    await store.enqueue(GROUP, [new()], "key")
    failing = await running(store, max_retries=1, retries_delay=5)
    await store.fail(GROUP, failing.id, failing.lease, "bad_exit")
    done = await succeeded(store)
    await store.log(GROUP, done.id, 12)
    await store.retry(GROUP, done.id)
    await store.cancel(GROUP, (await running(store)).id)
    await reap_after(store, 3600)
    assert await store.next(10)
    await store.maintenance.settle(100)
    assert await kinds(store) <= KINDS


DEAD = "dead"
LASTING = {"sequence"}
"""What a store always keeps that once had a job: the number of the last one."""


async def use_every_feature(store: Store) -> None:
    """Batches with callbacks, inputs, waits, unique keys, deadlines and dead letters; every job has ended then."""
    await store.groups.configure(GROUP, GroupSettings(dead_letter_to=DEAD, start_within=DAY_S))
    callbacks: Any = {name: CallbackJob(image="x") for name in ("on_over", "on_failed", "on_succeeded")}
    first = await running(store)
    members = [new(), new(after=[first.id], unique=Unique(key="k")), new(payload="x" * 9000)]
    await store.batches.create(GROUP, NewBatch(jobs=members, end_within=DAY_S, **callbacks))
    part = await queued(store)
    await store.completer.wait(GROUP, first.id, [part.id], lease=first.lease or "")
    for number in range(20):
        for job in await store.next(10, [GROUP, DEAD]):
            await _end(store, job, is_failure=number == 0 and job.id != part.id)
        await store.maintenance.settle(100)
    assert len((await store.list(DEAD, 50))[0]) > 0


async def _end(store: Store, job: Job, *, is_failure: bool) -> None:
    if is_failure:
        await store.fail(job.group_name, job.id, job.lease, "bad_exit")
    else:
        await store.succeed(job.group_name, job.id, job.lease)


@pytest.mark.parametrize("by_hand", [True, False])
async def test_nothing_is_left_of_features_when_all_jobs_are_gone(store: Store, *, by_hand: bool) -> None:
    """Jobs that are removed, or whose retention has ended, take the keys of batches, inputs, waits and copies along."""
    await use_every_feature(store)
    assert {"batch", "inputs", "dead_letters", "modes"} <= await kinds(store)
    for group in (GROUP, DEAD) if by_hand else ():
        for job in (await store.list(group, 100))[0]:
            await store.remove(group, job.id)
    for _ in range(3):
        await reap_after(store, 60 * DAY_S)
        await store.maintenance.settle(100)
    for group in (GROUP, DEAD):
        await store.groups.delete_group(group)
    assert await kinds(store) <= LASTING
