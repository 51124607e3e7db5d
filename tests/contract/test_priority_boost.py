"""A group with priority_boost: a priority is a lead of n jobs, so a low one has its turn."""

import random

import pytest

from broker.diagnostics.consistency import check
from broker.diagnostics.raw_job import raw_job
from broker.models.batches import CallbackJob, NewBatch
from broker.models.groups import GroupChanges
from broker.models.jobs import Unique
from broker.resp import keys
from broker.store.format.ranks import RANKS, rank_in_words
from tests.contract.building import GROUP, configure, failed, names, new, queued, reap_after
from tests.contract.transfers import move
from tests.stores import Store

ONE_STORE = pytest.mark.parametrize("backend", ["valkey"])


async def put(store: Store, *jobs: tuple[str, int], **fields: int) -> None:
    """Enqueue jobs one after another: payload and priority."""
    for payload, priority in jobs:
        await queued(store, payload=payload, priority=priority, **fields)


async def test_a_low_priority_has_its_turn(store: Store) -> None:
    """C12 job-collection#205: as many later jobs overtake as the priority is worth, and no more."""
    await configure(store, priority_boost=3)
    await put(store, ("low", 0), *((f"high{n}", 1) for n in range(5)))
    assert await names(store, 10) == ["high0", "high1", "low", "high2", "high3", "high4"]


async def test_two_priorities_are_twice_the_lead(store: Store) -> None:
    """Priority 2 overtakes twice as many as priority 1, and a large boost is as if there were none."""
    await configure(store, priority_boost=2)
    await put(store, ("low", 0), ("mid", 1), *((f"top{n}", 2) for n in range(5)))
    assert await names(store, 10) == ["top0", "mid", "top1", "low", "top2", "top3", "top4"]
    await configure(store, priority_boost=1_000_000)
    await put(store, ("low", 0), ("mid", 1), ("top", 2))
    assert await names(store, 10) == ["top", "mid", "low"]


@ONE_STORE
@pytest.mark.parametrize("seed", range(4))
async def test_no_job_is_overtaken_by_more_than_its_bound(store: Store, seed: int) -> None:
    """However jobs come and go, one is overtaken by (difference of priorities) * n later ones at most."""
    rng = random.Random(seed)
    boost = rng.choice([1, 4, 9])
    await configure(store, priority_boost=boost)
    created: list[int] = []
    taken: list[int] = []
    for _ in range(12):
        fresh = [
            new(payload=str(len(created) + i), priority=rng.choice([0, 1, 2, 2])) for i in range(rng.randint(1, 12))
        ]
        created += [job.priority or 0 for job in (await store.enqueue(GROUP, fresh)).jobs]
        taken += [int(name) for name in await names(store, rng.randint(0, 10) or 1)]
    taken += [int(name) for name in await names(store, 1000)]
    assert sorted(taken) == list(range(len(created)))
    for at, job in enumerate(taken):
        for higher in (1, 2):
            ahead = [one for one in taken[:at] if one > job and created[one] - created[job] == higher]
            assert len(ahead) <= higher * boost
        assert not [one for one in taken[:at] if one > job and created[one] <= created[job]]


@ONE_STORE
async def test_places_among_other_groups(store: Store) -> None:
    """To other groups the jobs are of priority 0 with a lead: plain priorities go first, plain jobs have their turn."""
    await configure(store, priority_boost=2)
    await queued(store, "plain", payload="plain0")
    await put(store, ("a", 2), ("b", 2), ("c", 2), ("d", 2), ("e", 2))
    await queued(store, "plain", payload="plain1")
    await queued(store, "plain", payload="urgent", priority=1)
    assert await names(store, 10) == ["urgent", "a", "b", "c", "d", "plain0", "e", "plain1"]


@ONE_STORE
async def test_switching_it_while_jobs_wait(store: Store) -> None:
    """Jobs that wait keep their ranks: nothing is reordered, and new ones have the new rule at once."""
    await put(store, ("old-low", 0), ("old-high", 2))
    await store.groups.adjust(GROUP, GroupChanges(priority_boost=1))
    await put(store, ("new-low", 0), ("new-high", 1))
    assert await names(store, 2) == ["old-high", "old-low"]
    await store.groups.adjust(GROUP, GroupChanges(priority_boost=None))
    await put(store, ("later", 1))
    assert await names(store, 9) == ["later", "new-low", "new-high"]
    assert await check(store) == []


@ONE_STORE
async def test_a_broker_that_does_not_know_it_yet(store: Store, other: Store) -> None:
    """It puts a high priority before all, as without the setting; nothing is lost."""
    await configure(store, priority_boost=1)
    await put(store, ("a", 0), ("b", 0), ("c", 0))
    await put(other, ("d", 1))
    await other.modes.read()
    await put(other, ("e", 1))
    assert await names(store, 9) == ["d", "a", "b", "c", "e"]


@ONE_STORE
async def test_places_of_jobs_that_come_by_other_ways(store: Store) -> None:
    """Delayed jobs, retries, jobs with deadlines, dependants and callbacks have the same lead."""
    await configure(store, priority_boost=2)
    dead = await failed(store, priority=2, payload="retried")
    parent = await queued(store, payload="parent", priority=2)
    [held] = await store.next(1)
    await queued(store, payload="delayed", priority=2, delay=5)
    await queued(store, payload="dependant", priority=2, after=[parent.id])
    over = CallbackJob(image="post", payload="callback", priority=2)
    await store.batches.create(GROUP, NewBatch(jobs=[], on_over=over))
    await put(store, *((f"low{n}", 0) for n in range(40)))
    ranks = {}
    await store.jobs.retry(GROUP, dead.id)
    await store.enqueue(GROUP, [new(payload="timed", priority=2, start_within=3600)])
    await reap_after(store, 5)
    await store.succeed(GROUP, held.id, held.lease or "")
    await store.maintenance.settle(100)
    p = store.partitions[0]
    for job_id, score in await store.redis.zrange(keys.members(p, GROUP, "queued"), 0, -1, withscores=True):
        job = await store.show(GROUP, job_id.decode())
        ranks[job.payload] = score - 2 * RANKS
    sequence = int(await store.redis.get(f"{p}:sequence"))
    lead = {name: rank for name, rank in ranks.items() if not str(name).startswith("low")}
    assert set(lead) == {"retried", "timed", "delayed", "dependant", "callback"}
    assert sorted(lead.values()) == [sequence - 4 - n for n in (4, 3, 2, 1, 0)]


@ONE_STORE
async def test_a_released_job_and_a_lost_one_keep_their_rank(store: Store) -> None:
    """Requeued jobs have their old place, with the lead that they had, also below the sequence 0."""
    await configure(store, priority_boost=1_000_000)
    await put(store, ("a", 2), ("b", 1))
    first = await store.next(2)
    await store.release_all(first[:1])
    await reap_after(store, 61)
    assert await names(store, 2) == ["a", "b"]
    values = (await raw_job(store, GROUP, first[0].id)).values  # type: ignore[union-attr]
    assert {value.meaning["rank"] for value in values if "rank" in value.meaning} == {"priority 0, sequence -1999999"}


@ONE_STORE
async def test_a_unique_job_that_is_replaced(store: Store) -> None:
    """Another priority is another place, with the lead; the same one keeps its place."""
    await configure(store, priority_boost=1)
    unique = Unique(key="k", on_conflict="replace")
    await queued(store, payload="first", priority=1, unique=unique)
    await put(store, ("a", 0), ("b", 0), ("c", 0))
    await queued(store, payload="same", priority=1, unique=unique)
    p = store.partitions[0]
    [(_, score)] = await store.redis.zrange(keys.members(p, GROUP, "queued"), 0, 0, withscores=True)
    assert score == 2 * RANKS + 1 - 1
    await queued(store, payload="higher", priority=2, unique=unique)
    assert await names(store, 9) == ["a", "higher", "b", "c"]


@ONE_STORE
async def test_an_import_does_not_move_the_sequence(store: Store, target: Store) -> None:
    """A rank below that of priority 0 is no large sequence number: new jobs come behind imported ones."""
    await configure(store, priority_boost=1_000_000)
    await put(store, ("a", 2), ("b", 0))
    await move(store, target)
    assert (await target.groups.show(GROUP)).priority_boost == 1_000_000
    await target.modes.read()
    await put(target, ("c", 0), ("d", 2))
    assert await names(target, 9) == ["a", "d", "b", "c"]
    assert max([int(await target.redis.get(f"{p}:sequence") or 0) for p in target.partitions]) < RANKS / 2


def test_a_rank_in_words() -> None:
    """A rank is shown by its priority and its number, one with a lead by a number that may be below 0."""
    assert rank_in_words(RANKS + 5) == "priority 1, sequence 5"
    assert rank_in_words(2 * RANKS - 1_999_999) == "priority 0, sequence -1999999"
