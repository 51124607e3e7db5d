"""`python -m tests.bench.builds --other CHECKOUT`: instructions a job of this build, next to another build's.

Time on a shared machine differs from run to run by more than a few per cent; the number of instructions does not.
Broker and store run under callgrind (Debian: valgrind), some fifty times as slow as else. What both do when idle is
subtracted. The other checkout needs its environment: `./titan --version` makes it.
"""

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import msgspec

from broker.bench.http_client import BenchAddress, BenchFailed, BenchResponse, Caller
from tests.bench.server import broker_url
from tests.conftest import server_program

_ROOT = Path(__file__).parents[2]
BAR = 1.03
"""How many times the instructions of the other build a job may take."""
_START_S = 1800.0
_IDLE_S = 30.0
_JOB = {"image": "bench", "payload": "x" * 100}


class Counted(NamedTuple):
    """Instructions of broker and store."""

    broker: float
    store: float


class Build:
    """A broker and a store of a checkout, both counted."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.root = root
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="titan-bench-")))
        socket = self.folder / "store.sock"
        place = ["--port", "0", "--unixsocket", str(socket), "--dir", str(self.folder), "--save", ""]
        words = [server_program("valkey"), *place, "--appendonly", "yes"]
        self._store = stack.enter_context(_counted(words, self.folder, "store", root))
        python = str(root / ".venv" / "bin" / "python")
        words = [python, "-m", "broker", "broker", "--port", "0", "--redis-url", f"unix://{socket}"]
        words += ["--store-timeout-s", "60"]
        self._broker = stack.enter_context(_counted(words, self.folder, "broker", root))
        self.idle = Counted(0, 0)

    def start(self) -> None:
        """Wait until the broker serves."""
        self.address = BenchAddress.read(broker_url(self._broker, self.folder / "broker.log", _START_S))

    def rest(self) -> None:
        """Count what is done in a second in which nobody asks for anything."""
        self._zero()
        began = time.monotonic()
        time.sleep(_IDLE_S)  # it is what is measured
        counted, took_s = self._dump(), time.monotonic() - began
        self.idle = Counted(counted.broker / took_s, counted.store / took_s)

    def count(self, step: "Step") -> Counted:
        """Instructions for each job, less those of an idle time as long."""
        self._zero()
        began = time.monotonic()
        jobs = asyncio.run(step(self.address))
        counted, took_s = self._dump(), time.monotonic() - began
        return Counted(*((one - idle * took_s) / jobs for one, idle in zip(counted, self.idle, strict=True)))

    def _zero(self) -> None:
        for process in (self._broker, self._store):
            _control("zero", process, self.folder)

    def _dump(self) -> Counted:
        return Counted(*(self._dumped(process) for process in (self._broker, self._store)))

    def _dumped(self, process: "subprocess.Popen[bytes]") -> int:
        before = set(self.folder.glob(f"counts.{process.pid}*"))
        _control("dump", process, self.folder)
        new = set(self.folder.glob(f"counts.{process.pid}*")) - before
        found = [re.findall(r"^totals: (\d+)", path.read_text(), re.MULTILINE) for path in new]
        return sum(int(total) for totals in found for total in totals)


class Step(NamedTuple):
    """One way to ask: over how many connections, how often by each, and how many jobs a call."""

    name: str
    connections: int
    calls: int
    jobs: int
    ask: Callable[[Caller, BenchAddress, int], Coroutine[Any, Any, None]]

    async def __call__(self, address: BenchAddress) -> int:
        """Ask; the number of jobs."""
        callers = [await Caller().open(address) for _ in range(self.connections)]

        async def work(caller: Caller) -> None:
            for _ in range(self.calls):
                await self.ask(caller, address, self.jobs)
            caller.close()

        await asyncio.gather(*map(work, callers))
        return self.connections * self.calls * self.jobs


async def enqueue(caller: Caller, address: BenchAddress, n: int) -> None:
    """Enqueue n jobs in one call."""
    _accepted(await caller.call(address.request("POST", "/groups/bench/jobs", {"jobs": [_JOB] * n})))


async def consume(caller: Caller, address: BenchAddress, n: int) -> None:
    """Take n jobs, and report that they succeeded: of one by its own call, of more by one for all."""
    answer = _accepted(await caller.call(address.request("GET", f"/jobs?n={n}&group=bench")))
    jobs = msgspec.json.decode(answer)["jobs"]
    assert len(jobs) == n, f"{len(jobs)} jobs of {n}"
    if n == 1:
        path = f"/groups/bench/jobs/{jobs[0]['id']}/success"
        _accepted(await caller.call(address.request("POST", path, headers=f"Titan-Lease: {jobs[0]['lease']}\r\n")))
        return
    told = [{"group_name": "bench", "id": job["id"], "lease": job["lease"], "status": "succeeded"} for job in jobs]
    _accepted(await caller.call(address.request("POST", "/jobs/finish", {"jobs": told})))


STEPS = (
    Step("W1, one connection", 1, 300, 1, enqueue),
    Step("taken and succeeded, one connection", 1, 300, 1, consume),
    Step("W1, 32 connections", 32, 30, 1, enqueue),
    Step("taken and succeeded, 32 connections", 32, 30, 1, consume),
    Step("W2, 1,000 a call", 1, 10, 1000, enqueue),
    Step("W3, 100 a call", 1, 100, 100, consume),
)


def _accepted(answer: BenchResponse) -> bytes:
    if answer.is_refusal:
        raise BenchFailed(str(answer))
    return answer.body


@contextmanager
def _counted(words: list[str], folder: Path, name: str, root: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A process under callgrind; what it says goes to a file of its name."""
    tool = [
        "valgrind",
        "--tool=callgrind",
        "--quiet",
        f"--callgrind-out-file={folder}/counts.%p",
        f"--vgdb-prefix={folder}/vgdb",
    ]
    environment = {word: value for word, value in os.environ.items() if not word.startswith("TITAN_")}
    environment |= {"PYTHONHASHSEED": "0", "PYTHONPATH": str(root), "TITAN_LOG_LEVEL": "warning"}
    with (
        (folder / f"{name}.log").open("wb") as output,
        subprocess.Popen([*tool, *words], cwd=folder, env=environment, stdout=output, stderr=output) as process,
    ):
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def _control(command: str, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    words = ["vgdb", f"--pid={process.pid}", f"--vgdb-prefix={folder}/vgdb", command]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> int:
    """Count both builds in turns, step by step, and print the ratios; 1 if one is above the bar."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.builds", description=__doc__)
    parser.add_argument("--other", type=Path, required=True, help="a checkout of another build, with its environment")
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many counts; each takes two minutes")
    options = parser.parse_args()
    with ExitStack() as stack:
        builds = [Build(root, stack) for root in (_ROOT, options.other.resolve())]
        for build in builds:
            build.start()
        for build in builds:
            build.rest()
            print(
                f"{build.root}: idle, {build.idle.broker / 1e6:.1f} and {build.idle.store / 1e6:.1f} million a second"
            )
        print("| instructions a job | broker | store | both |\n| --- | --- | --- | --- |", flush=True)
        counts: dict[str, list[tuple[Counted, Counted]]] = {step.name: [] for step in STEPS}
        for number in range(options.rounds):
            for step in STEPS:
                ours, theirs = (build.count(step) for build in builds)
                counts[step.name].append((ours, theirs))
                print(f"round {number + 1}, {step.name}: {sum(ours) / sum(theirs):.3f} times", file=sys.stderr)
    missed = [step.name for step in STEPS if _tell(step.name, counts[step.name])]
    return 1 if missed else 0


def _tell(name: str, counts: list[tuple[Counted, Counted]]) -> bool:
    """Print a row of medians; whether both processes together are above the bar."""
    parts: list[Callable[[Counted], float]] = [lambda one: one.broker, lambda one: one.store, sum]
    ratios = [median(part(ours) / part(theirs) for ours, theirs in counts) for part in parts]
    found = [median(part(ours) for ours, _ in counts) for part in parts]
    is_above = ratios[-1] > BAR
    cells = [f"{value:,.0f}, {ratio:.3f} times" for value, ratio in zip(found, ratios, strict=True)]
    print(f"| {name} | {' | '.join(cells)}{', missed' if is_above else ''} |", flush=True)
    return is_above


if __name__ == "__main__":
    sys.exit(main())
