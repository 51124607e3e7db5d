"""The bodies of a consumer's reports about jobs that it holds, for one job or for many."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from broker.models.fields import MAX_JOBS, Delay, ErrorText, LeaseToken, Reason, Time
from broker.models.retries import MayRetry, RetryAfter
from broker.models.workers import Receipt


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
    retry: MayRetry | dict[str, Any] | None = None
    retry_after: RetryAfter | None = None


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
    retry: MayRetry | dict[str, Any] | UnsetType | None = UNSET
    retry_after: RetryAfter | UnsetType | None = UNSET


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
