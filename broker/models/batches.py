"""Batches: jobs of a group whose ends are counted, and the callback jobs that follow."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from broker.models.fields import MAX_JOBS, NO_CONTROLS, EndWithin, GroupName, LeaseToken, Time
from broker.models.jobs import BatchCounts, Callback, Job, NewJob

MOST_MEMBERS = 100_000
BatchState = Literal["open", "running", "succeeded", "failed", "cancelled"]
Members = Annotated[list[NewJob], Meta(max_length=MAX_JOBS, description="The first members.")]
BatchName = Annotated[str, Meta(max_length=255, pattern=NO_CONTROLS, description="A name for people.")]


class CallbackJob(NewJob, frozen=True, kw_only=True):
    """A job that a batch creates. It may be of another group of the partition."""

    group_name: GroupName | None = None


class NewBatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A batch as a producer sends it."""

    name: BatchName | None = None
    jobs: Members = []
    open: Annotated[bool, Meta(description="true: more jobs follow, until it is closed.")] = False
    on_failed: (
        Annotated[CallbackJob, Meta(description="Created once, when the first member has failed for good.")] | None
    ) = None
    on_succeeded: (
        Annotated[CallbackJob, Meta(description="Created when it is closed and all members have succeeded.")] | None
    ) = None
    on_over: (
        Annotated[CallbackJob, Meta(description="Created when it is closed and all members have ended.")] | None
    ) = None
    end_within: (
        Annotated[
            EndWithin, Meta(description="It is closed after this time, and its unfinished members are cancelled, s.")
        ]
        | None
    ) = None


class NewBatchWrapper(Struct, frozen=True, kw_only=True):
    """The body of create_batch."""

    batch: NewBatch


class NewMembers(Struct, frozen=True, kw_only=True):
    """The body of add_to_batch. A batch that is closed takes jobs of a running member only."""

    jobs: Annotated[list[NewJob], Meta(min_length=1, max_length=MAX_JOBS, description="The new members.")]
    member: Annotated[str, Meta(max_length=64, description="The id of a running member.")] = ""
    lease: LeaseToken = ""


class Batch(Struct, kw_only=True):
    """A batch."""

    id: Annotated[str, Meta(description="Made by the broker; sorts by creation.")]
    group_name: str
    state: Annotated[
        BatchState,
        Meta(
            description="open: more jobs may be added. running: not all members have ended. Then succeeded, failed (a "
            "member failed) or cancelled."
        ),
    ]
    counts: BatchCounts
    callbacks: Annotated[dict[Callback, str], Meta(description="The ids of the callback jobs that were created.")]
    created_at: Time
    name: str | UnsetType = UNSET
    end_before: Annotated[Time, Meta(description="When its unfinished members are cancelled.")] | UnsetType = UNSET
    stopped: (
        Annotated[
            Literal["client_request", "end_within"], Meta(description="Why its unfinished members are cancelled.")
        ]
        | UnsetType
    ) = UNSET
    ended_at: Annotated[Time, Meta(description="When all its members and callbacks were settled.")] | UnsetType = UNSET
    retry_of: Annotated[str, Meta(description="The batch whose failed members it repeats.")] | UnsetType = UNSET
    retry_at: Annotated[str, Meta(description="The batch that repeats its failed members.")] | UnsetType = UNSET


class BatchWrapper(Struct):
    """One batch."""

    batch: Batch


class BatchesWrapper(Struct):
    """Batches; `cursor` if the list continues."""

    batches: list[Batch]
    cursor: str | UnsetType = UNSET


class MembersWrapper(Struct):
    """Members of a batch; `cursor` if the list continues."""

    jobs: list[Job]
    cursor: str | UnsetType = UNSET
