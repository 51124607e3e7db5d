"""`python -m tests.bench.large`: does large operations and measures how long each blocks the event loop and the store.

It takes some minutes. For each operation it prints the longest lag of the event loop, and the longest script of the
store's SLOWLOG.
"""

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import aiohttp
import msgspec
from redis.asyncio import Redis

from broker.resp.script_source import SCRIPTS
from tests.bench.server import Server, server

JSON = {"Content-Type": "application/json"}
PAYLOAD = "p" * 100_000
STALL_S, SCRIPT_S = 0.05, 0.01
"""Limits for the lag of the event loop and for a script, in s."""
_SLOWLOG = 10_000
"""Entries in the store's log of scripts over 1 ms; the store's default is 128."""


class Large(NamedTuple):
    """A large operation: its name and its function."""

    what: str
    work: Callable[["Scene"], Awaitable[None]]


class Scene:
    """A new broker and its store."""

    def __init__(self, started: Server, http: aiohttp.ClientSession, redis: Redis, scale: float) -> None:
        self.url = started.url
        self.http = http
        self.redis = redis
        self.scale = scale

    async def post(self, path: str, body: object) -> bytes:
        """Send a POST; the body of the response, which must be a 2xx."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        async with self.http.post(f"{self.url}/v1{path}", data=content, headers=JSON) as answer:
            received = await answer.read()
            if not answer.ok:
                raise SystemExit(f"{path}: {answer.status} {received[:200]!r}")
            return received

    async def get(self, path: str) -> bytes:
        """Send a GET; the body of the response, which must be a 2xx."""
        async with self.http.get(f"{self.url}/v1{path}") as answer:
            received = await answer.read()
            if not answer.ok:
                raise SystemExit(f"{path}: {answer.status} {received[:200]!r}")
            return received


def _jobs(number: int, payload: str) -> dict[str, object]:
    return {"jobs": [{"image": "x", "payload": payload}] * number}


async def nothing(scene: Scene) -> None:
    """An idle broker, as a reference for this machine."""
    await asyncio.sleep(3)
    await scene.get("/groups")


async def bodies(scene: Scene) -> None:
    """Enqueue, list and take as many jobs of 100 kB as fit into a body."""
    for _ in range(12):
        await scene.post("/groups/large/jobs", _jobs(83, PAYLOAD))
    await scene.get("/groups/large/jobs?n=1000")
    await scene.get("/jobs?n=1000")


async def logs(scene: Scene) -> None:
    """Upload and download four logs of 64 MiB at the same time."""
    content = msgspec.json.decode(await scene.post("/groups/g/jobs", _jobs(4, "")))
    await scene.get("/jobs?n=4&group=g")

    async def both(job_id: str) -> None:
        path = f"/groups/g/jobs/{job_id}/log"
        headers = {"Content-Type": "text/plain"}
        async with scene.http.post(f"{scene.url}/v1{path}", data=b"l" * (64 << 20), headers=headers) as answer:
            answer.raise_for_status()
        async with scene.http.get(f"{scene.url}/v1{path}") as answer:
            async for _ in answer.content.iter_chunked(1 << 16):
                pass

    await asyncio.gather(*(both(job["id"]) for job in content["jobs"]))


async def groups(scene: Scene) -> None:
    """Create many groups with one job each, list them 1,000 at a time, count them for /metrics, take their jobs."""
    number = int(100_000 * scene.scale)
    body = msgspec.json.encode(_jobs(1, ""))
    for start in range(0, number, 200):
        await asyncio.gather(
            *(scene.post(f"/groups/many-{n}/jobs", body) for n in range(start, min(start + 200, number)))
        )
    cursor = ""
    while True:
        page = msgspec.json.decode(await scene.get(f"/groups?n=1000&cursor={cursor}"))
        if not (cursor := page.get("cursor", "")):
            break
    for _ in range(20):
        await scene.get("/jobs?n=1000")


async def expiry(scene: Scene) -> None:
    """Finish many jobs with a short retention. The reaper deletes them while others are enqueued and listed."""
    number = int(1_000_000 * scene.scale)
    async with scene.http.put(f"{scene.url}/v1/groups/old", json={"group": {"retention": {"succeeded": 1}}}) as answer:
        answer.raise_for_status()
    body = msgspec.json.encode(_jobs(1000, ""))
    for i in range(number // 1000):
        await scene.post("/groups/old/jobs", body)
        if i % 10 == 0:
            await scene.get("/groups/old/jobs?n=1000")
        taken = msgspec.json.decode(await scene.get("/jobs?n=1000&group=old"))["jobs"]
        done = [{k: job[k] for k in ("group_name", "id", "lease")} | {"status": "succeeded"} for job in taken]
        await scene.post("/jobs/finish", {"jobs": done})
    while await scene.redis.zcard("titan:{0}:group:old:succeeded"):
        await asyncio.sleep(0.2)


LARGE = (
    Large("nothing, for comparison", nothing),
    Large("1,000 jobs of 100 kB in 12 bodies of 8 MiB", bodies),
    Large("logs of 64 MiB up and down, 4 at once", logs),
    Large("100,000 groups", groups),
    Large("1,000,000 finished jobs expire", expiry),
)


async def _measured(large: Large, started: Server, scale: float) -> bool:
    async with Redis.from_url(started.redis_url) as redis, aiohttp.ClientSession() as http:
        await redis.config_set("slowlog-log-slower-than", 1000)
        await redis.config_set("slowlog-max-len", _SLOWLOG)
        await redis.slowlog_reset()
        began = time.monotonic()
        await large.work(Scene(started, http, redis, scale))
        took_s = time.monotonic() - began
        async with http.get(f"{started.url}/metrics") as answer:
            metrics = await answer.text()
        slow = [row for row in await redis.slowlog_get(_SLOWLOG) if row["command"].upper().startswith(b"EVALSHA")]
    verbs = {script.sha: name for name, script in SCRIPTS.items()}
    lag_s = float(re.search(r"^titan_loop_lag_max_seconds (\S+)$", metrics, re.MULTILINE)[1])  # type: ignore[index]
    stalls = _lags_above(metrics, STALL_S)
    longest = max(slow, key=lambda row: row["duration"], default=None)
    script_s = longest["duration"] / 1e6 if longest else 0.0
    name = "-" if longest is None else verbs.get(longest["command"].split(b" ")[1].decode(), "?")
    print(
        f"{large.what}: {took_s:.1f} s; longest lag {lag_s * 1000:.0f} ms, {stalls} above {STALL_S * 1000:g} ms; ",
        end="",
    )
    print(f"longest script {script_s * 1000:.1f} ms ({name})", flush=True)
    return lag_s <= STALL_S and script_s <= SCRIPT_S


def _lags_above(metrics: str, bound_s: float) -> int:
    """The number of lags above the bound."""
    counts = dict(re.findall(r'^titan_loop_lag_seconds_bucket\{le="(\S+)"\} (\d+)\.0$', metrics, re.MULTILINE))
    return int(counts["+Inf"]) - int(counts[str(bound_s)])


def main() -> int:
    """Run all operations, or those whose names contain a word; exit code 1 when one exceeded a limit."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.large", description=__doc__)
    parser.add_argument("words", nargs="*", help="parts of the names of operations to run")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for the numbers of groups and jobs")
    options = parser.parse_args()
    passed = []
    for large in LARGE:
        if not options.words or any(word in large.what for word in options.words):
            with server() as started:
                passed.append(asyncio.run(_measured(large, started, options.scale)))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
