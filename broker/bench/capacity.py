"""How many brokers and store servers a rate needs, calculated from the CPU that a job was measured to cost."""

import math
from collections.abc import Iterator, Sequence
from itertools import product

from msgspec import Struct

from broker.bench.results import Result
from broker.models.groups import DAY_S

RATES_PER_S = (1_000, 10_000, 100_000)
USE = 0.6
"""The part of a core that is used: the rest is for bursts, the reaper, and rewriting of the append-only file."""

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
"""Ways through a job's life, and the figures that together are what it costs."""


class Size(Struct, frozen=True, kw_only=True):
    """What a rate needs. A broker and a store server each use one core."""

    jobs_per_s: int
    how: str
    front_cores: float
    store_cores: float

    @property
    def brokers(self) -> int:
        """How many, none of them busier than it should be."""
        return math.ceil(self.front_cores / USE)

    @property
    def store_servers(self) -> int:
        """How many, with the groups spread evenly over them."""
        return math.ceil(self.store_cores / USE)


def sizes(results: Sequence[Result]) -> Iterator[Size]:
    """A size for each rate and each way of which all figures are there."""
    by_what = {result.what: result for result in results}
    for jobs_per_s, (how, parts) in product(RATES_PER_S, LIVES.items()):
        seen = [by_what[what] for what in parts if what in by_what]
        front_us = [result.front_us for result in seen if result.front_us is not None]
        store_us = [result.store_us for result in seen if result.store_us is not None]
        if len(front_us) == len(store_us) == len(parts):
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
    """Rows of how much of the store's memory jobs take that are kept so long after they finished."""
    found = [r.bytes_per_job for r in results if r.what == _MEMORY_STEP and r.bytes_per_job is not None]
    for bytes_per_job, jobs_per_s in product(found, RATES_PER_S):
        yield f"{jobs_per_s:,}", *(f"{jobs_per_s * kept_s * bytes_per_job / 1e9:,.1f} GB" for kept_s in _KEPT_S)
