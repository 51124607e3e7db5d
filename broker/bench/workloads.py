"""The workloads W1 to W6. Each step starts with an empty group, has limits of jobs and time, and returns a result.

A rate counts accepted jobs only. CPU per job includes everything that ran during the load of the step.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

import msgspec

from broker.bench.bench_group import BenchGroup, accepted, not_ok, taken
from broker.bench.closed_loop import run_load
from broker.bench.http_client import BenchAddress, BenchResponse, Caller, clock
from broker.bench.resource_usage import Meters
from broker.bench.results import Result, percentile_ms
from broker.models.fields import MAX_JOBS

WORKS = ("W1", "W2", "W3", "W4", "W5", "W6")

_SMALL_BACKLOG = 1000
_RETRY_S = 0.002
_WAIT_S = 5
_SETTLE_S = 0.01
"""Time for a long poll to start waiting, and for the store to free its buffers, in s."""


class Bench(NamedTuple):
    """The inputs of a step: its group, the meters, and the limits in s, jobs and polls."""

    group: BenchGroup
    meters: Meters
    limit_s: float
    jobs: int
    polls: int


class Step(NamedTuple):
    """One measurement: its workload, its description and its function."""

    work: str
    what: str
    run: Callable[[Bench], Awaitable[Result]]
    needs_store: bool = False

    async def measure(self, bench: Bench) -> Result:
        """Run the step; its result. The group is empty before and after. Raises BenchFailed."""
        await bench.group.open()
        try:
            result = await self.run(bench)
        finally:
            await bench.group.empty()
        return msgspec.structs.replace(result, work=self.work, what=self.what)


def steps(backlog: int) -> list[Step]:
    """All steps in the order in which they run. `backlog`: the number of jobs in the queue of the last steps."""
    found = [
        Step("W1", "enqueue 1 a call, 1 connection", partial(enqueue, connections=1, n=1)),
        Step("W1", "enqueue 1 a call, 32 connections", partial(enqueue, connections=32, n=1)),
        Step("W2", "enqueue 1,000 a call, 2 connections", partial(enqueue, connections=2, n=MAX_JOBS)),
        Step("W3", "next 100, one finish for all, 4 connections", partial(consume, connections=4, n=100, at_once=True)),
        Step("W3", "next 100, a success each, 8 connections", partial(consume, connections=8, n=100, at_once=False)),
        Step("W3", "next 1, a success each, 32 connections", partial(consume, connections=32, n=1, at_once=False)),
        Step("W3", "the reaper deletes finished jobs", _reap),
        Step("W4", "long poll on an idle group, enqueue to receipt", poll),
        Step("W5", "memory of a queued job, payload 100 B", partial(_memory, payload_bytes=100), needs_store=True),
        Step("W5", "memory of a queued job, payload 1,000 B", partial(_memory, payload_bytes=1000), needs_store=True),
        Step("W5", "memory of a finished job, payload 100 B", partial(_memory, is_finished=True), needs_store=True),
    ]
    for queued in sorted({_SMALL_BACKLOG, backlog}):
        enqueueing = partial(enqueue, connections=32, n=1, queued=queued)
        consuming = partial(consume, connections=4, n=100, at_once=True, queued=queued)
        found.append(Step("W6", f"enqueue 1 a call, 32 connections, {queued:,} queued", enqueueing))
        found.append(Step("W6", f"next 100, one finish for all, {queued:,} queued", consuming))
    return found


async def enqueue(bench: Bench, *, connections: int, n: int, queued: int = 0) -> Result:
    """Enqueue n jobs per call."""
    group = bench.group
    await group.fill(queued)
    await bench.meters.begin()
    calls = max(connections, bench.jobs // n)
    ran = await run_load(group.address, connections, islice(group.enqueues(n), calls), bench.limit_s)
    jobs = (len(ran.calls_s) - len(ran.refusals)) * n
    result = await _result(bench, jobs, ran.seconds, ran.refusals, ran.calls_s)
    await group.check(queued + jobs)
    return result


async def consume(bench: Bench, *, connections: int, n: int, at_once: bool, queued: int = 0) -> Result:
    """Take n jobs per call and report their success, with one call per job or one call for all."""
    group = bench.group
    await group.fill(bench.jobs + queued)
    callers = [await Caller().open(group.address) for _ in range(connections)]
    consumer = _Consumer(group, bench.jobs, n, at_once=at_once)
    await bench.meters.begin()
    start = clock()
    await asyncio.gather(*(consumer.run(caller, start + bench.limit_s) for caller in callers))
    seconds = clock() - start
    for caller in callers:
        caller.close()
    result = await _result(bench, consumer.done, seconds, consumer.refusals)
    await group.check(bench.jobs + queued - consumer.taken)
    return result


class _Consumer:
    """The state that all connections of a consumer share."""

    def __init__(self, group: BenchGroup, jobs: int, n: int, *, at_once: bool) -> None:
        self.taken = self.done = 0
        self.refusals: list[BenchResponse] = []
        self._group = group
        self._jobs = jobs
        self._next = group.next(n)
        self._is_at_once = at_once

    async def run(self, caller: Caller, end: float) -> None:
        """Take and finish jobs until none is left, or until `end`."""
        while self.taken < self._jobs and clock() < end:
            answer = await caller.call(self._next)
            if answer.is_refusal:
                self.refusals.append(answer)
                continue
            jobs = taken(answer)
            self.taken += len(jobs)
            if not jobs:
                await asyncio.sleep(_RETRY_S)
            elif self._is_at_once:
                self._count(await caller.call(self._group.finish(jobs)), len(jobs))
            else:
                for done in await caller.calls([self._group.succeed(job) for job in jobs]):
                    self._count(done, 1)

    def _count(self, answer: BenchResponse, jobs: int) -> None:
        is_accepted = not answer.is_refusal and (not self._is_at_once or not_ok(answer) == 0)
        if is_accepted:
            self.done += jobs
        else:
            self.refusals.append(answer)


async def _reap(bench: Bench) -> Result:
    """Measure how fast the reapers of the brokers delete finished jobs after their retention. No client is involved."""
    await bench.group.fill(bench.jobs)
    await bench.group.finish_all()
    await bench.meters.begin()
    start = clock()
    await bench.group.empty()
    return await _result(bench, bench.jobs, clock() - start, [])


async def poll(bench: Bench, producer_at: BenchAddress | None = None) -> Result:
    """Time from sending an enqueue, to this or another broker, until a waiting consumer has the job."""
    group = bench.group
    consumer, producer = await Caller().open(group.address), await Caller().open(producer_at or group.address)
    waiting, enqueueing = group.next(1, _WAIT_S), group.enqueue()
    calls_s: list[float] = []
    start = clock()
    while len(calls_s) < bench.polls and clock() < start + 10 * bench.limit_s:
        consumer.send(waiting)
        await asyncio.sleep(_SETTLE_S)
        sent = clock()
        accepted(await producer.call(enqueueing))
        [answer] = await consumer.answers(1)
        calls_s.append(clock() - sent)
        jobs = taken(accepted(answer))
        if not jobs:
            await group.check(1)
        accepted(await consumer.call(group.succeed(jobs[0])))
    for caller in (consumer, producer):
        caller.close()
    return Result(jobs=len(calls_s), p50_ms=percentile_ms(calls_s, 0.5), p99_ms=percentile_ms(calls_s, 0.99))


async def _memory(bench: Bench, *, payload_bytes: int = 100, is_finished: bool = False) -> Result:
    """Memory of the store per queued or finished job, in bytes."""
    await bench.group.fill(1, payload_bytes)
    await asyncio.sleep(_SETTLE_S)
    before = await bench.meters.memory_bytes()
    await bench.group.fill(bench.jobs, payload_bytes)
    if is_finished:
        await bench.group.finish_all()
    await asyncio.sleep(_SETTLE_S)
    bytes_per_job = (await bench.meters.memory_bytes() - before) / bench.jobs
    return Result(jobs=bench.jobs, bytes_per_job=bytes_per_job)


async def _result(
    bench: Bench, jobs: int, seconds: float, refusals: Sequence[BenchResponse], calls_s: Sequence[float] = ()
) -> Result:
    costs = await bench.meters.costs()

    def us_per_job(cpu_s: float | None) -> float | None:
        return None if cpu_s is None or not jobs else cpu_s / jobs * 1e6

    return Result(
        jobs=jobs,
        jobs_per_s=jobs / seconds,
        p50_ms=percentile_ms(calls_s, 0.5),
        p99_ms=percentile_ms(calls_s, 0.99),
        front_us=us_per_job(costs.front_s),
        store_us=us_per_job(costs.store_s),
        client_us=us_per_job(costs.client_s),
        refused=len(refusals),
        first_refusal=str(refusals[0]) if refusals else "",
    )
