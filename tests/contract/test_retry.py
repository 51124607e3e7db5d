"""Retries: the automatic one of a failed job, and the one by hand."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from broker.core.errors import WrongState
from broker.models.jobs import Job
from broker.resp import keys
from broker.store.format.record import parts_of, split
from tests.contract.building import (
    GROUP,
    cancelled,
    clock,
    configure,
    dump,
    failed,
    ids,
    names,
    queued,
    reap_after,
    running,
    shown,
    succeeded,
    wait,
)
from tests.stores import Store

KEPT = {"image": "post", "payload": "dear ü", "timeout": 7, "priority": 2, "retries_delay": 9}
"""What every retry keeps of the old job."""

by_hand = pytest.mark.parametrize("bring", [succeeded, failed, cancelled])
Bring = Callable[..., Awaitable[Job]]


def kept(job: Job) -> dict[str, object]:
    return {name: getattr(job, name) for name in KEPT}


async def test_fail_retries(store: Store) -> None:
    """A failure with retries left makes a new job with one less, and a delay; each names the other."""
    job = await running(store, **KEPT, max_retries=3)
    wait(store, 4)
    old = await store.fail(GROUP, job.id, job.lease)
    new = await store.show(GROUP, str(old.retry_at))
    assert (new.status, new.max_retries, new.delay, new.created_at) == ("delayed", 2, 9, clock(store))
    assert (new.retry_of, new.retry_at, new.deliveries) == (old.id, job.retry_at, 0)
    assert shown(new, "started_at", "completed_at", "reason") == []
    assert kept(new) == kept(old) == KEPT
    assert (old.status, old.max_retries) == ("failed", 3)


async def test_fail_retry_waits_for_its_delay(store: Store) -> None:
    """The retry is dispatched when retries_delay ends, not sooner."""
    job = await running(store, max_retries=1, retries_delay=9)
    retry = (await store.fail(GROUP, job.id, job.lease)).retry_at
    await reap_after(store, 8.999)
    assert await store.next(1) == []
    await reap_after(store, 0.001)
    assert ids(await store.next(1)) == [retry]


async def test_fail_retry_after_a_second(store: Store) -> None:
    """The shortest delay is one as well."""
    job = await running(store, max_retries=1, retries_delay=1)
    retry = await store.show(GROUP, str((await store.fail(GROUP, job.id, job.lease)).retry_at))
    assert (retry.status, retry.delay) == ("delayed", 1)
    await reap_after(store, 0.999)
    assert await store.next(1) == []
    await reap_after(store, 0.001)
    assert ids(await store.next(1)) == [retry.id]


async def test_retry_keeps_no_defaults(store: Store) -> None:
    """Of a bare job's retry nothing is kept but what makes it a job: what is the default takes no room."""
    retry = await store.retry(GROUP, (await cancelled(store)).id)
    [p] = store.partitions
    head, inside = split(await store.redis.hget(keys.jobs(p), retry.id))
    assert msgspec.json.decode(parts_of(head).settings) == {"retry_of": retry.retry_of}
    assert inside == b'"image":"post"'
    assert not await store.redis.exists(keys.job(p, retry.id))


async def test_fail_retry_without_a_delay(store: Store) -> None:
    """With retries_delay 0 the retry is at the end of its priority at once."""
    job = await running(store, payload="retry", max_retries=1, retries_delay=0)
    await queued(store, payload="before")
    await queued(store, payload="high", priority=1)
    await store.fail(GROUP, job.id, job.lease)
    await queued(store, payload="behind")
    assert await names(store, 5) == ["high", "before", "retry", "behind"]


async def test_fail_retries_default_delay(store: Store) -> None:
    """Where no retries_delay was given the retry waits for a minute."""
    job = await running(store, max_retries=1)
    retry = await store.show(GROUP, str((await store.fail(GROUP, job.id, job.lease)).retry_at))
    assert (retry.delay, retry.retries_delay) == (60, 60)


@pytest.mark.parametrize("max_retries", [0, 1, 3])
async def test_fail_runs(store: Store, max_retries: int) -> None:
    """A job that always fails runs max_retries + 1 times, despite lost and released deliveries."""
    await queued(store, max_retries=max_retries, retries_delay=5, timeout=10)
    runs = 0
    while jobs := await store.next(1):
        await store.release(GROUP, jobs[0].id, jobs[0].lease)
        await store.next(1)
        await reap_after(store, 10)
        [job] = await store.next(1)
        runs += 1
        last = await store.fail(GROUP, job.id, job.lease)
        assert last.max_retries == max_retries + 1 - runs
        await reap_after(store, 5)
    assert runs == max_retries + 1
    assert not last.retry_at
    counts = (await store.groups.show(GROUP)).counts
    assert (counts.failed, counts.queued, counts.delayed, counts.running) == (runs, 0, 0, 0)


@pytest.mark.parametrize("bring", [succeeded, cancelled])
async def test_no_automatic_retry(store: Store, bring: Bring) -> None:
    """Only a failure is retried automatically."""
    assert not (await bring(store, max_retries=3)).retry_at
    assert len((await store.list(GROUP, 10))[0]) == 1


@by_hand
async def test_retry(store: Store, bring: Bring) -> None:
    """A retry by hand is a new queued job with all of the old one's fields; the old one only learns its id."""
    old = await bring(store, **KEPT)
    wait(store, 5)
    new = await store.retry(GROUP, old.id)
    assert (new.status, new.delay, new.created_at, new.retry_of) == ("queued", 0, clock(store), old.id)
    assert shown(new, "started_at", "completed_at", "reason", "error", "retry_at") == []
    assert kept(new) == KEPT
    old.retry_at = new.id
    assert await store.show(GROUP, old.id) == old
    assert await store.show(GROUP, new.id) == new
    assert ids(await store.next(1)) == [new.id]


@pytest.mark.parametrize("bring", [succeeded, cancelled])
async def test_retry_keeps_max_retries(store: Store, bring: Bring) -> None:
    """The new job of a retry by hand has as many retries of its own as the old one had."""
    old = await bring(store, max_retries=3)
    assert (await store.retry(GROUP, old.id)).max_retries == 3


async def test_retry_of_a_failed_job_with_retries(store: Store) -> None:
    """A failed job with an automatic retry is not retried by hand as well."""
    old = await failed(store, max_retries=1)
    await assert_refused(store, old)


async def test_retry_of_the_last_failure(store: Store) -> None:
    """The last of a row of automatic retries has max_retries 0, so it may be retried by hand."""
    job = await failed(store, max_retries=1, retries_delay=0)
    [job] = await store.next(1)
    await store.fail(GROUP, job.id, job.lease)
    assert (await store.retry(GROUP, job.id)).max_retries == 0


@by_hand
async def test_retry_twice(store: Store, bring: Bring) -> None:
    """A job is retried once; the refusal names the job that was made of it."""
    old = await bring(store)
    new = await store.retry(GROUP, old.id)
    assert new.id in await assert_refused(store, old)


async def test_retry_of_a_retry(store: Store) -> None:
    """A job that is itself a retry is retried as any other."""
    first = await succeeded(store)
    second = await store.retry(GROUP, first.id)
    await store.cancel(GROUP, second.id)
    third = await store.retry(GROUP, second.id)
    assert third.retry_of == second.id
    assert (await store.show(GROUP, second.id)).retry_of == first.id


async def test_retry_of_a_delayed_job(store: Store) -> None:
    """The new job does not wait, though the old one did."""
    old = await queued(store, delay=100)
    await store.cancel(GROUP, old.id)
    assert (await store.retry(GROUP, old.id)).status == "queued"


async def test_retry_stands_at_the_end(store: Store) -> None:
    """A retry by hand joins the end of its priority."""
    old = await cancelled(store, payload="retry")
    await queued(store, payload="before")
    await store.retry(GROUP, old.id)
    await queued(store, payload="behind")
    assert await names(store, 5) == ["before", "retry", "behind"]


async def test_retry_keeps_the_image(store: Store) -> None:
    """The new job has the image that the old one had, though the group has another by now."""
    await configure(store, image="first")
    old = await cancelled(store, image="")
    await configure(store, image="second")
    assert (await store.retry(GROUP, old.id)).image == old.image == "first"


async def test_retry_outlives_the_old_job(store: Store) -> None:
    """The new job does not need the old one."""
    old = await succeeded(store)
    new = await store.retry(GROUP, old.id)
    await store.remove(GROUP, old.id)
    assert ids(await store.next(1)) == [new.id]


async def assert_refused(store: Store, job: Job) -> str:
    before = await dump(store)
    with pytest.raises(WrongState) as refused:
        await store.retry(GROUP, job.id)
    assert await dump(store) == before
    return refused.value.message
