"""`delete_group`: a group whose jobs are all finished, and everything that the store has of it."""

from collections.abc import Awaitable, Callable

import pytest

from broker.core.errors import NotFound, StoreUnavailable, WrongState
from broker.diagnostics.consistency import check
from broker.models.groups import Counts, GroupChanges
from broker.models.jobs import Job
from broker.resp import keys
from broker.store import groups
from tests.contract.building import (
    GROUP,
    cancelled,
    configure,
    dump,
    enqueue,
    failed,
    ids,
    members_key,
    new,
    of_each_status,
    partition,
    queued,
    reap_after,
    running,
    spread,
    started,
    status_of,
    succeeded,
    wait,
)
from tests.stores import Store

KEY = "letter 1"
SHARED = {"jobs", "executions", "sequence", "discarded", "notices", "total", "flushed"}
"""What a partition keeps when its last group is gone, by the first word of the key; only notices to workers name it."""
Bring = Callable[[Store], Awaitable[Job]]


async def kept_of(store: Store, group: str) -> list[str]:
    """The keys that have the name of a group in them: in their own name, a member or a field."""
    found = []
    async for key in store.redis.scan_iter(f"{store.settings.key_prefix}*", 1000):
        kind, words = await store.redis.type(key), [key]
        if kind == b"zset":
            words += await store.redis.zrange(key, 0, -1)
        elif kind == b"hash":
            words += [word for pair in (await store.redis.hgetall(key)).items() for word in pair]
        elif kind == b"string":
            words.append(await store.redis.get(key))
        if any(group.encode() in word for word in words):
            found.append(key.decode())
    return found


async def fill(store: Store, group: str) -> None:
    """Everything that the store can have of a group whose jobs are finished."""
    await store.enqueue(group, [new(image="post", payload="1")], KEY)
    [first] = await store.next(1, [group])
    await store.fail(group, first.id, first.lease, "bad_exit")
    await store.retry(group, first.id)
    [retry] = await store.next(1, [group], images=["post"])
    await store.log(group, retry.id, 12)
    await store.succeed(group, retry.id, retry.lease)
    later = await enqueue(store, group, delay=30, payload="x" * 5000)
    await store.cancel(group, later.id)
    await configure(store, group, rate_limit=5, env_vars={"A": "1"}, image="post")
    await store.groups.adjust(group, GroupChanges(paused=True, note="press"), "ann")
    await store.redis.zadd(keys.rates(partition(store, group)), {group: 10**13})
    await store.dispatcher.asked.flush()
    await store.counts.flush()


@pytest.mark.parametrize("partitions", [1, 3])
async def test_delete_group_leaves_nothing(store: Store) -> None:
    """No key has the name of the group afterwards: not its settings, statistics, timers or idempotency records."""
    name, *others = spread(store, 2)
    for group in (name, *others):
        await fill(store, group)
    assert len(await kept_of(store, name)) > 15
    before = {group: await store.groups.show(group) for group in others}
    wait(store, 1)
    await store.groups.delete_group(name)
    assert await kept_of(store, name) == []
    assert {group: await store.groups.show(group) for group in others} == before
    for group in others:
        assert len(await kept_of(store, group)) > 15
    assert await check(store) == []


async def test_delete_group_leaves_what_is_shared(store: Store) -> None:
    """Of the only group stay the sequence, the logs to delete, and what is of all groups."""
    await fill(store, GROUP)
    wait(store, 1)
    await store.groups.delete_group(GROUP)
    left = [key async for key in store.redis.scan_iter(f"{store.partitions[0]}:*", 1000)]
    assert {key.decode().removeprefix(f"{store.partitions[0]}:").partition(":")[0] for key in left} <= SHARED
    assert await store.redis.exists(keys.jobs(store.partitions[0]), keys.executions(store.partitions[0])) == 0


async def test_delete_group_without_jobs(store: Store) -> None:
    """A group that has settings alone goes too, and is no longer listed."""
    await configure(store, max_concurrency=2)
    await configure(store, "other")
    await store.groups.delete_group(GROUP)
    assert [group.name for group in (await store.groups.list(10))[0]] == ["other"]
    with pytest.raises(NotFound):
        await store.groups.show(GROUP)


async def test_delete_group_that_is_not_there(store: Store) -> None:
    """It is not found, twice too; nothing changes."""
    await succeeded(store)
    await store.groups.delete_group(GROUP)
    await queued(store, "other")
    before = await dump(store)
    for _ in range(2):
        with pytest.raises(NotFound, match="There is no such group"):
            await store.groups.delete_group(GROUP)
    assert await dump(store) == before


async def test_delete_group_with_unfinished_jobs(store: Store) -> None:
    """The refusal says how many jobs are in which status; nothing is deleted, no finished job either."""
    await of_each_status(store)
    before = await dump(store)
    with pytest.raises(WrongState, match=r"unfinished jobs: 2 delayed, 2 queued, 3 running\. Cancel them first"):
        await store.groups.delete_group(GROUP)
    assert await dump(store) == before


@pytest.mark.parametrize("bring", [queued, running, started], ids=lambda bring: bring.__name__)
async def test_delete_group_with_one_unfinished_job(store: Store, bring: Bring) -> None:
    """One job that is not finished is enough; once it is cancelled the group goes."""
    await succeeded(store)
    job = await bring(store)
    with pytest.raises(WrongState):
        await store.groups.delete_group(GROUP)
    await store.cancel(GROUP, job.id)
    await store.groups.delete_group(GROUP)
    assert await status_of(store, job) is None


async def test_delete_group_has_the_logs_deleted(store: Store) -> None:
    """The logs of its jobs are on the list of those that a broker deletes."""
    job, _ = await succeeded(store), await failed(store)
    await store.log(GROUP, job.id, 12)
    await store.groups.delete_group(GROUP)
    assert [id_.decode() for id_ in await store.redis.zrange(keys.discarded(store.partitions[0]), 0, -1)] == [job.id]


@pytest.mark.parametrize("step", [1, 2, 7, 8, 100])
async def test_delete_group_step_by_step(store: Store, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Each script deletes a bounded number of jobs, so others are served meanwhile; the last one deletes the group."""
    for bring in (succeeded, failed, cancelled):
        for _ in range(3 if bring is not failed else 1):
            await bring(store)
    sizes = []
    inner = store.groups._partitions.run

    async def run(verb: str, p: str, *arguments: str | int) -> object:
        sizes.append(await store.redis.zcard(keys.jobs_of(p, GROUP)))
        return await inner(verb, p, *arguments)

    monkeypatch.setattr(groups, "DELETED", step)
    monkeypatch.setattr(store.groups._partitions, "run", run)
    await store.groups.delete_group(GROUP)
    assert sizes == list(range(7, 0, -step))
    assert await kept_of(store, GROUP) == []


async def test_delete_group_that_takes_too_long(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that does not come to the end in time says how many jobs are left; a repeat continues."""
    for _ in range(5):
        await succeeded(store)
    monkeypatch.setattr(groups, "DELETED", 2)
    monkeypatch.setattr(groups, "DELETE_S", -1.0)
    with pytest.raises(StoreUnavailable, match="still has 3 jobs: repeat the call"):
        await store.groups.delete_group(GROUP)
    monkeypatch.undo()
    assert (await store.groups.show(GROUP)).counts == Counts(succeeded=3)
    await store.groups.delete_group(GROUP)
    assert await kept_of(store, GROUP) == []


@pytest.mark.parametrize("delay", [0, 30])
async def test_delete_group_while_another_enqueues(store: Store, monkeypatch: pytest.MonkeyPatch, delay: int) -> None:
    """A job that is enqueued between two steps stays, with its group; only finished jobs are gone."""
    for _ in range(3):
        await succeeded(store)
    await configure(store, max_concurrency=3)
    inner, made = store.groups._delete_some, []

    async def enqueue_between(name: str) -> tuple[int, int]:
        told = await inner(name)
        if not made:
            made.append(await enqueue(store, delay=delay))
        return told

    monkeypatch.setattr(groups, "DELETED", 1)
    monkeypatch.setattr(store.groups, "_delete_some", enqueue_between)
    with pytest.raises(WrongState, match=r"unfinished jobs: 1 (queued|delayed)"):
        await store.groups.delete_group(GROUP)
    shown = await store.groups.show(GROUP)
    assert (shown.max_concurrency, shown.counts.succeeded) == (3, 2)
    await reap_after(store, delay)
    assert ids(await store.next(10)) == ids(made)


async def test_delete_group_then_enqueue(store: Store) -> None:
    """The name may be used again: a new group, with the defaults, made now."""
    await fill(store, GROUP)
    wait(store, 5)
    await store.groups.delete_group(GROUP)
    again = await store.enqueue(GROUP, [new(payload="1")], KEY)
    assert not again.is_replayed
    group = await store.groups.show(GROUP)
    assert (group.counts, group.paused, group.created_at) == (Counts(queued=1), False, again.jobs[0].created_at)
    assert ids(await store.next(10)) == ids(again.jobs)


async def test_delete_group_keeps_the_answers_of_the_next(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An enqueue right after the last step has its idempotency record: its repeat makes nothing."""
    await store.enqueue(GROUP, [new()], KEY)
    [job] = await store.next(1)
    await store.succeed(GROUP, job.id, job.lease)
    wait(store, 1)
    inner, made = store.groups._forget_answers, []

    async def enqueue_before(name: str, before: int, end: float) -> None:
        made.append(await store.enqueue(GROUP, [new()], "letter 2"))
        await inner(name, before, end)

    monkeypatch.setattr(store.groups, "_forget_answers", enqueue_before)
    await store.groups.delete_group(GROUP)
    assert (await store.enqueue(GROUP, [new()], "letter 2")).jobs == made[0].jobs
    assert not (await store.enqueue(GROUP, [new()], KEY)).is_replayed


async def test_delete_group_keeps_the_answers_of_others(store: Store) -> None:
    """A group whose name begins with the same letters keeps its idempotency records."""
    await succeeded(store)
    first = await store.enqueue(f"{GROUP}-2", [new()], KEY)
    wait(store, 1)
    await store.groups.delete_group(GROUP)
    assert (await store.enqueue(f"{GROUP}-2", [new()], KEY)).jobs == first.jobs


async def test_delete_group_that_other_brokers_still_count(store: Store) -> None:
    """What a broker counted of it before and writes after it is in the sums of all groups alone."""
    await succeeded(store)
    await store.groups.delete_group(GROUP)
    await store.counts.flush()
    assert await kept_of(store, GROUP) == []
    total = await store.statistics.of_all("1h")
    assert sum(slot.in_ for slot in total.slots) == 1


async def test_delete_group_and_the_cursor_of_the_list(store: Store) -> None:
    """A page that ended with a group that is gone has its next page all the same."""
    for number in range(4):
        await configure(store, f"group-{number}")
        wait(store, 1)
    first, cursor = await store.groups.list(2)
    await store.groups.delete_group("group-1")
    second, _ = await store.groups.list(2, cursor)
    assert [group.name for group in (*first, *second)] == [f"group-{number}" for number in range(4)]


async def test_delete_group_with_a_job_that_is_in_no_set(store: Store) -> None:
    """A job that only `titan check` can bring back is not deleted: the refusal says how many, and what to do."""
    await succeeded(store)
    left = await queued(store)
    await store.redis.zrem(members_key(store, GROUP, "queued"), left.id)
    before = await dump(store)
    with pytest.raises(WrongState, match=r"without a status: 1\. `titan check --repair`"):
        await store.groups.delete_group(GROUP)
    assert await dump(store) == before
    await check(store, is_repair=True)
    assert ids(await store.next(10)) == [left.id]
