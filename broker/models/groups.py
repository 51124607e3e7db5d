"""Groups: their settings, and the bodies that show them."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from broker.models.fields import EnvVars, GroupName, Image, Note, Retention, StartWithin, Time
from broker.models.lanes import KeyConcurrency, KeyStrict
from broker.models.retries import Retry

DEFAULT_DELIVERY_LIMIT = 5
DAY_S = 86_400


class Retentions(Struct, frozen=True, kw_only=True):
    """How long finished jobs are kept, in s, by status."""

    succeeded: Retention | None = DAY_S
    failed: Retention | None = 7 * DAY_S
    cancelled: Retention | None = DAY_S


class RetentionChanges(Struct, frozen=True, kw_only=True):
    """Other times for which finished jobs are kept, in s, by status; null is the default."""

    succeeded: Retention | UnsetType | None = UNSET
    failed: Retention | UnsetType | None = UNSET
    cancelled: Retention | UnsetType | None = UNSET


MaxConcurrency = Annotated[int, Meta(ge=1, le=1_000_000, description="The most jobs that run at once.")]
Paused = Annotated[bool, Meta(description="While true no job is dispatched.")]
JobsPerSecond = Annotated[int, Meta(ge=1, le=1_000_000)]
MaxGroupJobs = Annotated[
    int, Meta(ge=1, le=1_000_000_000, description="The most unfinished jobs; without it the limit of the broker.")
]
MaxGroupBytes = Annotated[
    int,
    Meta(
        ge=1,
        le=2**50,
        description="The most bytes of images and payloads of unfinished jobs; without it the limit of the broker.",
    ),
]
PriorityBoost = Annotated[
    int,
    Meta(
        ge=1,
        le=1_000_000,
        description="How many jobs a priority is ahead; without it a higher priority always goes first.",
    ),
]
DeliveryLimit = Annotated[int, Meta(ge=1, le=1000, description="Deliveries after which a lost job fails.")]
RequireLease = Annotated[bool, Meta(description="Whether every report needs its lease token.")]


class JobRate(Struct, frozen=True, forbid_unknown_fields=True):
    """A number of jobs in a number of seconds, and how many at once. A job takes a place when it is dispatched."""

    jobs: Annotated[int, Meta(ge=1, le=1_000_000, description="The most jobs that are dispatched in `per` seconds.")]
    per: Annotated[int, Meta(ge=1, le=86_400, description="The time in which `jobs` may be dispatched, in s.")] = 1
    burst: (
        Annotated[int, Meta(ge=1, le=1_000_000, description="How many may be dispatched at once; null is `jobs`.")]
        | None
    ) = None


RateLimit = Annotated[
    JobsPerSecond | JobRate,
    Meta(description="The most jobs that are dispatched a second; or in some seconds, and how many at once."),
]
GroupRetry = Annotated[Retry, Meta(description="The retry policy of jobs that have neither one nor max_retries.")]
DeadLetterTo = Annotated[
    GroupName, Meta(description="The group of the same partition that gets a copy of each job that failed for good.")
]
GroupStartWithin = Annotated[
    StartWithin, Meta(description="start_within of new jobs that have neither start_within nor start_before, in s.")
]


Weight = Annotated[int, Meta(ge=1, le=100, description="In fair order: how many jobs the group gives in one turn.")]


class GroupSettings(Struct, frozen=True, kw_only=True):
    """The settings of a group. PUT replaces all of them; a setting that is not given gets its default."""

    image: Image | None = None
    env_vars: EnvVars | None = None
    max_concurrency: MaxConcurrency | None = None
    paused: Paused | None = None
    rate_limit: RateLimit | None = None
    delivery_limit: DeliveryLimit | None = None
    require_lease: RequireLease | None = None
    retention: Retentions | None = None
    retry: GroupRetry | None = None
    start_within: GroupStartWithin | None = None
    dead_letter_to: DeadLetterTo | None = None
    key_concurrency: KeyConcurrency | None = None
    key_strict: KeyStrict | None = None
    max_jobs: MaxGroupJobs | None = None
    max_bytes: MaxGroupBytes | None = None
    priority_boost: PriorityBoost | None = None
    weight: Weight | None = None


class GroupPut(Struct, frozen=True):
    """The body of `PUT /v1/groups/{g}`."""

    group: GroupSettings


class NamedSettings(GroupSettings, frozen=True, kw_only=True):
    """The settings of a group, and the name of the group."""

    name: GroupName


class GroupPost(Struct, frozen=True):
    """The body of `POST /v1/groups`."""

    group: NamedSettings


class GroupChanges(Struct, frozen=True, kw_only=True):
    """Some settings of a group. Those that are not given keep their values; null is the default."""

    image: Image | UnsetType | None = UNSET
    env_vars: EnvVars | UnsetType | None = UNSET
    max_concurrency: MaxConcurrency | UnsetType | None = UNSET
    paused: Paused | UnsetType | None = UNSET
    rate_limit: RateLimit | UnsetType | None = UNSET
    delivery_limit: DeliveryLimit | UnsetType | None = UNSET
    require_lease: RequireLease | UnsetType | None = UNSET
    retention: RetentionChanges | UnsetType | None = UNSET
    retry: GroupRetry | UnsetType | None = UNSET
    start_within: GroupStartWithin | UnsetType | None = UNSET
    dead_letter_to: DeadLetterTo | UnsetType | None = UNSET
    key_concurrency: KeyConcurrency | UnsetType | None = UNSET
    key_strict: KeyStrict | UnsetType | None = UNSET
    max_jobs: MaxGroupJobs | UnsetType | None = UNSET
    max_bytes: MaxGroupBytes | UnsetType | None = UNSET
    priority_boost: PriorityBoost | UnsetType | None = UNSET
    weight: Weight | UnsetType | None = UNSET
    note: Note | UnsetType | None = UNSET


class GroupPatch(Struct, frozen=True):
    """The body of `PATCH /v1/groups/{g}`."""

    group: GroupChanges


class Counts(Struct, frozen=True, kw_only=True):
    """The number of jobs of a group, by status."""

    delayed: int = 0
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


class Group(Struct, frozen=True, kw_only=True):
    """A group: its settings, with defaults, and its counts."""

    name: str
    created_at: Time
    image: str | UnsetType = UNSET
    env_vars: dict[str, str] | UnsetType = UNSET
    max_concurrency: int | UnsetType = UNSET
    rate_limit: JobsPerSecond | JobRate | UnsetType = UNSET
    paused: bool = False
    paused_at: Annotated[Time, Meta(description="Since when it is paused, if PATCH paused it.")] | UnsetType = UNSET
    paused_by: Annotated[str, Meta(description="The name of the token that paused it.")] | UnsetType = UNSET
    note: Annotated[str, Meta(description="A note for people.")] | UnsetType = UNSET
    delivery_limit: int = DEFAULT_DELIVERY_LIMIT
    require_lease: bool = False
    retention: Retentions = Retentions()
    retry: GroupRetry | UnsetType = UNSET
    start_within: GroupStartWithin | UnsetType = UNSET
    dead_letter_to: DeadLetterTo | UnsetType = UNSET
    max_jobs: MaxGroupJobs | UnsetType = UNSET
    max_bytes: MaxGroupBytes | UnsetType = UNSET
    priority_boost: PriorityBoost | UnsetType = UNSET
    weight: Weight | UnsetType = UNSET
    dead_letters: (
        Annotated[int, Meta(description="With dead_letter_to: how many copies went there so far; not in lists.")]
        | UnsetType
    ) = UNSET
    key_concurrency: KeyConcurrency | UnsetType = UNSET
    key_strict: KeyStrict | UnsetType = UNSET
    counts: Counts = Counts()


class GroupWrapper(Struct, frozen=True):
    """One group."""

    group: Group


class GroupsWrapper(Struct, frozen=True):
    """Groups; `cursor` if the list continues."""

    groups: list[Group]
    cursor: str | UnsetType = UNSET
