"""Bulks: one verb over all jobs of a group that match, carried out by a broker."""

from typing import Annotated, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

from broker.core.states import STATUSES, Status
from broker.models.fields import (
    MAX_JOBS,
    CauseId,
    Delay,
    Image,
    JobId,
    MaxRetries,
    NewPayload,
    Priority,
    Reason,
    RetriesDelay,
    Time,
    Timeout,
)

Action = Literal["retry", "cancel", "delete", "promote"]
ACTIONS: tuple[Action, ...] = get_args(Action)
TAKES: dict[str, tuple[Status, ...]] = {
    "retry": ("succeeded", "failed", "cancelled"),
    "cancel": ("delayed", "queued", "running"),
    "delete": ("succeeded", "failed", "cancelled"),
    "promote": ("delayed",),
}
"""The statuses of jobs that an action takes, in the order in which jobs pass through them."""
DEFAULTS: dict[str, tuple[Status, ...]] = TAKES | {"retry": ("failed",)}
"""The statuses that an action means when none is given."""
MOST_RUNNING = 5
"""Bulks of a store that run at once at most."""
MOST_JOBS = 1_000_000_000
"""The largest number that limit and at_most may have."""
KEPT_S = 7 * 86_400
"""How long a bulk is kept after its end, in s."""

State = Literal["running", "waiting", "paused", "stopping", "done", "stopped", "failed"]
ENDED = frozenset({"done", "stopped", "failed"})
"""The states in which a bulk stays."""
Number = Annotated[int, Meta(ge=0)]


class Filters(Struct, frozen=True, kw_only=True):
    """Which jobs: those that match every filter that is given."""

    status: Annotated[
        list[Status],
        Meta(
            max_length=len(STATUSES),
            description="Only jobs in one of these. Default: failed for retry, else all that the action takes.",
        ),
    ] = []
    image: Image | None = None
    reason: Reason | None = None
    cause: CauseId | None = None
    text: Annotated[str, Meta(max_length=256, description="Only jobs whose payload has this text.")] | None = None
    created_before: Time | None = None
    created_after: Time | None = None
    completed_before: (
        Annotated[Time, Meta(description="Only finished jobs that ended before this time, RFC 3339.")] | None
    ) = None
    completed_after: (
        Annotated[Time, Meta(description="Only finished jobs that ended after this time, RFC 3339.")] | None
    ) = None
    older_than: (
        Annotated[int, Meta(ge=0, le=315_360_000, description="Only jobs that are older than this, in s.")] | None
    ) = None
    retried: Annotated[bool, Meta(description="Only jobs that were retried, or only others.")] | None = None
    ids: (
        Annotated[
            list[JobId],
            Meta(min_length=1, max_length=MAX_JOBS, description="Exactly these jobs of the group; no other filter."),
        ]
        | None
    ) = None


class RetryChanges(Struct, frozen=True, kw_only=True):
    """What a retry has in place of what the old job had. Fields that are not given stay; null is the default."""

    image: (
        Annotated[Image, Meta(description="The image of the new jobs; null is that of the group.")] | UnsetType | None
    ) = UNSET
    payload: (
        Annotated[NewPayload, Meta(description="The payload of the new jobs; null is none.")] | UnsetType | None
    ) = UNSET
    delay: Delay | UnsetType | None = UNSET
    timeout: Timeout | UnsetType | None = UNSET
    priority: Priority | UnsetType | None = UNSET
    max_retries: MaxRetries | UnsetType | None = UNSET
    retries_delay: RetriesDelay | UnsetType | None = UNSET


class NewBulk(Filters, frozen=True, kw_only=True):
    """The body of `POST /v1/groups/{g}/bulk`. Only jobs that were created before it are looked at."""

    action: Action
    rate: Annotated[int, Meta(ge=1, le=10_000, description="The most jobs a second.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_JOBS, description="How many jobs at most; then it is done.")] | None = None
    at_most: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=MOST_JOBS,
                description="How many jobs are expected. When more match it stops: too_many.",
            ),
        ]
        | None
    ) = None
    dry_run: Annotated[bool, Meta(description="Only count the jobs that match.")] = False
    set: Annotated[RetryChanges, Meta(description="What is changed in the new jobs; only with retry.")] | None = None


EXTENDED = ("completed_before", "completed_after", "ids", "set")
"""The fields that came after the first brokers with bulks: those brokers would carry a bulk out as if it had none."""


class Bulk(NewBulk, frozen=True, kw_only=True):
    """A bulk, and how far it is."""

    id: str
    group: str
    state: Annotated[
        State,
        Meta(
            description="waiting: `why` says for what. paused: the group is at its limit. Both continue automatically. "
            "failed: `why` has the error that ended it."
        ),
    ]
    why: (
        Annotated[str, Meta(description="Why it waits, stopped or failed: too_many, asked, or a text.")] | UnsetType
    ) = UNSET
    paused_because: Annotated[str, Meta(description="Which limit of the group it waits at.")] | UnsetType = UNSET
    by: Annotated[str, Meta(description="The name of the token that began it.")] | UnsetType = UNSET
    stopped_by: str | UnsetType = UNSET
    created_at: Time
    ended_at: Time | UnsetType = UNSET
    looked: Annotated[Number, Meta(description="How many jobs were looked at.")] = 0
    about: Annotated[Number, Meta(description="How many jobs there were to look at when it began.")] = 0
    matched: Annotated[Number, Meta(description="How many of them match.")] = 0
    done: Annotated[Number, Meta(description="How many jobs the action was done to.")] = 0
    skipped: Annotated[
        dict[str, int],
        Meta(description="Jobs that had changed meanwhile: gone, already_retried, wrong_state."),
    ] = {}
    refused: Annotated[dict[str, int], Meta(description="Jobs for which the action was refused, by code.")] = {}
    per_second: Annotated[float, Meta(description="Jobs done a second, since it began.")] = 0.0


class BulkWrapper(Struct, frozen=True):
    """One bulk."""

    bulk: Bulk


class BulksWrapper(Struct, frozen=True):
    """Bulks, the newest first; `cursor` if the list continues."""

    bulks: list[Bulk]
    cursor: str | UnsetType = UNSET
