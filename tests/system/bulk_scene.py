"""A bulk of retries whose broker is killed half way, and what became of every job."""

import asyncio
import signal
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from redis import Redis

from broker.models.bulk import Bulk, NewBulk
from broker.models.jobs import NewJob
from broker.models.reports import Finish
from tests.conftest import server_program, start_server
from tests.system.conftest import Program
from worker.client import Client

GROUP = "mail"
AT_ONCE = 1000


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


async def fail_jobs(client: Client, number: int, group: str = GROUP) -> None:
    """Enqueue jobs and let them fail."""
    for _ in range(number // AT_ONCE):
        await client.enqueue(group, [NewJob(image="x", payload="p" * 100)] * AT_ONCE)
        jobs = []
        while len(jobs) < AT_ONCE:
            jobs += await client.next(AT_ONCE, [group])
        items = [Finish(group_name=group, id=job.id, lease=job.lease or None, status="failed") for job in jobs]
        await client.finish(items)


async def until(client: Client, bulk_id: str, done: int, limit_s: float) -> Bulk:
    """The bulk, once it has done this number of jobs, or has ended."""
    async with asyncio.timeout(limit_s):
        while True:
            shown = await client.show_bulk(bulk_id)
            if shown.done >= done or shown.state in {"done", "stopped"}:
                return shown
            await asyncio.sleep(0.05)


async def until_taken(redis: Redis, bulk_id: str, limit_s: float) -> None:
    """Wait until another broker owns the bulk than now."""
    owner = redis.hget(f"titan:{{0}}:bulk:{bulk_id}", "owner")
    async with asyncio.timeout(limit_s):
        while redis.hget(f"titan:{{0}}:bulk:{bulk_id}", "owner") == owner:
            await asyncio.sleep(0.05)


async def retries(client: Client) -> Counter[str]:
    """How often each job was retried."""
    found: Counter[str] = Counter()
    cursor, is_more = "", True
    while is_more:
        jobs, cursor = await client.list(GROUP, AT_ONCE, cursor=cursor, statuses=["queued"])
        found.update(str(job.retry_of) for job in jobs)
        is_more = bool(cursor)
    return found


async def killed_half_way(folder: Path, jobs: int, rate: int, limit_s: float) -> Figures:
    """Retry this number of jobs by a bulk at a broker, kill -9 the broker half way, and wait for the other one."""
    (folder / "store").mkdir()
    url, server = start_server(server_program("redis"), folder / "store")
    programs = [Program("broker", "--port", "0", "--redis-url", url, folder=folder) for _ in range(2)]
    try:
        first, second = (program.says(r"serves on (http://\S+);")[1] for program in programs)
        async with Client([first]) as owner, Client([second]) as other:
            await fail_jobs(other, jobs)
            with Redis.from_url(url) as redis:
                began, cpu_s = time.monotonic(), _cpu_s(redis)
                begun = await owner.bulk(GROUP, NewBulk(action="retry", rate=rate))
                half = await until(other, begun.id, jobs // 2, limit_s)
                programs[0].started.send_signal(signal.SIGKILL)
                killed_at, store_s = time.monotonic(), _cpu_s(redis) - cpu_s
                await until_taken(redis, begun.id, limit_s)
                taken_at, done_before = time.monotonic(), (await other.show_bulk(begun.id)).done
                ended = await until(other, begun.id, jobs + 1, limit_s)
                now, still_running = time.monotonic(), redis.zcard("titan:{0}:bulks_running")
            found = await retries(other)
    finally:
        for program in programs:
            program.end()
        server.terminate()
        server.wait()
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
        still_running=int(still_running),
        store_share=round(store_s / (killed_at - began), 3),
    )


def _cpu_s(redis: Redis) -> float:
    """The CPU time that the store has used."""
    info = redis.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
