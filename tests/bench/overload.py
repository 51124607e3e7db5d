"""`python -m tests.bench.overload`: loads a broker with twice its best rate. It takes half a minute.

First a closed loop finds the best rate with one job per call. Then an open loop sends jobs at twice that rate,
independent of the responses. Each job takes a free connection, and is dropped if none is free. Refused clients do not
wait for Retry-After, which makes the load harder.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import uvloop

from broker.bench.closed_loop import run_load
from broker.bench.http_client import BenchAddress, ClientConnection, clock
from tests.bench.server import Server, server

STEP_S = 0.002
LEAST = 0.9
"""The share of the best rate that the broker must still accept."""


class OverloadResult(NamedTuple):
    """Result of an open-loop load."""

    seconds: float
    cpu_s: float
    waits_s: list[float]
    refusals: int
    dropped: int

    @property
    def rate(self) -> float:
        return len(self.waits_s) / self.seconds

    def percentile(self, part: float) -> float:
        """A percentile of the durations of accepted calls, in ms; `part`: 0.99 for p99."""
        return sorted(self.waits_s)[int(part * (len(self.waits_s) - 1))] * 1000


class _Client(ClientConnection):
    """One of many connections; it is free again after its response."""

    def __init__(self, load: "_Load") -> None:
        self._load = load

    def send(self, request: bytes) -> None:
        self._sent_at = clock()
        self.write(request)

    def answered(self, status: int, body: bytes) -> None:  # noqa: ARG002
        self._load.answered(self, status, clock() - self._sent_at)

    def lost(self, reason: str) -> None:
        self._load.faults.append(reason)


class _Load:
    def __init__(self, cpu_s: Callable[[], float]) -> None:
        self.cpu_s = cpu_s
        self.free: list[_Client] = []
        self.faults: list[str] = []
        self.begin()

    def begin(self) -> None:
        """Reset the counters, because the start of a load is not typical."""
        self.began, self.before_s = clock(), self.cpu_s()
        self.waits_s: list[float] = []
        self.refusals = self.dropped = 0

    def answered(self, client: _Client, status: int, wait_s: float) -> None:
        self.free.append(client)
        if status == 201:
            self.waits_s.append(wait_s)
        elif status == 503:
            self.refusals += 1
        else:
            self.faults.append(str(status))


async def open_loop(
    address: BenchAddress, request: bytes, rate: float, connections: int, limit_s: float, used_s: Callable[[], float]
) -> OverloadResult:
    """Send `rate` requests per second for `limit_s`. Only the last two thirds of the time count."""
    load = _Load(used_s)
    clients = [await _Client(load).open(address) for _ in range(connections)]
    load.free = list(clients)
    start, sent, is_warm = clock(), 0, False
    while (now := clock()) < start + limit_s and not load.faults:
        if not is_warm and now > start + limit_s / 3:
            load.begin()
            is_warm = True
        due = int((now - start) * rate) - sent
        sent += due
        chosen, load.free = load.free[:due], load.free[due:]
        load.dropped += due - len(chosen)
        for client in chosen:
            client.send(request)
        await asyncio.sleep(STEP_S)
    seconds, used = clock() - load.began, load.cpu_s() - load.before_s
    ran = OverloadResult(seconds, used, load.waits_s[:], load.refusals, load.dropped)
    faults = load.faults[:]
    for client in clients:
        client.close()
    await asyncio.sleep(0.1)
    if faults:
        raise SystemExit(f"The broker failed: {faults[0]}")
    return ran


def cpu_s(pid: int) -> float:
    """The CPU time of a process, in s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _measured(started: Server, connections: int, limit_s: float, times: float) -> bool:
    address = BenchAddress.read(started.url)
    request = address.request("POST", "/groups/overload/jobs", {"jobs": [{"image": "x", "payload": "p" * 100}]})
    requests: Iterator[bytes] = repeat(request)
    await run_load(address, 64, requests, 1)
    before_s = cpu_s(started.pid)
    best = await run_load(address, 64, requests, limit_s)
    best_cpu_s = (cpu_s(started.pid) - before_s) / len(best.calls_s)
    best_rate = len(best.calls_s) / best.seconds
    used_s = partial(cpu_s, started.pid)
    ran = await open_loop(address, request, times * best_rate, connections, limit_s * 1.5, used_s)
    ran_cpu_s = ran.cpu_s / len(ran.waits_s)
    ratio, cpu_ratio = ran.rate / best_rate, best_cpu_s / ran_cpu_s
    print(f"best {best_rate:,.0f} jobs/s over 64 connections, {best_cpu_s * 1e6:.0f} µs of the broker's CPU a job")
    print(f"{times:g} times that offered over {connections} connections: accepted {ran.rate:,.0f} jobs/s, ", end="")
    print(f"{ratio:.2f} of the best ({cpu_ratio:.2f} of it a CPU second), p50 {ran.percentile(0.5):.0f} ms, ", end="")
    print(f"p99 {ran.percentile(0.99):.0f} ms; refused {ran.refusals / ran.seconds:,.0f}/s, ", end="")
    print(f"no free connection {ran.dropped / ran.seconds:,.0f}/s")
    return ratio >= LEAST


def main() -> int:
    """Measure and print; exit code 1 when the accepted rate was too low."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.overload", description=__doc__)
    parser.add_argument("--connections", type=int, default=[500, 2000, 4000], nargs="+")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--times", type=float, default=2.0, help="factor for the best rate")
    parser.add_argument("options", nargs="*", help="options of the broker, after --")
    options = parser.parse_args()
    passed = []
    for connections in options.connections:
        with server(*options.options) as started:
            passed.append(uvloop.run(_measured(started, connections, options.seconds, options.times)))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
