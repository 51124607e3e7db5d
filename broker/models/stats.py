"""Statistics of a group, or of all groups: what happened to jobs in the last hour or day."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

Window = Literal["1h", "24h"]
Away = Annotated[
    list[int], Meta(description="Partitions that did not answer: their groups are missing. Left out if all answered.")
]
Seconds = Annotated[float, Meta(ge=0)]


class Slot(Struct, frozen=True, kw_only=True):
    """What happened to jobs in one minute, or in one half hour."""

    at: Annotated[str, Meta(description="When the slot begins, RFC 3339.", extra_json_schema={"format": "date-time"})]
    in_: Annotated[int, Meta(description="New jobs, retries included.")] = field(default=0, name="in")
    out: Annotated[int, Meta(description="Deliveries to consumers.")] = 0
    succeeded: int = 0
    failed: int = 0
    back: Annotated[int, Meta(description="Jobs that were queued again: released, or their lease ended.")] = 0
    cancelled: int = 0
    lost: Annotated[int, Meta(description="Leases that ended without a report.")] = 0
    retried: Annotated[int, Meta(description="Automatic retries; `in` has them too.")] = 0


class Times(Struct, frozen=True, kw_only=True):
    """How long jobs waited or ran. Percentiles are in s, interpolated in the buckets of a histogram."""

    n: Annotated[int, Meta(description="The number of jobs.")] = 0
    p50: Seconds | UnsetType = UNSET
    p95: Seconds | UnsetType = UNSET
    p99: Seconds | UnsetType = UNSET


class Stats(Struct, frozen=True, kw_only=True):
    """Counts by slot, the oldest first; the last slot is not over. They are counts and no accounts.

    A broker counts in memory and writes each 10 s; a broker that is killed loses its last counts.
    """

    window: Window
    slots: list[Slot]
    wait: Annotated[Times, Meta(description="From when jobs were due until their first delivery.")]
    run: Annotated[Times, Meta(description="From the last delivery of jobs until they were reported as finished.")]
    sampled: Annotated[
        bool, Meta(description="Whether some times stand for several jobs: 16 at most are taken of each large call.")
    ]
    away: Away | UnsetType = UNSET
