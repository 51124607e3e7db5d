"""`python -m tests.bench.limits`: what a limit costs of the throughput, in instructions of broker and store together.

A life of a job, enqueue, next and success over one connection, in a group with a limit that is never reached, next to
one in a group without settings. Broker and store run under callgrind (Debian: valgrind), so other work of the machine
changes nothing; the kernel's work is not counted. `tests.bench.instructions` has the store alone.
"""

import asyncio
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

import msgspec

from broker.bench.http_client import BenchAddress, Caller
from broker.models.groups import GroupSettings
from tests.bench.builds import Build, Step, accepted, consume, enqueue
from tests.bench.fairness import LIMITS, UNUSED
from tests.bench.figures import Figures, parser_of

_ROOT = Path(__file__).parents[2]
PLAIN = "plain"


async def life(caller: Caller, address: BenchAddress, n: int, group: str) -> None:
    """Enqueue, take and finish n jobs, with a call for each of the three."""
    await enqueue(caller, address, n, group)
    await consume(caller, address, n, group)


async def configure(address: BenchAddress, group: str, settings: GroupSettings) -> None:
    """Create a group with these settings."""
    caller = await Caller().open(address)
    given = {name: value for name, value in msgspec.to_builtins(settings).items() if value is not None}
    accepted(await caller.call(address.request("PUT", f"/groups/{group}", {"group": given})))
    caller.close()


def measured(build: Build, figures: Figures, jobs: int, rounds: int) -> None:
    """Lives in the groups in turns; the medians of the rounds."""
    groups = {PLAIN: GroupSettings()} | {f"limit{at}": one for at, one in enumerate(LIMITS.values())}
    for group, settings in groups.items():
        asyncio.run(configure(build.address, group, settings))
    for n in (1, 100):
        steps = [Step(group, 1, max(10, jobs // n), n, partial(life, group=group)) for group in groups]
        counts: dict[str, list[float]] = {group: [] for group in groups}
        for turn in range(rounds + 1):
            for step in steps:
                count = sum(build.count(step))
                if turn:  # the first calls of all do more
                    counts[step.name].append(count)
        plain = median(counts[PLAIN])
        figures.note(f"a life of a plain job, {n} a call: {plain:,.0f} instructions")
        for at, what in enumerate(LIMITS):
            figures.counts(f"with {what}, {n} a call", median(counts[f"limit{at}"]), plain, UNUSED)


def main() -> int:
    """Read the arguments, count, print; 1 if a bar is missed."""
    parser = parser_of("limits", __doc__ or "", "--jobs 50 --rounds 1")
    parser.add_argument("--jobs", type=int, default=200, help="jobs of a round in each group (200)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which medians are taken (3)")
    given = parser.parse_args()
    figures = Figures(1.0, is_json=given.json)
    with ExitStack() as stack:
        build = Build(_ROOT, stack)
        build.start()
        build.rest()
        measured(build, figures, given.jobs, given.rounds)
    return figures.close()


if __name__ == "__main__":
    sys.exit(main())
