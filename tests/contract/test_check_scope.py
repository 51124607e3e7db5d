"""`titan check` of a part of the store, what it says of a repair, and how much it reads."""

import pytest

from broker.core.states import STATUSES
from broker.diagnostics.consistency import Scope, check, steps_of
from broker.resp import keys
from tests.contract.building import (
    GROUP,
    enqueue,
    lose,
    members_key,
    new,
    of_each_status,
    partition,
    queued,
    running,
    spread,
    succeeded,
)
from tests.stores import Store


async def _damaged(store: Store, group: str) -> str:
    """The id of a job that its set has lost, and that another set has too."""
    job = await queued(store, group)
    await store.redis.zrem(members_key(store, group, "queued"), job.id)
    return job.id


@pytest.mark.parametrize("partitions", [3])
async def test_check_of_one_group(store: Store) -> None:
    """Only what is wrong with this group is found, and repaired; a neighbour in its partition is left alone."""
    here, neighbour, *others = spread(store, each=2)
    own = await _damaged(store, here)
    for group in (neighbour, *others):
        await _damaged(store, group)
    found = await check(store, Scope(group=here), is_repair=True)
    assert {(finding.group, finding.job_id) for finding in found} == {(here, own), (here, "")}
    assert await check(store, Scope(group=here)) == []
    assert await check(store, Scope(group=neighbour)) != []
    await check(store, is_repair=True)


@pytest.mark.parametrize("partitions", [3])
async def test_check_of_one_partition(store: Store) -> None:
    """Only what is wrong in this partition is found."""
    groups = spread(store)
    lost = [await _damaged(store, group) for group in groups]
    found = await check(store, Scope(partition=1), is_repair=True)
    assert {finding.job_id for finding in found} == {lost[1], ""}
    assert {finding.job_id for finding in await check(store, is_repair=True)} == {lost[0], lost[2], ""}


async def test_check_says_what_it_repaired(store: Store) -> None:
    """A finding is repaired when the store agrees afterwards; a job that nobody can place is not."""
    lost = await _damaged(store, GROUP)
    stray = lost[:-1] + "-"
    await store.redis.hset(keys.jobs(partition(store, GROUP)), stray, "nonsense")
    assert not any(finding.is_repaired for finding in await check(store))
    repaired = {finding.job_id: finding.is_repaired for finding in await check(store, is_repair=True)}
    assert repaired == {lost: True, "": True, stray: False}
    await store.redis.hdel(keys.jobs(partition(store, GROUP)), stray)


@pytest.mark.parametrize("partitions", [3])
async def test_check_of_a_group_in_a_foreign_partition(store: Store) -> None:
    """A group whose sets are in another group's partition is named, and not repaired."""
    here, elsewhere = spread(store)[:2]
    name = keys.members(partition(store, elsewhere), here, "queued")
    await store.redis.zadd(name, {"0000000000000000": 1})
    [finding] = await check(store, is_repair=True)
    assert finding == (here, "", "is not in its group's partition", False)
    await store.redis.delete(name)


@pytest.mark.parametrize("status", STATUSES)
async def test_check_of_an_id_of_another_group(store: Store, status: str) -> None:
    """An id that a set has of another group's job is no job there, whichever set it is."""
    job = await enqueue(store, "elsewhere")
    await of_each_status(store)
    await store.redis.zadd(members_key(store, GROUP, status), {job.id: 10**13})
    assert f"is in {status} but is no job" in {finding.what for finding in await check(store, is_repair=True)}
    assert [job.id] == [one.id for one in (await store.list("elsewhere", 9))[0]]


async def test_check_of_an_execution_without_a_job(store: Store) -> None:
    """An execution that is left of a deleted job is found in a store with others."""
    await succeeded(store)
    await store.redis.hset(keys.executions(store.partitions[0]), "0" * 16, "2")
    [finding] = await check(store, is_repair=True)
    assert finding == ("", "0" * 16, "is in executions but is no job", True)


async def test_check_reads_as_much_as_it_says(store: Store) -> None:
    """The number of steps that is shown as the end is what is read, so that the bar ends full."""
    await of_each_status(store)
    for scope in (Scope(), Scope(group=GROUP), Scope(partition=0)):
        read: list[int] = []
        expected = await steps_of(store, scope)
        assert await check(store, scope, progress=read.append) == []
        assert sum(read) == expected > 0


async def test_check_of_a_group_that_is_lost_in_the_middle_of_its_sets(store: Store) -> None:
    """Ids that are of no job are found in a set that one step does not read to its end."""
    jobs = [job for n in (1000, 1000, 200) for job in (await store.enqueue(GROUP, [new()] * n)).jobs]
    held = await running(store, "other")
    lost = [jobs[999], jobs[1000], jobs[2199]]
    await lose(store, *lost)
    found = await check(store)
    assert {f.job_id for f in found if f.what == "is in queued but is no job"} == {job.id for job in lost}
    assert {f.job_id for f in found if f.what == "is in jobs but is no job"} == {job.id for job in lost}
    assert held.id not in {f.job_id for f in found}
    await check(store, is_repair=True)
