"""Runs each script alone and measures its cost per job in the store, by command. Needs a store without other work."""

from collections.abc import Iterator
from itertools import repeat
from typing import NamedTuple

from broker.bench.bench_group import TakenJob, taken
from broker.bench.closed_loop import run_load
from broker.bench.http_client import BenchFailed, BenchResponse
from broker.bench.resource_usage import CommandUsage
from broker.bench.results import Profile, StoreCommand
from broker.bench.workloads import Bench
from broker.models.fields import MAX_JOBS

_JOBS = 5000
_CONNECTIONS = 32
_OTHERS = {"info", "script|load"}
"""Commands that run outside of scripts."""
_MIN_SHARE = 0.01
"""Commands with a smaller share of the script's time are left out."""


class _ScriptRun(NamedTuple):
    """One verb with n jobs per call."""

    verb: str
    n: int


SCRIPT_RUNS = (
    _ScriptRun("enqueue", 1),
    _ScriptRun("next", 1),
    _ScriptRun("succeed", 1),
    _ScriptRun("enqueue", MAX_JOBS),
    _ScriptRun("next", 100),
    _ScriptRun("touch", 100),
    _ScriptRun("finish", 100),
)
"""The order gives each run the jobs that it needs."""


async def profile(bench: Bench) -> list[Profile]:
    """A profile for each entry of SCRIPT_RUNS. Raises BenchFailed."""
    group = bench.group
    await group.open()
    jobs: list[TakenJob] = []
    profiles = []
    try:
        for script_run in SCRIPT_RUNS:
            before = await bench.meters.commands()
            if script_run.verb == "next":
                jobs.clear()
            keep = (lambda body: jobs.extend(taken(BenchResponse(200, body)))) if script_run.verb == "next" else None
            connections = _CONNECTIONS if script_run.n == 1 else 1
            ran = await run_load(group.address, connections, _requests(bench, script_run, jobs), 60, keep)
            if ran.refusals:
                raise BenchFailed(f"{script_run.verb} was refused: {ran.refusals[0]}")
            profiles.append(_profile(script_run, before, await bench.meters.commands()))
    finally:
        await group.empty()
    return profiles


def _requests(bench: Bench, script_run: _ScriptRun, jobs: list[TakenJob]) -> Iterator[bytes]:
    group, calls = bench.group, _JOBS // script_run.n
    match script_run.verb:
        case "enqueue":
            return repeat(group.enqueue(script_run.n), calls)
        case "next":
            return repeat(group.next(script_run.n), calls)
        case "succeed":
            return iter([group.succeed(job) for job in jobs])
        case _:
            request = {"touch": group.touch, "finish": group.finish}[script_run.verb]
            return iter([request(jobs[i : i + script_run.n]) for i in range(0, len(jobs), script_run.n)])


def _profile(script_run: _ScriptRun, before: dict[str, CommandUsage], after: dict[str, CommandUsage]) -> Profile:
    usage = {}
    for name, now in after.items():
        then = before.get(name, CommandUsage(0, 0))
        usage[name] = CommandUsage(now.calls - then.calls, now.us - then.us)
    script = usage.pop("script", CommandUsage(0, 0))
    commands = [
        StoreCommand(name=name, per_job=used.calls / _JOBS, us=used.us / used.calls)
        for name, used in sorted(usage.items(), key=lambda item: -item[1].us)
        if used.calls and used.us >= _MIN_SHARE * script.us and name not in _OTHERS
    ]
    return Profile(
        verb=script_run.verb,
        jobs=_JOBS,
        jobs_per_run=_JOBS / max(1, script.calls),
        us_per_job=script.us / _JOBS,
        commands=commands,
    )
