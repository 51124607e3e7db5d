"""The bodies of a wait for the ends of several jobs."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from broker.models.fields import GroupName
from broker.models.jobs import Job
from broker.models.results import Problem

MAX_WAIT_S = 30
MAX_AWAITED = 100
"""The most jobs of one call that waits."""

WaitS = Annotated[int, Meta(ge=0, le=MAX_WAIT_S, description="How long to wait for the end, in s.")]


class AwaitedJob(Struct, frozen=True, kw_only=True):
    """A job to wait for."""

    group_name: GroupName
    id: str


class AwaitedJobs(Struct, frozen=True, kw_only=True):
    """The body of await_jobs."""

    jobs: Annotated[list[AwaitedJob], Meta(min_length=1, max_length=MAX_AWAITED)]
    wait: WaitS = 0
    needs: Annotated[
        Literal["all", "any"], Meta(description="Whether to wait until all of the jobs are finished, or any of them.")
    ] = field(default="all", name="for")


class Awaited(Struct, frozen=True, kw_only=True):
    """One of the jobs as it is now, finished or not; or why there is none."""

    id: str
    job: Job | UnsetType = UNSET
    error: Problem | UnsetType = UNSET


class AwaitedWrapper(Struct, frozen=True):
    """One for each job, in order."""

    jobs: list[Awaited]
