"""Keys of jobs, such as a tenant or a resource: how many jobs of one key are queued or run at once."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from broker.models.fields import END, Time

Key = Annotated[
    str,
    Meta(
        pattern=f"^[^\\x00-\\x1f\\x7f]{{1,128}}{END}",
        description="What it belongs to, such as a tenant, a customer or a resource; other jobs may have the same "
        "one. With key_concurrency of the group at most that number of jobs of a key is queued or runs. 1 to 128 "
        "characters, no control characters.",
        extra={"words": "a text of 1 to 128 characters, none of them a control character"},
    ),
]
KeyConcurrency = Annotated[
    int, Meta(ge=1, le=1000, description="The most jobs of one key that are queued or run at once; others are held.")
]
KeyStrict = Annotated[
    bool, Meta(description="Whether a job that waits for its next try keeps its place among the jobs of its key.")
]

FairKeys = Annotated[
    bool, Meta(description="Whether the keys of its jobs take turns. It needs the order fair, and is asleep without.")
]


class KeyJobs(Struct, kw_only=True):
    """The jobs of a key that are queued or run, or want to be."""

    key: Annotated[str, Meta(description="The key.")]
    queued: Annotated[int, Meta(description="How many of its jobs are queued.")]
    running: Annotated[int, Meta(description="How many of its jobs run.")]
    held: Annotated[int, Meta(description="How many of its jobs wait for a place.")]
    oldest_at: Annotated[Time, Meta(description="When the oldest of these jobs was enqueued.")] | UnsetType = UNSET
    turn: (
        Annotated[
            int,
            Meta(
                description="Only while the keys take turns: its place among the keys, 1 for the one whose job is the "
                "next; jobs without a key are one key. Missing when none of the first 1,000 queued jobs is of the key."
            ),
        ]
        | UnsetType
    ) = UNSET


class NoKeyJobs(Struct, kw_only=True):
    """The jobs without a key that are queued or run. They have no limit of places, and take turns as one key."""

    queued: Annotated[int, Meta(description="How many are queued.")]
    running: Annotated[int, Meta(description="How many run.")]
    turn: Annotated[int, Meta(description="As that of a key.")] | UnsetType = UNSET


class KeyJobsWrapper(Struct):
    """The keys of a group with the most jobs, most first."""

    keys: list[KeyJobs]
    no_key: (
        Annotated[NoKeyJobs, Meta(description="The jobs without a key; missing when the group has more than n keys.")]
        | UnsetType
    ) = UNSET
