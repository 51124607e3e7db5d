"""Jobs that wait for others, against an oracle: every small graph with every end, and random ones of eight jobs."""

from collections.abc import Iterator, Sequence
from itertools import product
from random import Random
from typing import NamedTuple

import pytest

from broker.models.jobs import Job, NewJob
from tests.contract.building import GROUP, forget_all
from tests.stores import Store

ENDS = ("succeeded", "failed", "cancelled")


class Node(NamedTuple):
    """A job of a graph: the positions of its parents, whether any end of them is enough, and how it ends if it runs."""

    parents: tuple[int, ...]
    is_any_end: bool
    end: str


Graph = Sequence[Node]


def expected(graph: Graph) -> list[str]:
    """How each job ends: topological evaluation. Parents come before their dependants."""
    ends: list[str] = []
    for node in graph:
        may_run = node.is_any_end or all(ends[parent] == "succeeded" for parent in node.parents)
        ends.append(node.end if may_run else "dependency")
    return ends


def small_graphs() -> Iterator[Graph]:
    """All graphs of three jobs, with all ends of the first two; the last one succeeds."""
    of_second = [((), False), ((0,), False), ((0,), True)]
    of_third = [((), False), *product([(0,), (1,), (0, 1)], [False, True])]
    for (second, is_any_2), (third, is_any_3), first_end, second_end in product(of_second, of_third, ENDS, ENDS):
        yield [
            Node((), is_any_end=False, end=first_end),
            Node(second, is_any_2, second_end),
            Node(third, is_any_3, "succeeded"),
        ]


def random_graph(random: Random) -> Graph:
    """A graph of two to eight jobs."""
    graph = []
    for at in range(random.randint(2, 8)):
        parents = tuple(sorted(random.sample(range(at), random.randint(0, min(at, 3)))))
        end = random.choice(("succeeded", "succeeded", "failed", "cancelled"))
        graph.append(Node(parents, random.random() < 0.3, end))
    return graph


class World:
    """A graph in a store. A job whose end is `cancelled` is cancelled while it runs."""

    def __init__(self, store: Store, graph: Graph, random: Random) -> None:
        self.store = store
        self.graph = graph
        self.random = random
        self.jobs: list[Job] = []
        self.order: list[int] = []

    async def create(self) -> None:
        """Create the jobs in one call, in any order, or each in a call of its own."""
        names = [f"n{at}" for at in range(len(self.graph))]
        if self.random.random() < 0.5:
            shuffled = self.random.sample(range(len(self.graph)), len(self.graph))
            made = (await self.store.enqueue(GROUP, [self._new(at, names) for at in shuffled])).jobs
            self.jobs = [made[shuffled.index(at)] for at in range(len(self.graph))]
            return
        for at in range(len(self.graph)):
            ids = [job.id for job in self.jobs]
            self.jobs += (await self.store.enqueue(GROUP, [self._new(at, ids, has_ref=False)])).jobs
            await self._perhaps_settle()

    def _new(self, at: int, names: Sequence[str], *, has_ref: bool = True) -> NewJob:
        node = self.graph[at]
        return NewJob(
            image="x",
            payload=str(at),
            ref=names[at] if has_ref else None,
            after=[names[parent] for parent in node.parents] or None,
            after_on="over" if node.is_any_end else None,
        )

    async def run(self) -> None:
        """Take and end jobs, and settle at any time, until nothing happens any more."""
        taken: list[Job] = []
        while True:
            new = await self.store.next(self.random.randint(1, 3))
            taken += new
            self.order += [int(str(job.payload)) for job in new]
            await self._perhaps_settle()
            if taken:
                await self._end(taken.pop(self.random.randrange(len(taken))))
            elif not (await self.store.maintenance.settle(1)).n and not new and not await self._has_queued():
                return
            await self._perhaps_settle()

    async def _has_queued(self) -> bool:
        return bool((await self.store.list(GROUP, 1, statuses=["queued"]))[0])

    async def _end(self, job: Job) -> None:
        end = self.graph[int(str(job.payload))].end
        if end == "cancelled":
            await self.store.cancel(GROUP, job.id)
        elif end == "failed":
            await self.store.fail(GROUP, job.id, job.lease, "bad_exit")
        else:
            await self.store.succeed(GROUP, job.id, job.lease)

    async def _perhaps_settle(self) -> None:
        if self.random.random() < 0.4:
            await self.store.maintenance.settle(self.random.randint(1, 3))

    async def check(self) -> None:
        """Each job ended as the oracle says, ran after its parents, and ran once."""
        kept = [await self.store.show(GROUP, job.id) for job in self.jobs]
        ends = [str(job.reason) if job.reason == "dependency" else job.status for job in kept]
        assert ends == expected(self.graph), self.graph
        assert len(self.order) == len(set(self.order)), self.graph
        for place, at in enumerate(self.order):
            assert set(self.order[place + 1 :]).isdisjoint(self.graph[at].parents), self.graph


async def play(store: Store, graph: Graph, random: Random) -> None:
    """One graph from its creation to its last end."""
    world = World(store, graph, random)
    await world.create()
    await world.run()
    await world.check()


@pytest.mark.parametrize("backend", ["valkey"])
async def test_every_graph_of_three_jobs(store: Store) -> None:
    """All edges and all ends, in any order of the ends, with settlements at any time."""
    random = Random(7)
    for graph in small_graphs():
        await play(store, graph, random)
    await forget_all(store)


@pytest.mark.parametrize("backend", ["valkey"])
@pytest.mark.parametrize("seed", range(8))
async def test_random_graphs(store: Store, seed: int) -> None:
    """Graphs of up to eight jobs."""
    random = Random(seed)
    for _ in range(20):
        await play(store, random_graph(random), random)
