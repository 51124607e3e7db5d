"""The scripts, each run apart: what a job costs in the store, and in which commands. For a store with no other work."""

from collections.abc import Iterator
from itertools import repeat
from typing import NamedTuple

from broker.bench.bench_group import Taken, taken
from broker.bench.closed_loop import run_load
from broker.bench.http_client import BenchFailed, BenchResponse
from broker.bench.resource_usage import Spent
from broker.bench.results import Profile, StoreCommand
from broker.bench.workloads import Bench
from broker.models.fields import MAX_JOBS

_JOBS = 5000
_CONNECTIONS = 32
_OTHERS = {"info", "script|load"}
"""What runs beside the scripts."""
_SEEN = 0.01
"""Commands that take a smaller part of their script's time are not worth a line."""


class _Act(NamedTuple):
    """One verb at so many jobs a call."""

    verb: str
    n: int


ACTS = (
    _Act("enqueue", 1),
    _Act("next", 1),
    _Act("succeed", 1),
    _Act("enqueue", MAX_JOBS),
    _Act("next", 100),
    _Act("touch", 100),
    _Act("finish", 100),
)
"""In an order in which each finds the jobs that it needs."""


async def profile(bench: Bench) -> list[Profile]:
    """A profile of each act. Raises BenchFailed."""
    group = bench.group
    await group.open()
    jobs: list[Taken] = []
    profiles = []
    try:
        for act in ACTS:
            before = await bench.meters.commands()
            if act.verb == "next":
                jobs.clear()
            keep = (lambda body: jobs.extend(taken(BenchResponse(200, body)))) if act.verb == "next" else None
            connections = _CONNECTIONS if act.n == 1 else 1
            ran = await run_load(group.address, connections, _requests(bench, act, jobs), 60, keep)
            if ran.refusals:
                raise BenchFailed(f"{act.verb} was refused: {ran.refusals[0]}")
            profiles.append(_profile(act, before, await bench.meters.commands()))
    finally:
        await group.empty()
    return profiles


def _requests(bench: Bench, act: _Act, jobs: list[Taken]) -> Iterator[bytes]:
    group, times = bench.group, _JOBS // act.n
    match act.verb:
        case "enqueue":
            return repeat(group.enqueue(act.n), times)
        case "next":
            return repeat(group.next(act.n), times)
        case "succeed":
            return iter([group.succeed(job) for job in jobs])
        case _:
            whole = {"touch": group.touch, "finish": group.finish}[act.verb]
            return iter([whole(jobs[i : i + act.n]) for i in range(0, len(jobs), act.n)])


def _profile(act: _Act, before: dict[str, Spent], after: dict[str, Spent]) -> Profile:
    spent = {}
    for name, now in after.items():
        then = before.get(name, Spent(0, 0))
        spent[name] = Spent(now.calls - then.calls, now.us - then.us)
    script = spent.pop("script", Spent(0, 0))
    commands = [
        StoreCommand(name=name, per_job=one.calls / _JOBS, us=one.us / one.calls)
        for name, one in sorted(spent.items(), key=lambda item: -item[1].us)
        if one.calls and one.us >= _SEEN * script.us and name not in _OTHERS
    ]
    return Profile(
        verb=act.verb,
        jobs=_JOBS,
        jobs_per_run=_JOBS / max(1, script.calls),
        us_per_job=script.us / _JOBS,
        commands=commands,
    )
