"""Batches against a count of their own: random members and ends, with settlements at any time by two brokers."""

from collections import Counter
from collections.abc import Sequence
from itertools import product
from random import Random
from typing import Any

import pytest

from broker.core.errors import WrongState
from broker.models.batches import Batch, CallbackJob, NewBatch
from broker.models.jobs import Job, NewJob
from broker.models.unique import Unique
from tests.contract.building import GROUP, forget_all
from tests.stores import Store

CALLBACKS = ("on_failed", "on_succeeded", "on_over")
ENDS = ("succeeded", "succeeded", "succeeded", "failed", "cancelled")
QUEUE = "callbacks"
"""The group of the callbacks, so that nobody takes them."""


class World:
    """A batch, what it should count, and the members that run."""

    def __init__(self, store: Store, other: Store, random: Random) -> None:
        self.stores = (store, other)
        self.random = random
        self.total = 0
        self.ends: Counter[str] = Counter()
        self.running: list[Job] = []
        self.is_stopped = False

    @property
    def store(self) -> Store:
        """Either broker."""
        return self.random.choice(self.stores)

    async def play(self) -> Batch:
        """Open a batch, add members and end them in any order, close or cancel it; the batch at its end."""
        callbacks = {name: CallbackJob(image="x", payload=name, group_name=QUEUE) for name in CALLBACKS}
        first = self._new(self.random.randint(0, 3))
        batch, _ = await self.store.batches.create(GROUP, NewBatch(jobs=first, open=True, **callbacks))
        for _ in range(self.random.randint(0, 12)):
            await self._act(batch)
            await self._perhaps_settle()
        if not self.is_stopped and self.random.random() < 0.2:
            self.is_stopped = True
            await self.store.batches.cancel(GROUP, batch.id)
        await self.store.batches.close(GROUP, batch.id)
        while not (found := await self.store.batches.show(GROUP, batch.id)).ended_at:
            await self._take()
            await self._perhaps_settle()
            while self.running:
                await self._end()
                await self._perhaps_settle()
            await self.store.maintenance.settle(1)
        while (await self.store.maintenance.settle(10)).n:
            pass
        return found

    def _new(self, n: int) -> list[NewJob]:
        self.total += n
        return [NewJob(image="x", max_retries=self.random.randint(0, 2), retries_delay=0) for _ in range(n)]

    async def _act(self, batch: Batch) -> None:
        act = self.random.choice(("add", "add", "take", "end", "end"))
        if act == "add":
            await self.store.batches.add(GROUP, batch.id, self._new(self.random.randint(1, 3)))
        elif act == "take":
            await self._take()
        elif self.running:
            await self._end()

    async def _take(self) -> None:
        self.running += await self.store.next(self.random.randint(1, 3), [GROUP])

    async def _end(self) -> None:
        job = self.running.pop(self.random.randrange(len(self.running)))
        end = self.random.choice(ENDS)
        try:
            if end == "cancelled":
                job = await self.store.cancel(GROUP, job.id)
            elif end == "failed":
                job = await self.store.fail(GROUP, job.id, job.lease, "bad_exit")
            else:
                job = await self.store.succeed(GROUP, job.id, job.lease)
        except WrongState:
            return  # it was cancelled with the batch
        if not job.retry_at:
            self.ends[end] += 1

    async def _perhaps_settle(self) -> None:
        if self.random.random() < 0.5:
            await self.store.maintenance.settle(self.random.randint(1, 3))


@pytest.fixture
def other(store: Store) -> Store:
    """The same store as another broker has it."""
    return Store(store.redis, store.settings)


@pytest.mark.parametrize("backend", ["valkey"])
@pytest.mark.parametrize("seed", range(6))
async def test_random_batches(store: Store, other: Store, seed: int) -> None:
    """Each member counts once, the callbacks are those of the counts, and each is created once."""
    for n in range(10):
        random = Random(f"{seed} {n}")
        world = World(store, other, random)
        batch = await world.play()
        counts = batch.counts
        assert (counts.total, counts.over) == (world.total, world.total)
        if not world.is_stopped:
            assert (counts.succeeded, counts.failed, counts.cancelled) == tuple(
                world.ends[end] for end in ("succeeded", "failed", "cancelled")
            )
        made, _ = await store.list(QUEUE, 1000)
        own = sorted(str(job.payload) for job in made if job.batch and job.batch.id == batch.id)
        assert own == sorted(batch.callbacks)
        assert "on_over" in own
        assert ("on_succeeded" in own) == (not world.is_stopped and counts.succeeded == counts.total)
        if not world.is_stopped:
            assert ("on_failed" in own) == (counts.failed > 0)
    await forget_all(store)


ENDS_OF_ALL = list(product(("succeeded", "failed", "cancelled"), repeat=3))
TIES = ("none", "after", "after_any", "existing", "follow")


def tied(tie: str) -> list[NewJob]:
    """Three members: the last one waits for the first, or has its unique key."""
    more: dict[str, dict[str, Any]] = {
        "none": {},
        "after": {"after": ["0"]},
        "after_any": {"after": ["0"], "after_on": "over"},
        "existing": {"unique": Unique(key="k")},
        "follow": {"unique": Unique(key="k", on_conflict="follow")},
    }
    first: dict[str, Any] = {"unique": Unique(key="k")} if tie in {"existing", "follow"} else {}
    fields = [first, {}, more[tie]]
    return [NewJob(image="x", payload=str(n), ref=str(n), **own) for n, own in enumerate(fields)]


def ends_of(tie: str, ends: Sequence[str]) -> Counter[str]:
    """How the members end. One whose key another member has is that one, while it waits."""
    if tie in {"existing", "follow"}:
        return Counter(ends[:2])
    return Counter([*ends[:2], ends[2] if tie != "after" or ends[0] == "succeeded" else "cancelled"])


@pytest.mark.parametrize("backend", ["valkey"])
@pytest.mark.parametrize("tie", TIES)
async def test_every_batch_of_three_jobs(store: Store, tie: str) -> None:
    """All ends of three members, with each tie between two of them, in any order, closed before or after their ends."""
    random = Random(7)
    for ends, is_open in product(ENDS_OF_ALL, (False, True)):
        callbacks = {name: CallbackJob(image="x", payload=name, group_name=QUEUE) for name in CALLBACKS}
        batch, _ = await store.batches.create(GROUP, NewBatch(jobs=tied(tie), open=is_open, **callbacks))
        running: list[Job] = []
        while True:
            running += await store.next(random.randint(1, 3), [GROUP])
            if random.random() < 0.4:
                await store.maintenance.settle(random.randint(1, 3))
            if running:
                job = running.pop(random.randrange(len(running)))
                await end_so(store, job, ends[int(str(job.payload))])
            elif not (await store.maintenance.settle(1)).n and not await queued_in(store):
                break
        assert (await store.batches.show(GROUP, batch.id)).state == "open" or not is_open
        await store.batches.close(GROUP, batch.id)
        while (await store.maintenance.settle(10)).n:
            pass
        found, expected = await store.batches.show(GROUP, batch.id), ends_of(tie, ends)
        counts = found.counts
        assert (counts.succeeded, counts.failed, counts.cancelled) == tuple(
            expected[end] for end in ("succeeded", "failed", "cancelled")
        ), (tie, ends)
        due = {"on_over"} | ({"on_failed"} if counts.failed else set())
        due |= {"on_succeeded"} if counts.succeeded == counts.total else set()
        assert set(found.callbacks) == due, (tie, ends)
    await forget_all(store)


async def queued_in(store: Store) -> bool:
    """Whether a member may be taken."""
    return bool((await store.list(GROUP, 1, statuses=["queued"]))[0])


async def end_so(store: Store, job: Job, how: str) -> None:
    """End a running job so."""
    if how == "cancelled":
        await store.cancel(GROUP, job.id)
    elif how == "failed":
        await store.fail(GROUP, job.id, job.lease, "bad_exit")
    else:
        await store.succeed(GROUP, job.id, job.lease)
