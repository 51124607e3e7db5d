"""The bodies of a consumer's reports about jobs that it holds, for one job or for many."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from broker.models.fields import MAX_JOBS, Delay, ErrorText, LeaseToken, Reason, Time
from broker.models.jobs import MOST_PARENTS
from broker.models.retries import MayRetry, RetryAfter
from broker.models.workers import Receipt

_ID = "^[0-9A-Za-z-]{1,64}$"

Result = Annotated[
    Raw,
    Meta(
        description="What the job made, any JSON; null is ignored. At most 16 KiB unless the broker has another "
        "--max-result-bytes. It is kept with the job."
    ),
]


Progress = Annotated[int, Meta(ge=0, le=100, description="How far the job is, in percent.")]
ProgressNote = Annotated[str, Meta(max_length=256, description="What the job does now, for people.")]
LeaseS = Annotated[
    int,
    Meta(
        ge=0,
        le=43_200,
        description="How long the lease lasts from now, in s; it never becomes shorter by this. A short lease is "
        "bounded by the timeout of its job.",
    ),
]


class Start(Struct, frozen=True):
    """The body of start."""

    started_at: Time | None = None
    lease: LeaseToken | None = None


class Touch(Struct, frozen=True):
    """The body of touch."""

    lease: LeaseToken | None = None
    progress: Progress | None = None
    note: ProgressNote | None = None
    lease_s: LeaseS | None = field(default=None, name="for")


class Success(Struct, frozen=True):
    """The body of success."""

    completed_at: Time | None = None
    lease: LeaseToken | None = None
    receipt: Receipt | None = None
    result: Result | UnsetType = UNSET


class Failure(Struct, frozen=True):
    """The body of error."""

    reason: Reason | None = None
    error: ErrorText | None = None
    completed_at: Time | None = None
    lease: LeaseToken | None = None
    receipt: Receipt | None = None
    retry: MayRetry | dict[str, Any] | None = None
    retry_after: RetryAfter | None = None


class Release(Struct, frozen=True):
    """The body of release."""

    delay: Delay | None = None
    lease: LeaseToken | None = None
    receipt: Receipt | None = None


class WaitFor(Struct, frozen=True):
    """The body of wait."""

    after: Annotated[
        list[Annotated[str, Meta(pattern=_ID)]],
        Meta(
            min_length=1, max_length=MOST_PARENTS, description="The ids of the jobs, in groups of the same partition."
        ),
    ]
    after_on: (
        Annotated[
            Literal["succeeded", "over"],
            Meta(
                description="`over`, the default: any end of these jobs is enough. `succeeded`: when one of them does "
                "not succeed, the job is cancelled, with the reason `dependency`."
            ),
        ]
        | None
    ) = None
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
    retry: MayRetry | dict[str, Any] | UnsetType | None = UNSET
    retry_after: RetryAfter | UnsetType | None = UNSET
    result: Result | UnsetType = UNSET


class Finishes(Struct, frozen=True):
    """The body of the bulk finish."""

    jobs: Annotated[list[Finish], Meta(min_length=1, max_length=MAX_JOBS)]


class Held(Struct, frozen=True, kw_only=True):
    """One item of the bulk touch."""

    group_name: str
    id: str
    lease: LeaseToken | None = None
    progress: Progress | None = None
    note: ProgressNote | None = None
    lease_s: LeaseS | None = field(default=None, name="for")


class HeldJobs(Struct, frozen=True):
    """The body of the bulk touch."""

    jobs: Annotated[list[Held], Meta(min_length=1, max_length=MAX_JOBS)]
