"""Jobs in the words of 2016. Newer programs see `broker.models.jobs`.

These structs describe the bodies; `broker.http.dialect.words` makes them from the bodies of today.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from broker.models.fields import MAX_JOBS
from broker.models.jobs import Job, NewJob

Status2016 = Literal["delayed", "queued", "running", "success", "error", "cancelled"]
Reason2016 = Literal["timeout", "killed", "bad_exit", "client_request"]


class Job2016(Job, kw_only=True):
    """A job. Times are RFC 3339 in UTC with milliseconds."""

    status: Annotated[Status2016, Meta(description="`success`: it succeeded. `error`: it failed.")]  # type: ignore[assignment]
    name: Annotated[str, Meta(description="The same as group_name.")]
    reason: (
        Annotated[Reason2016, Meta(description="`bad_exit` for every other reason, which `error` then has.")]
        | UnsetType
    ) = UNSET


class Job2016Wrapper(Struct):
    """One job."""

    job: Job2016


class Jobs2016Wrapper(Struct):
    """Jobs; `cursor` if a list continues."""

    jobs: list[Job2016]
    cursor: str | UnsetType = UNSET
    looked: Annotated[int, Meta(description="Of a list with filters: how many jobs were read for it.")] | UnsetType = (
        UNSET
    )
    of: Annotated[int, Meta(description="Of a list with filters: how many jobs it is about.")] | UnsetType = UNSET


class TaskWrapper(Struct):
    """One job, under the name `task`."""

    task: Job2016


class TasksWrapper(Struct):
    """Jobs under the name `tasks`; `cursor` if a list continues."""

    tasks: list[Job2016]
    cursor: str | UnsetType = UNSET
    looked: Annotated[int, Meta(description="Of a list with filters: how many jobs were read for it.")] | UnsetType = (
        UNSET
    )
    of: Annotated[int, Meta(description="Of a list with filters: how many jobs it is about.")] | UnsetType = UNSET


class NewTasks(Struct, frozen=True):
    """The body of enqueue under /tasks. All of the jobs are enqueued, or none."""

    tasks: Annotated[list[NewJob], Meta(min_length=1, max_length=MAX_JOBS)]
