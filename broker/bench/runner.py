"""Runs a complete measurement: the steps in rounds, the profile, and a description of machine and software."""

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from os import cpu_count

from broker.bench.results import Profile, Report, Result, medians
from broker.bench.script_profile import profile
from broker.bench.workloads import Bench, Step

_SOFTWARE = ("titan-broker", "aiohttp", "uvloop", "msgspec", "redis", "hiredis")
"""Packages whose versions are reported. They are those of this command; the broker's may differ."""


async def measure(
    bench: Bench, chosen: Sequence[Step], rounds: int, on_step: Callable[[], None], *, is_profile: bool
) -> Report:
    """Run all steps in each round, so that a slower phase of the machine affects all of them alike.

    `on_step` is called after each step. Raises BenchFailed; the group is then empty, or the error names it.
    """
    results: list[Result] = []
    profiles: list[Profile] = []
    for _ in range(rounds):
        for step in chosen:
            results.append(await step.measure(bench))
            on_step()
    if is_profile:
        profiles = await profile(bench)
        on_step()
    store = await bench.meters.version() if bench.meters.has_store else ""
    return Report(
        machine=f"{cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        software=", ".join(f"{name} {version(name)}" for name in _SOFTWARE),
        store=store,
        results=medians(results),
        profiles=profiles,
    )
