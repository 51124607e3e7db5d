"""The bodies of the API. One struct validates, documents and encodes; an absent value is left out, never null.

What comes in may have JSON null, or "" for a text or a time, for "not given". Integers that a job has are always there.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from broker.presence import Receipt
from broker.states import Status

DEFAULT_TIMEOUT_S = 60
DEFAULT_RETRIES_DELAY_S = 60
DEFAULT_DELIVERY_LIMIT = 5
DAY_S = 86_400
MAX_JOBS = 1000
"""The most jobs, or items, that one call carries."""

GROUP_NAME = r"[A-Za-z0-9_-]{1,128}"
JOB_ID = r"[0-9A-Za-z]{16}"
_END = r"(?![\s\S])"
"""The end of the text, in Python's dialect and in JSON Schema's alike ($ would let a last newline pass)."""
_NO_CONTROLS = r"^[^\x00-\x1f\x7f]*" + _END

GroupName = Annotated[str, Meta(pattern=f"^{GROUP_NAME}{_END}", description="Name of a group.")]
Image = Annotated[
    str,
    Meta(
        max_length=255,
        pattern=_NO_CONTROLS,
        description="What runs the job: a name in the worker's table or a container image. Else the group's.",
    ),
]
Delay = Annotated[int, Meta(ge=0, le=31_536_000, description="Wait before the job is queued, in s.")]
Timeout = Annotated[int, Meta(ge=1, le=604_800, description="How long a consumer may hold the job, in s.")]
Priority = Annotated[int, Meta(ge=0, le=2, description="Higher first; first in, first out inside one priority.")]
MaxRetries = Annotated[int, Meta(ge=0, le=25, description="How many new jobs failures may still make.")]
RetriesDelay = Annotated[int, Meta(ge=0, le=31_536_000, description="Wait before an automatic retry, in s.")]
Reason = Annotated[
    str,
    Meta(
        max_length=256,
        description="Why the job is in this status: timeout, killed, bad_exit, client_request, or own words.",
    ),
]
ErrorText = Annotated[str, Meta(max_length=4096, description="What went wrong, for people.")]
LeaseToken = Annotated[str, Meta(max_length=64, description="The token of the delivery that holds the job.")]
Time = Annotated[str, Meta(description="RFC 3339.", extra_json_schema={"format": "date-time"})]
Retention = Annotated[int, Meta(ge=0, le=315_360_000, description="How long such jobs and their logs are kept, in s.")]
EnvName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}" + _END)]
EnvValue = Annotated[str, Meta(max_length=32_768, pattern=r"^[^\x00]*" + _END)]
EnvVars = Annotated[dict[EnvName, EnvValue], Meta(max_length=100, description="Environment of the group's jobs.")]


class NewJob(Struct, frozen=True, kw_only=True):
    """A job as a producer gives it. Unknown fields are ignored, so that a whole job may be sent back."""

    image: Image | None = None
    payload: Annotated[str, Meta(description="What the job works on: any text.")] | None = None
    delay: Delay | None = None
    timeout: Timeout | None = None
    priority: Priority | None = None
    max_retries: MaxRetries | None = None
    retries_delay: RetriesDelay | None = None


class NewJobs(Struct, frozen=True):
    """The body of enqueue: all of these jobs, or none."""

    jobs: Annotated[list[NewJob], Meta(min_length=1, max_length=MAX_JOBS)]


class Job(Struct, kw_only=True):
    """A job. Times are RFC 3339 in UTC with milliseconds."""

    id: Annotated[str, Meta(pattern=f"^{JOB_ID}{_END}", description="Made by the broker; sorts by creation.")]
    group_name: str
    status: Status
    image: str
    payload: str | UnsetType = UNSET
    delay: int = 0
    timeout: int = DEFAULT_TIMEOUT_S
    priority: int = 0
    max_retries: int = 0
    retries_delay: int = DEFAULT_RETRIES_DELAY_S
    deliveries: Annotated[int, Meta(description="How often the job was handed out.")] = 0
    created_at: Time
    started_at: Time | UnsetType = UNSET
    completed_at: Time | UnsetType = UNSET
    expires_at: Annotated[Time, Meta(description="While running: when the lease ends.")] | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    error: str | UnsetType = UNSET
    retry_of: Annotated[str, Meta(description="The id of the job that this one retries.")] | UnsetType = UNSET
    retry_at: Annotated[str, Meta(description="The id of the job that retries this one.")] | UnsetType = UNSET
    env_vars: Annotated[dict[str, str], Meta(description="The group's, for the consumer.")] | UnsetType = UNSET
    receipts: (
        Annotated[list[Receipt], Meta(description="Of one job alone: what its last deliveries left behind.")]
        | UnsetType
    ) = UNSET
    lease: (
        Annotated[str, Meta(description="Only where the job is handed out: the token of this delivery.")] | UnsetType
    ) = UNSET


class JobWrapper(Struct):
    """One job."""

    job: Job


class JobsWrapper(Struct):
    """Jobs; `cursor` where a list goes on."""

    jobs: list[Job]
    cursor: str | UnsetType = UNSET


class Start(Struct, frozen=True):
    """The body of start."""

    started_at: Time | None = None
    lease: LeaseToken | None = None


class Touch(Struct, frozen=True):
    """The body of touch."""

    lease: LeaseToken | None = None


class Success(Struct, frozen=True):
    """The body of success."""

    completed_at: Time | None = None
    lease: LeaseToken | None = None
    receipt: Receipt | None = None


class Failure(Struct, frozen=True):
    """The body of error."""

    reason: Reason | None = None
    error: ErrorText | None = None
    completed_at: Time | None = None
    lease: LeaseToken | None = None
    receipt: Receipt | None = None


class Release(Struct, frozen=True):
    """The body of release."""

    delay: Delay | None = None
    lease: LeaseToken | None = None
    receipt: Receipt | None = None


class Finish(Struct, frozen=True, kw_only=True):
    """One item of the bulk finish."""

    group_name: str
    id: str
    status: Literal["succeeded", "failed"]
    reason: Reason | None = None
    error: ErrorText | None = None
    completed_at: Time | None = None
    lease: LeaseToken | None = None
    receipt: Receipt | None = None


class Finishes(Struct, frozen=True):
    """The body of the bulk finish."""

    jobs: Annotated[list[Finish], Meta(min_length=1, max_length=MAX_JOBS)]


class Held(Struct, frozen=True, kw_only=True):
    """One item of the bulk touch."""

    group_name: str
    id: str
    lease: LeaseToken | None = None


class HeldJobs(Struct, frozen=True):
    """The body of the bulk touch."""

    jobs: Annotated[list[Held], Meta(min_length=1, max_length=MAX_JOBS)]


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong. `fields` names the part of the request that is not valid."""

    message: str
    fields: str = ""
    code: str = field(default="internal")


class ProblemWrapper(Struct, frozen=True):
    """The body of every answer of 400 and above."""

    error: Problem


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one item of a bulk call: `ok`, or `error`."""

    id: str
    ok: bool = False
    expires_at: Time | UnsetType = UNSET
    error: Problem | UnsetType = UNSET


class Outcomes(Struct, frozen=True):
    """One outcome for each item, in order."""

    jobs: list[Outcome]


class Retentions(Struct, frozen=True, kw_only=True):
    """How long finished jobs are kept, in s, by status."""

    succeeded: Retention | None = DAY_S
    failed: Retention | None = 7 * DAY_S
    cancelled: Retention | None = DAY_S


class GroupSettings(Struct, frozen=True, kw_only=True):
    """The settings of a group; PUT replaces all of them, and one that is not given has its default."""

    image: Image | None = None
    env_vars: EnvVars | None = None
    max_concurrency: (
        Annotated[int, Meta(ge=1, le=1_000_000, description="How many of its jobs may run at once.")] | None
    ) = None
    paused: Annotated[bool, Meta(description="Hands nothing out while true.")] | None = None
    rate_limit: (
        Annotated[int, Meta(ge=1, le=1_000_000, description="How many of its jobs are handed out a second.")] | None
    ) = None
    delivery_limit: (
        Annotated[int, Meta(ge=1, le=1000, description="Deliveries before a lost job is failed.")] | None
    ) = None
    require_lease: Annotated[bool, Meta(description="Whether every report needs its lease token.")] | None = None
    retention: Retentions | None = None


class GroupPut(Struct, frozen=True):
    """The body of PUT."""

    group: GroupSettings


class Counts(Struct, frozen=True, kw_only=True):
    """How many jobs a group has, by status."""

    delayed: int = 0
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


class Group(Struct, frozen=True, kw_only=True):
    """A group: its settings as they are in force, and its counts."""

    name: str
    created_at: Time
    image: str | UnsetType = UNSET
    env_vars: dict[str, str] | UnsetType = UNSET
    max_concurrency: int | UnsetType = UNSET
    rate_limit: int | UnsetType = UNSET
    paused: bool = False
    delivery_limit: int = DEFAULT_DELIVERY_LIMIT
    require_lease: bool = False
    retention: Retentions = Retentions()
    counts: Counts = Counts()


class GroupWrapper(Struct, frozen=True):
    """One group."""

    group: Group


class GroupsWrapper(Struct, frozen=True):
    """Groups; `cursor` where the list goes on."""

    groups: list[Group]
    cursor: str | UnsetType = UNSET
