"""The number of brokers and store servers that a rate needs, calculated from the measured CPU per job."""

import math
from collections.abc import Iterator, Sequence
from itertools import product

from msgspec import Struct

from broker.bench.results import Result
from broker.models.groups import DAY_S

RATES_PER_S = (1_000, 10_000, 100_000)
USE = 0.6
"""The planned load of a core. The rest is for bursts, the reaper and rewrites of the append-only file."""

SIZING_HEAD = ("jobs/s", "how", "broker cores", "brokers", "store cores", "store servers")

MEMORY_HEAD = ("jobs/s", "memory, jobs kept 10 min", "1 h", "24 h, the default")

_MEMORY_STEP = "memory of a finished job, payload 100 B"
_KEPT_S = (600, 3600, DAY_S)

LIVES = {
    "a job a call": (
        "enqueue 1 a call, 32 connections",
        "next 1, a success each, 32 connections",
        "the reaper deletes finished jobs",
    ),
    "enqueue 1,000, next 100, one finish": (
        "enqueue 1,000 a call, 2 connections",
        "next 100, one finish for all, 4 connections",
        "the reaper deletes finished jobs",
    ),
}
"""Ways to enqueue and finish a job, each with the steps whose costs are added up."""


class Size(Struct, frozen=True, kw_only=True):
    """The cores that a rate needs. A broker uses one core, and so does a store server."""

    jobs_per_s: int
    how: str
    front_cores: float
    store_cores: float

    @property
    def brokers(self) -> int:
        """Brokers needed, each with at most `USE` of its core busy."""
        return math.ceil(self.front_cores / USE)

    @property
    def store_servers(self) -> int:
        """Store servers needed, with groups distributed evenly."""
        return math.ceil(self.store_cores / USE)


def sizes(results: Sequence[Result]) -> Iterator[Size]:
    """A size for each rate and each way in `LIVES`, if all its steps were measured."""
    by_what = {result.what: result for result in results}
    for jobs_per_s, (how, steps) in product(RATES_PER_S, LIVES.items()):
        measured = [by_what[what] for what in steps if what in by_what]
        front_us = [result.front_us for result in measured if result.front_us is not None]
        store_us = [result.store_us for result in measured if result.store_us is not None]
        if len(front_us) == len(store_us) == len(steps):
            cores = [jobs_per_s * sum(us) / 1e6 for us in (front_us, store_us)]
            yield Size(jobs_per_s=jobs_per_s, how=how, front_cores=cores[0], store_cores=cores[1])


def sizing_cells(size: Size) -> tuple[str, ...]:
    """A size as a row of its table."""
    return (
        f"{size.jobs_per_s:,}",
        size.how,
        f"{size.front_cores:.2f}",
        f"{size.brokers:,}",
        f"{size.store_cores:.2f}",
        f"{size.store_servers:,}",
    )


def memory(results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    """Rows with the memory of finished jobs in the store, for each rate and retention."""
    found = [r.bytes_per_job for r in results if r.what == _MEMORY_STEP and r.bytes_per_job is not None]
    for bytes_per_job, jobs_per_s in product(found, RATES_PER_S):
        yield f"{jobs_per_s:,}", *(f"{jobs_per_s * kept_s * bytes_per_job / 1e9:,.1f} GB" for kept_s in _KEPT_S)
