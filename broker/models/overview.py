"""The overview: totals, workers, what needs a person, and a page of groups."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from broker.models.groups import Counts, JobRate, JobsPerSecond
from broker.models.stats import Away

Sort = Literal["name", "oldest", "queued", "delayed", "running", "failed", "in", "out"]
Only = Literal["failing", "stuck", "paused", "busy"]
Rate = Annotated[float, Meta(ge=0, description="Jobs a second, over the last five minutes.")]
Time = Annotated[str, Meta(description="RFC 3339.", extra_json_schema={"format": "date-time"})]
Oldest = Annotated[
    float, Meta(ge=0, description="For how long the oldest queued job is due, in s. Left out if no job is queued.")
]


class DispatchLimits(Struct, frozen=True, kw_only=True):
    """The settings of a group that say what it may dispatch, and who paused it."""

    paused: bool = False
    max_concurrency: int | UnsetType = UNSET
    rate_limit: JobsPerSecond | JobRate | UnsetType = UNSET
    paused_at: str | UnsetType = UNSET
    paused_by: str | UnsetType = UNSET
    note: str | UnsetType = UNSET


class Rates(Struct, frozen=True, kw_only=True):
    """How many jobs come and go, and how the last hour ended."""

    in_: Rate = field(default=0.0, name="in")
    out: Rate = 0.0
    failed: Rate = 0.0
    failed_1h: Annotated[int, Meta(description="Jobs that failed in the last hour.")] = 0
    ended_1h: Annotated[int, Meta(description="Jobs that succeeded or failed in the last hour.")] = 0


class GroupGlance(Struct, frozen=True, kw_only=True):
    """One group of the page, read for this answer."""

    name: str
    counts: Counts
    settings: DispatchLimits
    oldest_s: Oldest | UnsetType = UNSET
    rates: Rates
    spark: Annotated[
        list[int], Meta(description="Jobs that were taken in each of the last 60 minutes, the oldest minute first.")
    ]


class Totals(Struct, frozen=True, kw_only=True):
    """The number of groups, and of their jobs by status."""

    groups: int = 0
    delayed: int = 0
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


class WorkerTotals(Struct, frozen=True, kw_only=True):
    """The workers that sent a heartbeat within the last minute."""

    n: int = 0
    slots: int = 0
    busy: int = 0
    quiet: Annotated[int, Meta(description="Workers that take no more jobs, for now or until they stop.")] = 0


AlertCode = Literal["store", "unsettled", "stuck", "nobody_asks", "failing", "leases_lost", "paused", "oldest"]


class Alert(Struct, frozen=True, kw_only=True):
    """One thing that a person should look at."""

    code: AlertCode
    text: str
    group: str | UnsetType = UNSET


class Overview(Struct, frozen=True, kw_only=True):
    """All groups at a glance, as of a sweep over them, and a page of them, read now."""

    as_of: Annotated[Time, Meta(description="When the sweep ended. Counts of the page are newer.")]
    is_whole: Annotated[
        bool, Meta(description="Whether each group is in the list. More than 100,000 groups are not kept.")
    ] = True
    totals: Totals
    rates: Rates
    oldest_s: Oldest | UnsetType = UNSET
    workers: Annotated[WorkerTotals, Meta(description="Left out for a token of some groups.")] | UnsetType = UNSET
    alerts: Annotated[list[Alert], Meta(max_length=5, description="The five worst, the worst first.")]
    groups: list[GroupGlance]
    matched: Annotated[int, Meta(description="How many groups match; the page has some of them.")]
    cursor: str | UnsetType = UNSET
    away: Away | UnsetType = UNSET
