"""The results of a measurement, and medians over several rounds."""

import statistics
from collections.abc import Iterable, Sequence

from msgspec import Struct

_MEASURED = ("jobs_per_s", "p50_ms", "p99_ms", "front_us", "store_us", "client_us", "bytes_per_job")


class Result(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of one step: of one round, or the medians of several. CPU is in µs per job; None if unknown."""

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
    """A command inside a script: calls per job, and µs per call."""

    name: str
    per_job: float
    us: float


class Profile(Struct, frozen=True, kw_only=True):
    """The cost of a script that ran alone: µs in the store per job, and its commands."""

    verb: str
    jobs: int
    jobs_per_run: float
    us_per_job: float
    commands: list[StoreCommand]


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A complete measurement."""

    machine: str
    software: str
    store: str = ""
    results: list[Result]
    profiles: list[Profile] = []


def medians(rounds: Iterable[Result]) -> list[Result]:
    """One result for each step, in the order of the first round."""
    by_work: dict[tuple[str, str], list[Result]] = {}
    for result in rounds:
        by_work.setdefault((result.work, result.what), []).append(result)
    return [_median(results) for results in by_work.values()]


def percentile_ms(calls_s: Sequence[float], part: float) -> float | None:
    """A percentile of the durations, in ms; `part`: 0.99 for p99."""
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
        **{name: _median_of(getattr(result, name) for result in results) for name in _MEASURED},
    )


def _median_of(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
