"""What was measured: figures of one round, and medians over several."""

import statistics
from collections.abc import Iterable, Sequence

from msgspec import Struct

_MEASURED = ("jobs_per_s", "p50_ms", "p99_ms", "front_us", "store_us", "client_us", "bytes_per_job")


class Result(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure of one round, or the median of several. CPU is in µs a job; absent where it cannot be seen."""

    jobs: int
    work: str = ""
    what: str = ""
    jobs_per_s: float | None = None
    low_per_s: float | None = None
    high_per_s: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    front_us: float | None = None
    store_us: float | None = None
    client_us: float | None = None
    bytes_per_job: float | None = None
    refused: int = 0
    first_refusal: str = ""
    rounds: int = 1


class StoreCommand(Struct, frozen=True, kw_only=True):
    """A command inside a script: how often it ran for each job, and for how many µs each time."""

    name: str
    per_job: float
    us: float


class Profile(Struct, frozen=True, kw_only=True):
    """A script run apart: µs in the store for each job, and in which commands."""

    verb: str
    jobs: int
    jobs_per_run: float
    us_per_job: float
    commands: list[StoreCommand]


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole measurement."""

    machine: str
    software: str
    store: str = ""
    results: list[Result]
    profiles: list[Profile] = []


def medians(rounds: Iterable[Result]) -> list[Result]:
    """One result for each piece of work, in the order in which they first came."""
    by_work: dict[tuple[str, str], list[Result]] = {}
    for result in rounds:
        by_work.setdefault((result.work, result.what), []).append(result)
    return [_median(results) for results in by_work.values()]


def percentile_ms(calls_s: Sequence[float], part: float) -> float | None:
    """The time, in ms, that this part of the calls did not take longer than."""
    ordered = sorted(calls_s)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000 if ordered else None


def _median(results: list[Result]) -> Result:
    first = results[0]
    rates = [result.jobs_per_s for result in results if result.jobs_per_s is not None]
    return Result(
        work=first.work,
        what=first.what,
        jobs=sum(result.jobs for result in results),
        low_per_s=min(rates, default=None),
        high_per_s=max(rates, default=None),
        refused=sum(result.refused for result in results),
        first_refusal=next((result.first_refusal for result in results if result.first_refusal), ""),
        rounds=len(results),
        **{name: _middle(getattr(result, name) for result in results) for name in _MEASURED},
    )


def _middle(values: Iterable[float | None]) -> float | None:
    seen = [value for value in values if value is not None]
    return statistics.median(seen) if seen else None
