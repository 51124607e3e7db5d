"""While somebody waits for jobs of some images, `wake` names a group for every job that comes into its queue."""

from collections.abc import Awaitable, Callable

import pytest

from broker.diagnostics.consistency import check
from broker.models.jobs import Job
from broker.resp import keys
from tests.contract.building import GROUP, cancelled, delayed, enqueue, queued, reap_after, running
from tests.contract.flows import enqueue_flow, named
from tests.contract.listening import Heard
from tests.stores import Store

Bring = Callable[[Store], Awaitable[Job]]
Act = Callable[[Store, Job], Awaitable[object]]


async def _retried_at_once(store: Store) -> Job:
    return await running(store, max_retries=1, retries_delay=0)


async def _retried_later(store: Store) -> Job:
    return await running(store, max_retries=1, retries_delay=1)


async def _release_later(store: Store, job: Job) -> None:
    await store.release(GROUP, job.id, job.lease or "", delay=1)


async def _held_for_nobody(store: Store) -> Job:
    parent = await running(store)
    [child] = await enqueue_flow(store, named("child", after=[parent.id]))
    await store.redis.delete(keys.after(store.partitions[0], parent.id))
    return child


WAYS: dict[str, tuple[Bring, Act, int]] = {
    "enqueued": (queued, lambda store, _: queued(store), 1),
    "released": (running, lambda store, job: store.release(GROUP, job.id, job.lease or ""), 1),
    "lost": (running, lambda store, _: reap_after(store, 60), 1),
    "due": (delayed, lambda store, _: reap_after(store, 30), 1),
    "retried by hand": (cancelled, lambda store, job: store.retry(GROUP, job.id), 1),
    "failed": (_retried_at_once, lambda store, job: store.fail(GROUP, job.id, job.lease or ""), 1),
    "repaired by check": (_held_for_nobody, lambda store, _: check(store, is_repair=True), 1),
    "failed, to be retried later": (_retried_later, lambda store, job: store.fail(GROUP, job.id, job.lease or ""), 0),
    "released for later": (running, _release_later, 0),
    "enqueued for later": (queued, lambda store, _: delayed(store), 0),
}
"""The state of a job, what happens to it, and how often that is published."""


@pytest.mark.parametrize("is_awaited", [True, False])
@pytest.mark.parametrize("way", WAYS)
async def test_wake_for_every_job(store: Store, woken: Heard, way: str, is_awaited: bool) -> None:
    """A group that was ready before is named for each job that joins its queue, while somebody waits and only then."""
    bring, act, times = WAYS[way]
    job = await bring(store)
    await enqueue(store, image="other")
    if is_awaited:
        assert await store.next(1, images=["none of these"], waits=True) == []
    await woken()
    await act(store, job)
    assert await woken() == [GROUP] * (times if is_awaited else 0)
