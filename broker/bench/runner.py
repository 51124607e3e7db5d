"""A whole measurement: the steps in rounds, the profile, and what it was measured on."""

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from os import cpu_count

from broker.bench.results import Profile, Report, Result, medians
from broker.bench.script_profile import profile
from broker.bench.workloads import Bench, Step

_SOFTWARE = ("titan-broker", "aiohttp", "uvloop", "msgspec", "redis", "hiredis")
"""What stands beside the figures, if the broker has the same as this command."""


async def measure(
    bench: Bench, chosen: Sequence[Step], rounds: int, done: Callable[[], None], *, is_profile: bool
) -> Report:
    """Run the steps, round after round, so that a change of the machine meets all of them; `done` is told of each.

    Raises BenchFailed; the group is then empty, or the error says what is left.
    """
    results: list[Result] = []
    profiles: list[Profile] = []
    for _ in range(rounds):
        for step in chosen:
            results.append(await step.measure(bench))
            done()
    if is_profile:
        profiles = await profile(bench)
        done()
    store = await bench.meters.version() if bench.meters.has_store else ""
    return Report(
        machine=f"{cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        software=", ".join(f"{name} {version(name)}" for name in _SOFTWARE),
        store=store,
        results=medians(results),
        profiles=profiles,
    )
