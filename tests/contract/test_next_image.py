"""`next` for a consumer that runs some images only."""

import asyncio

import pytest

from broker.diagnostics.consistency import check
from broker.models.jobs import Job
from broker.resp import keys
from broker.resp.client import connect_listener
from broker.resp.notifier import Notifier
from tests.conftest import listening, waits
from tests.contract.building import GROUP, configure, enqueue, forget_all, ids, new, reap_after, running
from tests.stores import Store


async def taken(
    store: Store, n: int, *images: str, groups: tuple[str, ...] = (), is_waiting: bool = False
) -> list[str]:
    """The payloads of the next jobs of these images."""
    return [job.payload or "" for job in await store.next(n, groups, images=images, waits=is_waiting)]


async def test_next_image_hands_out_no_other_job(store: Store) -> None:
    """Only jobs of the requested images are dispatched, in their order; the others keep their ranks."""
    for number, image in enumerate(["a", "b", "a", "c", "b"]):
        await enqueue(store, image=image, payload=f"{image}{number}")
    assert await taken(store, 10, "x") == []
    assert await taken(store, 10, "b", "c") == ["b1", "c3", "b4"]
    assert await taken(store, 1, "a") == ["a0"]
    assert [job.payload for job in await store.next(10)] == ["a2"]


async def test_next_image_keeps_order_over_groups(store: Store) -> None:
    """Priority first, then the order in which they came, over all groups or those asked for."""
    for payload, group, priority in [("1", "g", 0), ("2", "h", 0), ("3", "g", 1), ("4", "h", 2), ("5", "g", 0)]:
        await enqueue(store, group, payload=payload, priority=priority)
        await enqueue(store, group, image="other", priority=priority)
    assert await taken(store, 3, "post", groups=("h", "i")) == ["4", "2"]
    assert await taken(store, 2, "post") == ["3", "1"]
    assert await taken(store, 9, "post") == ["5"]


async def test_next_image_tells_groups(store: Store) -> None:
    """Each job has the name and the env_vars of its own group, though jobs of two groups take turns."""
    for group in ("g", "h"):
        await configure(store, group, env_vars={"OF": group})
    order = ["g", "g", "h", "g", "h", "h"]
    for group in order:
        await enqueue(store, group)
    jobs = await store.next(9, images=["post"])
    assert [(job.group_name, job.env_vars) for job in jobs] == [(group, {"OF": group}) for group in order]


@pytest.mark.parametrize("image", ['say "hi"', "back\\slash", "ümläut", "a", "{x}", "%b", "https://h/x?y=1"])
async def test_next_image_with_any_name(store: Store, image: str) -> None:
    """Names are compared as a whole, whatever is in them."""
    await enqueue(store, image=f"{image}2", payload="longer")
    await enqueue(store, image=image, payload="it")
    await enqueue(store, image=image[:-1] or "b", payload="shorter")
    assert await taken(store, 9, image) == ["it"]


async def test_next_image_hands_out_as_next_does(store: Store) -> None:
    """A job has all that a consumer needs, is running, and is released, touched and reported like any other."""
    await configure(store, env_vars={"A": "b"})
    made = await enqueue(store, timeout=30, max_retries=2, priority=1, payload="p")
    [job] = await store.next(1, [GROUP], 10, images=["post"])
    clocked = (job.status, job.deliveries, job.timeout, job.max_retries, job.priority, job.env_vars)
    assert clocked == ("running", 1, 30, 2, 1, {"A": "b"})
    await store.release(GROUP, job.id, job.lease or "")
    [again] = await store.next(1, images=["post"])
    assert again.id == made.id
    assert (await store.succeed(GROUP, again.id, again.lease or "")).status == "succeeded"


async def test_next_image_respects_limits(store: Store) -> None:
    """A paused group dispatches nothing, one with max_concurrency no more than that."""
    await store.enqueue(GROUP, [new(payload=str(number)) for number in range(4)])
    await configure(store, paused=True)
    assert await taken(store, 4, "post") == []
    await configure(store, max_concurrency=3)
    assert await taken(store, 2, "post") == ["0", "1"]
    assert await taken(store, 4, "post") == ["2"]
    assert await taken(store, 4, "post") == []


async def test_next_image_keeps_to_the_rate(store: Store) -> None:
    """A group with a rate_limit dispatches no more at once than that."""
    await configure(store, rate_limit=2)
    await store.enqueue(GROUP, [new()] * 5)
    assert [len(await store.next(4, images=["post"])) for _ in range(2)] == [2, 0]


async def test_next_image_looks_at_a_bounded_number(store: Store) -> None:
    """Behind 200 jobs of other images a job is not found until some of those are gone."""
    await store.enqueue(GROUP, [new(image="other")] * 200)
    hidden = await enqueue(store)
    seen = await enqueue(store, "elsewhere")
    assert ids(await store.next(5, images=["post"])) == [seen.id]
    await store.next(1)
    assert ids(await store.next(5, images=["post"])) == [hidden.id]


@pytest.mark.parametrize(("others", "group", "number"), [(0, GROUP, 1), (1, GROUP, 0), (1, "last", 0)])
async def test_next_image_looks_at_a_bounded_number_over_groups(
    store: Store, others: int, group: str, number: int
) -> None:
    """Over all groups a call for one job looks at 1,001: a job behind 1,000 others is found, one behind more is not."""
    for full in range(5):
        await store.enqueue(f"group-{full}", [new(image="other")] * 200)
    for _ in range(others):
        await enqueue(store, image="other")
    await enqueue(store, group)
    assert len(await store.next(1, images=["post"])) == number
    await forget_all(store)


async def test_next_image_of_very_many_groups(store: Store) -> None:
    """A call looks into no more than 100 groups, named or not; the rest is for the next one."""
    groups = [f"group-{number}" for number in range(204)]
    for group in groups:
        await enqueue(store, group)
    for asked, first in (((), 0), (groups[::-1], 100)):
        taken = await store.next(1000, asked, images=["post"])
        assert [job.group_name for job in taken] == groups[first : first + 100]
    assert len(await store.next(1000, images=["post"])) == 4
    await forget_all(store)


async def test_next_image_with_a_wrong_ready_list(store: Store) -> None:
    """A group that is in `ready` without a queued job is skipped."""
    await enqueue(store, "b", payload="b")
    await store.redis.zadd(keys.ready(store.partitions[0]), {"a": 1})
    assert await taken(store, 5, "post") == ["b"]
    await check(store, is_repair=True)


async def test_next_image_many_at_once(store: Store) -> None:
    """As many as asked for come in one call, also more than it looks at behind others."""
    await store.enqueue(GROUP, [new(payload=str(number)) for number in range(1000)])
    assert await taken(store, 1000, "post") == [str(number) for number in range(1000)]


async def test_next_image_notes_that_one_waits(store: Store) -> None:
    """A poll that found nothing is notified of new jobs, and of groups that become ready, for 5 s; no other is."""
    [p] = store.partitions
    notes = keys.pollers(p), keys.image_pollers(p)
    await enqueue(store)
    assert await taken(store, 2, "post", is_waiting=True) == [""]
    assert await taken(store, 2, "post") == []
    assert await store.redis.exists(*notes) == 0
    assert await taken(store, 2, "post", is_waiting=True) == []
    for note in notes:
        assert 0 < await store.redis.pttl(note) <= 5000


async def _enqueued(store: Store, _: Job) -> None:
    await enqueue(store)


async def _released(store: Store, job: Job) -> None:
    await store.release(GROUP, job.id, job.lease or "")


async def _lost(store: Store, _: Job) -> None:
    await reap_after(store, 60)


@pytest.mark.parametrize("happens", [_enqueued, _released, _lost])
@pytest.mark.parametrize("backend", ["valkey"])
async def test_next_image_in_vain_is_told_of_every_new_job(store: Store, happens: object) -> None:
    """Who asked in vain is woken by a job that joins a group which was ready all the time."""
    job = await running(store)
    await enqueue(store, image="other")
    async with Notifier(connect_listener(store.redis), store.partitions) as notifier:
        await listening(notifier)
        with waits(notifier, [GROUP]) as woken:
            assert await store.next(1, [GROUP], images=["post"], waits=True) == []
            woken.clear()
            await happens(store, job)  # type: ignore[operator]
            async with asyncio.timeout(5):
                await woken.wait()
    assert len(await store.next(1, [GROUP], images=["post"])) == 1
    assert 0 < await store.redis.pttl(keys.image_pollers(store.partitions[0])) <= 5000
