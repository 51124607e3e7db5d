"""`python -m tests.bench.worker`: measures a worker. It starts a broker, a store and the worker.

noop: Python functions that do nothing, through bulk next and finish, from the first delivery to the last success.
true: the process runner with /bin/true, compared with asyncio.create_subprocess_exec at the same concurrency, on the
faster of asyncio's loop and uvloop. The result is the ratio of time and of CPU per command.
CPU per job is that of the worker without its start, for `true` including the commands, and that of broker and store.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from broker.models.groups import GroupSettings
from broker.models.jobs import NewJob
from tests.bench.server import Server, server
from worker.client import Client

ROOT = Path(__file__).parents[2]
TICKS_S = os.sysconf("SC_CLK_TCK")
LONGEST_S = 120.0


class Figures(NamedTuple):
    """Results of one round: jobs per second, and CPU per job in µs, of the worker and of broker and store."""

    rate: float
    worker_us: float
    others_us: float = 0.0


def main() -> int:
    """Measure and print."""
    options = _options()
    noops, trues, bare = [], [], []
    with server() as started:
        for _ in range(options.rounds):
            words = ("--runner", "python", "--app", "tests.bench.noop", "--concurrency", str(options.noop_concurrency))
            noops.append(uvloop.run(_worked(started, "noop", options.jobs, words)))
            bare.append(max(run(_bare(options.commands, options.concurrency)) for run in (asyncio.run, uvloop.run)))
            words = ("--run", "true=/bin/true", "--concurrency", str(options.concurrency))
            trues.append(uvloop.run(_worked(started, "true", options.commands, words)))
    rounds = list(zip(trues, bare, strict=True))
    times = {
        "times_bare_time": round(statistics.median(other.rate / one.rate for one, other in rounds), 2),
        "times_bare_cpu": round(statistics.median(one.worker_us / other.worker_us for one, other in rounds), 2),
    }
    rows = [
        _row("noop", options.noop_concurrency, noops),
        _row("true", options.concurrency, trues) | times,
        _row("bare create_subprocess_exec", options.concurrency, bare),
    ]
    for row in rows:
        print(json.dumps(row) if options.json else "  ".join(f"{name} {value}" for name, value in row.items()))
    return 0


def _row(what: str, concurrency: int, figures: list[Figures]) -> dict[str, Any]:
    rates, worker_us, others_us = zip(*figures, strict=True)
    return {
        "what": what,
        "concurrency": concurrency,
        "jobs_per_s": round(statistics.median(rates)),
        "lowest": round(min(rates)),
        "highest": round(max(rates)),
        "worker_cpu_us_per_job": round(statistics.median(worker_us), 1),
        "broker_and_store_cpu_us_per_job": round(statistics.median(others_us), 1),
    }


async def _worked(started: Server, image: str, n: int, words: tuple[str, ...]) -> Figures:
    group = f"bench-{time.time_ns()}"
    url = started.url
    async with Client(url) as client:
        await client.configure(group, GroupSettings(paused=True))
        for first in range(0, n, 1000):
            await client.enqueue(group, [NewJob(image=image, payload="x" * 100)] * min(1000, n - first))
        with _worker(url, group, words) as pid:
            await asyncio.sleep(2)
            began, worker_s, others_s = time.perf_counter(), _cpu_s(pid), _cpu_s(started.pid)
            await client.configure(group, GroupSettings())
            await _until_succeeded(client, group, n)
            took_s = time.perf_counter() - began
            worker_s, others_s = _cpu_s(pid) - worker_s, _cpu_s(started.pid) - others_s
    return Figures(n / took_s, worker_s / n * 1e6, others_s / n * 1e6)


async def _until_succeeded(client: Client, group: str, n: int) -> None:
    async with asyncio.timeout(LONGEST_S):
        while (await client.group(group)).counts.succeeded < n:
            await asyncio.sleep(0.05)


@contextmanager
def _worker(url: str, group: str, words: tuple[str, ...]) -> Iterator[int]:
    argv = [sys.executable, "-m", "worker", "--broker-url", url, "--group", group, "--log-level", "warning", *words]
    with subprocess.Popen(argv, cwd=ROOT) as parent:
        try:
            yield parent.pid
        finally:
            parent.terminate()


def _cpu_s(pid: int) -> float:
    """CPU of a process, its children and their finished children, in s: a worker's commands, a broker's store."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = _stat(str(pid))[11:13]
    return sum(map(int, own + [n for child in children for n in _stat(child)[11:15]])) / TICKS_S


def _stat(pid: str) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


async def _bare(n: int, concurrency: int) -> Figures:
    """The result of asyncio alone, in this process."""
    left = iter(range(n))

    async def lane() -> None:
        for _ in left:
            await (await asyncio.create_subprocess_exec("/bin/true")).wait()

    before, began = os.times(), time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(concurrency)))
    took_s, after = time.perf_counter() - began, os.times()
    return Figures(n / took_s, (sum(after[:4]) - sum(before[:4])) / n * 1e6)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.worker", description=__doc__)
    parser.add_argument("--jobs", type=int, default=50_000, help="no-op jobs per round")
    parser.add_argument("--noop-concurrency", type=int, default=1000)
    parser.add_argument("--commands", type=int, default=2000, help="runs of /bin/true per round")
    parser.add_argument("--concurrency", type=int, default=16, help="commands that run at once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
