"""How far a job is: a touch has it, and it is shown until the next delivery."""

from typing import Any

import pytest
from msgspec import UNSET

from broker.core.errors import LeaseLost, TitanError
from broker.diagnostics.consistency import check
from broker.models.jobs import Job
from broker.models.reports import Held
from broker.resp import keys
from broker.store.looks import Filters
from tests.contract.building import GROUP, now_ms, partition, reap_after, running, running_many, touch, wait
from tests.stores import Store


def held(job: Job, **fields: Any) -> Held:
    """The job as an item of touch, with what it says."""
    return Held(group_name=job.group_name, id=job.id, lease=job.lease or None, **fields)


async def say(store: Store, job: Job, **fields: Any) -> int | TitanError:
    [end] = await store.touch([held(job, **fields)])
    return end


async def shown(store: Store, job: Job) -> tuple[object, object]:
    """What GET and a list show of the job, which is the same."""
    one = await store.show(job.group_name, job.id)
    listed, _ = await store.list(job.group_name, 50)
    looked = (await store.looks.jobs(job.group_name, 50, Filters(), looks=50)).rows
    rows = [(row.progress, row.note) for row in (*listed, *looked) if row.id == job.id]
    assert rows == [(one.progress, one.note)] * 2
    return tuple(None if value is UNSET else value for value in (one.progress, one.note))


async def test_touch_with_progress(store: Store) -> None:
    """Percent and note are shown, each until it is said again; the lease is renewed as by any touch."""
    job = await running(store, timeout=50)
    assert await shown(store, job) == (None, None)
    assert await say(store, job, progress=0) == now_ms(store) + 50_000
    assert await shown(store, job) == (0, None)
    await say(store, job, progress=40, note="half of it, ü")
    assert await shown(store, job) == (40, "half of it, ü")
    await say(store, job, progress=41)
    await touch(store, job)
    assert await shown(store, job) == (41, "half of it, ü")
    await say(store, job, note="the rest")
    assert await shown(store, job) == (41, "the rest")
    await store.succeed(GROUP, job.id, job.lease or "")
    assert await shown(store, job) == (41, "the rest")
    assert await check(store) == []


async def test_progress_ends_with_its_delivery(store: Store) -> None:
    """A job whose lease was lost, or that was released, shows nothing of the delivery before."""
    job = await running(store, timeout=5)
    await say(store, job, progress=40, note="half")
    await reap_after(store, 6)
    assert await shown(store, job) == (None, None)
    [again] = await store.next(1, [GROUP])
    assert await shown(store, job) == (None, None)
    await say(store, again, progress=7)
    assert await shown(store, job) == (7, None)
    await store.release(GROUP, again.id, again.lease or "")
    [third] = await store.next(1, [GROUP])
    assert third.deliveries == again.deliveries
    assert await shown(store, job) == (None, None)


@pytest.mark.parametrize("said", [{"progress": 7}, {"note": "half"}])
async def test_release_takes_what_was_said(store: Store, said: dict[str, Any]) -> None:
    """The next delivery has the number of a released one, and shows nothing of it, whichever of the two was said."""
    job = await running(store)
    await say(store, job, **said)
    await store.release(GROUP, job.id, job.lease or "")
    await store.next(1, [GROUP])
    assert await shown(store, job) == (None, None)


async def test_touch_many_with_progress(store: Store) -> None:
    """In one call some items have it and some do not; each has its own end and its own refusal."""
    jobs = await running_many(store, 4, timeout=50)
    items = [held(jobs[0]), held(jobs[1], progress=50), held(jobs[2], note="b"), held(jobs[3], progress=9, lease_s=90)]
    lost = Held(group_name=GROUP, id=jobs[0].id, lease="other", progress=99)
    ends = await store.touch([*items, lost])
    assert ends[:4] == [now_ms(store) + s * 1000 for s in (50, 50, 50, 90)]
    assert isinstance(ends[4], LeaseLost)
    assert [await shown(store, job) for job in jobs] == [(None, None), (50, None), (None, "b"), (9, None)]


@pytest.mark.parametrize(("lease_s", "left_s"), [(0, 50), (20, 50), (50, 50), (51, 51), (43_200, 43_200)])
async def test_touch_for_a_time(store: Store, lease_s: int, left_s: int) -> None:
    """`for` is the length of this lease; it never makes it shorter. The next touch without it gives the usual one."""
    job = await running(store, timeout=50)
    assert await say(store, job, lease_s=lease_s) == now_ms(store) + left_s * 1000
    wait(store, 10)
    assert await touch(store, job) == now_ms(store) + 50_000


async def test_touch_for_a_time_has_the_bounds_of_the_job(store: Store) -> None:
    """A short lease ends with the timeout of the job and the time to stop it, however long it is wanted."""
    job = await running(store, timeout=50, lease_s=10)
    assert await say(store, job, lease_s=43_200) == now_ms(store) + 50_000 + 15_000


async def test_a_touch_that_says_nothing_costs_what_it_did(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain touch sends two words for each job, and writes no field; the next delivery reads none."""
    sent: list[Any] = []
    run = store._partitions.run

    async def watched(verb: str, p: str, *arguments: Any) -> Any:
        sent.append((verb, arguments))
        return await run(verb, p, *arguments)

    jobs = await running_many(store, 2)
    monkeypatch.setattr(store._partitions, "run", watched)
    await store.touch([held(job) for job in jobs])
    [(verb, arguments)] = sent
    assert (verb, arguments[2:5], len(arguments)) == ("touch", (GROUP, 2, 2), 5 + 2 * 2)
    assert not await store.redis.exists(*[keys.job(partition(store, GROUP), job.id) for job in jobs])
