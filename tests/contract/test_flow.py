"""The jobs that wait for each other around a job: before and after ends are settled, retried, deleted, too many."""

import pytest

from broker.core.errors import NotFound
from broker.models.flow import Flow
from broker.models.jobs import NewJob
from broker.models.unique import Unique
from tests.contract.building import GROUP, Run, enqueue, succeeded
from tests.contract.flows import enqueue_flow, named, settle
from tests.stores import Store


def edges(found: Flow, names: dict[str, str]) -> set[tuple[str, str]]:
    """The pairs of a parent and its dependant, by the names of the jobs."""
    return {(names[parent], names[job.id]) for job in found.jobs for parent in job.parents}


async def diamond(store: Store) -> dict[str, str]:
    """The names of four jobs by id: b and c wait for a, d for both."""
    jobs = await enqueue_flow(
        store,
        named("a", ref="a"),
        named("b", ref="b", after=["a"]),
        named("c", ref="c", after=["a"]),
        named("d", after=["b", "c"]),
    )
    return {job.id: str(job.payload) for job in jobs}


DIAMOND = {("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")}


async def test_flow_from_each_of_its_jobs(store: Store) -> None:
    """Each job leads to all four, itself first, with status, image and for how many it waits."""
    names = await diamond(store)
    for job_id in names:
        found = await store.flows.around(GROUP, job_id, 10)
        assert (found.jobs[0].id, {job.id for job in found.jobs}, found.more) == (job_id, set(names), 0)
        assert edges(found, names) == DIAMOND
        assert {(names[job.id], job.status, job.needs) for job in found.jobs} == {
            ("a", "queued", 0), ("b", "delayed", 1), ("c", "delayed", 1), ("d", "delayed", 2),
        }  # fmt: skip
        assert {(job.group_name, job.image) for job in found.jobs} == {(GROUP, "post")}


async def test_flow_whose_ends_are_settled(store: Store) -> None:
    """A job that has ended still leads to those that waited for it."""
    names = await diamond(store)
    for _ in names:
        for job in await store.next(2):
            await store.succeed(GROUP, job.id, job.lease)
        await settle(store)
    for job_id in names:
        found = await store.flows.around(GROUP, job_id, 10)
        assert edges(found, names) == DIAMOND
        assert {job.status for job in found.jobs} == {"succeeded"}


async def test_flow_of_a_job_that_waited_for_an_end_before_it(store: Store) -> None:
    """A job whose parent has succeeded before it came is a dependant as well."""
    parent = await succeeded(store)
    [child] = await enqueue_flow(store, named("child", after=[parent.id]))
    found = await store.flows.around(GROUP, parent.id, 10)
    assert [(job.id, job.parents) for job in found.jobs] == [(parent.id, []), (child.id, [parent.id])]


async def test_flow_of_a_retry(store: Store) -> None:
    """In place of a job that was retried automatically its dependants wait for the retry."""
    [first] = await enqueue_flow(store, named("first", max_retries=1, retries_delay=1))
    [last] = await enqueue_flow(store, named("last", after=[first.id]))
    [taken] = await store.next(1)
    failed = await store.fail(GROUP, taken.id, taken.lease, "bad_exit")
    for job_id in (first.id, failed.retry_at, last.id):
        found = await store.flows.around(GROUP, str(job_id), 10)
        parents = {job.id: (job.parents, job.reason) for job in found.jobs}
        if job_id != failed.retry_at:
            assert parents[first.id] == ([], "bad_exit")
        assert parents[last.id][0] == [failed.retry_at]
        assert found.jobs[0].id == job_id
    found = await store.flows.around(GROUP, str(failed.retry_at), 10)
    ties = {job.id: (job.retry_of, job.retry_at) for job in found.jobs}
    assert ties == {first.id: ("", failed.retry_at), failed.retry_at: (first.id, ""), last.id: ("", "")}


async def test_flow_names_retries(store: Store) -> None:
    """A job that was retried names its last retry: an automatic one, and one by hand, which is no part of the flow."""
    [first] = await enqueue_flow(store, named("first", max_retries=1, retries_delay=1))
    [last] = await enqueue_flow(store, named("last", after=[first.id]))
    [taken] = await store.next(1)
    failed = await store.fail(GROUP, taken.id, taken.lease, "bad_exit")
    await store.cancel(GROUP, last.id)
    await settle(store)
    again = await store.retry(GROUP, last.id)
    found = await store.flows.around(GROUP, first.id, 10)
    assert {job.id: job.retry_at for job in found.jobs} == {
        first.id: failed.retry_at,
        last.id: again.id,
        failed.retry_at: "",
    }


async def test_flow_with_a_job_that_is_gone(store: Store) -> None:
    """A deleted job has its id only, and one that nobody waits for is left out."""
    parent = await succeeded(store)
    children = await enqueue_flow(store, named("a", after=[parent.id]), named("b", after=[parent.id]))
    await store.cancel(GROUP, children[1].id)
    await settle(store)
    await store.jobs.remove(GROUP, children[1].id)
    found = await store.flows.around(GROUP, parent.id, 10)
    assert [job.id for job in found.jobs] == [parent.id, children[0].id]
    await store.jobs.remove(GROUP, parent.id)
    found = await store.flows.around(GROUP, children[0].id, 10)
    assert [(job.id, job.image, bool(job.status)) for job in found.jobs] == [
        (children[0].id, "post", True),
        (parent.id, "", False),
    ]


async def test_flow_of_a_key(store: Store) -> None:
    """A job that follows the holder of its unique key names it."""
    key = Unique(key="k", on_conflict="follow")
    [holder] = await enqueue_flow(store, named("holder", unique=key))
    [follower] = await enqueue_flow(store, named("follower", unique=key))
    found = await store.flows.around(GROUP, holder.id, 10)
    assert [(job.id, job.leader) for job in found.jobs] == [(holder.id, ""), (follower.id, holder.id)]
    found = await store.flows.around(GROUP, follower.id, 10)
    assert [(job.id, job.leader) for job in found.jobs] == [(follower.id, holder.id), (holder.id, "")]


async def test_flow_of_many_jobs(store: Store) -> None:
    """It has n jobs, the nearest first, and says how many more are known; also of a large job."""
    [parent] = await enqueue_flow(store, NewJob(image='a "quoted" \\ name', payload="x" * 600_000))
    children = await enqueue_flow(store, *(named(str(i), after=[parent.id]) for i in range(130)))
    found = await store.flows.around(GROUP, parent.id, 100)
    assert (len(found.jobs), found.more, found.jobs[0].image) == (100, 31, 'a "quoted" \\ name')
    whole = await store.flows.around(GROUP, children[7].id, 1000)
    assert (len(whole.jobs), whole.more) == (131, 0)
    assert [job.id for job in whole.jobs[:2]] == [children[7].id, parent.id]


async def test_a_step_reads_few_large_jobs(store: Store, run: Run) -> None:
    """A script call ends once it has read half a megabyte, and says what it left."""
    jobs = await enqueue_flow(store, *(named(name * 300_000) for name in "abc"))
    left, *rows = await run("flow", 50, 50, "", " ".join(job.id for job in jobs))
    assert [row[0].decode() for row in rows] == [job.id for job in jobs[:2]]
    assert left.decode() == jobs[2].id


async def test_flow_keeps_the_first_200_dependants(store: Store) -> None:
    """A job that has ended remembers 200 of its dependants, however they are settled."""
    [parent] = await enqueue_flow(store, named("parent"))
    await enqueue_flow(store, *(named(str(i), after=[parent.id]) for i in range(250)))
    [taken] = await store.next(1)
    await store.succeed(GROUP, taken.id, taken.lease)
    await settle(store, 60)
    found = await store.flows.around(GROUP, parent.id, 1000)
    assert (len(found.jobs), found.more) == (201, 0)


async def test_flow_of_no_job(store: Store) -> None:
    """A job that does not exist, or is in another group, is refused."""
    job = await enqueue(store)
    assert [one.id for one in (await store.flows.around(GROUP, job.id, 10)).jobs] == [job.id]
    for group, job_id in ((GROUP, "0" * 16), ("other", job.id)):
        with pytest.raises(NotFound):
            await store.flows.around(group, job_id, 10)


async def test_age_of_what_must_be_settled(store: Store) -> None:
    """A step says how many ends it left, and for how long the first of them waits."""
    [parent] = await enqueue_flow(store, named("parent"))
    await enqueue_flow(store, *(named(str(i), after=[parent.id]) for i in range(3)))
    [taken] = await store.next(1)
    await store.succeed(GROUP, taken.id, taken.lease)
    store.now = str(int(await store.redis.zscore(f"{store.partitions[0]}:settle", taken.id)) + 7000)
    assert await store.maintenance.settle(2) == (1, 7000)
    await settle(store)
    assert await store.maintenance.settle(2) == (0, 0)
