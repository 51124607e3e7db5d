"""Turns of keys as a property: for any arrivals and calls, no key waits for longer than one job of each other key."""

from collections import Counter
from random import Random

import pytest

from broker.diagnostics.consistency import check
from broker.models.groups import GroupSettings
from broker.models.jobs import Job, NewJob
from tests.conftest import NOW
from tests.contract.building import GROUP
from tests.stores import Store

KEYS = ("a", "b", "c", "d", None)
ACTS = 120


@pytest.mark.parametrize("backend", ["valkey"])
@pytest.mark.parametrize("seed", range(12))
async def test_no_key_waits_for_more_than_its_turn(store: Store, seed: int) -> None:
    """The first job of a new key is behind one of each other key. Between two jobs others have two at most.

    Two, since jobs of one turn are in the order of their creation, which may be another one in the next turn. Inside a
    key jobs are in order.
    """
    store.now = str(NOW)
    rng = Random(seed)
    await store.order.set("fair")
    await store.configure(GROUP, GroupSettings(fair_keys=True))
    queued: Counter[str | None] = Counter()
    passed: dict[str | None, Counter[str | None]] = {key: Counter() for key in KEYS}
    most = dict.fromkeys(KEYS, 1)
    taken: dict[str | None, list[int]] = {key: [] for key in KEYS}
    made = 0

    def take(job: Job) -> None:
        name, _, number = (job.payload or "").partition(" ")
        key = name or None
        queued[key] -= 1
        taken[key].append(int(number))
        passed[key].clear()
        most[key] = 2
        for other in KEYS:
            if other != key and queued[other]:
                passed[other][key] += 1
                assert passed[other][key] <= most[other], (other, key)

    for _ in range(ACTS):
        if rng.random() < 0.4:
            key, n = rng.choice(KEYS), rng.choice([1, 1, 2, 30])
            if not queued[key]:
                passed[key].clear()
            await store.enqueue(
                GROUP, [NewJob(image="x", key=key, payload=f"{key or ''} {made + i}") for i in range(n)]
            )
            made, queued[key] = made + n, queued[key] + n
        else:
            images = rng.choice([(), ("x",)])
            for job in await store.next(rng.choice([1, 1, 2, 7]), images=images):
                take(job)
    for job in await store.next(1000):
        take(job)
    assert sum(map(len, taken.values())) == made
    assert all(own == sorted(own) for own in taken.values())
    assert await check(store) == []


@pytest.mark.parametrize("backend", ["valkey"])
async def test_a_quiet_key_beside_a_huge_backlog(store: Store) -> None:
    """With 5,000 queued jobs of another key, the next job of a quiet one is the second that is delivered."""
    await store.order.set("fair")
    await store.configure(GROUP, GroupSettings(fair_keys=True))
    for _ in range(5):
        await store.enqueue(GROUP, [NewJob(image="x", key="loud", payload="loud")] * 1000)
    for _ in range(3):
        await store.enqueue(GROUP, [NewJob(image="x", key="quiet", payload="quiet")])
        assert [job.payload for job in await store.next(2)] == ["loud", "quiet"]


@pytest.mark.parametrize("backend", ["valkey"])
@pytest.mark.parametrize("seed", range(8))
async def test_keys_that_always_have_jobs_get_the_same(store: Store, seed: int) -> None:
    """Deliveries of keys that have jobs from the beginning differ by one at most at any time; over any window by two.

    Two over a window, and for a key that comes in the middle of a turn: it may begin behind the first key of a turn and
    end before the last one of another. Every key has one job in each turn.
    """
    store.now = str(NOW)
    rng = Random(seed)
    await store.order.set("fair")
    await store.configure(GROUP, GroupSettings(fair_keys=True))
    queued: Counter[str | None] = Counter()
    since = {(one, other): 0 for one in KEYS for other in KEYS}
    lowest, highest = dict(since), dict(since)
    active: list[str | None] = []
    for turn in range(ACTS):
        if not turn or (turn % 30 == 0 and len(active) < len(KEYS)):  # new keys come, whatever the others have had
            active += KEYS[:2] if not turn else KEYS[len(active) : len(active) + 1]
        for key in rng.sample(active, len(active)):
            if queued[key] < 10:
                n = rng.choice([10, 11, 30])
                await store.enqueue(GROUP, [NewJob(image="x", key=key, payload=key or "")] * n)
                queued[key] += n
        for job in await store.next(rng.choice([1, 2, 7]), images=rng.choice([(), ("x",)])):
            taken = job.payload or None
            queued[taken] -= 1
            for other in active:
                if other != taken:
                    since[taken, other] += 1
                    since[other, taken] -= 1
                    for pair in ((taken, other), (other, taken)):
                        lowest[pair] = min(lowest[pair], since[pair])
                        highest[pair] = max(highest[pair], since[pair])
    assert max(abs(lowest["a", "b"]), highest["a", "b"]) == 1
    assert max(highest[pair] - lowest[pair] for pair in since) == 2
    assert await check(store) == []
