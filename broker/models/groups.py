"""Groups: their settings, and the bodies that show them."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from broker.models.fields import EnvVars, Image, Retention, Time

DEFAULT_DELIVERY_LIMIT = 5
DAY_S = 86_400


class Retentions(Struct, frozen=True, kw_only=True):
    """How long finished jobs are kept, in s, by status."""

    succeeded: Retention | None = DAY_S
    failed: Retention | None = 7 * DAY_S
    cancelled: Retention | None = DAY_S


class GroupSettings(Struct, frozen=True, kw_only=True):
    """The settings of a group. PUT replaces all of them; a setting that is not given gets its default."""

    image: Image | None = None
    env_vars: EnvVars | None = None
    max_concurrency: Annotated[int, Meta(ge=1, le=1_000_000, description="The most jobs that run at once.")] | None = (
        None
    )
    paused: Annotated[bool, Meta(description="While true no job is dispatched.")] | None = None
    rate_limit: (
        Annotated[int, Meta(ge=1, le=1_000_000, description="The most jobs that are dispatched a second.")] | None
    ) = None
    delivery_limit: (
        Annotated[int, Meta(ge=1, le=1000, description="Deliveries after which a lost job fails.")] | None
    ) = None
    require_lease: Annotated[bool, Meta(description="Whether every report needs its lease token.")] | None = None
    retention: Retentions | None = None


class GroupPut(Struct, frozen=True):
    """The body of `PUT /v1/groups/{g}`."""

    group: GroupSettings


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
    """Groups; `cursor` if the list continues."""

    groups: list[Group]
    cursor: str | UnsetType = UNSET
