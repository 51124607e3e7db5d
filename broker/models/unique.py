"""Unique keys: of the jobs with the same key in a group, one holds it."""

from typing import Annotated, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

from broker.core.states import Status
from broker.models.fields import END, Time

UNIQUE_KEY = r"[^\x00-\x1f\x7f]{1,255}"
UniqueKey = Annotated[
    str,
    Meta(
        pattern=f"^{UNIQUE_KEY}{END}",
        description="1 to 255 characters, no control characters.",
        extra={"words": "a text of 1 to 255 characters, none of them a control character"},
    ),
]
OnConflict = Literal["existing", "refuse", "replace", "push", "follow"]
ON_CONFLICT: tuple[OnConflict, ...] = get_args(OnConflict)
MAX_WAIT_DELAYS = 10
"""How many delays `push` may put a job off, unless there is a max_wait."""


class Unique(Struct, frozen=True, kw_only=True, rename={"for_": "for"}, omit_defaults=True, forbid_unknown_fields=True):
    """The key of a job, how long the job holds it, and what becomes of another job with the key meanwhile."""

    key: UniqueKey
    until: (
        Annotated[
            Literal["over", "started"],
            Meta(description="Until the job has ended (default), or until it is delivered."),
        ]
        | None
    ) = None
    for_: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=31_536_000,
                description="In place of `until`: it holds the key for this time from its creation on, over or "
                "not, as long as it is kept, s.",
            ),
        ]
        | None
    ) = None
    on_conflict: (
        Annotated[
            OnConflict,
            Meta(
                description="What a second job with the key does: the answer has the holder (`existing`); it is "
                "refused (`refuse`); the holder gets its payload, image, priority and settings (`replace`), and its "
                "delay begins again (`push`); or it waits for the end of the holder (`follow`)."
            ),
        ]
        | None
    ) = None
    max_wait: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=315_360_000,
                description="With `push`: how long the holder may be put off from its creation on, s; 10 delays.",
            ),
        ]
        | None
    ) = None


class HeldKey(Struct, kw_only=True):
    """A unique key and the job that holds it."""

    key: Annotated[str, Meta(description="The unique key.")]
    holder: Annotated[str, Meta(description="The id of the job that holds the key.")]
    status: Annotated[Status, Meta(description="The status of the holder.")]
    follower: Annotated[str, Meta(description="The id of the job that holds the key next.")] | UnsetType = UNSET
    ends_at: Annotated[Time, Meta(description="When the key is free, for a key with a time.")] | UnsetType = UNSET


class HeldKeyWrapper(Struct):
    """One key."""

    unique: HeldKey


class HeldKeysWrapper(Struct):
    """Keys; `cursor` if the list continues."""

    keys: Annotated[list[HeldKey], Meta(description="Keys that a job holds.")]
    cursor: str | UnsetType = UNSET
