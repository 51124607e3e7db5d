"""`next` over several groups whose jobs came in turns: one order over all, despite other limits."""

import random
from collections.abc import Sequence

import pytest

from broker.diagnostics.consistency import check
from broker.models.jobs import Job
from broker.resp import keys
from tests.contract.building import (
    GROUP,
    Run,
    configure,
    enqueue,
    forget_all,
    ids,
    lose,
    members_key,
    names,
    new,
    now_ms,
    partition,
    queued,
)
from tests.stores import Store

GROUPS = ("a", "b", "c", "d", "e")
ROOMS = {"b": 3, "d": 4}
"""How many jobs these groups dispatch at most."""


async def enqueue_in_turns(store: Store, count: int = 40) -> list[Job]:
    """Jobs of five groups and three priorities, in the order in which they are to be dispatched."""
    chosen = random.Random(count)
    jobs = [await enqueue(store, chosen.choice(GROUPS), priority=chosen.choice((0, 0, 0, 1, 2))) for _ in range(count)]
    return sorted(jobs, key=lambda job: -(job.priority or 0))


async def in_calls(store: Store, n: int, groups: Sequence[str] = ()) -> list[list[str]]:
    """What calls for n jobs get, one after the other, until there is none."""
    calls = []
    while jobs := await store.next(n, groups):
        calls.append(ids(jobs))
    return calls


def parts(job_ids: list[str], n: int) -> list[list[str]]:
    return [job_ids[at : at + n] for at in range(0, len(job_ids), n)]


@pytest.mark.parametrize("groups", [(), ("b",), ("d", "a", "none"), ("e", "d", "c", "b", "a")])
@pytest.mark.parametrize("n", [1, 2, 10, 1000])
async def test_next_in_turns(store: Store, n: int, groups: tuple[str, ...]) -> None:
    """Every call gets the first n of all jobs that are left, of all groups or those that are named."""
    made = await enqueue_in_turns(store)
    wanted = [job.id for job in made if not groups or job.group_name in groups]
    assert await in_calls(store, n, groups) == parts(wanted, n)


@pytest.mark.parametrize("groups", [(), GROUPS])
@pytest.mark.parametrize("n", [1, 4, 1000])
@pytest.mark.parametrize("setting", ["max_concurrency", "rate_limit"])
async def test_next_in_turns_with_limits(store: Store, n: int, groups: tuple[str, ...], setting: str) -> None:
    """Groups that have dispatched all that they may are skipped; the others keep their order."""
    for group, room in ROOMS.items():
        await configure(store, group, **{setting: room})
    await configure(store, "e", paused=True)
    made, left, wanted = await enqueue_in_turns(store), {**ROOMS, "e": 0}, []
    for job in made:
        left[job.group_name] = left.get(job.group_name, 1000) - 1
        wanted += [job.id] if left[job.group_name] >= 0 else []
    assert await in_calls(store, n, groups) == parts(wanted, n)


@pytest.mark.parametrize("groups", [(), GROUPS])
@pytest.mark.parametrize("n", [1, 2, 10, 1000])
async def test_next_in_turns_with_dangling_ids(store: Store, n: int, groups: tuple[str, ...]) -> None:
    """Ids whose hashes are gone are passed over, at the head of a queue or in its middle; they change no order."""
    made = await enqueue_in_turns(store)
    firsts = {job.group_name: job for job in reversed(made)}
    lost = {firsts[group].id: firsts[group] for group in "abc"} | {job.id: job for job in made[10:35:3]}
    for job in lost.values():
        await lose(store, job)
    assert await in_calls(store, n, groups) == parts([job.id for job in made if job.id not in lost], n)
    assert {finding.job_id for finding in await check(store, is_repair=True)} == lost.keys()


@pytest.mark.parametrize("n", [1, 2])
async def test_next_behind_groups_of_dangling_ids(store: Store, n: int) -> None:
    """Groups of nothing but dangling ids cost the call none of its jobs, and no job its place."""
    lost = [await queued(store, group) for group in ("a", "b")]
    for group in ("c", "d", "e", "c", "d", "e"):
        await enqueue(store, group, payload=group)
    for job in lost:
        await lose(store, job)
    assert [await names(store, n) for _ in range(6 // n)] == parts(["c", "d", "e", "c", "d", "e"], n)
    await check(store, is_repair=True)


async def test_next_of_groups_named_twice(store: Store, run: Run) -> None:
    """A group that is named twice is one group."""
    jobs = [await queued(store) for _ in range(3)]
    for verb, groups in (("next", (GROUP, GROUP)), ("next_image", ("", 2, GROUP, GROUP, '"post"'))):
        arguments = (now_ms(store), 1, "token", "", 0, "", *groups)
        [_, (_, _, job_id, *_)] = await run(verb, *arguments)
        assert job_id.decode() == jobs.pop(0).id
    assert ids(await store.next(5)) == ids(jobs)


@pytest.mark.parametrize("is_named", [False, True])
async def test_next_of_very_many_groups_in_turns(store: Store, is_named: bool) -> None:
    """A call ends where a group more than 100 would have its first turn; none is passed over."""
    groups = [f"group-{number}" for number in range(230)]
    made = [await queued(store, group) for group in [*groups, *groups[:5]]]
    asked = groups[::-1] if is_named else ()
    assert await in_calls(store, 1000, asked) == [ids(made[:100]), ids(made[100:200]), ids(made[200:])]
    await forget_all(store)


async def test_next_of_100_groups_with_many_jobs(store: Store) -> None:
    """100 groups have as many turns in a call as their jobs need."""
    groups = [f"group-{number}" for number in range(100)]
    made = [await queued(store, group) for group in [*groups, *groups]]
    assert await in_calls(store, 1000) == [ids(made)]
    await forget_all(store)


async def test_next_behind_very_many_groups_of_dangling_ids(store: Store) -> None:
    """Of 150 groups of nothing but dangling ids a call takes away 100; the next one finds the job behind them."""
    for number in range(150):
        await lose(store, await queued(store, f"group-{number}"))
    job = await queued(store)
    assert [ids(await store.next(1)) for _ in range(2)] == [[], [job.id]]
    await forget_all(store)


@pytest.mark.parametrize("groups", [(), GROUPS])
async def test_next_in_turns_with_large_jobs(store: Store, groups: tuple[str, ...]) -> None:
    """A call that is full ends in the middle of a group's queue; a job that it did not dispatch keeps its rank."""
    made = []
    for group in "aabaaabbcc":
        made += (await store.enqueue(group, [new(payload="x" * 1_200_000)] * 2)).jobs
    first = ids(await store.next(1000, groups))
    assert first == ids(made[:7])
    assert await check(store) == []
    for group in "abc":
        left = await store.redis.zrange(members_key(store, group, "queued"), 0, -1)
        assert [job_id.decode() for job_id in left] == [job.id for job in made[7:] if job.group_name == group]
    assert await in_calls(store, 1000, groups) == [ids(made[7:14]), ids(made[14:])]


async def test_next_in_turns_that_come_back_in_reverse(store: Store) -> None:
    """Groups whose second jobs are in the reverse order of their first ones are read in that order."""
    names = [f"group-{number}" for number in range(16)]
    made = [await queued(store, name) for name in (*names, *names[::-1], *names)]
    assert ids(await store.next(len(made))) == ids(made)


async def test_next_of_two_jobs_at_one_place(store: Store) -> None:
    """Two jobs with one rank, as no script leaves them, are both dispatched."""
    for group in ("a", "b"):
        job = await queued(store, group)
        await store.redis.zadd(members_key(store, group, "queued"), {job.id: 7})
        await store.redis.zadd(keys.ready(partition(store, group)), {group: 7})
    assert [job.group_name for job in await store.next(5)] == ["a", "b"]


async def test_next_of_a_group_that_stands_too_early_in_ready(store: Store) -> None:
    """Where `ready` is wrong, a group's turn comes with its first job."""
    made = [await queued(store, group) for group in ("a", "a", "b", "b", "c")]
    await store.redis.zadd(keys.ready(partition(store, "b")), {"b": 1})
    assert ids(await store.next(2)) == ids(made[:2])
    assert await check(store) == []
    assert ids(await store.next(5)) == ids(made[2:])
