"""Jobs: as a producer sends them, and as the broker shows them."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from broker.core.states import Status
from broker.models.fields import (
    END,
    JOB_ID,
    MAX_JOBS,
    Delay,
    EndBefore,
    EndWithin,
    MaxRetries,
    NewImage,
    NewPayload,
    Priority,
    RetriesDelay,
    RunAt,
    StartBefore,
    StartWithin,
    Time,
    Timeout,
    TraceParent,
    TraceState,
)
from broker.models.lanes import Key
from broker.models.retries import RETRY, Retry
from broker.models.unique import Unique
from broker.models.workers import Receipt

DEFAULT_TIMEOUT_S = 60
DEFAULT_RETRIES_DELAY_S = 60


BRIEF_LENGTH = 256
"""How many characters of its payload a job in a brief list has."""
MAX_LOOKS = 10_000
DEFAULT_LOOKS = 1000


MOST_PARENTS = 100
MOST_EDGES = 10_000
"""How many entries the jobs of one call may have in `after` together: the store reads and writes for each."""
After = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=64)]],
    Meta(
        max_length=MOST_PARENTS,
        description="The jobs that it waits for: ids of jobs in groups of the same partition, or `ref`s of the call. "
        "The jobs of a call may have 10,000 of them together.",
    ),
]
AfterOn = Annotated[
    Literal["succeeded", "over"],
    Meta(description="Whether these jobs must succeed (default), or only end."),
]


class WaitsFor(Struct):
    """What a held job waits for."""

    jobs: Annotated[int, Meta(description="The number of jobs.")] | UnsetType = UNSET
    key: (
        Annotated[str, Meta(description="Its key: as many jobs of the key as may be are queued or run.")] | UnsetType
    ) = UNSET


Callback = Literal["on_failed", "on_succeeded", "on_over"]


class BatchCounts(Struct, frozen=True, kw_only=True):
    """How many members a batch has, and how many of them ended how."""

    total: Annotated[int, Meta(description="All members.")]
    over: Annotated[int, Meta(description="Those that have ended.")]
    succeeded: Annotated[int, Meta(description="Those that succeeded.")]
    failed: Annotated[int, Meta(description="Those that failed for good.")]
    cancelled: Annotated[int, Meta(description="Those that were cancelled.")]


class JobBatch(Struct, frozen=True, kw_only=True):
    """The batch that a job is a member of, or whose callback it is."""

    id: Annotated[str, Meta(description="The id of the batch.")]
    callback: (
        Annotated[Callback, Meta(description="Which callback it is; not for a member of the batch.")] | UnsetType
    ) = UNSET
    counts: Annotated[BatchCounts, Meta(description="The members, when this callback was created.")] | UnsetType = UNSET


class PlainJob(Struct, frozen=True, kw_only=True):
    """A new job with the fields that nearly all jobs have alone; it costs the least to enqueue."""

    image: NewImage | None = None
    payload: NewPayload | None = None
    delay: Delay | None = None
    timeout: Timeout | None = None
    priority: Priority | None = None
    max_retries: MaxRetries | None = None
    retries_delay: RetriesDelay | None = None


class NewJob(PlainJob, frozen=True, kw_only=True):
    """A job as a producer sends it. It may also be a whole Job: the fields that only a Job has are ignored.

    Fields that neither has are refused.
    """

    run_at: RunAt | None = None
    start_within: StartWithin | None = None
    start_before: StartBefore | None = None
    end_within: EndWithin | None = None
    end_before: EndBefore | None = None
    retry: Annotated[Retry, Meta(description=RETRY)] | UnsetType | None = UNSET
    ref: (
        Annotated[str, Meta(min_length=1, max_length=64, description="A name for `after` of other jobs of the call.")]
        | None
    ) = None
    after: After | None = None
    after_on: AfterOn | None = None
    unique: Unique | None = None
    key: Key | None = None
    traceparent: TraceParent | UnsetType | None = UNSET
    tracestate: TraceState | UnsetType | None = UNSET


class PlainJobs(Struct, frozen=True):
    """The body of enqueue when all of its jobs are plain."""

    jobs: Annotated[list[PlainJob], Meta(min_length=1, max_length=MAX_JOBS)]


class NewJobs(Struct, frozen=True):
    """The body of enqueue. All of the jobs are enqueued, or none."""

    jobs: Annotated[list[NewJob], Meta(min_length=1, max_length=MAX_JOBS)]


class DeadLetter(Struct, frozen=True, kw_only=True):
    """The copy of a job that failed for good."""

    group_name: str
    id: str


class Job(Struct, kw_only=True):
    """A job. Times are RFC 3339 in UTC with milliseconds."""

    id: Annotated[str, Meta(pattern=f"^{JOB_ID}{END}", description="Made by the broker; sorts by creation.")]
    group_name: str
    status: Status
    image: str
    payload: str | UnsetType = UNSET
    delay: int = 0
    timeout: int = DEFAULT_TIMEOUT_S
    priority: int = 0
    max_retries: int = 0
    retries_delay: int = DEFAULT_RETRIES_DELAY_S
    deliveries: Annotated[int, Meta(description="How often the job was dispatched.")] = 0
    created_at: Time
    started_at: Time | UnsetType = UNSET
    completed_at: Time | UnsetType = UNSET
    expires_at: Annotated[Time, Meta(description="While running: when the lease ends.")] | UnsetType = UNSET
    start_before: Annotated[Time, Meta(description="When it must have been delivered.")] | UnsetType = UNSET
    end_before: Annotated[Time, Meta(description="When it must have finished.")] | UnsetType = UNSET
    after: Annotated[list[str], Meta(description="The ids of the jobs that it waited for.")] | UnsetType = UNSET
    after_on: AfterOn | UnsetType = UNSET
    waits_for: (
        Annotated[WaitsFor, Meta(description="While it is held: for how many jobs, or for which key.")] | UnsetType
    ) = UNSET
    unique: Unique | UnsetType = UNSET
    key: Annotated[str, Meta(description="What it belongs to. Not in replies to next and start.")] | UnsetType = UNSET
    duplicate: (
        Annotated[bool, Meta(description="The job existed already and has the key of the new one.")] | UnsetType
    ) = UNSET
    has_inputs: (
        Annotated[
            bool, Meta(description="In replies to next and start: it waited for others, and may read its inputs.")
        ]
        | UnsetType
    ) = UNSET
    reason: str | UnsetType = UNSET
    error: str | UnsetType = UNSET
    retry_of: Annotated[str, Meta(description="The id of the job that this one retries.")] | UnsetType = UNSET
    retry: Annotated[Retry, Meta(description=RETRY)] | UnsetType = UNSET
    retry_at: Annotated[str, Meta(description="The id of the job that retries this one.")] | UnsetType = UNSET
    attempts: (
        Annotated[
            int,
            Meta(description="With a retry policy: how often it failed. Not in replies to next and start."),
        ]
        | UnsetType
    ) = UNSET
    dead_at: Annotated[Time, Meta(description="With a retry policy: when it failed for good.")] | UnsetType = UNSET
    dead_letter: (
        Annotated[
            DeadLetter, Meta(description="It failed for good, and this is its copy. Not in replies to its reports.")
        ]
        | UnsetType
    ) = UNSET
    dead_letter_of: (
        Annotated[str, Meta(description="The job is a copy of `retry_of`, which failed in this group.")] | UnsetType
    ) = UNSET
    batch: JobBatch | UnsetType = UNSET
    schedule: Annotated[str, Meta(description="The schedule of the group that made it.")] | UnsetType = UNSET
    scheduled_for: Annotated[Time, Meta(description="The time of the schedule that it is for.")] | UnsetType = UNSET
    traceparent: TraceParent | UnsetType = UNSET
    tracestate: TraceState | UnsetType = UNSET
    env_vars: Annotated[dict[str, str], Meta(description="The group's, for the consumer.")] | UnsetType = UNSET
    receipts: (
        Annotated[list[Receipt], Meta(description="Those of the last five deliveries; not in lists.")] | UnsetType
    ) = UNSET
    progress: Annotated[int, Meta(ge=0, le=100, description="How far its delivery is, in percent.")] | UnsetType = UNSET
    note: Annotated[str, Meta(description="What its delivery does now, for people.")] | UnsetType = UNSET
    result: (
        Annotated[
            Raw,
            Meta(description="What the job made, any JSON. In lists only with `fields=result`."),
        ]
        | UnsetType
    ) = UNSET
    lease: Annotated[str, Meta(description="The fencing token, in replies to next and start.")] | UnsetType = UNSET


class JobWrapper(Struct):
    """One job."""

    job: Job


MOST_DEPENDANTS = 1000
"""How many jobs that were cancelled are made again at most with the job that they waited for."""


class RetriedJob(Struct, frozen=True):
    """A job that repeats another one."""

    group_name: str
    retry_of: Annotated[str, Meta(description="The id of the job that it repeats.")]
    id: str


class RetriedWrapper(Struct):
    """The new job. With `dependants=1` also those that repeat the jobs which were cancelled with the old one."""

    job: Job
    dependants: (
        Annotated[list[RetriedJob], Meta(description="Those that repeat the jobs cancelled with it.")] | UnsetType
    ) = UNSET


class JobsWrapper(Struct):
    """Jobs; `cursor` if a list continues."""

    jobs: list[Job]
    cursor: str | UnsetType = UNSET
    looked: Annotated[int, Meta(description="Of a list with filters: how many jobs were read for it.")] | UnsetType = (
        UNSET
    )
    of: Annotated[int, Meta(description="Of a list with filters: how many jobs it is about.")] | UnsetType = UNSET
