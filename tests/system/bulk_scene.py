"""A bulk of retries whose broker is killed half way, and what became of every job."""

import asyncio
import signal
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import msgspec
from redis import Redis

from broker.core.states import Status
from broker.models.bulk import ENDED, Bulk, NewBulk, RetryChanges
from broker.models.jobs import Job, NewJob
from broker.models.reports import Finish
from tests.conftest import server_program, start_server
from tests.system.conftest import Program
from worker.client import Client

GROUP = "mail"
AT_ONCE = 1000
RETRY = NewBulk(action="retry")
CHANGED_S = 77
"""The timeout that a bulk gives to new jobs, s."""


class Figures(NamedTuple):
    """What came out. Times are in s; `store_share` is the CPU of the store until the kill, as a part of one core.

    `rate_before` and `rate_after` are jobs a second: until the kill, and from when the other broker took it to the end.
    """

    bulk: Bulk
    done_at_kill: int
    rate_before: float
    taken_after_s: float
    rate_after: float
    after_kill_s: float
    took_s: float
    retried: int
    twice: int
    still_running: int
    store_share: float
    changed: int


async def fail_jobs(client: Client, number: int, group: str = GROUP, at_once: int = AT_ONCE) -> None:
    """Enqueue jobs and let them fail, so many at once."""
    for _ in range(number // at_once):
        await client.enqueue(group, [NewJob(image="x", payload="p" * 100)] * at_once)
        jobs = []
        while len(jobs) < at_once:
            jobs += await client.next(at_once, [group])
        items = [Finish(group_name=group, id=job.id, lease=job.lease or None, status="failed") for job in jobs]
        await client.finish(items)


async def until(client: Client, bulk_id: str, done: int, limit_s: float) -> Bulk:
    """The bulk, once it has done this number of jobs, or has ended."""
    async with asyncio.timeout(limit_s):
        while True:
            shown = await client.show_bulk(bulk_id)
            if shown.done >= done or shown.state in ENDED:
                return shown
            await asyncio.sleep(0.05)


async def until_taken(redis: Redis, bulk_id: str, limit_s: float) -> None:
    """Wait until another broker owns the bulk than now."""
    owner = redis.hget(f"titan:{{0}}:bulk:{bulk_id}", "owner")
    async with asyncio.timeout(limit_s):
        while redis.hget(f"titan:{{0}}:bulk:{bulk_id}", "owner") == owner:
            await asyncio.sleep(0.05)


async def retries(client: Client, *statuses: Status) -> list[Job]:
    """The retries in these statuses."""
    found: list[Job] = []
    cursor, is_more = "", True
    while is_more:
        jobs, cursor = await client.list(GROUP, AT_ONCE, cursor=cursor, statuses=statuses)
        found += jobs
        is_more = bool(cursor)
    return found


async def killed_half_way(folder: Path, jobs: int, rate: int, limit_s: float, given: NewBulk = RETRY) -> Figures:
    """Retry this number of jobs by a bulk at a broker, kill -9 the broker half way, and wait for the other one.

    `given`: the bulk, without its rate. `changed` of the figures: how many retries have its timeout.
    """
    (folder / "store").mkdir()
    url, server = start_server(server_program("redis"), folder / "store")
    programs = [Program("broker", "--port", "0", "--redis-url", url, folder=folder) for _ in range(2)]
    try:
        first, second = (program.says(r"serves on (http://\S+);")[1] for program in programs)
        async with Client([first]) as owner, Client([second]) as other:
            await fail_jobs(other, jobs)
            with Redis.from_url(url) as redis:
                began, cpu_s = time.monotonic(), _cpu_s(redis)
                begun = await owner.bulk(GROUP, msgspec.structs.replace(given, rate=rate))
                half = await until(other, begun.id, jobs // 2, limit_s)
                programs[0].started.send_signal(signal.SIGKILL)
                killed_at, store_s = time.monotonic(), _cpu_s(redis) - cpu_s
                await until_taken(redis, begun.id, limit_s)
                taken_at, done_before = time.monotonic(), (await other.show_bulk(begun.id)).done
                ended = await until(other, begun.id, jobs + 1, limit_s)
                now, still_running = time.monotonic(), _still_running(redis)
            made = await retries(other, "queued")
    finally:
        for program in programs:
            program.end()
        server.terminate()
        server.wait()
    found = Counter(str(job.retry_of) for job in made)
    return Figures(
        bulk=ended,
        done_at_kill=half.done,
        rate_before=round(half.done / (killed_at - began), 1),
        taken_after_s=round(taken_at - killed_at, 1),
        rate_after=round((ended.done - done_before) / (now - taken_at), 1),
        after_kill_s=round(now - killed_at, 1),
        took_s=round(now - began, 1),
        retried=len(found),
        twice=sum(number > 1 for number in found.values()),
        still_running=still_running,
        changed=sum(job.timeout == CHANGED_S for job in made),
        store_share=round(store_s / (killed_at - began), 3),
    )


async def killed_while_paused(folder: Path, jobs: int, limit: int) -> list[Job]:
    """Retry jobs in a group that has room for fewer, kill -9 the broker while the bulk is paused, then make room.

    The retries, once the other broker has ended the bulk.
    """
    (folder / "store").mkdir()
    url, server = start_server(server_program("redis"), folder / "store")
    options = ("--port", "0", "--redis-url", url, "--max-group-jobs", str(limit))
    programs = [Program("broker", *options, folder=folder) for _ in range(2)]
    try:
        first, second = (program.says(r"serves on (http://\S+);")[1] for program in programs)
        async with Client([first]) as owner, Client([second]) as other:
            await fail_jobs(other, jobs, at_once=limit)
            begun = await owner.bulk(GROUP, NewBulk(action="retry", set=RetryChanges(timeout=CHANGED_S)))
            async with asyncio.timeout(20):
                while (paused := await other.show_bulk(begun.id)).state != "paused":
                    await asyncio.sleep(0.05)
            assert (paused.done, paused.refused) == (limit, {})
            programs[0].started.send_signal(signal.SIGKILL)
            with Redis.from_url(url) as redis:
                await until_taken(redis, begun.id, 30)
            async with asyncio.timeout(60):
                while (shown := await other.show_bulk(begun.id)).state != "done":
                    assert shown.state in {"running", "paused"}
                    for job in await retries(other, "queued"):
                        await other.cancel(GROUP, job.id)
            assert (shown.done, shown.skipped, shown.refused) == (jobs, {}, {})
            return await retries(other, "queued", "cancelled")
    finally:
        for program in programs:
            program.end()
        server.terminate()
        server.wait()


def _still_running(redis: Redis) -> int:
    return int(redis.zcard("titan:{0}:bulks_running")) + int(redis.zcard("titan:{0}:bulks_extended"))


def _cpu_s(redis: Redis) -> float:
    """The CPU time that the store has used."""
    info = redis.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
