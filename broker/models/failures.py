"""The failures of a group as a few causes."""

from typing import Annotated

from msgspec import Meta, Struct

from broker.models.fields import Time

MAX_FAILURE_LOOKS = 1000
CAUSE_IDS = 5


class Cause(Struct, frozen=True, kw_only=True):
    """Failed jobs with the same reason, and errors that differ only in numbers, ids, addresses and quoted words."""

    cause: Annotated[
        str,
        Meta(
            description="Names this cause for the filter `cause` of list_jobs and begin_bulk: exactly its jobs are "
            "listed, or retried, also those beyond `looked`. `retried` 0 or false leaves out those that were retried."
        ),
    ]
    signature: Annotated[str, Meta(description="The line of the error with # for what differs.")]
    reason: str
    error: Annotated[str, Meta(description="The error of the last one.")]
    n: int
    first: Time
    last: Time
    ids: Annotated[list[str], Meta(description="The last five of the jobs.")]


class Failures(Struct, frozen=True, kw_only=True):
    """The causes, the most frequent first, of the last failed jobs that the group still has."""

    looked: Annotated[int, Meta(description="How many failed jobs were read.")]
    of: Annotated[int, Meta(description="How many there are.")]
    causes: list[Cause]
