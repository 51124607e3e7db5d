"""CPU of the store that jobs which wait for others, unique keys, policies and results cost, next to plain ones.

A cost is the time that the store spends in scripts, µs a job. Kinds of work take turns, and the least of all rounds
counts: a disturbance only adds to it. No reaper runs meanwhile.
"""

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from msgspec import Raw

from broker.models.jobs import Job, NewJob
from broker.models.reports import Finish
from broker.models.retries import Retry
from broker.models.unique import Unique
from broker.store.format.job_json import struct_of
from broker.store.job_store import JobStore

CALL, MOST = 100, 1000
"""Jobs of one call that enqueues them; of one call that takes or finishes them."""
PAYLOAD, RESULT = "p" * 100, Raw(b'"%s"' % (b"r" * 1022))
Kind = Callable[[int], NewJob]
"""Makes the n-th job of a kind."""


def plain(_: int) -> NewJob:
    """A job that enqueue.lua creates."""
    return NewJob(image="x", payload=PAYLOAD)


def timed(_: int) -> NewJob:
    """A job with a deadline, which admit.lua creates."""
    return NewJob(image="x", payload=PAYLOAD, start_within=86_400)


def keyed(n: int) -> NewJob:
    """A job with a unique key of its own."""
    return NewJob(image="x", payload=PAYLOAD, unique=Unique(key=f"k{n}"))


def seldom_keyed(n: int) -> NewJob:
    """One of a hundred has a unique key."""
    return plain(n) if n % 100 else keyed(n)


def _same(job: NewJob, _: int) -> NewJob:
    return job


class FlowCosts:
    """A store, and what is done to it."""

    def __init__(self, store: JobStore, redis: Any) -> None:
        self.store, self._redis = store, redis

    async def scripts_us(self) -> int:
        """The time that the store has spent in scripts, µs."""
        return int((await self._redis.info("commandstats")).get("cmdstat_evalsha", {"usec": 0})["usec"])

    async def cost_us(self, work: Awaitable[object], jobs: int) -> float:
        """What the work costs, µs a job."""
        before = await self.scripts_us()
        await work
        return (await self.scripts_us() - before) / jobs

    async def cpu_us(self, work: Awaitable[object], jobs: int) -> float:
        """The CPU of the store's main thread for the work, µs a job. Other work of the machine hardly counts."""
        before = await self._cpu_s()
        await work
        return (await self._cpu_s() - before) * 1e6 / jobs

    async def memory_bytes(self) -> int:
        """What the store uses."""
        return int((await self._redis.info("memory"))["used_memory"])

    async def rename(self, key: str, to: str) -> None:
        """Have a key under another name."""
        await self._redis.rename(key, to)

    async def put(self, group: str, jobs: Sequence[NewJob]) -> list[str]:
        """The ids of these jobs, enqueued in one call."""
        return [struct_of(encoded).id for encoded in (await self.store.enqueuer.enqueue(group, jobs)).jobs]

    async def enqueue(self, group: str, kind: Kind, jobs: int, call: int = CALL) -> list[str]:
        """The ids of new jobs, `call` in each call."""
        ids = []
        for first in range(0, jobs, call):
            ids += await self.put(group, [kind(first + i) for i in range(min(call, jobs - first))])
        return ids

    async def take(self, group: str, n: int) -> list[Job]:
        """Take n jobs."""
        taken: list[Job] = []
        while len(taken) < n:
            found = await self.store.dispatcher.next(min(n - len(taken), MOST), [group])
            taken += [struct_of(one.encoded) for one in found]
            if not found:
                await asyncio.sleep(0.005)
        return taken

    async def finish(self, jobs: Sequence[Job], status: Any = "succeeded", **fields: Any) -> None:
        """Report these jobs."""
        for first in range(0, len(jobs), MOST):
            some = [
                Finish(group_name=job.group_name, id=job.id, lease=job.lease or None, status=status, **fields)
                for job in jobs[first : first + MOST]
            ]
            await self.store.completer.finish(some)

    async def settle(self) -> None:
        """Settle all ends."""
        while (await self.store.maintenance.settle(100)).n:
            pass

    async def chain(self, group: str, jobs: int) -> str:
        """A chain of jobs; the id of its head."""
        head = last = ""
        for _ in range(0, jobs, CALL):
            before = [last, *(f"r{i}" for i in range(CALL - 1))]
            ids = await self.put(
                group, [NewJob(image="x", ref=f"r{i}", after=[one] if one else None) for i, one in enumerate(before)]
            )
            head, last = head or ids[0], ids[-1]
        return head

    async def admitted(self, call: int, jobs: int, rounds: int) -> dict[str, float]:
        """What new jobs of each kind cost in calls of this number."""
        costs: dict[str, list[float]] = {}
        parents = await self.put("parents", [plain(0)] * rounds)
        for turn in range(rounds):
            waiting = NewJob(image="x", payload=PAYLOAD, after=[parents[turn]])
            kinds = {"plain": plain, "timed": timed, "keyed": keyed, "waiting": partial(_same, waiting)}
            for name, kind in kinds.items():
                work = self.enqueue(f"{name}-{call}-{turn}", kind, jobs, call)
                costs.setdefault(name, []).append(await self.cost_us(work, jobs))
        return {name: min(found) for name, found in costs.items()}

    async def settled(self, jobs: int, rounds: int) -> dict[str, float]:
        """What ends cost, µs a job: with a key; dependants of ten; with one dependant a hundred; a cancelled chain."""
        costs: dict[str, list[float]] = {}
        for turn in range(rounds):
            for name in ("keyed", "dependants", "fan-in", "chain"):
                await self._ends(f"{name}-{turn}", name, jobs)
                costs.setdefault(name, []).append(await self.cost_us(self.settle(), jobs))
        return {name: min(found) for name, found in costs.items()}

    async def _ends(self, group: str, name: str, jobs: int) -> None:
        if name == "chain":
            await self.store.jobs.cancel(group, await self.chain(group, jobs))
            return
        parents = await self.enqueue(group, keyed if name == "keyed" else plain, jobs if name != "dependants" else 10)
        for i in range(0, jobs, CALL) if name != "keyed" else ():
            after = parents[i : i + CALL] if name == "fan-in" else [parents[i // CALL % 10]]
            await self.put(f"{group}-children", [NewJob(image="x", after=after)] * (1 if name == "fan-in" else CALL))
        await self.finish(await self.take(group, len(parents)))

    async def finished(self, jobs: int, rounds: int) -> dict[str, float]:
        """What reports cost: plain, with a result of 1 KiB, a failure with a retry, one that a policy forgives."""
        kinds: dict[str, tuple[Kind, dict[str, Any]]] = {
            "plain": (plain, {}),
            "result": (plain, {"result": RESULT}),
            "retried": (lambda _: NewJob(image="x", max_retries=3, retries_delay=60), {"status": "failed"}),
            "forgiven": (lambda _: NewJob(image="x", retry=Retry(max=3, delay=60)), {"status": "failed"}),
        }
        costs: dict[str, list[float]] = {}
        for turn in range(rounds):
            for name, (kind, how) in kinds.items():
                group = f"finish-{name}-{turn}"
                await self.enqueue(group, kind, jobs, MOST)
                taken = await self.take(group, jobs)
                costs.setdefault(name, []).append(await self.cost_us(self.finish(taken, **how), jobs))
        return {name: min(found) for name, found in costs.items()}

    async def seldom_times(self, jobs: int, rounds: int) -> float:
        """What whole lives cost of jobs of which one in a hundred has a key, in those of plain jobs: the median."""
        ratios = []
        for turn in range(rounds):
            seldom = await self.cost_us(self._live(f"seldom-{turn}", seldom_keyed, jobs), jobs)
            ratios.append(seldom / await self.cost_us(self._live(f"life-{turn}", plain, jobs), jobs))
        return statistics.median(ratios)

    async def _live(self, group: str, kind: Kind, jobs: int) -> None:
        await self.enqueue(group, kind, jobs, MOST)
        await self.finish(await self.take(group, jobs))
        await self.settle()

    async def late(self, jobs: int) -> float:
        """What it costs to end jobs that did not start in time, µs each."""
        await self.enqueue("late", lambda _: NewJob(image="x", start_within=1), jobs, MOST)
        await asyncio.sleep(1.1)
        done, before = 0, await self._cpu_s()
        while done < jobs:
            done += (await self.store.maintenance.reap(1000)).failed
        return (await self._cpu_s() - before) * 1e6 / jobs

    async def bytes_each(self, kind: Kind, group: str, jobs: int) -> float:
        """What a queued job of this kind takes of the store's memory."""
        before = await self.memory_bytes()
        await self.enqueue(group, kind, jobs, MOST)
        return (await self.memory_bytes() - before) / jobs

    async def watched(self, jobs: int, seconds: float) -> float:
        """The part of the store's main thread that clients take who wait for the ends of a number of jobs."""
        ids = await self.enqueue("watched", plain, jobs, MOST)
        with self.store.ends.waiting([("watched", job_id) for job_id in ids]):
            await asyncio.sleep(1)  # until each was looked at
            before = await self._cpu_s()
            await asyncio.sleep(seconds)
            return (await self._cpu_s() - before) / seconds

    async def _cpu_s(self) -> float:
        used = await self._redis.info("cpu")
        return float(used["used_cpu_user_main_thread"]) + float(used["used_cpu_sys_main_thread"])
