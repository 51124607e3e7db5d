"""`python -m tests.bench.looking`: how long lists, find, why and failures take, with a million finished jobs.

It writes the jobs into the store directly, then prints the p50 and p95 of each call over HTTP in ms, and the longest
scripts of the store's SLOWLOG. It takes three minutes. The exit code is 1 if a figure is out of its bound.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from typing import NamedTuple

import aiohttp
from redis.asyncio import Redis

from broker.core.ids import Ids
from broker.resp import keys
from broker.resp.script_source import SCRIPTS
from tests.bench.server import server
from tests.bench.verdicts import Verdicts, p50_p95

P = "titan:{0}"
GROUP = "many"
SCRIPT_MS = 5.0
"""The longest that one script may hold the store."""
_STEP = 2000


async def fill(redis: Redis, n: int) -> list[str]:
    """Write n finished jobs, a tenth of them failed, and 1,000 queued ones; the ids."""
    ids, now = Ids(), int(time.time() * 1000)
    made: list[str] = []
    for first in range(0, n, _STEP):
        own = ids.take(_STEP)
        begin, ends = now - n + first, {True: "failed", False: "succeeded"}
        pipe = redis.pipeline(transaction=False)
        records, executions, sets = {}, {}, {"failed": {}, "succeeded": {}}
        for i, job_id in enumerate(own):
            status = ends[i % 10 == 0]
            records[job_id] = f'{GROUP} {begin + i} {{"image":"x","payload":"{"p" * 100}"}}'
            executions[job_id] = f"- 1 {begin + i} {status} {begin + i}"
            sets[status][job_id] = begin + i
            if status == "failed":
                pipe.hset(keys.job(P, job_id), mapping={"reason": "exit", "error": f"no user {i} in '{i % 3}'"})
        pipe.hset(keys.jobs(P), mapping=records)
        pipe.hset(keys.executions(P), mapping=executions)
        pipe.zadd(keys.jobs_of(P, GROUP), {job_id: begin + i for i, job_id in enumerate(own)})
        pipe.zadd(keys.members(P, GROUP, "failed"), sets["failed"])
        pipe.zadd(keys.members(P, GROUP, "succeeded"), sets["succeeded"])
        await pipe.execute()
        made += own
    return made


class Calls(NamedTuple):
    """Calls of one kind, and what their p95 may be, in ms."""

    what: str
    paths: list[str]
    bound_ms: float = 100.0


async def measured(http: aiohttp.ClientSession, calls: Calls, verdicts: Verdicts) -> bytes:
    """Call each path, and print the p50 and p95, in ms; the last answer."""
    took_ms, body = [], b""
    for path in calls.paths:
        began = time.perf_counter()
        async with http.get(path) as answer:
            body = await answer.read()
            if not answer.ok:
                raise SystemExit(f"{path}: {answer.status} {body[:200]!r}")
        took_ms.append(1000 * (time.perf_counter() - began))
    p50, p95 = p50_p95(took_ms)
    word = verdicts.at_most(f"{calls.what}, p95", p95, calls.bound_ms, "ms")
    print(f"{calls.what:<40} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms   of {len(calls.paths)} {word}", flush=True)
    return body


async def pages(http: aiohttp.ClientSession, jobs: str, n: int) -> list[str]:
    """The cursors of n pages of 200 jobs, one after the other."""
    found = [""]
    while len(found) <= n:
        async with http.get(f"{jobs}?n=200&brief=1&cursor={found[-1]}") as answer:
            found.append((await answer.json())["cursor"])
    return found[1:]


async def run(url: str, redis: Redis, n: int) -> int:
    """Fill the store and measure; the exit code."""
    began = time.monotonic()
    ids = await fill(redis, n)
    print(f"{n:,} finished jobs; made in {time.monotonic() - began:.0f} s", flush=True)
    verdicts, jobs = Verdicts(), f"/v1/groups/{GROUP}/jobs"
    async with aiohttp.ClientSession(url) as http:
        await http.post(jobs, json={"jobs": [{"image": "x"}] * 1000})
        await redis.config_set("slowlog-max-len", 1000)
        await redis.config_set("slowlog-log-slower-than", 1000)
        await redis.slowlog_reset()
        for calls in await kinds(http, jobs, ids):
            body = await measured(http, calls, verdicts)
            if "10,000 looks" in calls.what:
                answer = json.loads(body)
                verdicts.at_least("looked at by a search of 10,000", answer["looked"], 10_000, "jobs")
                verdicts.at_least("cursors of a search that continues", int("cursor" in answer), 1, "")
    await scripts(redis, verdicts)
    print(f"it took {time.monotonic() - began:.0f} s")
    return verdicts.close()


async def kinds(http: aiohttp.ClientSession, jobs: str, ids: list[str]) -> list[Calls]:
    """The calls that are measured."""
    cursors = await pages(http, jobs, 50)
    async with http.get(f"{jobs}?status=queued&n=1000") as answer:
        queued = [job["id"] for job in (await answer.json())["jobs"]]
    some, group = random.sample(ids, 100), f"/v1/groups/{GROUP}"
    middle = f"{jobs}?status=succeeded&created_after={await created_at(http, jobs, ids[len(ids) // 2])}"
    return [
        Calls("list, first page", [f"{jobs}?brief=1&retried=0"] * 100),
        Calls("list, from a cursor", [f"{jobs}?brief=1&cursor={cursor}" for cursor in cursors]),
        Calls("list, in the middle", [middle] * 100),
        Calls("list, last page", [f"{jobs}?brief=1&order=desc"] * 100),
        Calls("list of a reason, 1,000 looks", [f"{jobs}?reason=exit&looks=1000&n=50"] * 50),
        Calls("text without a match, 1,000 looks", [f"{jobs}?text=nothing&looks=1000"] * 50),
        Calls("text without a match, 10,000 looks", [f"{jobs}?text=nothing&looks=10000"] * 20, 500.0),
        Calls("find", [f"/v1/jobs/{job_id}" for job_id in some], 20.0),
        Calls("history", [f"{jobs}/{job_id}/history" for job_id in some]),
        Calls("why, finished", [f"{jobs}/{job_id}/why" for job_id in some], 20.0),
        Calls("why, queued", [f"{jobs}/{job_id}/why" for job_id in queued[:100]], 20.0),
        Calls("why of the group", [f"{group}/why"] * 100, 20.0),
        Calls("failures, 1,000 looks", [f"{group}/failures"] * 50),
    ]


async def created_at(http: aiohttp.ClientSession, jobs: str, job_id: str) -> str:
    """When a job was created."""
    async with http.get(f"{jobs}/{job_id}") as answer:
        return str((await answer.json())["job"]["created_at"])


async def scripts(redis: Redis, verdicts: Verdicts) -> None:
    """The longest run of each script, of those over 1 ms."""
    verbs = {script.sha: name for name, script in SCRIPTS.items()}
    slow: dict[str, list[float]] = {}
    for row in await redis.slowlog_get(1000):
        if row["command"].upper().startswith(b"EVALSHA"):
            verb = verbs.get(row["command"].split(b" ")[1].decode(), "?")
            slow.setdefault(verb, []).append(row["duration"] / 1000)
    print("scripts over 1 ms:" if slow else "no script took 1 ms")
    for verb, all_ms in slow.items():
        p95 = p50_p95([0.0, *all_ms])[1]  # the longest of all is one that had to wait for a core
        word = verdicts.at_most(f"{verb} scripts over 1 ms, p95", p95, SCRIPT_MS, "ms")
        print(f"  {verb:<10} {len(all_ms)} times, p95 {p95:.1f} ms {word}, the longest {max(all_ms):.1f} ms")


def main() -> int:
    """Start a broker, fill its store, measure; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.looking", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="how many finished jobs")
    options = parser.parse_args()

    async def work(url: str, redis_url: str) -> int:
        async with Redis.from_url(redis_url) as redis:
            return await run(url, redis, options.jobs)

    with server() as started:
        return asyncio.run(work(started.url, started.redis_url))


if __name__ == "__main__":
    sys.exit(main())
