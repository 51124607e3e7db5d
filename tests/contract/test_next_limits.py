"""When `next` dispatches nothing: a paused group, and a group at its max_concurrency."""

from collections.abc import Awaitable, Callable

import pytest

from broker.core.errors import LimitReached
from broker.diagnostics.consistency import check
from broker.models.jobs import Job
from tests.contract.building import GROUP, configure, enqueue, ids, lose, names, new, queued, reap_after, started
from tests.stores import Store


async def _lose(store: Store, job: Job) -> None:
    await configure(store, max_concurrency=1, delivery_limit=1)
    await reap_after(store, 60)


FREES: dict[str, Callable[[Store, Job], Awaitable[object]]] = {
    "succeed": lambda store, job: store.succeed(GROUP, job.id, job.lease),
    "fail": lambda store, job: store.fail(GROUP, job.id, job.lease),
    "cancel": lambda store, job: store.cancel(GROUP, job.id),
    "release": lambda store, job: store.release(GROUP, job.id, job.lease),
    "release-delayed": lambda store, job: store.release(GROUP, job.id, job.lease, 30),
    "release_all": lambda store, job: store.release_all([job]),
    "requeue": lambda store, _: reap_after(store, 60),
    "reap": _lose,
}
"""What makes room in a full group."""


async def test_next_of_a_paused_group(store: Store) -> None:
    """A paused group dispatches nothing, named or not; the others continue."""
    await queued(store, payload="paused")
    await queued(store, "other", payload="other")
    await configure(store, paused=True)
    assert await names(store, 1, (GROUP,)) == []
    assert await names(store, 10) == ["other"]


async def test_next_after_a_pause(store: Store) -> None:
    """After the pause the group's jobs go out at the places that they had."""
    await queued(store, payload="1")
    await configure(store, paused=True)
    await queued(store, payload="2")
    await queued(store, "other", payload="3")
    await configure(store)
    assert await names(store, 10) == ["1", "2", "3"]


async def test_next_of_a_group_paused_before_its_first_job(store: Store) -> None:
    """A pause also holds for jobs that come after it, by whatever way."""
    await configure(store, paused=True)
    await queued(store)
    await enqueue(store, delay=5)
    await reap_after(store, 5)
    assert await store.next(10) == []


async def test_next_of_a_group_with_room_behind_a_dangling_id(store: Store) -> None:
    """An id of no job takes none of the room that its group has."""
    await configure(store, max_concurrency=2)
    gone, *_ = [await queued(store, payload=str(number)) for number in range(4)]
    await lose(store, gone)
    assert await names(store, 4) == ["1", "2"]
    await check(store, is_repair=True)


@pytest.mark.parametrize("n", [1, 10])
async def test_next_at_max_concurrency(store: Store, n: int) -> None:
    """A group with a limit has never more jobs running than that, within one call or over many."""
    await configure(store, max_concurrency=2)
    await store.enqueue(GROUP, [new(payload=str(i)) for i in range(4)])
    await queued(store, "other", payload="other")
    taken = [name for _ in range(5) for name in await names(store, n)]
    assert taken == ["0", "1", "other"]


@pytest.mark.parametrize("freed", FREES)
async def test_next_when_a_full_group_has_room_again(store: Store, freed: str) -> None:
    """A job that stops running, in whatever way, makes room for another."""
    await configure(store, max_concurrency=1)
    await store.enqueue(GROUP, [new(), new()])
    first, second = (await store.list(GROUP, 2))[0]
    [job] = await store.next(2)
    assert await store.next(1) == []

    await FREES[freed](store, job)

    has_its_place_again = freed in {"release", "release_all", "requeue"}
    assert ids(await store.next(5)) == [first.id if has_its_place_again else second.id]


async def test_next_counts_started_jobs(store: Store) -> None:
    """A job that a client took by `start` fills the group like one that was dispatched."""
    await configure(store, max_concurrency=1)
    await started(store)
    await queued(store)
    assert await store.next(1) == []


async def test_next_after_a_higher_limit(store: Store) -> None:
    """A higher limit, or none, holds at once; a lower one takes nothing away from who runs."""
    await configure(store, max_concurrency=1)
    await store.enqueue(GROUP, [new() for _ in range(5)])
    assert len(await store.next(5)) == 1
    await configure(store, max_concurrency=3)
    assert len(await store.next(5)) == 2
    await configure(store, max_concurrency=2)
    assert len(await store.next(5)) == 0
    assert (await store.groups.show(GROUP)).counts.running == 3
    await configure(store)
    assert len(await store.next(5)) == 2


@pytest.mark.parametrize("limit", [{"paused": True}, {"max_concurrency": 1}])
async def test_start_of_a_queued_job_in_a_full_group(store: Store, limit: dict[str, object]) -> None:
    """`start` of a queued job keeps to the pause and the limit; the refusal says when to try again."""
    await started(store)
    job = await queued(store)
    await configure(store, **limit)
    with pytest.raises(LimitReached) as refused:
        await store.start(GROUP, job.id)
    assert refused.value.retry_after_s
    await configure(store)
    assert (await store.start(GROUP, job.id)).status == "running"


@pytest.mark.parametrize("limit", [{"paused": True}, {"max_concurrency": 1}])
async def test_start_of_a_running_job_in_a_full_group(store: Store, limit: dict[str, object]) -> None:
    """A job that runs already may be started whatever the group's limits are: it takes no room."""
    await queued(store)
    [job] = await store.next(1)
    await configure(store, **limit)
    assert (await store.start(GROUP, job.id, job.lease)).status == "running"


async def test_next_of_very_many_groups(store: Store) -> None:
    """One script call opens no more than 100 queues; the rest is for the next call."""
    for number in range(120):
        await queued(store, f"group-{number}")
    first, second = await store.next(1000), await store.next(1000)
    assert (len(first), len(second)) == (100, 20)
    assert len({job.group_name for job in first + second}) == 120
