"""`python -m tests.bench.dashboard`: what the dashboard's calls cost with many groups and many jobs.

It starts a broker and a store, makes groups and jobs, and prints the p50 and p95 of each GET, the CPU time of the store
while nobody, one client and many clients watch the overview, and the rates of a broker with an open dashboard. It
takes ten minutes. The exit code is 1 if a figure is out of its bound.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import aiohttp
import uvloop
from redis.asyncio import Redis

from broker.core.ids import Ids
from broker.core.timestamps import milliseconds
from broker.resp import keys
from tests.bench import watched_rates, watching
from tests.bench.server import Server, server
from tests.bench.verdicts import Verdicts, p50_p95

BIG = "big"
"""The group with the many jobs."""
P = "titan:{0}"
P95_MS, AGE_S = 100.0, 15.0
"""The bounds of a GET, and of the age of the sweep that the overview answers from."""
_FIRST_S = 60.0
_MORE = 5000
"""Commands of one pipeline."""


class Options(NamedTuple):
    """How much there is, and how much is asked."""

    groups: int
    finished: int
    queued: int
    calls: int
    watchers: int
    watch_s: float
    pairs: int


def main() -> int:
    """Measure and print; the exit code."""
    options, verdicts, began = _options(), Verdicts(), time.monotonic()
    with server("--no-reaper") as started:
        uvloop.run(_measure(started, options, verdicts))
    if options.pairs:
        with server() as started:
            uvloop.run(_watched_rates(started, options, verdicts))
    print(f"it took {time.monotonic() - began:.0f} s")
    return verdicts.close()


async def _watched_rates(started: Server, options: Options, verdicts: Verdicts) -> None:
    """The rates of a broker with as many groups, with an open dashboard and without."""
    async with Redis.from_url(started.redis_url) as redis:
        await _fill(redis, options._replace(finished=0, queued=0))
    await watched_rates.measured(started, options.pairs, verdicts)


async def _measure(started: Server, options: Options, verdicts: Verdicts) -> None:
    async with Redis.from_url(started.redis_url) as redis, aiohttp.ClientSession(started.url) as session:
        began = time.monotonic()
        await _fill(redis, options)
        sizes = f"{options.groups:,} groups, {options.finished:,} finished and {options.queued:,} queued jobs in one"
        memory = (await redis.info("memory"))["used_memory"] / 2**20
        print(f"{sizes}; made in {time.monotonic() - began:.0f} s; the store has {memory:.0f} MiB\n", flush=True)
        await _count(session)
        print(f"the first overview after {await _first_overview_s(session):.1f} s\n", flush=True)
        await _gets(session, options, verdicts)
        await watching.measured(started, redis, options.watchers, options.watch_s, verdicts)


async def _fill(redis: Redis, options: Options) -> None:
    """Write groups and jobs as the scripts do, in pipelines: over HTTP a million jobs would take too long."""
    now = int(time.time() * 1000)
    each = {f"group-{number:05}": now - options.groups + number for number in range(options.groups - 1)}
    for some in _split(list({BIG: now - options.groups} | each), _MORE):
        await redis.zadd(keys.groups(P), {name: each.get(name, now - options.groups) for name in some})
    await redis.set(f"{P}:sequence", options.groups + options.queued)
    await _fill_group(redis, BIG, Ids().take(options.finished), now, "succeeded")
    await _fill_group(redis, BIG, Ids().take(options.queued), now, "queued")
    for number, name in enumerate(each):
        if number % 10 == 0:  # one group in ten has a job that waits
            await _fill_group(redis, name, Ids().take(1), now - number, "queued", options.queued + number)


async def _fill_group(redis: Redis, group: str, ids: Sequence[str], now: int, status: str, first: int = 1) -> None:
    """Jobs of one status in a group."""
    for at, some in enumerate(_split(ids, _MORE)):
        created_at = now - (len(ids) - at * _MORE) // 100
        spec = '{"image":"send","payload":"%s"}' % ("x" * 100)
        async with redis.pipeline(transaction=False) as pipeline:
            pipeline.hset(keys.jobs(P), mapping=dict.fromkeys(some, f"{group} {created_at} {spec}"))
            pipeline.zadd(keys.jobs_of(P, group), dict.fromkeys(some, created_at))
            if status == "queued":
                ranks = {job_id: 2**52 + first + at * _MORE + i for i, job_id in enumerate(some)}
                pipeline.zadd(keys.members(P, group, "queued"), ranks)
                pipeline.zadd(keys.ready(P), {group: 2**52 + first}, nx=True)
            else:
                execution = f"V5aQxxxxxxx-7 1 {created_at} succeeded {created_at + 200}"
                pipeline.hset(keys.executions(P), mapping=dict.fromkeys(some, execution))
                pipeline.zadd(keys.members(P, group, "succeeded"), dict.fromkeys(some, created_at + 200))
            await pipeline.execute()


def _split(items: Sequence[Any], n: int) -> Iterable[Sequence[Any]]:
    return (items[at : at + n] for at in range(0, len(items), n))


async def _count(session: aiohttp.ClientSession) -> None:
    """Have statistics in some groups."""
    body = {"jobs": [{"image": "send"}] * 10}
    for number in range(200):
        async with session.post(f"/v1/groups/group-{number:05}/jobs", json=body):
            pass
    async with session.get("/v1/jobs?n=500") as answer:
        jobs = (await answer.json())["jobs"]
    items = [{"group_name": job["group_name"], "id": job["id"], "status": "succeeded"} for job in jobs]
    async with session.post("/v1/jobs/finish", json={"jobs": items}):
        pass


async def _first_overview_s(session: aiohttp.ClientSession) -> float:
    """How long it took until the groups were read for the first time, s; the broker answers 503 before."""
    began = time.monotonic()
    async with asyncio.timeout(_FIRST_S):
        while True:
            async with session.get("/v1/overview") as answer:
                if answer.status == 200:
                    return time.monotonic() - began
            await asyncio.sleep(0.1)


async def _gets(session: aiohttp.ClientSession, options: Options, verdicts: Verdicts) -> None:
    """The time of each GET, as a client sees it, and how old the sweep of the overview is."""
    async with session.get(f"/v1/groups/{BIG}/jobs?n=1") as answer:
        job_id = (await answer.json())["jobs"][0]["id"]
    paths = [
        "/v1/overview",
        "/v1/overview?sort=oldest&n=200",
        "/v1/overview?sort=name&q=99",
        "/v1/overview?only=stuck&only=failing",
        "/v1/stats",
        "/v1/stats?window=24h",
        f"/v1/groups/{BIG}",
        f"/v1/groups/{BIG}/stats",
        f"/v1/groups/{BIG}/stats?window=24h",
        f"/v1/groups/{BIG}/jobs",
        f"/v1/groups/{BIG}/jobs?status=succeeded&order=desc",
        f"/v1/groups/{BIG}/jobs/{job_id}",
        "/v1/groups",
        "/v1/workers",
        "/metrics",
    ]
    print(f"{'GET':<60} {'p50 ms':>8} {'p95 ms':>8} {'kB':>7}")
    for path in paths:
        times_ms, size = [], 0
        for _ in range(options.calls):
            began = time.perf_counter()
            async with session.get(path) as answer:
                size = len(await answer.read())
                if answer.status != 200:
                    raise SystemExit(f"{path}: {answer.status} {await answer.text()}")
            times_ms.append((time.perf_counter() - began) * 1000)
        p50, p95 = p50_p95(times_ms)
        word = verdicts.at_most(f"{path}, p95", p95, P95_MS, "ms")
        print(f"{path:<60} {p50:>8.1f} {p95:>8.1f} {size / 1000:>7.1f} {word}", flush=True)
    async with session.get("/v1/overview") as answer:
        found = await answer.json()
    age_s = time.time() - milliseconds(found["as_of"]) / 1000
    word = verdicts.at_most("age of the overview", age_s, AGE_S, "s")
    print(
        f"\nthe overview is {age_s:.1f} s old {word}: {found['matched']:,} groups, {found['totals']['queued']:,} queued"
    )


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.dashboard", description=__doc__)
    parser.add_argument("--groups", type=int, default=10_000, help="groups in all (10,000)")
    parser.add_argument("--finished", type=int, default=1_000_000, help="finished jobs in one group (1,000,000)")
    parser.add_argument("--queued", type=int, default=100_000, help="queued jobs in the same group (100,000)")
    parser.add_argument("--calls", type=int, default=100, help="calls of each GET (100)")
    parser.add_argument("--watchers", type=int, default=50, help="clients that watch the overview (50)")
    parser.add_argument("--watch-s", type=float, default=60.0, help="how long they watch, s (60)")
    parser.add_argument("--pairs", type=int, default=10, help="pairs of W1 and W3 with and without a dashboard (10)")
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
