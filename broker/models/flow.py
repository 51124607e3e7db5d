"""Jobs that wait for each other, around one of them."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from broker.core.states import Status

MAX_FLOW_JOBS = 1000
DEFAULT_FLOW_JOBS = 200


class FlowJob(Struct, kw_only=True, omit_defaults=True):
    """A job of a flow. One that is gone, or that the token does not reach, has its id only."""

    id: str
    group_name: Annotated[str, Meta(description="The group of the job.")] = ""
    image: Annotated[str, Meta(description="Its image.")] = ""
    status: Annotated[Status, Meta(description="Its status.")] | UnsetType = UNSET
    reason: Annotated[str, Meta(description="Why it has this status, a word.")] = ""
    needs: Annotated[int, Meta(description="For how many jobs it waits now.")] = 0
    parents: Annotated[
        list[str],
        Meta(
            description="The jobs of `after`; in place of one that was retried automatically that retry. "
            "A retry has the job that it repeats."
        ),
    ] = []
    leader: Annotated[str, Meta(description="The job that had its unique key when it was enqueued.")] = ""
    retried_by: Annotated[
        str,
        Meta(description="The job that retries it, in the same group; it may be no part of the flow."),
    ] = ""


class Flow(Struct, kw_only=True):
    """The jobs that a job waits for and those that wait for it, with theirs: the nearest first."""

    jobs: list[FlowJob]
    more: Annotated[
        int, Meta(description="How many further jobs are known to belong to it. These may have others.")
    ] = 0
