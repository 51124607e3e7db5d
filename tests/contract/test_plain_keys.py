"""What a store keeps whose clients use nothing but what the seed has: no key of a later feature."""

from broker.models.groups import GroupSettings
from tests.contract.building import GROUP, new, queued, reap_after, running, succeeded
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
